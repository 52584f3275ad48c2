"""Inside `${...}`: the variable that a name refers to, and what the operators behind it make of its value."""

import re

from eval.risk.paths import UNKNOWN
from eval.risk.quoting import trimmed
from eval.risk.word import Shell, Word

SLICE = re.compile(r":\s*(-?\d+)(?:\s*:\s*(-?\d+))?$")


def referred(shell: Shell, name: str, word: Word) -> str:
    """The variable that a name of `declare -n` stands for; a subscript in what it names is evaluated."""
    target = shell.references.get(name)
    if target is None:
        return name
    name, bracket, rest = target.partition("[")
    if bracket:
        shell.subscript(rest.rstrip("]"), word)
    return name


def modified(shell: Shell, name: str, value: str, rest: str, inner: str, word: Word) -> tuple[str, int]:
    """A variable's value after `:-`, `%`, `/` and the like (`rest`), and its taint. `inner`: the expanded default."""
    operator, taint = rest.lstrip(":")[:1], word.taint
    known = UNKNOWN not in value
    if not rest or operator == "?":
        return value, taint
    if operator in "-=" and operator:
        default = inner or rest.lstrip(":")[1:]
        if name in shell.variables and known and value:
            return value, taint
        if operator == "=":
            shell.assign(name, word._replace(text=default))
        return default, taint
    if operator == "+":
        return inner or rest.lstrip(":")[1:], taint
    if not known:
        return UNKNOWN, taint
    if slice_of := SLICE.match(rest):
        first = int(slice_of.group(1))
        size = slice_of.group(2)
        return value[first : None if size is None else (first + int(size) if int(size) >= 0 else int(size))], taint
    if rest in (",,", "^^"):
        return (value.lower() if rest == ",," else value.upper()), taint
    if operator in "%#" and operator:
        return trimmed(value, rest), taint
    if rest[0] == "/":
        old, _slash, new = rest.lstrip("/").partition("/")
        if not re.search(r"[*?\[$`]", old + new):
            return value.replace(old, new, -1 if rest[1:2] == "/" else 1), taint
    return UNKNOWN, taint
