"""Loops: the body runs once for each known value, at most LOOP_VALUES times, and perhaps never."""

import re

from tree_sitter import Node

from eval.risk.context import Context
from eval.risk.paths import GLOB, UNKNOWN
from eval.risk.variables import assign
from eval.risk.word import NOTHING, Output, Word
from eval.risk.words import evaluated, expand

LOOP_VALUES = 8
ALWAYS = re.compile(r"(?:true|:|\[\s+1\s+\]|1|\(\(\s*1\s*\)\)|\[\[\s+1\s+\]\])\s*;?$")
PLAIN = re.compile(r"[\w.,:@%+=]+")  # a loop's value that is no place


def for_loop(shell: Context, node: Node, stdin: Output) -> Output:
    name = node.child_by_field_name("variable")
    body = node.child_by_field_name("body")
    values: list[Word] = []
    for child in node.children_by_field_name("value"):
        values += expand(shell, child)
    if name is None or body is None:
        return shell.run_children(node, stdin)
    variable = shell.text[name.start_byte : name.end_byte]
    if not any(child.type == "in" for child in node.children):  # for x; do
        values = shell.arrays.get("@", [])
    output = NOTHING
    before = shell.snapshot()
    beyond = [value for value in values[LOOP_VALUES:] if not PLAIN.fullmatch(value.text)]
    for value in values[:LOOP_VALUES] + beyond or [Word(UNKNOWN, 0, node.start_byte, node.end_byte)]:
        assign(shell, variable, value)
        output = shell.run(body, stdin)
    if not values or any(UNKNOWN in value.text or GLOB.search(value.text) for value in values):
        shell.join(before)  # perhaps it never ran
    return Output(None, output.taint, output.paths)


def while_loop(shell: Context, node: Node, stdin: Output) -> Output:
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


def counting_loop(shell: Context, node: Node, stdin: Output) -> Output:
    """`for ((a; b; c))`"""
    before = shell.snapshot()
    output = NOTHING
    for child in node.named_children:
        if child.type in ("do_group", "compound_statement"):
            output = shell.run(child, stdin)
        else:
            evaluated(shell, child)
            if child.type == "variable_assignment" and (name := child.child_by_field_name("name")) is not None:
                shell.variables[shell.text[name.start_byte : name.end_byte]] = (UNKNOWN, 0)
    shell.join(before)
    return Output(None, output.taint, output.paths)
