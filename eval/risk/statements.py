"""Bash's statements: what each kind of syntax node does to the walk's state.

Loops run once for each known value (at most LOOP_VALUES), both branches of a choice run, and unknown conditions
are taken as possible.
"""

import re
from collections.abc import Callable

from tree_sitter import Node

from eval.risk.context import Context
from eval.risk.invoke import invoke
from eval.risk.judge import assigned, shell_on_network
from eval.risk.paths import GLOB, NETWORK_DEVICE, UNKNOWN
from eval.risk.words import MAX_TEXT, NOTHING, Output, Word, expand, part, value_of

LOOP_VALUES = 8
ALWAYS = re.compile(r"(?:true|:|\[\s+1\s+\]|1|\(\(\s*1\s*\)\)|\[\[\s+1\s+\]\])\s*;?$")
SKIPPED = re.compile(r"[^ \t\\\n]|(?<!\\)\n")  # between the words of a command only blanks and continued lines
Targets = list[tuple[Word, bool, bool]]


def _command(shell: Context, node: Node, stdin: Output) -> Output:
    argv: list[Word] = []
    assignments: list[Node] = []
    redirects: list[Node] = []
    end = node.start_byte
    for child in node.children:
        kind = child.type
        if child.start_byte > end + 1 and SKIPPED.search(shell.text, end, child.start_byte):
            shell.find_at("unparsable", end, child.start_byte, shell.text[end : child.start_byte])
        end = child.end_byte
        if kind == "command_name":  # without a character where only a variable is set
            for inner in child.children if child.text else ():
                argv += expand(shell, inner)
        elif kind == "word":
            argv += expand(shell, child)
        elif kind == "variable_assignment":
            assignments.append(child)
        elif kind.endswith("_redirect"):
            redirects.append(child)
        elif kind != "comment" and kind != "ERROR":
            argv += expand(shell, child)
    targets: Targets = []
    if redirects:
        stdin, targets = shell.redirects(redirects, stdin)
    privileged = shell.privileged
    if assignments:
        before = dict(shell.variables)
        for one in assignments:
            _assign(shell, one, NOTHING)
        output = invoke(shell, argv, stdin) if argv else NOTHING
        if argv:
            shell.variables = before
    else:
        output = invoke(shell, argv, stdin) if argv else NOTHING
    shell.privileged = privileged
    return shell.write_targets(targets, output) if targets else output


def _redirected(shell: Context, node: Node, stdin: Output) -> Output:
    body = node.child_by_field_name("body")
    nodes = [child for child in node.named_children if child.type.endswith("_redirect")]
    stdin, targets = shell.redirects(nodes, stdin)
    if any(NETWORK_DEVICE.match(word.text) for word, _append, _standard in targets) and body is not None:
        shell_on_network(shell, shell.text[body.start_byte : body.end_byte], targets[0][0])
    output = shell.run(body, stdin) if body is not None else NOTHING
    output = shell.write_targets(targets, output)
    for heredoc in nodes:
        if heredoc.type != "heredoc_redirect":
            continue
        for child in heredoc.named_children:
            if child.type == "pipeline":
                output = _pipeline(shell, child, output)
            elif child.type == "file_redirect":
                _stdin, more = shell.redirects([child], NOTHING)
                output = shell.write_targets(more, output)
            elif not child.type.startswith("heredoc_"):
                shell.run(child, NOTHING)
    return output


def _pipeline(shell: Context, node: Node, stdin: Output) -> Output:
    output = stdin
    state = shell.snapshot()
    for child in node.named_children:
        if child.type != "comment":
            output = shell.run(child, output)
    shell.join(state)  # each part runs in a subshell of its own
    return output


def _list(shell: Context, node: Node, stdin: Output) -> Output:
    """`a && b`, `a || b`. Inside a chain of && the left side has succeeded; nothing else is certain."""
    state = shell.snapshot()
    children = node.children
    output = NOTHING
    for child in children:
        if child.is_named:
            more = shell.run(child, stdin)
            known = output.text is not None and more.text is not None
            text = f"{output.text}{more.text}" if known else None
            output = Output(text, output.taint | more.taint, more.paths or output.paths)
        elif child.type == "||":
            shell.join(state)
    if node.parent is None or node.parent.type != "list" or any(child.type == "||" for child in children):
        shell.join(state)
    return output


def _scoped(shell: Context, node: Node, stdin: Output) -> Output:
    state = shell.snapshot()
    output = shell.run_children(node, stdin)
    shell.restore(state)
    return output


def _for(shell: Context, node: Node, stdin: Output) -> Output:
    name = node.child_by_field_name("variable")
    body = node.child_by_field_name("body")
    values: list[Word] = []
    for child in node.children_by_field_name("value"):
        values += expand(shell, child)
    if name is None or body is None:
        return shell.run_children(node, stdin)
    variable = shell.text[name.start_byte : name.end_byte]
    output = NOTHING
    before = shell.snapshot()
    for value in values[:LOOP_VALUES] or [Word(UNKNOWN, 0, node.start_byte, node.end_byte)]:
        shell.variables[variable] = (value.text, value.taint)
        output = shell.run(body, stdin)
    if not values or any(UNKNOWN in value.text or GLOB.search(value.text) for value in values):
        shell.join(before)  # perhaps it never ran
    return Output(None, output.taint, output.paths)


