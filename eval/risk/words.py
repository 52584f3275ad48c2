"""From a word's syntax to the texts it expands to, as far as they are known without running anything.

A part that is only known when the command runs becomes UNKNOWN; `taint` says where it comes from. Unquoted
expansions are split at white space, brace lists are expanded, globs stay as they are.
Not modelled: most array operations and changes of case: they are UNKNOWN.
"""

import re

from tree_sitter import Node

from eval.risk.decode import unescape
from eval.risk.parameters import modified, referred
from eval.risk.paths import UNKNOWN
from eval.risk.quoting import MAX_WORDS, expand_braces, has_braces, in_quotes, unquote
from eval.risk.word import MAX_TEXT, RUN, Shell, Word

BARE_NEWLINE = re.compile(r"(?<!\\)\n")
BACKQUOTES = re.compile(r"(?<!\\)`((?:[^`\\]|\\.)*)`", re.DOTALL)
PARAMETER = re.compile(r"\$\{([#!]?)(\w+|[@*#?$!-])(?:\[([^]]*)\])?(.*)\}$", re.DOTALL)
EXPANDED = {"string", "raw_string", "ansi_c_string", "translated_string", "simple_expansion", "expansion",
            "command_substitution", "process_substitution", "arithmetic_expansion", "concatenation"}  # fmt: skip


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
        if "{" in text and has_braces(text):
            return [Word(one, 0, start, end) for one in _braces(shell, text, start, end)]
        return [Word(text, 0, start, end)]
    if kind == "raw_string":
        return [Word(shell.text[start + 1 : end - 1], 0, start, end)]
    if kind in ("simple_expansion", "expansion", "string") and (several := positional(shell, node)) is not None:
        return [Word(word.text, word.taint, start, end) for word in several]
    text, taint, split = part(shell, node)
    raw = shell.text[start:end]
    texts = fields(shell, text) if split else [text]
    if "{" in raw and kind in ("concatenation", "brace_expression") and has_braces(raw) and "${" not in raw:
        texts = [one for text in texts[:MAX_WORDS] for one in _braces(shell, text, start, end)]
    if len(texts) > MAX_WORDS:
        shell.find_at("too-large", start, end, "words")
    return [Word(text, taint, start, end) for text in texts[:MAX_WORDS]]


def _braces(shell: Shell, text: str, start: int, end: int) -> list[str]:
    """The words of a brace list. Of a long sequence the first stand for all, of a long list nothing may be dropped."""
    texts = expand_braces(text)
    shell.steps += len(texts) // 4
    if len(texts) > MAX_WORDS and ".." not in text:
        shell.find_at("too-large", start, end, "words")
    return texts[:MAX_WORDS]


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
        name = shell.text[start + 1 : end]
        if name in shell.references:
            name = referred(shell, name, Word("", 0, start, end))
        text, taint = shell.variables.get(name, (UNKNOWN, 0))
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
    if kind in ("arithmetic_expansion", "subscript"):
        return (UNKNOWN if kind == "arithmetic_expansion" else shell.text[start:end]), evaluated(shell, node), False
    if kind in ("regex", "extglob_pattern"):  # the grammar leaves what is in a pattern as text
        shell.expand_text(shell.text[start:end], Word("", 0, start, end))
    if node.named_children:
        shell.enter()
        for child in node.named_children:
            part(shell, child)
        shell.leave()
    return shell.text[start:end], 0, False


def evaluated(shell: Shell, node: Node) -> int:
    """Evaluate a node of arithmetic, or an array's subscript: `$((..))`, `((..))`, `a[..]`. Returns its taint."""
    word = Word("", 0, node.start_byte, node.end_byte)
    shell.enter()
    if node.type == "subscript":
        taint = 0
        for child in node.named_children[1:]:
            text, more = flattened(shell, child)
            taint |= more
            shell.subscript(text, word._replace(text=text, taint=more))
    else:
        text, taint = flattened(shell, node, whole=False)
        shell.evaluate(text.strip("$[]()"), word._replace(text=text, taint=taint))
    shell.leave()
    return taint


