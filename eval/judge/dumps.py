"""Dumps of bytes: without their addresses, and read back into the bytes they show.

`od -c`, `hexdump -C` and `xxd` show characters, each in its own layout. Two that show the same bytes as characters are
the same answer; `od -x`, which shows none, is not read.
"""

import re

from eval.judge.forms import Record

ADDRESS = re.compile(r"[0-9a-f]{6,16}")
CANONICAL = re.compile(r"([0-9a-f]{8})  ((?:[0-9a-f]{2} {1,2}){1,16}) *\|.*\|")
XXD = re.compile(r"([0-9a-f]{8}): ((?:[0-9a-f]{2,4} ){1,8}) *.{1,16}")
OD = re.compile(r"([0-7]{7})((?: {3}.| {2}\\.| [0-7]{3}){1,16})")
ESCAPES = {"\\0": 0, "\\a": 7, "\\b": 8, "\\t": 9, "\\n": 10, "\\v": 11, "\\f": 12, "\\r": 13}


def without_addresses(rows: list[Record]) -> list[Record] | None:
    """A dump without its addresses, which grow, the last alone in its line; None for any other text. A `*` stands
    for lines like the one before."""
    found = [row for row in rows if row != ("*",)]
    if len(found) < 2 or not all(row and ADDRESS.fullmatch(row[0]) for row in found) or len(rows[-1]) != 1:
        return None
    values = [int(row[0], 16) for row in found]
    if values[0] != 0 or values != sorted(set(values)):
        return None
    return [row if row == ("*",) else row[1:] for row in rows[:-1]]


def dumped(text: str) -> bytes | None:
    """The bytes that a dump shows as characters; None for any other text, and where lines are left out (`*`)."""
    data = b""
    for line in text.splitlines():
        if ADDRESS.fullmatch(line):
            continue
        part = dumped_line(line, len(data))
        if part is None:
            return None
        data += part
    return data or None


def dumped_line(line: str, before: int) -> bytes | None:
    """The bytes of one line; None where its address does not follow on `before` bytes."""
    if match := CANONICAL.fullmatch(line) or XXD.fullmatch(line):
        return bytes.fromhex(match[2]) if int(match[1], 16) == before else None
    match = OD.fullmatch(line)
    if match is None or int(match[1], 8) != before:
        return None
    cells = [match[2][start : start + 4][1:] for start in range(0, len(match[2]), 4)]
    return bytes(
        int(cell, 8) if cell.isdigit() and len(cell) == 3 else ESCAPES.get(cell.strip(), ord(cell[-1]) & 255)
        for cell in cells
    )
