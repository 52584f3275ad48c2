"""Statements that set or forget variables: `x=`, arrays, declare and its relatives, unset."""

from tree_sitter import Node

from eval.risk.context import Context
from eval.risk.paths import UNKNOWN
from eval.risk.shell_builtins import declare
from eval.risk.variables import assign
from eval.risk.word import NOTHING, Output, Word
from eval.risk.words import expand, flattened, value_of


def assignment(shell: Context, node: Node, _stdin: Output) -> Output:
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if name is None:
        return NOTHING
    target = shell.text[name.start_byte : name.end_byte]
    if name.type == "subscript":
        target = f"{shell.text[name.start_byte : name.named_children[0].end_byte]}[{_index(shell, name)}]"
    append = any(child.type == "+=" for child in node.children)
    if value is None:
        text, taint = "", 0
    elif value.type == "array":
        items = [word for child in value.named_children for word in expand(shell, child)]
        for item in items:
            if item.text.startswith("[") and "]=" in item.text and target not in shell.associative:
                shell.subscript(item.text[1:].rpartition("]=")[0], item)
        if append and (known := shell.arrays.get(target)) is not None:
            items = known + items
        elif append:
            items = []  # to elements that are not known
        text, taint = (items[0].text, items[0].taint) if items else (UNKNOWN if append else "", 0)
        assign(shell, target, Word(text, taint, node.start_byte, node.end_byte))
        if items or not append:
            shell.arrays[target] = items
        return NOTHING
    else:
        text, taint = value_of(shell, value)
    assign(shell, target, Word(text, taint, node.start_byte, node.end_byte), append)
    return NOTHING


def _index(shell: Context, node: Node) -> str:
    """The subscript of `a[..]=` with its expansions done; it is evaluated where the element is set."""
    return "".join(flattened(shell, child)[0] for child in node.named_children[1:])


def declaration(shell: Context, node: Node, _stdin: Output) -> Output:
    """declare, export, local, readonly, typeset: attributes first, then names and values."""
    argv: list[Word] = []
    assignments: list[Node] = []
    for child in (*node.children, *shell.arguments.pop(node.id, ())):
        if child.type == "variable_assignment":
            assignments.append(child)
        elif child.is_named and child.type != "variable_name":
            argv += expand(shell, child)
        elif child.type != "comment":
            argv.append(Word(shell.text[child.start_byte : child.end_byte], 0, child.start_byte, child.end_byte))
    names = [shell.text[one.start_byte : one.end_byte].split("=")[0].rstrip("+") for one in assignments]
    if argv:
        declare(shell, argv, names)
    for one in assignments:
        if one.named_children and names and _is_reference(argv):
            value = one.child_by_field_name("value")
            target = value_of(shell, value)[0] if value is not None else ""
            shell.references[shell.text[one.start_byte : one.named_children[0].end_byte]] = target
        else:
            assignment(shell, one, NOTHING)
    return NOTHING


def _is_reference(argv: list[Word]) -> bool:
    return any(word.text[:1] == "-" and "n" in word.text for word in argv[1:]) and argv[0].text != "export"


def unset(shell: Context, node: Node, _stdin: Output) -> Output:
    words = [word for child in node.named_children for word in expand(shell, child)]
    for child in shell.arguments.pop(node.id, ()):
        words += expand(shell, child)
    for word in words:
        name, bracket, rest = word.text.partition("[")
        if bracket and name not in shell.associative:
            shell.subscript(rest.rstrip("]"), word)
        shell.variables.pop(word.text, None)
        if word.text.startswith("HIST"):
            shell.find_at("anti-forensics", node.start_byte, node.end_byte, word.text)
    return NOTHING