def flattened(shell: Shell, node: Node, whole: bool = True) -> tuple[str, int]:
    """The text of a node with every expansion in it done, at any depth, and where the text comes from.

    With `whole` the node itself may be one, else only what is in it."""
    if whole and node.type in EXPANDED:
        text, taint, _split = part(shell, node)
        return text, taint
    if node.type == "subscript":
        evaluated(shell, node)
    children = node.named_children
    if not children:
        text, taint, _split = part(shell, node)
        return text, taint
    pieces, taint, at = [], 0, node.start_byte
    shell.enter()
    for child in children:
        pieces.append(shell.text[at : child.start_byte])
        text, more = flattened(shell, child)
        pieces.append(text)
        taint, at = taint | more, child.end_byte
    shell.leave()
    return "".join(pieces) + shell.text[at : node.end_byte], taint


def fields(shell: Shell, text: str) -> list[str]:
    """The words that an unquoted text is split into, by IFS where that is known."""
    separators = shell.variables.get("IFS", (" ", 0))[0]
    if not separators or UNKNOWN in separators or (" " in separators and not separators.strip()):
        return text.split() if separators else [text]
    return [piece for piece in re.split(f"[{re.escape(separators)}]", text) if piece]


def backquotes(shell: Shell, text: str, start: int, end: int) -> str:
    """Run what stands between backquotes where the grammar leaves them as text: inside `${..}` and here-documents."""

    def one(found: re.Match[str]) -> str:
        output = shell.run_text(re.sub(r"\\([`$\\])", r"\1", found.group(1)), Word("", 0, start, end))
        return UNKNOWN if output.text is None else output.text.rstrip("\n")

    return BACKQUOTES.sub(one, text)


def leftover(shell: Shell, text: str, start: int, end: int) -> str:
    """A text in which the grammar saw nothing to expand. It misses some, as where a line starts with a tab."""
    if "$" in text or "`" in text:
        shell.expand_text(text, Word("", 0, start, end))
    return text


def _string(shell: Shell, node: Node) -> tuple[str, int]:
    """A double-quoted string. The grammar leaves some white space out of its nodes: gaps come from the text."""
    children = node.named_children
    at, end = node.start_byte + 1, node.end_byte - 1
    if not children:
        return in_quotes(leftover(shell, shell.text[at:end], at, end)), 0
    pieces: list[str] = []
    taint = size = 0
    shell.enter()
    for child in children:
        if child.type == "string_content":
            continue
        pieces.append(in_quotes(leftover(shell, shell.text[at : child.start_byte], at, child.start_byte)))
        text, more, _split = part(shell, child)
        pieces.append(text)
        size += len(text)
        taint |= more
        at = child.end_byte
        if size > MAX_TEXT:
            pieces, size = [UNKNOWN], 0
    pieces.append(in_quotes(leftover(shell, shell.text[at:end], at, end)))
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
        taint |= evaluated(shell, children[0])
    for child in children[1:]:
        text, more, _split = part(shell, child)
        inner, taint = inner + text, taint | more
    shell.leave()
    if not found:
        return UNKNOWN, taint
    prefix, name, index, rest = found.groups()
    word = Word("", taint, node.start_byte, node.end_byte)
    name = referred(shell, name, word)
    if prefix == "!" and index is None and not rest:  # ${!x}: the variable that x names
        target, origin = shell.variables.get(name, (UNKNOWN, 0))
        if "[" in target:
            shell.subscript(target.partition("[")[2].rstrip("]"), word)
        value, more = shell.variables.get(target, (UNKNOWN, 0))
        return value, origin | more | taint
    if prefix or (rest[:1] == "@" and rest != "@P"):
        return UNKNOWN, taint
    if index is not None:
        items = shell.arrays.get(name)
        if items and index.isdigit() and int(index) < len(items) and not rest:
            return items[int(index)].text, items[int(index)].taint | taint
        if items and rest == "@P":
            for item in items:
                shell.expand_text(item.text, word)
        return UNKNOWN, taint | shell.variables.get(name, (UNKNOWN, 0))[1]
    value, origin = shell.variables.get(name, (UNKNOWN, 0))
    if rest == "@P":
        shell.expand_text(value, word)
        return UNKNOWN, taint | origin
    if rest[:1] == ":" and rest[1:2] not in ("-", "=", "+", "?"):
        for one in rest[1:].split(":"):
            shell.evaluate(inner if "$" in one or "`" in one else one, word)
    return modified(shell, name, value, rest, inner, word._replace(taint=taint | origin))
