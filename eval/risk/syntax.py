"""The one wrapper of tree-sitter-bash: bounded, and safe with any text.

The parser is asked about a copy of the command of the same length, so that every offset of its tree is an
offset in the command itself; texts are always cut from the original. The copy differs where the grammar is weak:

- Other than ASCII letters and control characters become the letter `U`. To Bash they are ordinary characters of a
  word; the scanner of tree-sitter-bash 0.25.1 looks them up in a C table without a bound and crashes the process.
- A backslash at the start of a line becomes `U`: the grammar would take the line for more arguments of the one above.
- `<>`, a brace list in the place of a command, `[ -d / ]` and a backslash at the very end are written in a way it
  accepts.

A text in which the grammar still finds errors is tried again, mended (`MENDS`): as Bash reads it, as the template it
is (`<file>`), or as a pattern of `shopt -s extglob`. Both trees are then walked: what either does counts.

Parsing of text that is not Bash takes quadratic time, so a long text has a budget of processor time (not of wall
time: a busy machine does not change a verdict).
"""

import re
from dataclasses import dataclass
from functools import cache
from time import thread_time

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

MAX_CHARACTERS = 10_240
SHORT_CHARACTERS = 400  # below this the worst text takes a few milliseconds: no need to watch
PARSE_SECONDS = 0.015
MENDED_CHARACTERS = 1000  # a longer text with errors is not parsed again: that would double the worst case
MAX_PIPES = 256  # a long pipeline takes quadratic time, in steps too long for the parser to look at its budget
CHUNK = 2048

# A backslash that continues a line between two characters that are no blanks: `"$\\⏎(rm -rf /)"` is a substitution.
GLUED = re.compile(r"(?<![\s\\])(?:\\\\)*(\\\n)(?=[^\s])")
LITERAL = {"raw_string", "ansi_c_string", "comment"}
UNSAFE = re.compile(r"[^\x20-\x7e\t\n]")
HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
BRACE_COMMAND = re.compile(r"(?:^|(?<=[;&|(\n`]))(\s*)\{(?=[^\s{}]*,[^\s{}]*\})")

CLOSING = re.compile(r"([<>]&)-(?=[\s;|&)]|$)")  # `2>&-` before more words
LINE_START_ESCAPE = re.compile(r"(?<=\n)\\(?=\S)")
TEST_OF_ROOT = re.compile(r"(?<=\s-[a-zA-Z]\s)/(?=\s+\])")

LONE_DOLLAR = re.compile(r"(?<![\\$])\$(?=[./,:%+=)`])")
FOR_ARGUMENTS = re.compile(r"\b(for[ \t]+\w+)[ \t](?=do\s)")
TWO_ENDS = re.compile(r"\b(fi|done|esac)[ \t](?=(?:fi|done|esac)\b)")
ENDLESS_HEREDOC = re.compile(r"<<-?[ \t]*\\?(['\"]?)\w+\1[ \t]*\Z")
PLACEHOLDER = re.compile(r"(?<!<)<[A-Za-z][\w .:-]{0,40}>")
EXTENDED_PATTERN = re.compile(r"[!@?*+]\((?:[^()\n]|\([^()\n]*\))*\)")


@dataclass(frozen=True)
class Reading:
    """One way to read a text: the text, its tree, and where each of its characters stands in the text as given.

    `places` is None when they stand where they are.
    """

    text: str
    root: Node
    places: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Syntax:
    """What the parser makes of a text: as it stands, mended if it needed that, and with its continued lines joined.

    The last reading is the best. `problem` is the rule that says what is wrong with that, if anything is.
    """

    readings: tuple[Reading, ...]
    problem: str | None


def parse(command: str) -> Syntax | None:
    """The syntax of a text; None when it or its pipelines are too long, or its parse would take too long."""
    syntax = _parsed(command)
    if syntax is None or not GLUED.search(command):
        return syntax
    text, places = _joined(command, syntax.readings[-1].root)
    joined = _parsed(text) if len(text) < len(command) else None
    if joined is None:
        return syntax
    readings = tuple(Reading(text, one.root, places) for one in joined.readings)
    if syntax.problem and not joined.problem:
        return Syntax(readings, None)
    return Syntax(syntax.readings + readings, joined.problem)


