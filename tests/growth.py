"""Regular expressions that meet a stranger's text: find every one in the code, and feed each what makes it slow.

`patterns()` reads the source, so that a pattern written tomorrow is found too. `attacks(pattern)` takes a pattern apart
and repeats each of its pieces behind a beginning that matches: what a backtracking matcher goes through again from
every start, or divides in every way between two repetitions, shows as time that grows faster than the text.
"""

import ast
import importlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

METHODS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
ANCHORED = {"match", "fullmatch"}
UNIT_LONGEST, MOST_PLACES = 3, 8  # pieces in a row that are repeated together; how far into a text the repeating begins
PROBES = " a0/.-'\"\n"
END = "\0\n!"


@dataclass(frozen=True)
class Use:
    """One pattern in the code: where, and whether it is tried at every place of a text or at its beginning alone."""

    where: str
    pattern: "re.Pattern[Any]"
    anchored: bool


def patterns(top: Path) -> tuple[list[Use], list[str]]:
    """Every pattern of the package `top`, and where a pattern is computed that cannot be read here."""
    trees = {_module(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(top.rglob("*.py"))}
    methods = _methods_by_name(trees)
    found, unread = [], []
    for module, tree in trees.items():
        names = {id(node.value): node.targets[0].id for node in ast.walk(tree)
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}  # fmt: skip
        for call in ast.walk(tree):
            if not _is_re_call(call):
                continue
            assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            where = f"{module}:{call.lineno}"
            pattern = _evaluated(call, module)
            if pattern is None:
                unread.append(where)
                continue
            used = {call.func.attr}
            if call.func.attr == "compile":
                used = methods.get((module, names.get(id(call), "")), set()) or {"search"}
            found.append(Use(where, pattern, used <= ANCHORED))
    return found, unread


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def _is_re_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in METHODS
    )


