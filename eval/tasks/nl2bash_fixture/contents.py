"""What is in a file of each kind: text, log, table, CSV, numbers, archive ...

A maker gives bytes that tell a right command from a slightly wrong one: the words a gold looks for appear in the
middle, at both ends, twice in a line, alone, in other cases and inside longer words; lines repeat, next to each other
and apart; numbers order differently as text; every column differs from every other. All of it follows from `rng`.
"""

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable

from eval.sandbox.trees import NOW
from eval.tasks.nl2bash_fixture.reading import Reading

_VOCABULARY = """
    amber anchor apple basket bridge candle canvas castle cedar circle cloud copper corner cotton desert dragon echo
    ember fabric falcon feather forest garden ginger glacier hammer harvest island jacket kettle ladder lantern lemon
    marble meadow mirror monkey mountain needle ocean olive orange paper pebble pepper planet pocket rabbit ribbon
    river rocket saddle salmon shadow silver spider table thunder tiger tunnel valley velvet violet walnut whisper
    window winter yarn zebra
"""
_NAMES = "Ada Alan Barbara Claude Donald Edsger Frances Grace Hedy Ida John Ken Linus Margaret Niklaus Radia"
_CITIES = "Bergen Cork Delft Essen Gent Graz Jena Kyoto Lima Lyon Oslo Porto Riga Turin"
VOCABULARY, NAMES, CITIES = _VOCABULARY.split(), _NAMES.split(), _CITIES.split()
LEVELS = ("INFO", "INFO", "DEBUG", "NOTICE", "WARN")
Lines = list[str]


def make_content(kind: str, reading: Reading, rng: random.Random) -> bytes:
    """The bytes of a file of one kind. KeyError for an unknown kind."""
    return MAKERS[kind](reading, rng)


def phrase(rng: random.Random, low: int = 3, high: int = 8) -> str:
    """A few words of the vocabulary, some capital, some with a number."""
    words = [rng.choice(VOCABULARY) for _ in range(rng.randint(low, high))]
    if rng.random() < 0.4:
        words[0] = words[0].capitalize()
    if rng.random() < 0.35:
        words.insert(rng.randrange(len(words) + 1), str(rng.randrange(1, 1300)))
    return " ".join(words)


def lines_with(word: str, others: list[str], rng: random.Random) -> Lines:
    """Lines that hold `word` in every way that a search can tell apart, and some that nearly do."""
    cases = dict.fromkeys((word.upper(), word.lower(), word.capitalize(), word.swapcase()))
    changed = [form for form in cases if form != word]
    some = [phrase(rng, 1, 3) for _ in range(16)]
    hits = [
        f"{some[0]} {word} {some[1]}",
        f"{word} {some[2]} {word} {some[3]}",
        word,
        f"{some[4]} {word}",
        f"{word}: {some[5]}",
        f"{some[6]}({word}) {some[7]} {word};",
        word,
        f"  {word} {some[8]}",
        f"{some[9]}-{word}-{some[10]}",
    ]
    near = [f"{some[11]} pre{word}", f"{changed[0] if changed else word} {some[14]}"]
    near += [f"{word}ing {some[12]}", f"{word}{rng.randrange(10, 99)}, {some[13]}", word[:-1] or "none"]
    near += [f"{form} {some[14]}" for form in changed[1:]] + [f"{some[15]} {form}" for form in changed[:2]]
    near += changed[:1]
    pairs = []
    for other in others:
        pairs += [f"{word} {some[0]} {other}", f"{other}, {some[1]} {word}", f"{word} {some[2]} {other}ing"]
        forms = sorted({other.upper(), other.capitalize()} - {other})
        pairs += [f"{word} {some[3]} {form}" for form in forms]
    if word.endswith("4711"):  # stands for any digits: so do these
        hits += [f"{word[:-4]}{number} {some[2]}" for number in (7, 23, 23, 108, 99001)]
        near += [f"{word[:-4]}x {some[3]}", f"{word[:-4]} 5", f"my{word[:-4]}77", f"{word[:-4]}55th"]
    return hits + near + pairs


