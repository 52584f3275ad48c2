"""From a word's syntax to the texts it expands to, as far as they are known without running anything.

A part that is only known when the command runs becomes UNKNOWN; `taint` says where it comes from. Unquoted
expansions are split at white space, brace lists are expanded, globs stay as they are.
Not modelled: IFS other than white space, `${!x}`, most array operations: they are UNKNOWN.
"""

import re
from typing import NamedTuple, Protocol

from tree_sitter import Node

from eval.risk.decode import unescape
from eval.risk.paths import UNKNOWN
from eval.risk.quoting import BRACES, MAX_WORDS, expand_braces, in_quotes, trimmed, unquote

# Where a text comes from. NET: the network. SECRET: credentials or the environment. DECODED: an encoding was undone.
# ENDLESS: it does not end by itself. FILE: a file's content. SHELL: what a shell prints that obeys its
# input. RUN: an unknown output of a command.
NET, SECRET, DECODED, ENDLESS, FILE, SHELL, RUN = 1, 2, 4, 8, 16, 32, 64
MAX_TEXT = 10_240  # a longer text is unknown: variables could double it again and again

BARE_NEWLINE = re.compile(r"(?<!\\)\n")
BACKQUOTES = re.compile(r"(?<!\\)`((?:[^`\\]|\\.)*)`", re.DOTALL)
PARAMETER = re.compile(r"\$\{([#!]?)(\w+|[@*#?$!-])(?:\[([^]]*)\])?(.*)\}$", re.DOTALL)
SLICE = re.compile(r":\s*(-?\d+)(?:\s*:\s*(-?\d+))?$")
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


class Word(NamedTuple):
    """An expanded word: its text, where it comes from, and its place in the analysed text."""

    text: str
    taint: int
    start: int
    end: int


class Output(NamedTuple):
    """What a command prints or a file holds: the text when it is known, where it comes from, the paths when it lists
    files, and where it leads when it is a symbolic link."""

    text: str | None
    taint: int = 0
    paths: tuple[str, ...] = ()
    link: str = ""


NOTHING = Output("")
UNKNOWN_OUTPUT = Output(None)


class Shell(Protocol):
    """What expansion needs of the shell: its text, its variables, and a way to run a substitution."""

    text: str
    variables: dict[str, tuple[str, int]]
    arrays: dict[str, list[Word]]
    steps: int

    def enter(self) -> None:
        """Count one step and one level of nesting."""

    def leave(self) -> None:
        """Leave the level of the last `enter`."""

    def find_at(self, rule: str, start: int, end: int, detail: str = "") -> None:
        """Record a finding."""

    def run_text(self, code: str, word: Word) -> Output:
        """Judge a script that is the text of a word."""

    def substitute(self, node: Node) -> Output:
        """Run the commands of a `$(..)`, `<(..)` or backquotes and say what they print."""


def expand(shell: Shell, node: Node) -> list[Word]:
    """The words that one argument becomes: usually one, none for an empty unquoted expansion."""
    kind, start, end = node.type, node.start_byte, node.end_byte
    if kind == "word":
        text = shell.text[start:end]
        if "\n" in text and BARE_NEWLINE.search(text):
            shell.find_at("unparsable", start, end, text)  # the parser swallowed the end of a line
        if "`" in text:
            text = backquotes(shell, text, start, end)
        if "\\" in text:
            text = unquote(text)
        if "{" in text and BRACES.search(text):
            texts = expand_braces(text)
            shell.steps += len(texts) // 4
            return [Word(one, 0, start, end) for one in texts]
        return [Word(text, 0, start, end)]
    if kind == "raw_string":
        return [Word(shell.text[start + 1 : end - 1], 0, start, end)]
    if kind in ("simple_expansion", "expansion", "string") and (several := positional(shell, node)) is not None:
        return [Word(word.text, word.taint, start, end) for word in several]
    text, taint, split = part(shell, node)
    raw = shell.text[start:end]
    texts = text.split() if split and (not text or any(letter in text for letter in " \t\n")) else [text]
    if "{" in raw and kind in ("concatenation", "brace_expression") and BRACES.search(raw) and "${" not in raw:
        texts = [one for text in texts[:MAX_WORDS] for one in expand_braces(text)]
        shell.steps += len(texts) // 4
    return [Word(text, taint, start, end) for text in texts[:MAX_WORDS]]


def value_of(shell: Shell, node: Node) -> tuple[str, int]:
    """Text and taint of a word that is not split: an assignment's value, a here-string, a redirection's target."""
    text, taint, _split = part(shell, node)
    return text, taint