def _methods_by_name(trees: dict[str, ast.Module]) -> dict[tuple[str, str], set[str]]:
    """(module, name) of a pattern -> the methods called on it; `search` too where it is handed on as a value."""
    methods: dict[tuple[str, str], set[str]] = {}
    for module, tree in trees.items():
        home = {alias.asname or alias.name: node.module or "" for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) for alias in node.names}  # fmt: skip
        called = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in METHODS and isinstance(node.value, ast.Name):
                name = node.value.id
                methods.setdefault((home.get(name, module), name), set()).add(node.attr)
                called.add(id(node.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in called:
                methods.setdefault((home.get(node.id, module), node.id), set()).add("search")
    return methods


def _evaluated(call: ast.Call, module: str) -> "re.Pattern[Any] | None":
    """The pattern of one call, its names looked up in its module, a name of a function read as a word."""
    source: ast.expr = call.args[0]
    flags = [word.value for word in call.keywords if word.arg == "flags"]
    position = {"compile": 1, "match": 2, "fullmatch": 2, "search": 2, "findall": 2, "finditer": 2}
    at = position.get(call.func.attr, 9)  # type: ignore[attr-defined]
    flags += call.args[at : at + 1]
    space = vars(importlib.import_module(module))
    if isinstance(source, ast.JoinedStr):
        text = "".join(_part(part, space) for part in source.values)
    else:
        try:
            text = eval(compile(ast.Expression(source), module, "eval"), space)
        except NameError:
            return None
    number = eval(compile(ast.Expression(flags[0]), module, "eval"), space) if flags else 0
    return text if isinstance(text, re.Pattern) else re.compile(text, number)


def _part(part: ast.expr, space: dict[str, Any]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    try:
        return str(eval(compile(ast.Expression(part.value), "part", "eval"), space))
    except NameError:
        return "xy"


def attacks(pattern: "re.Pattern[Any]") -> Iterator[tuple[str, str]]:
    """(beginning, what is repeated behind it): texts on which this pattern may go wrong."""
    seen = set()
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    for pieces in _ways(_parser.parse(text, pattern.flags & re.VERBOSE)):
        units = [*dict.fromkeys(letter for piece in pieces for letter in (piece[:1], piece[-1:]))][:8]
        units += ["".join(pieces[start:end]) for start in range(len(pieces))
                  for end in range(start + 1, min(len(pieces), start + UNIT_LONGEST) + 1)]  # fmt: skip
        units += ["".join(pieces), "".join(pieces) + " ", *PROBES]
        for place in range(min(len(pieces), MOST_PLACES) + 1):
            begin = "".join(pieces[:place])
            for unit in dict.fromkeys(units):
                if unit and (begin, unit) not in seen:
                    seen.add((begin, unit))
                    yield begin, unit


def _ways(parsed: Any, limit: int = 10) -> list[list[str]]:
    """Texts that match, as pieces in a row, each alternative in turn."""
    ways: list[list[str]] = [[]]
    word = ""  # letters in a row are one piece
    for code, argument in [*parsed, (None, None)]:
        if code is op.LITERAL:
            word += chr(argument)
            continue
        if word:
            ways, word = [[*way, word] for way in ways], ""
        options = _options(code, argument)
        ways = [ways[0] + option for option in options] + [way + options[0] for way in ways[1:]]
        ways = ways[:limit]
    return ways


def _options(code: Any, argument: Any) -> list[list[str]]:
    if code is op.NOT_LITERAL:
        return [["b" if chr(argument) != "b" else "c"]]
    if code is op.ANY:
        return [["x"]]
    if code is op.IN:
        return [[letter] for letter in _members(argument)]
    if code is op.BRANCH:
        return [way for branch in argument[1] for way in _ways(branch, 4)]
    if code is op.SUBPATTERN:
        return _ways(argument[3], 12)
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        ways = _ways(argument[2], 6)
        return [way * max(1, min(argument[0], 8)) for way in ways] + ([[]] if argument[0] == 0 else [])
    if code is op.ATOMIC_GROUP:
        return _ways(argument, 12)
    if code is op.ASSERT:
        return _ways(argument[1], 2) if argument[0] > 0 else [[]]
    return [[]]


def _members(members: Any) -> list[str]:
    """A few characters of a class."""
    classes = {op.CATEGORY_DIGIT: "0", op.CATEGORY_SPACE: " ", op.CATEGORY_WORD: "a",
               op.CATEGORY_NOT_SPACE: "a", op.CATEGORY_NOT_WORD: "/", op.CATEGORY_NOT_DIGIT: "a"}  # fmt: skip
    if members and members[0][0] is op.NEGATE:
        outside = {chr(value) for code, value in members[1:] if code is op.LITERAL}
        blank = any(code is op.CATEGORY and value is op.CATEGORY_SPACE for code, value in members[1:])
        return [letter for letter in "x /a0" if letter not in outside and not (blank and letter == " ")][:3] or ["%"]
    found = []
    for code, value in members:
        if code is op.LITERAL:
            found.append(chr(value))
        elif code is op.RANGE:
            found.append(chr(value[0]))
        elif code is op.CATEGORY:
            found.append(classes[value])
    return found[:4]


SHORT, LONG = 2_000, 16_000  # characters
MOST_ATTACKS = 50
SUSPICIOUS = 0.4e-6  # seconds a character of a SHORT text: a linear pattern takes a tenth
CONDEMNED = 6 * SUSPICIOUS  # no linear pattern takes sixtyfold
LINEAR, QUADRATIC = LONG / SHORT, (LONG / SHORT) ** 2


def some(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """At most MOST_ATTACKS of a pattern's attacks, evenly; all of them, for minutes, with EVERY_ATTACK=1."""
    return found if os.environ.get("EVERY_ATTACK") else found[:: -(-len(found) // MOST_ATTACKS)]


def growth(use: Use, every: bool = False) -> tuple[float, str]:
    """How much longer the worst attack takes on LONG than on SHORT characters, and that attack; (0, "") where none is
    even suspicious. Linear is 8, quadratic 64. Processor time, the least of three: a busy machine condemns no pattern.
    Whether one explodes is asked of every attack, which takes microseconds, the rest of some.
    """
    worst = 0.0, ""
    found = list(attacks(use.pattern))
    if exploding := next((attack for attack in found if explodes(use, *attack)), None):
        return QUADRATIC, repr(exploding)
    for begin, unit in found if every else some(found):
        short, twice, text = ((begin + unit * (size // len(unit)) + END) for size in (SHORT, 2 * SHORT, LONG))
        if _seconds(use, short) < SUSPICIOUS * SHORT:
            continue
        at_short = min(_seconds(use, short) for _ in range(3))
        if at_short < SUSPICIOUS * SHORT:
            continue
        # Linear is 2 and quadratic 4 for twice the text; do not wait for LONG.
        if at_short > CONDEMNED * SHORT or min(_seconds(use, twice) for _ in range(2)) > 6 * at_short:
            return QUADRATIC, repr((begin, unit))
        ratio = _seconds(use, text) / at_short
        if ratio > 3 * LINEAR:  # once more: somebody may have been in the way
            ratio = min(ratio, _seconds(use, text) / at_short)
        if ratio > worst[0]:
            worst = ratio, repr((begin, unit))
            if ratio > 3 * LINEAR:
                return worst
    return worst


def slowest(use: Use, length: int) -> tuple[float, str]:
    """Seconds of the worst attack on `length` characters, and that attack: of those that are worst on shorter texts."""
    every = list(attacks(use.pattern))
    if exploding := next((attack for attack in every if explodes(use, *attack)), None):
        return float("inf"), repr(exploding)
    found = [(0.0, attack) for attack in some(every)]
    for shorter, kept in ((64, 8), (8, 1), (1, 1)):
        timed = [(_seconds(use, begin + unit * (length // shorter // len(unit)) + END), (begin, unit))
                 for _, (begin, unit) in found]  # fmt: skip
        found = sorted(timed, reverse=True)[:kept]
    return found[0][0], repr(found[0][1])


def explodes(use: Use, begin: str, unit: str) -> bool:
    """Whether a few dozen characters take milliseconds, which is exponential: nobody waits for more of them."""
    for size in (36, 54, 72):
        text = begin + unit * -(-size // len(unit)) + END
        if _seconds(use, text) > 2e-3 and _seconds(use, text) > 2e-3:  # twice: somebody may have been in the way
            return True
    return False


def _seconds(use: Use, text: str) -> float:
    subject: Any = text if isinstance(use.pattern.pattern, str) else text.encode("latin-1")
    begin = time.thread_time()
    if use.anchored:
        use.pattern.match(subject)
        use.pattern.fullmatch(subject)
    else:
        for _ in use.pattern.finditer(subject):
            pass
    return time.thread_time() - begin