def text_lines(reading: Reading, rng: random.Random, filler: Callable[[random.Random, int], str]) -> Lines:
    """The lines of a text, long enough for every count that the gold names."""
    special: Lines = []
    for word in reading.words:
        special += lines_with(word, [other for other in reading.words if other != word], rng)
    length = max(40, reading.rows * 5 // 4 + 12, 10 * reading.context + 60, len(special) * 2)
    lines = [filler(rng, number) for number in range(length - len(special))]
    lines[0] = f"{rng.choice(VOCABULARY)} {lines[0]}"  # a letter first: splitting into words gives no empty one
    for place in range(0, len(lines) - 6, 9):  # repeated lines, next to each other and apart, in either case
        lines[place + 1] = lines[place]
        lines[place + 4] = lines[rng.randrange(0, place + 1)]
        lines[place + 5] = lines[place].swapcase()
    for place, line in ((2, ""), (7, ""), (8, ""), (13, "   "), (14, "\t"), (len(lines) - 3, "")):
        lines[place] = line
    lines[3], lines[10], lines[17] = "# " + lines[3], "#" + lines[10], "   # " + lines[17]
    lines[6], lines[12], lines[18] = lines[6] + "  ", lines[12] + " \t", "\t" + lines[18].replace(" ", "   ") + " "
    lines[11], lines[15] = "10 " + phrase(rng), "9 " + phrase(rng)
    if reading.context:  # few places, far apart, so that the lines around them stay apart as well
        step = 2 * reading.context + 4
        for word in reading.words:
            forms = lines_with(word, [], rng)
            for place, line in enumerate([forms[0], forms[9], forms[1], forms[10], forms[3]]):
                lines.insert(min(1 + place * step, len(lines)), line)
            lines.append(forms[4])
        return lines
    for line in special:
        lines.insert(rng.randrange(1, len(lines) + 1), line)
    if special and reading.rows:  # more hits than are counted off, and one on each side of the line
        for extra in range(max(0, reading.rows - len(lines) // 3)):
            line = f"{rng.choice(reading.words)} again, {extra} {phrase(rng, 1, 2)}"
            lines.insert(rng.randrange(1, len(lines) + 1), line)
        for place in (reading.rows - 1, reading.rows, -reading.rows, -reading.rows - 1):
            lines[place] = f"{rng.choice(reading.words)} {phrase(rng, 1, 2)}"
    return lines


def show_named(lines: Lines, numbers: list[int]) -> None:
    """Exchange each line that the gold names by its number and that is blank for a later one: a blank line that is
    printed alone shows nothing, so that no answer could be told from it."""
    for number in numbers:
        if number <= len(lines) and not lines[number - 1].strip():
            other = next(n for n in range(number + 2, len(lines)) if lines[n].strip() and lines.count(lines[n]) == 1)
            lines[number - 1], lines[other] = lines[other], lines[number - 1]


def finish(lines: Lines, reading: Reading, rng: random.Random) -> bytes:
    """Lines as a file: wide and large enough for what is cut off, with something to see where a line is named."""
    show_named(lines, reading.named_lines)
    if reading.width:
        for place in range(0, len(lines), 3):
            while len(lines[place]) < reading.width + 25:
                lines[place] += " " + phrase(rng)
    while reading.size and sum(map(len, lines)) < reading.size * 1.2 + 50:
        lines.append(phrase(rng, 6, 14))
    end = "\r\n" if reading.carriage_returns else "\n"
    return (end.join(lines) + end).encode()


def text(reading: Reading, rng: random.Random) -> bytes:
    """Prose, one phrase a line."""
    return finish(text_lines(reading, rng, lambda rng, number: phrase(rng)), reading, rng)


def log(reading: Reading, rng: random.Random) -> bytes:
    """Log lines with time, level and source; the lines that are looked for stand as they are."""

    def line(rng: random.Random, number: int) -> str:
        day, hour = 1 + number // 24 % 14, number % 24
        when = f"2026-01-{day:02d} {hour:02d}:{number * 7 % 60:02d}:{number * 13 % 60:02d}"
        return f"{when} {rng.choice(LEVELS)} worker-{rng.randrange(6)}: {phrase(rng)}"

    return finish(text_lines(reading, rng, line), reading, rng)


def config(reading: Reading, rng: random.Random) -> bytes:
    """Settings, `key = value`."""
    return finish(
        text_lines(reading, rng, lambda rng, number: f"{rng.choice(VOCABULARY)}_{number % 17} = {phrase(rng, 1, 2)}"),
        reading, rng,
    )  # fmt: skip


def ordered(reading: Reading, rng: random.Random) -> bytes:
    """Sorted lines; two files of one row draw from the same few, so that they share some and not others."""
    pool = random.Random(reading.gold)
    stock = [phrase(pool, 1, 3) for _ in range(30)] + [str(pool.randrange(200)) for _ in range(6)]
    return finish(sorted(line for line in stock for _ in range(rng.choice((0, 0, 1, 1, 1, 2)))), reading, rng)


def edited(content: bytes, rng: random.Random) -> bytes:
    """A text with lines changed, added, removed, and some that differ in blanks or case only."""
    lines = content.decode().splitlines()
    places = rng.sample(range(len(lines)), 9)
    for place in places[:2]:
        lines[place] = phrase(rng)
    for place in places[2:4]:
        lines[place] = lines[place].replace(" ", "   ") + " "
    for place in places[4:5]:
        lines[place] = lines[place].swapcase()
    lines[places[5]] += "\n" + phrase(rng)
    for place in sorted(places[6:8], reverse=True):
        del lines[place]
    return ("\n".join(lines) + "\n").encode()


def numbers(reading: Reading, rng: random.Random) -> bytes:
    """One number a line: of different lengths, some negative, some twice, some with a fraction."""
    found = [str(rng.randrange(10 ** rng.randint(1, 5))) for _ in range(max(24, reading.rows + 9))]
    found += [rng.choice(found) for _ in range(6)] + [f"-{rng.randrange(1, 300)}" for _ in range(3)]
    found += [f"{rng.randrange(50)}.{rng.randrange(1, 100)}" for _ in range(4)] + ["0", "007"]
    rng.shuffle(found)
    return finish(found, reading, rng)


def cells(reading: Reading, rng: random.Random, spaced: bool) -> list[Lines]:
    """Rows of a table; every column has values of its own, with some of them several times."""
    count = max(10, reading.columns + 2)
    rows = []
    low = min(reading.limits, default=0)
    for _ in range(max(28, reading.rows * 5 // 4 + 10)):
        row = []
        for column in range(1, count + 1):
            if column in reading.word_columns:
                word = rng.choice(reading.words)
                near = (word.upper(), f"{word}s", f"not{'_' if spaced else ' '}{word}", rng.choice(VOCABULARY))
                row.append(rng.choice((word, word, word, *near)))
            elif column in reading.numeric and low:
                around = (low - 1, low, low + 1, low * 10, low // 2, low * 3 + 1, rng.randrange(low))
                row.append(str(rng.choice(around)))
            elif column in (1, 4) and column not in reading.numeric:
                row.append(rng.choice(NAMES if column == 1 else CITIES))
            else:
                row.append(str(rng.randrange(rng.choice((9, 40, 120, 1500))) + column))
        rows.append(row)
    rows += [list(rng.choice(rows)) for _ in range(4)]
    rng.shuffle(rows)
    return rows


def table(reading: Reading, rng: random.Random) -> bytes:
    """Columns separated by one or more blanks; some rows are indented, some have one column more."""
    lines = []
    for place, row in enumerate(cells(reading, rng, True)):
        if place % 7 == 3:
            row.append(str(rng.randrange(5000)))
        gap = "".join((cell + " " * rng.choice((1, 1, 2, 4))) for cell in row).rstrip()
        lines.append(("  " if place % 5 == 2 else "") + gap)
    return finish(lines, reading, rng)


def separated(separator: str, header: bool) -> Callable[[Reading, random.Random], bytes]:
    """A maker of tables with one separator."""

    def make(reading: Reading, rng: random.Random) -> bytes:
        rows = cells(reading, rng, False)
        if header and not reading.no_header:
            rows.insert(0, [f"{VOCABULARY[(column * 7) % len(VOCABULARY)]}" for column in range(len(rows[0]))])
        return finish([separator.join(row) for row in rows], reading, rng)

    return make


def script(reading: Reading, rng: random.Random) -> bytes:
    """A shell script that prints a few lines and ends."""
    said = [f"echo '{phrase(rng)}'" for _ in range(4)]
    return ("#!/bin/sh\n# " + phrase(rng) + "\n" + "\n".join(said) + "\nprintf '%s\\n' \"$#\"\n").encode()


def compressed(reading: Reading, rng: random.Random) -> bytes:
    """A gzip file of log lines."""
    return gzip.compress(log(reading, rng), 6, mtime=NOW - 86400)


def members(reading: Reading, rng: random.Random) -> list[tuple[str, bytes]]:
    """Names and contents in an archive: nested, more than are counted off, some with the names the gold wants."""
    wanted = [glob.replace("*", "one") for glob in reading.globs]
    folders = ("", "docs/", "docs/old/", "src/", "src/web/")
    names = [*wanted, *(f"docs/old/{name}" for name in wanted)]
    for word in reading.words:
        upper = word.upper()
        names += [f"docs/{word}", f"src/{word}.txt", f"{word}/notes.md", f"src/my-{word}-2.log", f"docs/{upper}.txt"]
        names += [f"src/web/main{word}", f"src/{word.strip('.')}", f"{word}.bak", f"src/x{word}c", f"SRC/MAIN{upper}"]
    number = 0
    while len(names) < max(14, reading.rows + 9):
        number += 1
        ending = rng.choice(("txt", "html", "js", "csv"))
        names.append(f"{folders[number % 5]}{rng.choice(VOCABULARY)}-{number}.{ending}")
    return [(name, (phrase(rng) + "\n").encode() * rng.randint(1, 40)) for name in dict.fromkeys(names)]


def tar(mode: str) -> Callable[[Reading, random.Random], bytes]:
    """A maker of tar archives; `mode` as in tarfile."""

    def make(reading: Reading, rng: random.Random) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name, data in members(reading, rng):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), rng.choice((0o644, 0o600, 0o755))
                entry.mtime = NOW - rng.randrange(9**7)
                archive.addfile(entry, io.BytesIO(data))
        return gzip.compress(stream.getvalue(), 6, mtime=NOW - 86400) if mode == "gz" else stream.getvalue()

    return make


def zipped(reading: Reading, rng: random.Random) -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members(reading, rng):
            entry = zipfile.ZipInfo(name, (2025, rng.randint(1, 12), rng.randint(1, 28), 10, 30, 0))
            entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return stream.getvalue()


MAKERS: dict[str, Callable[[Reading, random.Random], bytes]] = {
    "text": text, "reference": text, "log": log, "config": config, "ordered": ordered, "numbers": numbers,
    "table": table, "csv": separated(",", True), "tsv": separated("\t", True), "colon": separated(":", False),
    "script": script, "gz": compressed, "tar": tar(""), "tgz": tar("gz"), "zip": zipped,
}  # fmt: skip
