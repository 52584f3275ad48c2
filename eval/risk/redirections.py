"""Redirections: where standard input comes from, which files an output goes to, and what follows them.

Words may follow a redirection and still belong to the command (`rm -rf 2>/dev/null /`): the grammar hangs them under
the redirection, `words_after` finds them. `>(command)` is a file whose reader runs once it is written (`run_readers`).
"""

import re
from collections.abc import Iterable

from tree_sitter import Node

from eval.risk.context import Context
from eval.risk.paths import UNKNOWN
from eval.risk.touched import read, write
from eval.risk.word import NOTHING, UNKNOWN_OUTPUT, Output, Word
from eval.risk.words import backquotes, leftover, part, value_of

Targets = list[tuple[Word, bool, bool]]  # word, appends, gets standard output
WORDS = {"word", "string", "raw_string", "ansi_c_string", "translated_string", "number", "concatenation", "expansion",
         "simple_expansion", "command_substitution", "process_substitution", "arithmetic_expansion",
         "brace_expression"}  # fmt: skip
CLOSES = {">&-", "<&-"}


def words_after(nodes: Iterable[Node]) -> list[Node]:
    """The nodes of words that stand after a redirection's target: arguments of the command."""
    found: list[Node] = []
    for node in nodes:
        if node.type == "file_redirect":
            values = _values(node)
            found += values if _closes(node) else values[1:]
        elif node.type == "heredoc_redirect":
            found += [child for child in node.named_children if child.type in WORDS]
            found += words_after(child for child in node.named_children if child.type == "file_redirect")
    return found


def command_of(node: Node) -> Node | None:
    """The simple command that redirections behind `node` belong to: the last of a list, a pipeline, a negation."""
    while node.type in ("list", "pipeline", "negated_command", "redirected_statement"):
        children = [child for child in node.named_children if not child.type.endswith("_redirect")]
        if not children:
            return None
        node = children[-1]
    return node


def redirects(shell: Context, nodes: Iterable[Node], stdin: Output) -> tuple[Output, Targets]:
    """Standard input after redirections, and the files written."""
    targets: Targets = []
    for node in nodes:
        number = shell.text[node.start_byte : node.start_byte + 1]
        content: Output | None = None
        if node.type == "herestring_redirect":
            text, taint = value_of(shell, node.named_children[-1])
            content = Output(None if UNKNOWN in text else text + "\n", taint)
        elif node.type == "heredoc_redirect":
            content = heredoc(shell, node)
        elif node.type == "file_redirect":
            content = _file(shell, node, stdin, targets)
        if content is None:
            continue
        if number.isdigit() and number != "0":
            shell.descriptors[number] = shell.files[f"/dev/fd/{number}"] = content
        else:
            stdin = content
    return stdin, targets


def _file(shell: Context, node: Node, stdin: Output, targets: Targets) -> Output | None:
    """One redirection of a file: the content when it is an input; an output is added to the targets."""
    values = _values(node)
    if not values or _closes(node):
        return None
    kinds = [child.type for child in node.children]
    place = values[0]
    text, taint = value_of(shell, place)
    word = Word(text, taint, place.start_byte, place.end_byte)
    if "<" in kinds:
        return read(shell, word)
    if "<&" in kinds:
        return None if text in ("0", "-") else shell.descriptors.get(text.rstrip("-"), UNKNOWN_OUTPUT)
    if ">&" in kinds and re.fullmatch(r"\d*-?", text):
        return None
    descriptor = shell.text[node.start_byte : node.start_byte + 1]
    targets.append((word, ">>" in kinds or "&>>" in kinds, descriptor not in "23456789"))
    return None


def _values(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type not in ("file_descriptor", "ERROR")]


def _closes(node: Node) -> bool:
    return any(child.type in CLOSES for child in node.children)


def heredoc(shell: Context, node: Node) -> Output:
    """The text of a here-document; with an unquoted delimiter, expansions and commands in it count."""
    body = next((child for child in node.named_children if child.type == "heredoc_body"), None)
    start = next((child for child in node.named_children if child.type == "heredoc_start"), None)
    if body is None or start is None:
        return NOTHING
    text, taint = shell.text[body.start_byte : body.end_byte], 0
    if not re.search(r"['\"\\]", shell.text[start.start_byte : start.end_byte]):
        pieces, at = [], body.start_byte
        for child in body.named_children:
            if child.type == "heredoc_content":
                continue
            pieces.append(leftover(shell, shell.text[at : child.start_byte], at, child.start_byte))
            value, more, _split = part(shell, child)
            pieces.append(value)
            taint, at = taint | more, child.end_byte
        text = "".join(pieces) + leftover(shell, shell.text[at : body.end_byte], at, body.end_byte)
        if "`" in text:
            text = backquotes(shell, text, body.start_byte, body.end_byte)
        if "\\" in text:
            text = re.sub(r"\\([$`\\])|\\\n", lambda found: found.group(1) or "", text)
    if "<<-" in [child.type for child in node.children]:
        text = re.sub(r"^\t+", "", text, flags=re.MULTILINE)
    return Output(text, taint)


def write_targets(shell: Context, targets: Targets, output: Output) -> Output:
    """Judge the files an output goes to; what is left goes on to the pipeline."""
    for word, append, standard in targets:
        write(shell, word, append, output if standard else UNKNOWN_OUTPUT)
        if standard and word.text not in ("/dev/stdout", "/dev/stderr", "/dev/tty"):
            output = NOTHING
    return output


def run_readers(shell: Context, first: int = 0) -> None:
    """Run the commands of the `>(command)` that were met since `first`, with what was written to them."""
    while len(shell.readers) > first:
        path, text, node, span = shell.readers.pop()
        content = shell.files.pop(path, UNKNOWN_OUTPUT)
        state = shell.snapshot()
        outer = shell.text, shell.span
        shell.text, shell.span = text, span
        try:
            shell.run_all(node.named_children, content)
        finally:
            shell.text, shell.span = outer
        shell.restore(state)
