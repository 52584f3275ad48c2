"""Task check nl2bash: does an answer hold the right Bash command, and nothing but a command?

Text only: nothing is executed here. Commands are parsed by tree-sitter-bash, so "valid" means what a
grammar accepts, not what a regular expression guesses. Every metric is 0/1 for one answer:

- exact_match       the answer, stripped, is the gold command
- normalised_match  the command found in the answer equals the gold up to white space, quoting style, comments
                    and a trailing semicolon; prose and fences around the command are forgiven
- command_only      the answer is one line holding a command of known utilities: no prose, no fence
- syntax_valid      the command found in the answer parses
- utilities_match   the same utilities in the same order, whatever the arguments

What this does not see: two differently written commands that do the same.
"""

import re
from functools import cache, lru_cache
from pathlib import Path

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

METRICS = ("exact_match", "normalised_match", "command_only", "syntax_valid", "utilities_match")

FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
PROSE_END = re.compile(r"[A-Za-z)][.:!?]$")
# Characters that mean something to the shell inside double quotes: such strings keep their quotes.
ACTIVE = re.compile(r"[$`\\!]")
QUOTED = {"raw_string", "string"}
# Parsing takes quadratic time for text such as `a|a|a|`: half a second for this much. A command is never so long.
LONGEST_COMMAND = 2000  # characters; what is longer does not parse
REMEMBERED = 4096  # commands whose words are kept: each is asked for several times


def score_sample(gold: str, answer: str) -> dict[str, float] | None:
    """Every metric of one answer; None when the gold itself does not parse, so that the item is invalid."""
    expected = normalise(gold)
    if expected is None:
        return None
    command = extract_command(answer)
    found = normalise(command)
    return {
        "exact_match": float(answer.strip() == gold),
        "normalised_match": float(found == expected),
        "command_only": float(is_command_only(answer)),
        "syntax_valid": float(found is not None),
        "utilities_match": float(found is not None and utilities(command) == utilities(gold)),
    }


def extract_command(answer: str) -> str:
    """The command in an answer: its first fenced block, else its only inline code, else the whole text."""
    if fenced := FENCE.search(answer):
        return _without_prompt(fenced.group(1))
    inline = INLINE_CODE.findall(answer)
    # One line that is itself a command may use backquotes as command substitution.
    if len(inline) == 1 and not is_command_only(answer):
        return _without_prompt(inline[0])
    return _without_prompt(answer)


def _without_prompt(text: str) -> str:
    return text.strip().removeprefix("$ ").strip()


@lru_cache(REMEMBERED)
def normalise(command: str) -> tuple[str, ...] | None:
    """Canonical tokens of a command; None when it is empty, too long or does not parse."""
    tree = _parse(command)
    if tree is None:
        return None
    tokens: list[str] = []
    stack = [tree]  # not recursion: an answer may nest as deep as it likes
    while stack:
        node = stack.pop()
        if node.type == "comment":
            continue
        plain = _unquoted(node)
        if plain is not None:
            tokens.append(plain)
        elif node.type == "concatenation":
            tokens.append("".join(_unquoted(child) or _text(child) for child in node.children))
        elif not node.children or node.type in QUOTED | {"word", "ansi_c_string"}:
            tokens.append(_text(node))
        else:
            stack.extend(reversed(node.children))
    while tokens and tokens[-1] in (";", "\n"):
        tokens.pop()
    return tuple(tokens) or None


def _unquoted(node: Node) -> str | None:
    """A quoted string whose quotes only protect it, marked so that 'a b' never equals the words a and b."""
    if node.type not in QUOTED:
        return None
    inner = _text(node)[1:-1]
    if node.type == "string" and ACTIVE.search(inner):
        return None
    # Quotes around a plain word change nothing; around anything else they do.
    return inner if re.fullmatch(r"[\w@%+=:,./-]+", inner) else f"'{inner}'"


@lru_cache(REMEMBERED)
def utilities(command: str) -> tuple[str, ...]:
    """Names of the commands run, in order of appearance; empty when the text does not parse."""
    tree = _parse(command)
    if tree is None:
        return ()
    return tuple(_text(node) for node in _walk(tree) if node.type == "command_name")


def is_command_only(answer: str) -> bool:
    """One line, no fence, parses, every command a known utility or a path, and no sentence at the end."""
    text = answer.strip()
    if not text or "\n" in text or "```" in text or (text.startswith("`") and text.endswith("`")):
        return False
    names = utilities(text)
    if not names or not all(name in known_utilities() or "/" in name for name in names):
        return False
    return not PROSE_END.search(text.split()[-1])


@cache
def known_utilities() -> frozenset[str]:
    """Names that may start a command, from utilities.txt beside this file."""
    return frozenset((Path(__file__).parent / "utilities.txt").read_text().split())


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))


def _parse(command: str) -> Node | None:
    if not command.strip() or len(command) > LONGEST_COMMAND:
        return None
    root = _parser().parse(_ascii(command).encode()).root_node
    return None if root.has_error or not root.named_children else root


def _ascii(command: str) -> str:
    """The command with other letters spelled out: to Bash they are all ordinary characters of a word.

    The scanner of tree-sitter-bash 0.25.1 looks them up in a C table without a bound and crashes the process.
    """
    return "".join(letter if letter.isascii() else f"_u{ord(letter):x}_" for letter in command)


def _walk(node: Node) -> list[Node]:
    """Nodes in source order. A stack, not recursion: answers may nest as deep as they like."""
    found, stack = [], [node]
    while stack:
        current = stack.pop()
        found.append(current)
        stack.extend(reversed(current.children))
    return found


def _text(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")
