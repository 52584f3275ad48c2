"""The one wrapper of tree-sitter-bash: bounded, and safe with any text.

The parser is asked about a copy of the command of the same length, so that every offset of its tree is an
offset in the command itself; texts are always cut from the original. The copy differs where the grammar is weak:

- Other than ASCII letters and control characters become the letter `U`. To Bash they are ordinary characters of a
  word; the scanner of tree-sitter-bash 0.25.1 looks them up in a C table without a bound and crashes the process.
- A backslash at the start of a line becomes `U`: the grammar would take the line for more arguments of the one above.
- `<>`, a brace list in the place of a command, `[ -d / ]` and a backslash at the very end are written in a way it
  accepts.

Parsing of text that is not Bash takes quadratic time, so a long text has a budget of processor time (not of wall
time: a busy machine does not change a verdict).
"""

import re
from functools import cache
from time import thread_time

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

MAX_CHARACTERS = 10_240
SHORT_CHARACTERS = 400  # below this the worst text takes a few milliseconds: no need to watch
PARSE_SECONDS = 0.015
MAX_PIPES = 256  # a long pipeline takes quadratic time, in steps too long for the parser to look at its budget
CHUNK = 2048

UNSAFE = re.compile(r"[^\x20-\x7e\t\n]")
HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
BRACE_COMMAND = re.compile(r"(?:^|(?<=[;&|(\n`]))(\s*)\{(?=[^\s{}]*,[^\s{}]*\})")

LINE_START_ESCAPE = re.compile(r"(?<=\n)\\(?=\S)")
TEST_OF_ROOT = re.compile(r"(?<=\s-[a-zA-Z]\s)/(?=\s+\])")


def parse(command: str) -> Node | None:
    """The syntax tree's root; None when the text or its pipelines are too long, or its parse would take too long.

    The root's `has_error` says that the text is not Bash for the grammar; the rest of the tree is still there.
    """
    if len(command) > MAX_CHARACTERS or command.count("|") > MAX_PIPES:
        return None
    source = same_length_copy(command).encode()
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
