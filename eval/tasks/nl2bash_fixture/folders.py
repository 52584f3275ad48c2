"""Folders whose files tell a right search from a slightly wrong one.

For every condition of the gold (name, age, size, mode, text, emptiness, depth ...) there are files that meet all
others and miss this one by little; beside them files that meet all, at several depths, hidden ones, links, folders
with a matching name, empty files and folders. A gold without conditions gets files of distinct sizes, ages and modes.
"""

import random
from dataclasses import dataclass, replace

from eval.tasks.nl2bash_fixture.contents import CITIES, VOCABULARY, edited, lines_with, phrase
from eval.tasks.nl2bash_fixture.reading import Reading

LARGEST = 14 << 20  # bytes of one file; a gold that asks for more cannot be shown (unobservable.py)
EXTENSIONS = ("txt", "md", "csv", "log", "html", "py", "jpg", "conf")
AGES = (0.01, 0.15, 0.7, 1.5, 2.5, 4.2, 6.5, 8.8, 12.3, 16.1, 24.4, 31.6, 47.2, 66.7, 95.1, 140.3, 210.8, 420.5)
MODES = (0o644, 0o640, 0o600, 0o755, 0o664, 0o444)
PLACES = ("", "amber", "amber/cedar", ".cache", "harbor")


@dataclass(frozen=True)
class Item:
    """One path of a planned tree: a file with `content`, a link to `target`, or a folder. `age` in days."""

    content: bytes | None = None
    target: str | None = None
    mode: int = 0o644
    age: float = 10.0


Plan = dict[str, Item]  # by path below the tree's top; parents are implied


@dataclass(frozen=True)
class Draft:
    """A file to be placed: what each condition may look at."""

    name: str
    content: bytes
    mode: int
    age: float


def fill_folder(reading: Reading, rng: random.Random) -> Plan:
    """The contents of one folder, paths relative to it."""
    plan: Plan = {}
    drafts = drafts_for(reading, rng)
    for number, draft in enumerate(drafts):
        _place(plan, draft, PLACES[number % len(PLACES)])
    best = drafts[0]
    for level in range(1, max(reading.depth, 2) + 3):
        name = "/".join(f"level{step}" for step in range(1, level))
        if not reading.sizes:
            age = best.age if reading.ages or reading.newer else rng.choice(AGES)
            content = best.content if reading.is_empty or reading.words else _text(rng, 40 * level)
            _place(plan, replace(best, content=content, age=age), name)
    _add_named_folders(plan, reading, best)
    _add_special(plan, reading, best, rng)
    direct = sum("/" not in path for path in plan)
    for number in range(max(0, reading.rows + 5 - direct)):
        name = f"{rng.choice(VOCABULARY)}-{number}.{rng.choice(EXTENSIONS)}"
        plan[name] = Item(_text(rng, 60 + 331 * number), mode=rng.choice(MODES), age=0.3 + number * 1.37)
    modes = [mode for mode in (0o755, 0o750, 0o700) if mode not in reading.new_modes]
    for parent in sorted({above for path in plan for above in _parents(path)} - plan.keys()):
        plan[parent] = Item(mode=rng.choice(modes[:2]), age=rng.choice(AGES))
    return {path: _other_mode(item, reading) for path, item in plan.items()}


