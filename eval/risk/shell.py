"""A walk over a command's syntax tree that does what Bash would do, as far as that is known, without doing it.

It keeps variables, functions, aliases, the directory and the files written so far, follows data through pipelines
and into interpreters. What the kinds of statement do is in statements.py, simple commands are judged in invoke.py.

Limits: MAX_STEPS statements and MAX_DEPTH levels (nested scripts included). A command beyond them is `too-large`
and never allowed.
"""

import re
from collections.abc import Iterable

from tree_sitter import Node

from eval.risk.arithmetic import evaluate, expand_text, subscript
from eval.risk.findings import Finding, make_finding
from eval.risk.paths import UNKNOWN
from eval.risk.redirections import redirects, run_readers
from eval.risk.statements import STATEMENTS
from eval.risk.syntax import parse
from eval.risk.variables import assign
from eval.risk.word import MAX_TEXT, NOTHING, UNKNOWN_OUTPUT, Output, Word

AT_START = {"HOME": ("~", 0), "IFS": (" ", 0), "UID": ("1000", 0), "SHELL": ("/bin/bash", 0), "BASH": ("/bin/bash", 0)}
MAX_STEPS = 500
MAX_DEPTH = 40
LOCAL = re.compile(r"\b(?:local|declare|typeset)\b")
MAX_NESTED = 12_000  # characters of scripts inside words, all together


State = tuple[dict[str, tuple[str, int]], dict[str, list[Word]], dict[str, Output], str | None]


class TooMuch(Exception):
    """The walk reached its limits."""


