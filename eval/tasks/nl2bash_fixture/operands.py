"""Read a gold command for what its file tree must hold: which paths it names, of which kind, and what it looks for.

Only the gold is read, never a candidate, so one tree serves every answer. The reading is a table, READERS: a utility,
and how its words are taken. `make check-golds` says where the table falls short.
"""

import re
from collections.abc import Callable

from eval.tasks.nl2bash_fixture import text_operands as texts
from eval.tasks.nl2bash_fixture.reading import (
    Reading,
    content_kind,
    literal_parts,
    read_files,
    simple_commands,
    split_options,
)

UNITS = {"c": 1, "b": 512, "": 512, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
REDIRECTIONS = {"<", ">", ">>"}


def read_gold(gold: str) -> Reading:
    """The reading of one gold command."""
    reading = Reading(gold)
    reading.calls = simple_commands(gold)
    for call in reading.calls:
        while len(call) > 2 and call[0] in ("timeout", "nice", "nohup"):
            call = call[2:]
        reading.utilities.append(call[0])
        kept: list[str] = []
        words = iter(call[1:])
        for word in words:
            if word == "<":
                kept.append(next(words))
            elif word in REDIRECTIONS:
                reading.add(next(words), "absent")
            else:
                kept.append(word)
        reader = READERS.get(call[0])
        if reader:
            reader(reading, call[0], kept)
    return reading


def _tar(reading: Reading, utility: str, words: list[str]) -> None:
    alone, valued, rest = split_options(utility, words)
    flags = "".join(alone) + (rest.pop(0) if rest and not alone else "")
    archive = rest[0]
    if "--exclude" in valued:
        reading.globs.append(valued["--exclude"])
    if "c" in flags:
        reading.add(archive, "absent")
        for path in rest[1:]:
            reading.add(path, "folder")
    else:
        reading.add(archive, "tgz" if archive.endswith("gz") else "tar")
        reading.globs += rest[1:]
    if "-C" in valued:
        reading.add(valued["-C"], "target")


def _packed(reading: Reading, utility: str, words: list[str]) -> None:
    alone, valued, rest = split_options(utility, words)
    if utility == "zip":
        reading.add(rest[0], "absent")
        for path in rest[1:]:
            reading.add(path, "folder" if "-r" in alone else content_kind(path))
    elif utility == "unzip":
        reading.add(rest[0], "zip")
        if "-d" in valued:
            reading.add(valued["-d"], "target")
    elif utility == "zgrep":
        reading.words += literal_parts(rest[0])
        for path in rest[1:]:
            reading.add(path, "gz")
    else:
        for path in rest:
            reading.add(path, content_kind(path))


def _find(reading: Reading, utility: str, words: list[str]) -> None:
    places = [word for word in words if not word.startswith(("-", "(", "!"))][:1]
    reading.add(places[0] if places and words[0] == places[0] else ".", "folder")
    queue = iter(words)
    negated = False
    name = ""
    for word in queue:
        if word in ("-not", "!"):
            negated = True
            continue
        if word in ("-name", "-iname"):
            name = next(queue)
            reading.any_case |= word == "-iname"
        elif word in ("-path", "-ipath"):
            path = next(queue)
            (reading.excluded if negated else reading.folder_names).append(path.strip("*/"))
        elif word in ("-type", "-xtype"):
            reading.types.append(next(queue))
        elif word in ("-mtime", "-mmin", "-atime", "-ctime"):
            sign, number = _signed(next(queue))
            reading.ages.append((sign, number / (1440 if word == "-mmin" else 1)))
        elif word == "-size":
            sign, text = (value := next(queue))[:1], value.lstrip("+-")
            unit = text[-1] if text[-1].isalpha() else ""
            reading.sizes.append((sign if sign in "+-" else "", int(text.rstrip("cbkMG")) * UNITS[unit]))
        elif word == "-perm":
            reading.modes.append(int(next(queue).lstrip("-/"), 8))
        elif word in ("-maxdepth", "-mindepth"):
            reading.depth = max(reading.depth, int(next(queue)))
        elif word == "-empty":
            reading.is_empty = True
        elif word == "-newer":
            reading.newer = next(queue)
            reading.add(reading.newer, "reference")
        elif word in ("-user", "-group"):
            (reading.owners if word == "-user" else reading.group_owners).append(next(queue))
        elif word == "-exec":
            reading.new_modes += [int(given, 8) for given in queue if re.fullmatch(r"[0-7]{3,4}", given)]
        negated = False
    if name:
        (reading.folder_names if reading.types == ["d"] else reading.globs).append(name)


def _signed(word: str) -> tuple[str, float]:
    return (word[0] if word[0] in "+-" else "", float(word.lstrip("+-")))


def _files(reading: Reading, utility: str, words: list[str]) -> None:
    """Utilities whose operands are files that are only read, or changed in place."""
    alone, valued, rest = split_options(utility, words)
    flags = "".join(alone)
    if utility == "chmod" and rest[0].isdigit():
        reading.new_modes.append(int(rest[0], 8))
    if utility in ("chmod", "chown", "chgrp"):
        rest = rest if "--reference" in valued else rest[1:]
        if "--reference" in valued:
            reading.add(valued["--reference"], "reference")
    if utility == "date" and "-r" in valued:
        rest = [valued["-r"]]
    elif utility == "date":
        rest = []
    if utility == "touch" and "-r" in valued:
        reading.add(valued["-r"], "reference")
        return read_files(reading, rest)
    for path in rest:
        if "*" in path:
            _glob(reading, path)
        elif utility == "touch":
            reading.add(path, "fresh")
        elif "R" in flags:
            reading.add(path, "folder")
        else:
            read_files(reading, [path])


def _glob(reading: Reading, path: str) -> None:
    """`dir/*.ext`: the folder, and the pattern where it says more than everything."""
    folder, _, pattern = path.rpartition("/")
    reading.add(folder or ".", "folder")
    if pattern != "*":
        reading.globs.append(pattern)


def _folders(reading: Reading, utility: str, words: list[str]) -> None:
    """ls, du, df and the like."""
    _, valued, rest = split_options(utility, words)
    reading.depth = max(reading.depth, int(valued.get("-d", valued.get("--max-depth", 0))))
    if "--exclude" in valued:
        reading.globs.append(valued["--exclude"])
    for path in rest:
        if "*" in path:
            _glob(reading, path)
        else:
            reading.add(path.rstrip("/"), "folder")


def _moved(reading: Reading, utility: str, words: list[str]) -> None:
    """cp, mv, ln: the last operand is a folder when it ends in a slash or several things go there."""
    alone, _, rest = split_options(utility, words)
    flags = "".join(alone)
    *sources, last = rest
    several = any("*" in source for source in sources) or len(sources) > 1
    for source in sources:
        if "*" in source:
            _glob(reading, source)
        elif ("r" in flags or "R" in flags or "a" in flags) or (utility == "ln" and source.startswith("/")):
            reading.add(source, "folder")
        else:
            read_files(reading, [source])
    if last.endswith("/") or several or (last.startswith("/") and utility == "cp"):
        reading.add(last.rstrip("/"), "kept" if "n" in flags else "target")
    else:
        reading.add(last, "absent")


def _mkdir(reading: Reading, utility: str, words: list[str]) -> None:
    for path in split_options(utility, words)[2]:
        reading.add(path, "absent")


def _git(reading: Reading, utility: str, words: list[str]) -> None:
    """Only what is looked for in files: branches, revisions and tracked files are repository.py's."""
    if words[0] == "grep":
        reading.words += literal_parts(words[-1])


def _script(reading: Reading, utility: str, words: list[str]) -> None:
    for path in words[:1]:
        reading.add(path, "script")


READERS: dict[str, Callable[[Reading, str, list[str]], None]] = {
    "tar": _tar, "awk": texts.awk, "sed": texts.sed, "find": _find, "mkdir": _mkdir, "git": _git, "bash": _script,
    **dict.fromkeys(("gzip", "gunzip", "zcat", "zgrep", "zip", "unzip"), _packed),
    **dict.fromkeys(("grep", "egrep"), texts.grep),
    **dict.fromkeys(("sort", "uniq", "cut", "head", "tail", "wc", "tr", "tac", "cat", "paste", "nl"), texts.lines),
    **dict.fromkeys(("diff", "comm", "cmp"), texts.compared),
    **dict.fromkeys(("stat", "sha256sum", "md5sum", "touch", "rm", "chmod", "chown", "chgrp", "date"), _files),
    **dict.fromkeys(("ls", "du", "df"), _folders),
    **dict.fromkeys(("cp", "mv", "ln"), _moved),
}  # fmt: skip
