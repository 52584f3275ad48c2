"""Bash's statements: what each kind of syntax node does to the walk's state.

Both branches of a choice run, and unknown conditions
are taken as possible.
"""

import re
from collections.abc import Callable

from tree_sitter import Node

from eval.risk import loops
from eval.risk.assignments import assignment, declaration, unset
from eval.risk.context import Context
from eval.risk.invoke import invoke
from eval.risk.paths import NETWORK_DEVICE
from eval.risk.redirections import WORDS, Targets, command_of, redirects, run_readers, words_after, write_targets
from eval.risk.touched import shell_on_network
from eval.risk.word import NOTHING, UNKNOWN_OUTPUT, Output, Word
from eval.risk.words import evaluated, expand, flattened, part

MAX_EARLIER = 4
EXEC = re.compile(r"\s*exec(?:\s+\{\w+\})?\s*")
SKIPPED = re.compile(r"[^ \t\\\n]|(?<!\\)\n")  # between the words of a command only blanks and continued lines
COMPARES = {"-eq", "-ne", "-lt", "-le", "-gt", "-ge"}


def _command(shell: Context, node: Node, stdin: Output) -> Output:
    argv: list[Word] = []
    assignments: list[Node] = []
    found: list[Node] = []
    end = node.start_byte
    first = len(shell.readers)
    for child in node.children:
        kind = child.type
        if child.start_byte > end + 1 and SKIPPED.search(shell.text, end, child.start_byte):
            shell.find_at("unparsable", end, child.start_byte, shell.text[end : child.start_byte])
        glued, end = child.start_byte == end and child.start_byte > node.start_byte, child.end_byte
        before = len(argv)
        if kind == "command_name":  # without a character where only a variable is set
            for inner in child.children if child.text else ():
                argv += expand(shell, inner)
        elif kind == "word":
            argv += expand(shell, child)
        elif kind == "variable_assignment":
            assignments.append(child)
        elif kind.endswith("_redirect"):
            found.append(child)
        elif kind != "comment" and kind != "ERROR":
            argv += expand(shell, child)
        if glued and 0 < before < len(argv):  # one word that the grammar cut in two: r`:`m
            argv[before - 1 : before + 1] = [_glued(argv[before - 1], argv[before])]
    for child in (*words_after(found), *shell.arguments.pop(node.id, ())):
        argv += expand(shell, child)
    if stdin is NOTHING:
        stdin = shell.inherited
    targets: Targets = []
    if found:
        stdin, targets = redirects(shell, found, stdin)
    privileged = shell.privileged
    if assignments:
        names = [shell.text[one.start_byte : one.end_byte].split("=")[0].rstrip("+") for one in assignments]
        outer = {name: shell.variables.get(name) for name in names}
        for one in assignments:
            assignment(shell, one, NOTHING)
        output = invoke(shell, argv, stdin) if argv else NOTHING
        if argv:  # for that command only
            for name, value in outer.items():
                if value is None:
                    shell.variables.pop(name, None)
                else:
                    shell.variables[name] = value
    else:
        output = invoke(shell, argv, stdin) if argv else NOTHING
    shell.privileged = privileged
    if targets:
        output = write_targets(shell, targets, output)
    if len(shell.readers) > first:
        run_readers(shell, first)
    return output


def _glued(one: Word, two: Word) -> Word:
    return Word(one.text + two.text, one.taint | two.taint, one.start, two.end)