def _other_mode(item: Item, reading: Reading) -> Item:
    """Nothing has the mode that the gold is to set."""
    return replace(item, mode=0o640) if item.mode in reading.new_modes and item.content is not None else item


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _text(rng: random.Random, size: int) -> bytes:
    return ((phrase(rng) + "\n") * (size // 20 + 1)).encode()[: size + 1]


def _place(plan: Plan, draft: Draft, folder: str) -> None:
    """Put a draft into `folder`, or into a new one beside it where its name is taken."""
    path = f"{folder}/{draft.name}".lstrip("/")
    step = 0
    while path in plan:
        step += 1
        path = f"{folder}/{VOCABULARY[step * 5]}/{draft.name}".lstrip("/")
    plan[path] = Item(draft.content, mode=draft.mode, age=draft.age)


def drafts_for(reading: Reading, rng: random.Random) -> list[Draft]:
    """The first few meet every condition; then one file for each value of each condition; then a random mix."""
    serial = iter(range(1, 10_000))
    names = _names(reading, rng)
    ages = _ages(reading)
    sizes = _sizes(reading)
    texts = _texts(reading, rng)
    modes = _modes(reading)

    steps = 4096 if {"du", "ls"} & set(reading.utilities) else 37  # `du` counts in blocks of 4096

    def draft(
        name: str | None = None, age: float | None = None, content: bytes | None = None, mode: int | None = None
    ) -> Draft:
        number = next(serial)
        stem = f"{rng.choice(VOCABULARY)}{number}"
        shown = name if name is not None else names[0] if names else f"%.{EXTENSIONS[number % len(EXTENSIONS)]}"
        when = age if age is not None else ages[0] if ages else AGES[number * 5 % len(AGES)] + number / 1000
        plain = texts[0] if texts else b"x" * sizes[0] if sizes else None
        body = content if content is not None else plain
        if body is None:
            body = _text(rng, steps * (number % 12) + rng.randrange(300))
        permissions = mode if mode is not None else modes[0] if modes else MODES[number % len(MODES)]
        return Draft(shown.replace("%", stem), body, permissions, when)

    if sizes:  # large files are costly: one that meets all, and one for each way to miss
        near = [draft(content=b"x" * size) for size in sizes[1:]]
        return [draft(), *near, *(draft(age=age) for age in ages[1:3]), draft(content=b"small\n"), draft(content=b"")]
    found = [draft() for _ in range(4 if names or ages or texts or modes or reading.is_empty else 9)]
    found += [draft(name=name) for name in names]
    found += [draft(age=age) for age in ages]
    found += [draft(content=body) for body in texts]
    found += [draft(mode=mode) for mode in modes]
    for _ in range(5):
        found.append(
            draft(
                rng.choice([*names, "%.txt", "%.md"]),
                rng.choice(ages) if ages else None,
                rng.choice(texts) if texts else None,
                rng.choice(modes) if modes else None,
            )
        )
    found += [draft(name="%.tmp", content=b""), draft(name="%.cfg", content=b""), draft(name=".%", content=b"a\n")]
    return found


def _names(reading: Reading, rng: random.Random) -> list[str]:
    """File names for each pattern, % for something unique: matching ones first, then some that nearly match."""
    found = []
    endings = [word for word in reading.words if word.startswith(".") and "ls" in reading.utilities]
    for glob in reading.globs + [f"*{ending}" for ending in endings]:
        whole = glob.replace("*", "%", 1).replace("*", "")
        core = glob.strip("*")
        if "*" not in glob:
            swapped = [core.upper(), core.capitalize()]
            found += [glob, *(swapped if reading.any_case else []), f"{core}.bak", f"old-{core}", core[1:], f"{core}x"]
            found += [] if reading.any_case else swapped
            continue
        found += [whole, f".{whole}" if glob.startswith("*") else whole, whole.replace(core, core.upper())]
        found += [whole.replace(core, core.capitalize()), whole.replace(core, core[:-1] or "z")]
        found += [f"%.{rng.choice(EXTENSIONS)}"]
        if glob.endswith("*"):
            found += [f"{core}.txt", f"a-%-{core}-b.md", f"{core.upper()}%.TXT"]
        else:
            found += [f"{whole}.bak", f"{whole}x", "%" + core.lstrip("."), f"%{core}.{core.strip('.')}"]
    return list(dict.fromkeys(found))


def _ages(reading: Reading) -> list[float]:
    """Ages around each limit, one that meets it first."""
    found: list[float] = []
    for sign, limit in reading.ages:
        unit = 1.0 if limit >= 1 else 1 / 1440
        near = [limit - 0.5 * unit, limit + 0.5 * unit, limit + 1.5 * unit, limit * 0.3, limit * 2 + unit]
        first = {"-": 0, "+": 2, "": 1}[sign]
        found += [near.pop(first), *near]
    if reading.newer:  # the reference file is NEWER_AGE old
        found += [NEWER_AGE - 0.2, NEWER_AGE + 0.2, 1.0, 30.0]
    return found


NEWER_AGE = 10.0


def _sizes(reading: Reading) -> list[int]:
    """Sizes around each limit, one that meets it first; none where the files would be too large."""
    found: list[int] = []
    for sign, limit in reading.sizes:
        if limit <= LARGEST:
            near = [max(0, limit - 60_000 if limit > 70_000 else limit - 1), limit + 1]
            found += near[::-1] if sign == "+" else near
    return found


def _modes(reading: Reading) -> list[int]:
    return [near for mode in reading.modes for near in (mode, mode ^ 0o020, mode ^ 0o002, mode ^ 0o100, 0o600)]


def _texts(reading: Reading, rng: random.Random) -> list[bytes]:
    """Contents with and without what the gold looks for; empty ones where it looks for those."""
    if reading.is_empty:
        return [b"", b"\n", b"x", b" \n"]
    if "grep" not in reading.utilities or not reading.words:
        return []
    found: list[list[str]] = []
    for word in reading.words:
        lines = lines_with(word, [], rng)
        plain = [phrase(rng) for _ in range(5)]
        found += [[plain[0], lines[0], plain[1]], [*plain, *lines], [plain[2], lines[1], lines[3], plain[3]]]
        found += [[plain[4], word.swapcase()], [word.capitalize() + " " + plain[0]], [f"pre{word}s", plain[1]], plain]
    return ["".join(line + "\n" for line in lines).encode() for lines in found]


def _add_named_folders(plan: Plan, reading: Reading, best: Draft) -> None:
    """Folders that are looked for or left out, and folders called almost so."""
    for name in reading.folder_names:
        for path in (name, f"amber/cedar/{name}", f"harbor/.old/{name}"):
            plan[f"{path}/{CITIES[len(path) % 9].lower()}.txt"] = Item(b"kept here\n", age=5)
        other = name.capitalize() if name != name.capitalize() else name.upper()
        for path in (other, f"{name}-old", f"my{name}", f"amber/{name}.d"):
            plan[path] = Item(mode=0o755, age=3)
        plan[f"harbor/{name}"] = Item(b"a file of this name\n", age=2)
    for name in reading.excluded:
        for path in (name, f"amber/{name}", f"harbor/{name}/deep"):
            _place(plan, best, path)
        for path in (f"{name}-2", f"amber/x{name}"):
            _place(plan, best, path)


def _add_special(plan: Plan, reading: Reading, best: Draft, rng: random.Random) -> None:
    """Empty folders, links, and folders and links whose names match."""
    for path in ("hollow", "amber/hollow2", "harbor/nested/hollow3"):
        plan[path] = Item(mode=0o755, age=rng.choice(AGES))
    plan["only-hidden/.keep"] = Item(b"", age=7)
    files = sorted(path for path, item in plan.items() if item.content is not None and "/" not in path)
    if files:
        plan["link-to-file"] = Item(target=files[0], age=4)
        plan["amber/link-up"] = Item(target=f"../{files[-1]}", age=4)
    plan["link-to-folder"] = Item(target="amber", age=4)
    if "diff" not in reading.utilities:  # which complains about them
        plan["harbor/broken"] = Item(target="nowhere", age=4)
        plan["amber/cedar/broken2"] = Item(target="/no/such/file", age=4)
    for glob in reading.globs:
        name = glob.replace("*", "folder")
        for path in (name, f"amber/cedar/kept/{name}"):
            if path not in plan:
                plan[path] = Item(mode=0o755, age=best.age)
        if f"harbor/{name}" not in plan and files:
            plan[f"harbor/{name}"] = Item(target=f"../{files[0]}", age=best.age)
    if reading.ages:
        plan["recent-folder"] = Item(mode=0o755, age=best.age)


def twin_of(plan: Plan, rng: random.Random) -> Plan:
    """A second folder: most files the same, some with other lines, one missing, one new, one of another age only."""
    files = sorted(path for path, item in plan.items() if item.content and len(item.content) > 300)
    second = dict(plan)
    for path in rng.sample(files, min(4, len(files))):
        content = second[path].content or b""
        second[path] = replace(second[path], content=_changed(content, rng))
    gone = rng.choice([path for path in files if "/" in path])  # links point to the others
    second.pop(gone)
    second["amber/added.txt"] = Item(b"only on this side\n")
    second["added-here.md"] = Item(b"only on this side, too\n")
    kept = next(path for path in files if path in second and second[path] == plan[path])
    second[kept] = replace(second[kept], age=1.0)
    return second


def _changed(content: bytes, rng: random.Random) -> bytes:
    return edited(content, rng) if content.count(b"\n") > 10 else content + b"one more line\n"