def _parsed(command: str) -> Syntax | None:
    if len(command) > MAX_CHARACTERS or command.count("|") > MAX_PIPES:
        return None
    copy = same_length_copy(command)
    root = _tree(copy)
    if root is None:
        return None
    reading = Reading(command, root)
    if accepted(root):
        return Syntax((reading,), None)
    if len(command) <= MENDED_CHARACTERS:
        for mend, problem in MENDS:
            before, copy = copy, mend(copy)
            mended = _tree(copy) if copy != before else None
            if mended is not None and accepted(mended):
                return Syntax((reading, Reading(command, mended)), problem)
    return Syntax((reading,), "unparsable")


def _joined(command: str, root: Node) -> tuple[str, tuple[int, ...]]:
    """A text as Bash reads it, without the backslashes that continue a line in the middle of something.

    Between blanks they are left: there they only separate words. In single quotes they are text.
    """
    places: list[int] = []
    at = 0
    for found in GLUED.finditer(command):
        place = found.start(1)
        node = root.descendant_for_byte_range(place, place + 1)
        if node is not None and node.type in LITERAL:
            continue
        places += range(at, place)
        at = found.end(1)
    places += range(at, len(command) + 1)
    return "".join(command[place] for place in places[:-1]), tuple(places)


def _as_bash_reads_it(copy: str) -> str:
    """A dollar sign before a character that names nothing; a loop over the arguments; `fi done`; an empty heredoc."""
    copy = ENDLESS_HEREDOC.sub(lambda found: " " * len(found[0]), copy)
    return TWO_ENDS.sub(r"\1;", FOR_ARGUMENTS.sub(r"\1;", LONE_DOLLAR.sub("U", copy)))


def _without_placeholders(copy: str) -> str:
    return PLACEHOLDER.sub(_as_word, copy)


def _without_extended_patterns(copy: str) -> str:
    return EXTENDED_PATTERN.sub(_as_word, copy)


def _as_word(found: re.Match[str]) -> str:
    return "U" * len(found[0])


# What is tried on a text with errors, each on top of the last, and the rule that then holds. No mend changes lengths.
MENDS = (
    (_as_bash_reads_it, None),
    (_without_placeholders, "placeholder"),
    (_without_extended_patterns, "extended-pattern"),
)


def accepted(root: Node) -> bool:
    """Whether a tree has no error. `name=value >file` without a command, which is Bash, is none."""
    if not root.has_error:
        return True
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.is_error or node.is_missing:
            return False
        assigns = node.type == "command" and node.children[0].type == "variable_assignment"
        nodes += [one for one in node.children if one.has_error and (one.text or not assigns)]
    return True


def _tree(copy: str) -> Node | None:
    """The root of a copy's tree; None when the parse would take too long."""
    source = copy.encode()
    parser = _parser()
    if len(source) <= SHORT_CHARACTERS:
        return parser.parse(source).root_node
    deadline = thread_time() + PARSE_SECONDS
    try:
        return parser.parse(
            lambda offset, _point: source[offset : offset + CHUNK],
            encoding="utf8",
            progress_callback=lambda _offset, _has_error: thread_time() > deadline,
        ).root_node
    except ValueError:  # how the binding says that the callback stopped it
        parser.reset()
        return None


def same_length_copy(command: str) -> str:
    """ASCII text of the same length and structure, for the parser only."""
    copy = UNSAFE.sub("U", command)
    if "<>" in copy:
        copy = copy.replace("<>", "> ")
    if "{" in copy:
        copy = BRACE_COMMAND.sub(r"\1U", copy)
    if "&-" in copy:
        copy = CLOSING.sub(r"\g<1>1", copy)
    if "\n\\" in copy:
        copy = LINE_START_ESCAPE.sub("U", copy)
    if " / " in copy:
        copy = TEST_OF_ROOT.sub("U", copy)
    if copy.endswith("\\") and (len(copy) - len(copy.rstrip("\\"))) % 2:
        copy = copy[:-1] + "U"
    return copy


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))