def _redirected(shell: Context, node: Node, stdin: Output) -> Output:
    body = node.child_by_field_name("body")
    nodes = [child for child in node.named_children if child.type.endswith("_redirect")]
    first = len(shell.readers)
    stdin, targets = redirects(shell, nodes, stdin)
    if any(NETWORK_DEVICE.match(word.text) for word, _append, _standard in targets) and body is not None:
        shell_on_network(shell, shell.text[body.start_byte : body.end_byte], targets[0][0])
    if words := words_after(nodes):
        _give_words(shell, node, body, words)
    output = shell.run(body, stdin) if body is not None else NOTHING
    if body is not None and EXEC.fullmatch(shell.text, body.start_byte, body.end_byte):  # for all that follows
        shell.inherited = stdin
        output = UNKNOWN_OUTPUT
    output = write_targets(shell, targets, output)
    for heredoc in nodes:
        if heredoc.type != "heredoc_redirect":
            continue
        for child in heredoc.named_children:
            if child.type == "pipeline":
                output = _pipeline(shell, child, output)
            elif child.type == "file_redirect":
                _stdin, more = redirects(shell, [child], NOTHING)
                output = write_targets(shell, more, output)
            elif not child.type.startswith("heredoc_") and child.type not in WORDS:
                shell.run(child, NOTHING)
    run_readers(shell, first)
    return output


def _give_words(shell: Context, node: Node, body: Node | None, words: list[Node]) -> None:
    """Hand the words behind a redirection to the command they belong to."""
    command = command_of(body) if body is not None else None
    if command is not None and command.type in ("command", "declaration_command", "unset_command"):
        shell.arguments[command.id] = [*words, *shell.arguments.get(command.id, ())]
    else:
        shell.find_at("unparsable", node.start_byte, node.end_byte, "words behind a redirection")
        for word in words:
            expand(shell, word)


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
    if function in shell.functions and len(shell.earlier.get(function, ())) < MAX_EARLIER:
        shell.earlier.setdefault(function, []).append(shell.functions[function])
    shell.functions[function] = (shell.text, body)
    inner = shell.text[body.start_byte : body.end_byte]
    calls = len(re.findall(rf"(?:^|[\s;|&{{(]){re.escape(function)}(?=$|[\s;|&}})])", inner))
    if calls and re.search(r"\|[^|]|[^&>]&(?![&>\d])", inner):
        shell.find_at("fork-bomb", node.start_byte, node.end_byte, function)
    return NOTHING


def _compound(shell: Context, node: Node, stdin: Output) -> Output:
    """`{ ..; }`, or `((..))`, which is arithmetic."""
    if not shell.text.startswith("((", node.start_byte):
        return shell.run_children(node, stdin)
    evaluated(shell, node)
    return NOTHING


def _test(shell: Context, node: Node, stdin: Output) -> Output:
    """`[ .. ]` and `[[ .. ]]`. `-v` names a variable, and `[[` compares numbers as arithmetic."""
    waiting = [node]
    double = shell.text.startswith("[[", node.start_byte)
    while waiting:
        current = waiting.pop()
        marks = [one for one in current.children if one.type == "test_operator"]
        operators = {shell.text[one.start_byte : one.end_byte] for one in marks}
        sides = [one for one in current.named_children if one.type != "test_operator"]
        numbers = double and bool(operators & COMPARES)
        if numbers or operators & {"-v", "-R"}:
            for side in sides:
                text, taint = flattened(shell, side)
                word = Word(text, taint, side.start_byte, side.end_byte)
                if numbers:
                    shell.evaluate(text, word)
                elif "[" in text:
                    shell.subscript(text.partition("[")[2].rstrip("]"), word)
            continue
        for side in sides:
            if side.type.endswith("_expression"):
                waiting.append(side)
            else:
                shell.run(side, stdin)
    return UNKNOWN_OUTPUT


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
    "for_statement": loops.for_loop,
    "while_statement": loops.while_loop,
    "if_statement": _if,
    "case_statement": _case,
    "list": _list,
    "function_definition": _function,
    "variable_assignment": assignment,
    "declaration_command": declaration,
    "unset_command": unset,
    "compound_statement": _compound,
    "c_style_for_statement": loops.counting_loop,
    "test_command": _test,
} | dict.fromkeys(
    ("string", "concatenation", "command_substitution", "process_substitution", "expansion", "simple_expansion",
     "arithmetic_expansion", "translated_string", "subscript", "regex", "extglob_pattern", "word", "number"), _word,
) | dict.fromkeys(
    ("comment", "raw_string", "variable_name", "test_operator", "ansi_c_string", "heredoc_start", "heredoc_body",
     "heredoc_end", "file_descriptor"), _nothing,
)  # fmt: skip
