"""The utilities (folder utilities/), and how a command's arguments are read by what is written there.

An entry has
    names         the utilities that share it
    does          effects: none reads writes deletes network privileges executes persists system
    operands      roles of the operands in order; `x*` repeats, and roles after it are taken from the end
    options       one a line: `-o: value [ROLE]` takes a value, `-r: mark NAME` is remembered, `-x: finding RULE`
    harmless      options without a value that mean nothing here
    finding       rule of every use, or CHECK? (special.py)
    looks         verbs (first operands) that only look
    verbs         rule of a verb, one a line                other-verbs   rule of every verb that is not listed
    output        where the output comes from: net secret endless
    stdin         language of a program that it reads from a pipe
    style         single: options are whole words (`-exec`)
Roles: ignore read write delete move host pattern command (the rest is a command), code:LANG (a program in LANG;
code:sh is analysed), rule:RULE (a finding), rule?:CHECK; the others are in roles.py and network.py.

`read_arguments` sorts words into what they mean to the utility: operands by role, values of options by role,
marks such as `recursive`, and options that are findings by themselves. What the roles then mean is in judge.py.
Options are read as getopt does: clusters (`-rf`), values attached or apart, `--`, and GNU's unambiguous
abbreviations (`--recurs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from eval.risk.catalogue import sections
from eval.risk.words import Word

EFFECTS = {"none", "reads", "writes", "deletes", "network", "privileges", "executes", "persists", "system"}
ENDS_CLUSTER = {"inplace", "attached"}  # what follows in the word is their value
KINDS = {"value", "mark", "finding"}


@dataclass(frozen=True, slots=True)
class Row:
    """One utility: what it does, the roles of its operands and options, and findings of its use."""

    name: str
    does: frozenset[str]
    lead: tuple[str, ...]
    many: str
    tail: tuple[str, ...]
    options: dict[str, tuple[str, str]]
    rule: str = ""
    verbs: dict[str, str] = field(default_factory=dict)
    other_verbs: str = ""
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
    """Every utility by name. ValueError for a name listed twice or an entry that is not understood."""
    rows: dict[str, Row] = {}
    for section, entries in sections("utilities").items():
        for entry in entries:
            names = entry["names"].split()
            first = _row(names[0], entry, section)
            for name in names:
                if name in rows:
                    raise ValueError(f"utilities/{section}.yaml: {name} is listed twice")
                rows[name] = replace(first, name=name)
    return rows


def _row(name: str, entry: dict[str, Any], section: str) -> Row:
    does = frozenset(entry["does"].split())
    if not does <= EFFECTS:
        raise ValueError(f"utilities/{section}.yaml: {name} does {sorted(does - EFFECTS)}, which is not an effect")
    roles = entry.get("operands", "ignore*").split()
    many = next((index for index, role in enumerate(roles) if role.endswith("*")), len(roles))
    options = {option: _option(what, name) for option, what in entry.get("options", {}).items()}
    options |= dict.fromkeys(entry.get("harmless", "").split(), ("mark", ""))
    return Row(
        name=name,
        does=does,
        lead=tuple(roles[:many]),
        many=roles[many][:-1] if many < len(roles) else "",
        tail=tuple(roles[many + 1 :]),
        options=options,
        rule=entry.get("finding", ""),
        verbs=dict.fromkeys(entry.get("looks", "").split(), "") | entry.get("verbs", {}),
        other_verbs=entry.get("other-verbs", ""),
        out=entry.get("output", ""),
        single=entry.get("style") == "single",
        stdin=entry.get("stdin", ""),
    )


def _option(what: str, name: str) -> tuple[str, str]:
    kind, _blank, rest = what.partition(" ")
    if kind not in KINDS or not (rest or kind == "value"):
        raise ValueError(f"utilities/: {name} has an option that is {what!r}, not one of {sorted(KINDS)}")
    return kind, rest or "ignore"


def read_arguments(row: Row, words: Sequence[Word]) -> Use:
    """What each word after the utility's name (words[0]) means."""
    use = Use(row, words[0], words=words)
    options, at, end = row.options, 1, len(words)
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
        at = _read_option(use, options, words, at, word)
    _assign_roles(use)
    return use


def _read_option(use: Use, options: dict[str, tuple[str, str]], words: Sequence[Word], at: int, word: Word) -> int:
    """One option word; returns the place of the next word to read."""
    text = word.text
    if text in options:
        return _apply(use, options[text], words, at, word, None)
    if text[:2] == "--" or use.row.single:
        name, equals, value = text.partition("=")
        if name not in options and len(name) > 3:
            longer = [option for option in options if option.startswith(name) and option[:2] == "--"]
            name = longer[0] if len(longer) == 1 else name
        if name in options:
            return _apply(use, options[name], words, at, word, value if equals else None)
        return at
    for index in range(1, len(text)):
        action = options.get("-" + text[index])
        if action is None:
            continue
        if action[0] == "value":
            return _apply(use, action, words, at, word, text[index + 1 :] or None)
        _apply(use, action, words, at, word, None)
        if action[1] in ENDS_CLUSTER:
            break
    return at


def _apply(use: Use, action: tuple[str, str], words: Sequence[Word], at: int, word: Word, value: str | None) -> int:
    kind, what = action
    if kind == "mark":
        use.marks.add(what)
    elif kind == "finding":
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
