"""What text tools of a gold read: awk, sed, grep, sort and its like, diff. Readers for the table in operands.py."""

import re

from eval.tasks.nl2bash_fixture.reading import Reading, content_kind, literal_parts, read_files, split_options


def awk(reading: Reading, utility: str, words: list[str]) -> None:
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


def sed(reading: Reading, utility: str, words: list[str]) -> None:
    rest = split_options(utility, words)[2]
    scripts = [words[i + 1] for i, word in enumerate(words) if word == "-e"] or [rest.pop(0)]
    for script in scripts:
        for number in re.findall(r"(?<![\w/])(\d+)(?=[,pdqa!$]|$)", script):
            reading.count(int(number))
            reading.named_lines.append(int(number))
        if match := re.match(r"s(.)(.*?)(?<!\\)\1(.*?)(?<!\\)\1", script):
            reading.words += literal_parts(match.group(2)) + literal_parts(match.group(3))
        else:
            for pattern in re.findall(r"/((?:[^/\\]|\\.)+)/", script):
                reading.words += literal_parts(pattern)
    read_files(reading, [path for path in rest if path not in scripts])


def grep(reading: Reading, utility: str, words: list[str]) -> None:
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
            read_files(reading, [path])


def lines(reading: Reading, utility: str, words: list[str]) -> None:
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


def compared(reading: Reading, utility: str, words: list[str]) -> None:
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
