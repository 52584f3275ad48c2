"""Read a gold command for what its file tree must hold: which paths it names, of which kind, and what it looks for.

Only the gold is read, never a candidate, so one tree serves every answer. The reading is a table, READERS: a utility,
and how its words are taken. `make check-golds` says where the table falls short.
"""

import re
from collections.abc import Callable

from eval.tasks.nl2bash_fixture.reading import Reading, literal_parts, simple_commands, split_options

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


def content_kind(path: str, fallback: str = "text") -> str:
    """The kind of a file that is only read, by its name."""
    name = path.rsplit("/", 1)[-1].lower()
    for ends, kind in ((".tar.gz", "tgz"), (".tgz", "tgz"), (".tar", "tar"), (".zip", "zip"), (".gz", "gz"),
                       (".csv", "csv"), (".log", "log"), (".sh", "script"), (".conf", "config"), (".ini", "config"),
                       (".cfg", "config"), (".cnf", "config"), (".env", "config")):  # fmt: skip
        if name.endswith(ends):
            return kind
    if path in ("/etc/passwd", "/etc/group"):
        return "accounts"
    return "log" if path.startswith("/var/log/") else fallback


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


def _awk(reading: Reading, utility: str, words: list[str]) -> None:
    _, valued, rest = split_options(utility, words)
    script = rest[0]
    for column in re.findall(r"\$([1-9]\d*)", script):
        reading.column(int(column))
    reading.numeric |= {int(column) for column in re.findall(r"\+= *\$(\d+)", script)}
    for column, limit in re.findall(r"\$(\d+) *[<>=!]+ *(\d+)", script):
        reading.numeric.add(int(column))
        reading.limits.append(int(limit))
    for column, word in re.findall(r"\$(\d+) *[=!~]+ *[\"/]([^\"/]+)", script):
        reading.word_columns.add(int(column))
        reading.words.append(word)
    reading.no_header |= "/ NR" in script
    separator = valued.get("-F", "")
    plain = "table" if re.search(r"\$[1-9]|\$NF", script) else "text"
    for path in rest[1:]:
        reading.add(path, {",": "csv", ":": "colon", "\\t": "tsv"}.get(separator, plain))


def _sed(reading: Reading, utility: str, words: list[str]) -> None:
    rest = split_options(utility, words)[2]
    scripts = [words[i + 1] for i, word in enumerate(words) if word == "-e"] or [rest.pop(0)]
    for script in scripts:
        for number in re.findall(r"(?<![\w/])(\d+)(?=[,pdqa!$]|$)", script):
            reading.count(int(number))
        if match := re.match(r"s(.)(.*?)(?<!\\)\1(.*?)(?<!\\)\1", script):
            reading.words += literal_parts(match.group(2)) + literal_parts(match.group(3))
        else:
            for pattern in re.findall(r"/((?:[^/\\]|\\.)+)/", script):
                reading.words += literal_parts(pattern)
    _read_files(reading, [path for path in rest if path not in scripts])


def _grep(reading: Reading, utility: str, words: list[str]) -> None:
    alone, valued, rest = split_options(utility, words)
    flags = "".join(option for option in alone if not option.startswith("--"))
    for option in ("-A", "-B", "-C"):
        reading.context = max(reading.context, int(valued.get(option, 0)))
    if "-m" in valued:
        reading.count(int(valued["-m"]))
    pattern = valued.get("-e") or rest.pop(0)
    reading.words += literal_parts(pattern, utility == "egrep" or "E" in flags)
    if "--include" in valued:
        reading.globs.append(valued["--include"])
    if "--exclude-dir" in valued:
        reading.excluded.append(valued["--exclude-dir"])
    for path in rest:
        if "r" in flags or "R" in flags:
            reading.add(path, "folder")
        else:
            _read_files(reading, [path])


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


def _lines(reading: Reading, utility: str, words: list[str]) -> None:
    """sort, uniq, cut, head, tail, wc, tr and others that read lines."""
    alone, valued, rest = split_options(utility, words)
    flags = "".join(option for option in alone if not option.startswith("--"))
    kind = "text"
    if utility == "tr":
        reading.carriage_returns |= "\\r" in rest[0]
        reads_file = any(call[0] == "tr" and "<" in call for call in reading.calls)
        rest = rest[-1:] if reads_file else []
    elif utility in ("head", "tail"):
        number = valued.get("-n", "").lstrip("+-")
        reading.count(int(number) if number.isdigit() else 10)
        reading.size = max(reading.size, int(valued.get("-c", "0").lstrip("+-")))
    elif utility == "cut":
        for number in re.findall(r"\d+", valued.get("-f", "")):
            reading.column(int(number))
        for number in re.findall(r"\d+", valued.get("-c", "")):
            reading.width = max(reading.width, int(number))
        kind = "text" if "-c" in valued else {",": "csv", ":": "colon", " ": "table"}.get(valued.get("-d", ""), "tsv")
    elif utility == "sort":
        key = re.match(r"\d+", valued.get("-k", ""))
        if key:
            reading.column(int(key.group()))
            if "n" in flags + valued["-k"]:
                reading.numeric.add(int(key.group()))
        plain = "table" if key else "numbers" if "n" in flags else "text"
        kind = {",": "csv", ":": "colon"}.get(valued.get("-t", ""), plain)
    for path in rest:
        plain = content_kind(path) if kind == "text" else kind
        reading.add(path, "text" if plain == "csv" and kind == "text" else plain)


def _compared(reading: Reading, utility: str, words: list[str]) -> None:
    alone, _, rest = split_options(utility, words)
    first, second = rest[:2]
    flags = "".join(alone)
    if utility == "comm":
        reading.add(first, "ordered")
        reading.add(second, "ordered", first)
    elif "r" in flags:
        reading.add(first, "folder")
        reading.add(second, "folder", first)
    else:
        reading.add(first, "text")
        reading.add(second, "edited", first)


def _read_files(reading: Reading, paths: list[str]) -> None:
    for path in paths:
        reading.add(path, content_kind(path))


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
        return _read_files(reading, rest)
    for path in rest:
        if "*" in path:
            _glob(reading, path)
        elif utility == "touch":
            reading.add(path, "fresh")
        elif "R" in flags:
            reading.add(path, "folder")
        else:
            _read_files(reading, [path])


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
            _read_files(reading, [source])
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
    "tar": _tar, "awk": _awk, "sed": _sed, "find": _find, "mkdir": _mkdir, "git": _git, "bash": _script,
    **dict.fromkeys(("gzip", "gunzip", "zcat", "zgrep", "zip", "unzip"), _packed),
    **dict.fromkeys(("grep", "egrep"), _grep),
    **dict.fromkeys(("sort", "uniq", "cut", "head", "tail", "wc", "tr", "tac", "cat", "paste", "nl"), _lines),
    **dict.fromkeys(("diff", "comm", "cmp"), _compared),
    **dict.fromkeys(("stat", "sha256sum", "md5sum", "touch", "rm", "chmod", "chown", "chgrp", "date"), _files),
    **dict.fromkeys(("ls", "du", "df"), _folders),
    **dict.fromkeys(("cp", "mv", "ln"), _moved),
}  # fmt: skip