def part(shell: Shell, node: Node) -> tuple[str, int, bool]:
    """Text, taint, and whether the text came from an unquoted expansion and is therefore split."""
    kind, start, end = node.type, node.start_byte, node.end_byte
    if kind == "word":
        text = shell.text[start:end]
        if "\n" in text and BARE_NEWLINE.search(text):
            shell.find_at("unparsable", start, end, text)  # the parser swallowed the end of a line
        if "`" in text:
            text = backquotes(shell, text, start, end)
        return (unquote(text) if "\\" in text else text), 0, False
    if kind == "raw_string":
        return shell.text[start + 1 : end - 1], 0, False
    if kind == "string":
        return *_string(shell, node), False
    if kind in ("concatenation", "command_name"):
        text, taint, split = "", 0, False
        shell.enter()
        for child in node.children:
            more, more_taint, more_split = part(shell, child)
            text, taint, split = text + more, taint | more_taint, split or more_split
            if len(text) > MAX_TEXT:
                text = UNKNOWN
        shell.leave()
        return text, taint, split
    if kind == "ansi_c_string":
        return unescape(shell.text[start + 2 : end - 1]), 0, False
    if kind == "translated_string":
        return *_string(shell, node.children[-1]), False
    if kind == "simple_expansion":
        text, taint = shell.variables.get(shell.text[start + 1 : end], (UNKNOWN, 0))
        return text, taint, True
    if kind == "expansion":
        return *_expansion(shell, node), True
    if kind == "command_substitution":
        output = shell.substitute(node)
        known = output.text
        if known is None or UNKNOWN in known:
            return UNKNOWN if known is None else known.rstrip("\n"), output.taint | RUN, True
        return known.rstrip("\n"), output.taint, True
    if kind == "process_substitution":
        output = shell.substitute(node)
        return f"/dev/fd/{start}", output.taint, False
    if kind in ("arithmetic_expansion", "subscript", "array", "binary_expression", "regex", "extglob_pattern"):
        shell.enter()
        for child in node.named_children:
            part(shell, child)
        shell.leave()
        return (UNKNOWN if kind == "arithmetic_expansion" else shell.text[start:end]), 0, False
    return shell.text[start:end], 0, False


def backquotes(shell: Shell, text: str, start: int, end: int) -> str:
    """Run what stands between backquotes where the grammar leaves them as text: inside `${..}` and here-documents."""

    def one(found: re.Match[str]) -> str:
        output = shell.run_text(re.sub(r"\\([`$\\])", r"\1", found.group(1)), Word("", 0, start, end))
        return UNKNOWN if output.text is None else output.text.rstrip("\n")

    return BACKQUOTES.sub(one, text)


def _string(shell: Shell, node: Node) -> tuple[str, int]:
    """A double-quoted string. The grammar leaves some white space out of its nodes: gaps come from the text."""
    children = node.named_children
    at, end = node.start_byte + 1, node.end_byte - 1
    if not children:
        return in_quotes(shell.text[at:end]), 0
    pieces: list[str] = []
    taint = size = 0
    shell.enter()
    for child in children:
        if child.type == "string_content":
            continue
        pieces.append(in_quotes(shell.text[at : child.start_byte]))
        text, more, _split = part(shell, child)
        pieces.append(text)
        size += len(text)
        taint |= more
        at = child.end_byte
        if size > MAX_TEXT:
            pieces, size = [UNKNOWN], 0
    pieces.append(in_quotes(shell.text[at:end]))
    shell.leave()
    return "".join(pieces), taint


def positional(shell: Shell, node: Node) -> list[Word] | None:
    """The words of `$@`, `$*`, `"$@"` and `"${a[@]}"`; None for anything else."""
    raw = shell.text[node.start_byte : node.end_byte].strip('"')
    if raw in ("$@", "$*", "${@}", "${*}"):
        return shell.arrays.get("@")
    found = re.fullmatch(r"\$\{(\w+)\[[@*]\]\}", raw)
    return shell.arrays.get(found.group(1)) if found else None


def _expansion(shell: Shell, node: Node) -> tuple[str, int]:
    """`${...}`. Commands inside run whatever comes out."""
    found = PARAMETER.match(shell.text[node.start_byte : node.end_byte])
    inner, taint = "", 0
    shell.enter()
    children = node.named_children
    if children and children[0].type == "subscript":
        part(shell, children[0])
    for child in children[1:]:
        text, more, _split = part(shell, child)
        inner, taint = inner + text, taint | more
    shell.leave()
    if not found or found.group(1):
        return UNKNOWN, taint
    name, index, rest = found.group(2), found.group(3), found.group(4)
    if index is not None:
        items = shell.arrays.get(name)
        if items and index.isdigit() and int(index) < len(items) and not rest:
            return items[int(index)].text, items[int(index)].taint | taint
        return UNKNOWN, taint
    value, origin = shell.variables.get(name, (UNKNOWN, 0))
    return _modified(shell, name, value, rest, inner, taint | origin)


def _modified(shell: Shell, name: str, value: str, rest: str, inner: str, taint: int) -> tuple[str, int]:
    operator = rest.lstrip(":")[:1]
    known = UNKNOWN not in value
    if not rest or operator == "?":
        return value, taint
    if operator in "-=" and operator:
        default = inner or rest.lstrip(":")[1:]
        if name in shell.variables and known and value:
            return value, taint
        if operator == "=":
            shell.variables[name] = (default, taint)
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
