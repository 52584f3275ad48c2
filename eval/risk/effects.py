"""How a command's arguments are read by its utility's entry (utilities.py says what an entry may hold).

`read_arguments` sorts words into what they mean to the utility: operands by role, values of options by role,
marks such as `recursive`, and options that are findings by themselves. What the roles then mean is in judge.py.
Options are read as getopt does: clusters (`-rf`), values attached or apart, `--`, and GNU's unambiguous
abbreviations (`--recurs`). An option that is not listed is not understood: `unknown-option`, unless the entry says
that no option of the utility does harm.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from eval.risk.utilities import Action, Row, table
from eval.risk.word import Word

__all__ = ["Row", "Use", "read_arguments", "table"]

ENDS_CLUSTER = {"inplace"}  # what follows in the word is its value
# An option with such a value stands for the first operand of such a role: `awk -f`, `grep -e`.
STANDS_FOR_FIRST = {"code:": "code:", "patte": "pattern"}
MODE = re.compile(r"-[rwxXstugo,=+-]+$")
ATTRIBUTES = re.compile(r"-[aAcCdDeFijmPsStTux]+$")


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


def read_arguments(row: Row, words: Sequence[Word]) -> Use:
    """What each word after the utility's name (words[0]) means. `Use.row` is the verb's entry where it has one."""
    use = Use(row, words[0], words=words)
    at = 1
    if row.verbs:
        at = _read_verb(use, words)
    _read_words(use, words, at)
    _assign_roles(use)
    return use


def _read_words(use: Use, words: Sequence[Word], at: int) -> None:
    row = use.row
    options, end, operands = row.options, len(words), use.operands
    commands = "command" in row.lead
    modes = _modes(row)
    remote = row.lead[-1:] == ("remote",)  # `ssh host command -with its options`
    while at < end:
        if remote and len(operands) == len(row.lead):
            operands.extend(words[at:])
            return
        word = words[at]
        text = word.text
        at += 1
        if text[:1] != "-" or text == "-" or (modes is not None and not operands and modes.match(text)):
            role = row.lead[len(operands)] if len(operands) < len(row.lead) else row.many
            if role == "command":
                use.rest = list(words[at - 1 :])
                return
            operands.append(word)
            continue
        if text == "--":
            if commands and len(operands) + 1 >= len(row.lead):
                use.rest = list(words[at:])
                return
            operands.extend(words[at:])
            return
        at = _read_option(use, options, words, at, word)


def _modes(row: Row) -> re.Pattern[str] | None:
    """The form of a first operand that begins with `-`: `chmod -x`, `chattr -i`."""
    if row.lead[:1] == ("mode",):
        return MODE
    return ATTRIBUTES if row.lead[:1] == ("attributes",) else None


def _read_verb(use: Use, words: Sequence[Word]) -> int:
    """Find the verb behind the options that may stand before it; returns the place of the next word to read."""
    row, at, path, place, found, behind = use.row, 1, "", 0, "", 1
    first, before = None, (len(use.found), len(use.rules))
    while at < len(words):
        word = words[at]
        if word.text[:1] == "-" and len(word.text) > 1:
            if word.text == "--" or found:
                break
            at = _read_option(use, row.options, words, at + 1, word)
            continue
        if first is None:
            first, behind = word, at + 1
        path = f"{path} {word.text}" if path else word.text
        at += 1
        if path in row.verbs:
            found, place = path, at
        if path not in row.verb_starts:
            break
    if not found:
        if row.other_verbs and first is not None:
            use.rules.append((row.other_verbs, first))
            use.marks.add("judged")
            return behind
        del use.found[before[0] :], use.rules[before[1] :]  # they are read again, as the utility's own
        return 1
    verb, word = row.verbs[found], words[place - 1]
    if isinstance(verb, str):
        use.rules.append((verb, word))
        use.marks.add("judged")
        return place
    use.row = verb
    if not verb.verbs:
        return place
    return place - 1 + _read_verb(use, words[place - 1 :])


def _read_option(use: Use, options: dict[str, Action], words: Sequence[Word], at: int, word: Word) -> int:
    """One option word; returns the place of the next word to read."""
    text, row = word.text, use.row
    if text in options:
        return _apply(use, options[text], words, at, word, None)
    if text[:2] == "--" or row.single:
        name, equals, value = text.partition("=")
        if name not in options and text[:2] == "--":
            name = _abbreviated(options, name)
        if name in options:
            return _apply(use, options[name], words, at, word, value if equals else None)
        for start in row.starts:
            if text.startswith(start):
                return _apply(use, options[f"{start}*"], words, at, word, text[len(start) :])
        _unlisted(use, word, value)
        return at
    for index in range(1, len(text)):
        letter = text[index]
        action = options.get("-" + letter)
        if action is None:
            if not letter.isdigit():
                _unlisted(use, word, "")
            continue
        if action[0] in ("value", "attached"):
            return _apply(use, action, words, at, word, text[index + 1 :] or None)
        _apply(use, action, words, at, word, None)
        if action[1] in ENDS_CLUSTER:
            break
    return at


def _abbreviated(options: dict[str, Action], name: str) -> str:
    """The option that a GNU abbreviation means: the only one, or one of several that mean the same."""
    longer = [option for option in options if option.startswith(name)] if len(name) > 2 else []
    return longer[0] if longer and all(options[one] == options[longer[0]] for one in longer) else name


def _unlisted(use: Use, word: Word, value: str) -> None:
    if not use.row.unlisted and "judged" not in use.marks:
        use.rules.append(("unknown-option", word))
    elif use.row.unlisted == "reads" and value:  # it may be the name of a file
        use.found.append(("read", Word(value, word.taint, word.start, word.end)))


def _apply(use: Use, action: Action, words: Sequence[Word], at: int, word: Word, value: str | None) -> int:
    kind, what = action
    if kind == "mark":
        use.marks.add(what)
    elif kind == "finding":
        use.rules.append((what, word))
    else:
        if what.startswith("pair"):  # a name, then a value
            at, what = at + 1, what[5:] or "ignore"
        if value is None and kind == "value" and at < len(words):
            found, at = words[at], at + 1
        else:
            found = Word(value or "", word.taint, word.start, word.end)
        if what[-1] == "!":
            use.marks.add("replaces")
            what = what[:-1]
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
    lead, tail = row.lead, row.tail
    if "replaces" in use.marks:
        lead, tail = (lead, ()) if tail else (lead[1:], tail)
    elif lead and any(role.startswith(STANDS_FOR_FIRST.get(lead[0][:5], "\n")) for role, _word in use.found):
        lead = lead[1:]
    use.found += zip(lead, operands, strict=False)
    operands = operands[len(lead) :]
    if tail and len(operands) > 1:
        split = len(operands) - len(tail)
        use.found += [(row.many, word) for word in operands[:split]]
        use.found += zip(tail, operands[split:], strict=False)
    elif row.many and row.many != "ignore":
        use.found += [(row.many, word) for word in operands]


def asks_about(row: Row, argv: list[Word]) -> bool:
    """Whether the command only asks the utility for its version or its help."""
    if len(argv) == 2:
        return argv[1].text in row.about
    return len(argv) == 3 and argv[2].text == "--help" and argv[1].text in row.verbs
