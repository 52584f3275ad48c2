"""The effect table (effects.yaml), and how a command's arguments are read by its row.

`read_arguments` sorts words into what they mean to the utility: operands by role, values of options by role,
marks such as `recursive`, and options that are findings by themselves. What the roles then mean is in judge.py.
Options are read as getopt does: clusters (`-rf`), values attached or apart, `--`, and GNU's unambiguous
abbreviations (`--recurs`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from eval.risk.words import Word

EFFECTS = {"none", "reads", "writes", "deletes", "network", "privileges", "executes", "persists", "system"}
ENDS_CLUSTER = {"inplace", "attached"}  # what follows in the word is their value
FLAG = re.compile(r"(-[^=:!\s]+)([=:!])(\S+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One utility: what it does, the roles of its operands and options, and findings of its use."""

    name: str
    does: frozenset[str]
    lead: tuple[str, ...]
    many: str
    tail: tuple[str, ...]
    flags: dict[str, tuple[str, str]]
    rule: str = ""
    sub: dict[str, str] = field(default_factory=dict)
    sub_else: str = ""
    out: str = ""
    single: bool = False
    stdin: str = ""


@dataclass(slots=True)
class Use:
    """One use of a utility. `found` are (role, word) pairs in order; `rest` is what follows a `command` role."""

    row: Row
    name: Word
    marks: set[str] = field(default_factory=set)
    found: list[tuple[str, Word]] = field(default_factory=list)
    operands: list[Word] = field(default_factory=list)
    rules: list[tuple[str, Word]] = field(default_factory=list)
    rest: list[Word] | None = None
    words: Sequence[Word] = ()


@cache
def table() -> dict[str, Row]:
    """Every row by utility name."""
    rows: dict[str, Row] = {}
    for entry in yaml.load((Path(__file__).parent / "effects.yaml").read_text(), Loader=_loader()):
        for name in entry["cmd"].split():
            if name in rows:
                raise ValueError(f"effects.yaml lists {name} twice")
            rows[name] = _row(name, entry)
    return rows


def _loader() -> type:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _row(name: str, entry: dict) -> Row:
    does = frozenset(entry["does"].split())
    if not does <= EFFECTS:
        raise ValueError(f"effects.yaml: {name} does {sorted(does - EFFECTS)}, which is no effect")
    roles = entry.get("args", "ignore*").split()
    many = next((index for index, role in enumerate(roles) if role.endswith("*")), len(roles))
    return Row(
        name=name,
        does=does,
        lead=tuple(roles[:many]),
        many=roles[many][:-1] if many < len(roles) else "",
        tail=tuple(roles[many + 1 :]),
        flags={flag: (kind, value) for flag, kind, value in FLAG.findall(entry.get("flags", ""))},
        rule=entry.get("rule", ""),
        sub={str(key): value for key, value in entry.get("sub", {}).items()},
        sub_else=entry.get("sub-else", ""),
        out=entry.get("out", ""),
        single=entry.get("style") == "single",
        stdin=entry.get("stdin", ""),
    )


def read_arguments(row: Row, words: Sequence[Word]) -> Use:
    """What each word after the utility's name (words[0]) means."""
    use = Use(row, words[0], words=words)
    flags, at, end = row.flags, 1, len(words)
    operands = use.operands
    commands = "command" in row.lead
    while at < end:
        word = words[at]
        text = word.text
        at += 1
        if text[:1] != "-" or text == "-":
            role = row.lead[len(operands)] if len(operands) < len(row.lead) else row.many
            if role == "command":
                use.rest = list(words[at - 1 :])
                return use
            operands.append(word)
            continue
        if text == "--":
            if commands and len(operands) + 1 >= len(row.lead):
                use.rest = list(words[at:])
                return use
            operands.extend(words[at:])
            break
        at = _read_option(use, flags, words, at, word)
    _assign_roles(use)
    return use


def _read_option(use: Use, flags: dict[str, tuple[str, str]], words: Sequence[Word], at: int, word: Word) -> int:
    """One option word; returns the place of the next word to read."""
    text = word.text
    if text in flags:
        return _apply(use, flags[text], words, at, word, None)
    if text[:2] == "--" or use.row.single:
        name, equals, value = text.partition("=")
        if name not in flags and len(name) > 3:
            longer = [flag for flag in flags if flag.startswith(name) and flag[:2] == "--"]
            name = longer[0] if len(longer) == 1 else name
        if name in flags:
            return _apply(use, flags[name], words, at, word, value if equals else None)
        return at
    for index in range(1, len(text)):
        action = flags.get("-" + text[index])
        if action is None:
            continue
        if action[0] == "=":
            return _apply(use, action, words, at, word, text[index + 1 :] or None)
        _apply(use, action, words, at, word, None)
        if action[1] in ENDS_CLUSTER:
            break
    return at


def _apply(use: Use, action: tuple[str, str], words: Sequence[Word], at: int, word: Word, value: str | None) -> int:
    kind, what = action
    if kind == ":":
        use.marks.add(what)
    elif kind == "!":
        use.rules.append((what, word))
    else:
        if value is None and at < len(words):
            found, at = words[at], at + 1
        else:
            found = Word(value or "", word.taint, word.start, word.end)
        if what.startswith("rule:"):
            use.rules.append((what[5:], word))
        elif what.startswith("rule?:"):
            use.rules.append((what[6:] + "?", found))
            use.found.append(("ignore", found))
        elif what == "rest":
            use.rest = [found, *words[at:]]
            return len(words)
        elif what != "ignore":
            use.found.append((what, found))
    return at


def _assign_roles(use: Use) -> None:
    row, operands = use.row, use.operands
    if row.lead:
        explicit = {"pattern", "code:awk", "code:file"} & {role for role, _word in use.found}
        inline = any(role.startswith("code:") for role, _word in use.found)
        lead = row.lead[1:] if row.lead[0] in explicit or (inline and row.lead[0].startswith("code:")) else row.lead
        use.found += zip(lead, operands, strict=False)
        operands = operands[len(lead) :]
    if row.tail and len(operands) > 1:
        split = len(operands) - len(row.tail)
        use.found += [(row.many, word) for word in operands[:split]]
        use.found += zip(row.tail, operands[split:], strict=False)
    elif row.many and row.many != "ignore":
        use.found += [(row.many, word) for word in operands]