def _while(shell: Context, node: Node, stdin: Output) -> Output:
    condition, body = node.child_by_field_name("condition"), node.child_by_field_name("body")
    if condition is not None and body is not None:
        text = shell.text[condition.start_byte : condition.end_byte]
        inner = shell.text[body.start_byte : body.end_byte]
        if (
            ALWAYS.match(text)
            and "&" in [child.type for child in body.children]
            and not re.search("sleep|wait|read", inner)
        ):
            shell.find_at("fork-bomb", node.start_byte, node.end_byte)
    state = shell.snapshot()
    output = shell.run_children(node, stdin)
    shell.join(state)
    return Output(None, output.taint, output.paths)


def _if(shell: Context, node: Node, stdin: Output) -> Output:
    """Every branch starts from the same state; afterwards only what all agree on is known."""
    before = shell.snapshot()
    clauses = [child for child in node.named_children if child.type in ("elif_clause", "else_clause")]
    output = shell.run_all([child for child in node.named_children if child not in clauses], stdin)
    for clause in clauses:
        other = shell.snapshot()
        shell.restore(before)
        more = shell.run_children(clause, stdin)
        output = Output(None, output.taint | more.taint, more.paths or output.paths)
        shell.join(other)
    if not clauses or clauses[-1].type != "else_clause":
        shell.join(before)
    return Output(None, output.taint, output.paths)


def _case(shell: Context, node: Node, stdin: Output) -> Output:
    before = shell.snapshot()
    output = NOTHING
    for child in node.named_children:
        other = shell.snapshot()
        if child.type == "case_item":
            shell.restore(before)
        more = shell.run(child, stdin)
        output = Output(None, output.taint | more.taint, more.paths or output.paths)
        shell.join(other)
    return output


def _function(shell: Context, node: Node, _stdin: Output) -> Output:
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    if name is None or body is None:
        return NOTHING
    function = shell.text[name.start_byte : name.end_byte]
    shell.functions[function] = (shell.text, body)
    inner = shell.text[body.start_byte : body.end_byte]
    calls = len(re.findall(rf"(?:^|[\s;|&{{(]){re.escape(function)}(?=$|[\s;|&}})])", inner))
    if calls and re.search(r"\|[^|]|[^&>]&(?![&>\d])", inner):
        shell.find_at("fork-bomb", node.start_byte, node.end_byte, function)
    return NOTHING


def _assign(shell: Context, node: Node, _stdin: Output) -> Output:
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if name is None:
        return NOTHING
    variable = shell.text[name.start_byte : name.end_byte]
    if value is None:
        text, taint = "", 0
    elif value.type == "array":
        items = [word for child in value.named_children for word in expand(shell, child)]
        shell.arrays[variable] = items
        text, taint = (items[0].text, items[0].taint) if items else ("", 0)
    else:
        text, taint = value_of(shell, value)
    if any(child.type == "+=" for child in node.children):
        before, more = shell.variables.get(variable, (UNKNOWN, 0))
        text, taint = before + text if len(before) < MAX_TEXT else UNKNOWN, taint | more
    shell.variables[variable] = (text, taint)
    assigned(shell, variable, Word(text, taint, node.start_byte, node.end_byte))
    return NOTHING


def _declaration(shell: Context, node: Node, _stdin: Output) -> Output:
    for child in node.named_children:
        if child.type == "variable_assignment":
            _assign(shell, child, NOTHING)
        elif child.type in ("concatenation", "word", "string"):
            for word in expand(shell, child):
                name, equals, value = word.text.partition("=")
                if equals:
                    shell.variables[name] = (value, word.taint)
                    assigned(shell, name, Word(value, word.taint, word.start, word.end))
    return NOTHING


def _unset(shell: Context, node: Node, _stdin: Output) -> Output:
    for child in node.named_children:
        text = shell.text[child.start_byte : child.end_byte]
        shell.variables.pop(text, None)
        if text.startswith("HIST"):
            shell.find_at("anti-forensics", node.start_byte, node.end_byte, text)
    return NOTHING


def _word(shell: Context, node: Node, _stdin: Output) -> Output:
    part(shell, node)
    return NOTHING


def _nothing(_shell: Context, _node: Node, _stdin: Output) -> Output:
    return NOTHING


STATEMENTS: dict[str, Callable[[Context, Node, Output], Output]] = {
    "command": _command,
    "redirected_statement": _redirected,
    "pipeline": _pipeline,
    "subshell": _scoped,
    "for_statement": _for,
    "while_statement": _while,
    "if_statement": _if,
    "case_statement": _case,
    "list": _list,
    "function_definition": _function,
    "variable_assignment": _assign,
    "declaration_command": _declaration,
    "unset_command": _unset,
} | dict.fromkeys(
    ("string", "concatenation", "command_substitution", "process_substitution", "expansion", "simple_expansion",
     "arithmetic_expansion", "translated_string", "subscript"), _word,
) | dict.fromkeys(
    ("comment", "word", "raw_string", "number", "variable_name", "test_operator", "extglob_pattern", "regex",
     "ansi_c_string", "heredoc_start", "heredoc_body", "heredoc_end", "file_descriptor"), _nothing,
)  # fmt: skip