class Shell:
    """State of the walk. `span` is set while a nested script is judged: findings then point to its word."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.span: tuple[int, int] | None = None
        self.places: tuple[int, ...] | None = None  # of the text's characters in the text as given
        self.variables: dict[str, tuple[str, int]] = dict(AT_START)
        self.arrays: dict[str, list[Word]] = {}
        self.functions: dict[str, tuple[str, Node]] = {}
        self.earlier: dict[str, list[tuple[str, Node]]] = {}  # definitions of functions before the last
        self.called: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.files: dict[str, Output] = {}
        self.references: dict[str, str] = {}  # declare -n
        self.integers: set[str] = set()  # declare -i
        self.associative: set[str] = set()  # declare -A
        self.descriptors: dict[str, Output] = {}
        self.inherited = NOTHING  # standard input after `exec <file`
        self.readers: list[tuple[str, str, Node, tuple[int, int] | None]] = []  # of >(command), not yet run
        self.arguments: dict[int, list[Node]] = {}  # words behind a redirection, by the command's node
        self.traps: list[Word] = []
        self.directory: str | None = None
        self.findings: list[Finding] = []
        self.active: list[str] = []
        self.privileged = False
        self.steps = 0
        self.characters = MAX_NESTED
        self.depth = 0

    def find(self, rule: str, word: Word, detail: str = "") -> None:
        """Record a finding at a word."""
        self.find_at(rule, word.start, word.end, detail or word.text)

    def find_at(self, rule: str, start: int, end: int, detail: str = "") -> None:
        """Record a finding at a place of the current text."""
        if self.span:
            start, end = self.span
        if self.places:
            start, end = self.places[start], self.places[end]
        self.findings.append(make_finding(rule, start, end, detail.replace(UNKNOWN, "…")))

    # --- scripts inside words ---

    def run_text(self, code: str, word: Word, stdin: Output = NOTHING) -> Output:
        """Judge a script that is the text of a word: `bash -c`, eval, a here-document, a decoded pipeline."""
        self.characters -= len(code) + 50
        syntax = parse(code) if self.characters > 0 else None
        if syntax is None:
            raise TooMuch
        if syntax.problem:
            self.characters -= 2 * (len(code) + 50)  # it was tried mended, too
            self.find(syntax.problem, word, code)
        *others, best = syntax.readings
        for reading in others:
            state = self.snapshot()
            self.run_node(reading.text, reading.root, word, stdin)
            self.restore(state)
        return self.run_node(best.text, best.root, word, stdin)

    def run_node(self, text: str, node: Node, word: Word, stdin: Output) -> Output:
        """Run a node of another text; findings point to `word`."""
        outer, span = self.text, self.span
        self.text, self.span = text, span or (word.start, word.end)
        try:
            return self.run(node, stdin)
        finally:
            self.text, self.span = outer, span

    def suspect_text(self, code: str, word: Word) -> None:
        """Judge a text that may be a script, such as a string in a Python program: only what blocks counts."""
        before = len(self.findings)
        self.run_text(code, word, UNKNOWN_OUTPUT)
        self.findings[before:] = [one for one in self.findings[before:] if one.action == "block"]

    def nested(self) -> bool:
        """Whether the words stand in a text that another program runs."""
        return self.span is not None

    def call_function(self, name: str, argv: list[Word], stdin: Output) -> Output:
        """Run a function's body with its arguments; a call of itself ends the walk of this branch."""
        if name in self.active:
            return UNKNOWN_OUTPUT
        text, body = self.functions[name]
        self.called.add(name)
        saved = dict(self.variables), self.arrays.get("@")
        self.set_arguments(argv[1:])
        self.active.append(name)
        state = self.snapshot()
        try:
            for earlier, other in self.earlier.get(name, ()):  # perhaps the later definition was never reached
                self.run_node(earlier, other, argv[0], stdin)
                self.restore(state)
            output = self.run_node(text, body, argv[0], stdin)
            if LOCAL.search(text, body.start_byte, body.end_byte):
                self.join(state)
            return output
        finally:
            self.active.pop()
            for number in "123456789":
                self.variables.pop(number, None)
            self.variables.update({key: value for key, value in saved[0].items() if key.isdigit()})
            if saved[1] is not None:
                self.arrays["@"] = saved[1]

    def set_arguments(self, words: list[Word]) -> None:
        """Set `$1`, `$2`, ... and `$@`."""
        self.arrays["@"] = words
        for number, word in enumerate(words[:9], start=1):
            self.variables[str(number)] = (word.text, word.taint)

    # --- what words need, from modules that need words themselves ---

    def assign(self, name: str, word: Word) -> None:
        """Set a variable."""
        assign(self, name, word)

    def evaluate(self, text: str, word: Word) -> None:
        """Evaluate a text as arithmetic."""
        evaluate(self, text, word)

    def subscript(self, text: str, word: Word) -> None:
        """Evaluate the subscript of an array."""
        subscript(self, text, word)

    def expand_text(self, text: str, word: Word) -> None:
        """Expand a text once more, as a prompt."""
        expand_text(self, text, word)

    # --- statements ---

    def finish(self) -> None:
        """What runs when the script ends: traps, with the variables as they are then, and waiting readers.

        Functions that nobody called stay in the shell for what comes next: of those, only what blocks counts.
        """
        for word in self.traps[:8]:
            self.run_text(word.text, word)
        run_readers(self)
        before = len(self.findings)
        for name in [name for name in self.functions if name not in self.called]:
            _text, body = self.functions[name]
            self.call_function(name, [Word(name, 0, body.start_byte, body.end_byte)], UNKNOWN_OUTPUT)
        self.findings[before:] = [one for one in self.findings[before:] if one.action == "block"]

    def run(self, node: Node, stdin: Output = NOTHING) -> Output:
        """Run one node and say what it prints."""
        self.enter()
        handler = STATEMENTS.get(node.type)
        output = handler(self, node, stdin) if handler else self.run_children(node, stdin)
        self.depth -= 1
        return output

    def enter(self) -> None:
        """Count one step and one level; TooMuch at the limits, which ends the walk."""
        self.steps += 1
        self.depth += 1
        if self.steps > MAX_STEPS or self.depth > MAX_DEPTH:
            raise TooMuch

    def leave(self) -> None:
        """Leave the level of the last `enter`."""
        self.depth -= 1

    def snapshot(self) -> State:
        """What a statement may change: variables, arrays, files and the directory."""
        return dict(self.variables), dict(self.arrays), dict(self.files), self.directory

    def restore(self, state: State) -> None:
        """Back to an earlier state: what a subshell did is gone."""
        self.variables, self.arrays, self.files = dict(state[0]), dict(state[1]), dict(state[2])
        self.directory = state[3]

    def join(self, other: State) -> None:
        """After a statement that may not have run, or ran elsewhere: what differs from `other` is not known."""
        variables, arrays, files, directory = other
        if self.variables != variables:
            for name in self.variables.keys() | variables.keys():
                one, two = self.variables.get(name, (UNKNOWN, 0)), variables.get(name, (UNKNOWN, 0))
                if one != two:
                    self.variables[name] = (UNKNOWN, one[1] | two[1])
        if self.arrays != arrays:
            self.arrays = {name: words for name, words in self.arrays.items() if arrays.get(name) == words}
        if self.files != files:
            for name, output in self.files.items():
                before = files.get(name)
                if before != output:
                    self.files[name] = Output(None, output.taint | (before.taint if before else 0))
        if self.directory != directory:
            self.directory = None

    def run_children(self, node: Node, stdin: Output = NOTHING) -> Output:
        """Run every named child in order; what they print is joined when all of it is known."""
        children = node.children
        if any(child.type == "&" for child in children):
            for index, child in enumerate(children):
                if child.is_named:
                    state = self.snapshot()
                    self.run(child, stdin)
                    if index + 1 < len(children) and children[index + 1].type == "&":
                        self.join(state)  # it ran beside the shell
            return UNKNOWN_OUTPUT
        return self.run_all(node.named_children, stdin)

    def run_all(self, nodes: Iterable[Node], stdin: Output) -> Output:
        """Run nodes in order and join what they print."""
        text: str | None = ""
        paths: tuple[str, ...] = ()
        taint = 0
        for child in nodes:
            output = self.run(child, stdin)
            text = None if text is None or output.text is None else text + output.text
            if text and len(text) > MAX_TEXT:
                text = None
            taint |= output.taint
            paths = output.paths or paths
        return Output(text, taint, paths)

    def substitute(self, node: Node) -> Output:
        """Run `$(..)`, backquotes or `<(..)`; a process substitution becomes a file of that content."""
        children = node.named_children
        if node.type == "process_substitution" and self.text[node.start_byte] == ">":
            self.readers.append((f"/dev/fd/{node.start_byte}", self.text, node, self.span))
            return NOTHING
        if node.type == "command_substitution" and self.text[node.start_byte] == "`":
            inner = self.text[node.start_byte + 1 : node.end_byte - 1]
            if "\\" in inner:  # nested backquotes: the grammar leaves them as words
                place = Word(inner, 0, node.start_byte, node.end_byte)
                return self.run_text(re.sub(r"\\([`$\\])", r"\1", inner), place)
        state = self.snapshot()
        if len(children) == 1 and children[0].type == "file_redirect":  # $(<file)
            output, _targets = redirects(self, children, NOTHING)
        else:
            output = self.run_all(children, NOTHING)
        self.restore(state)
        if node.type == "process_substitution":
            self.files[f"/dev/fd/{node.start_byte}"] = output
        return output
