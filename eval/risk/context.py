"""What the parts that judge a command may ask of the walk (shell.py). A protocol, so that imports go one way."""

from collections.abc import Iterable
from typing import Any, Protocol

from tree_sitter import Node

from eval.risk.word import Output, Word


class Context(Protocol):
    """The walk's state: variables, functions, files written so far, and the findings."""

    text: str
    variables: dict[str, tuple[str, int]]
    arrays: dict[str, list[Word]]
    functions: dict[str, tuple[str, Node]]
    earlier: dict[str, list[tuple[str, Node]]]
    aliases: dict[str, str]
    files: dict[str, Output]
    directory: str | None
    steps: int
    references: dict[str, str]
    integers: set[str]
    associative: set[str]
    privileged: bool
    span: tuple[int, int] | None
    descriptors: dict[str, Output]
    inherited: Output
    readers: list[tuple[str, str, Node, tuple[int, int] | None]]
    arguments: dict[int, list[Node]]
    traps: list[Word]

    def enter(self) -> None:
        """Count one step and one level of nesting; ends the walk at its limits."""

    def leave(self) -> None:
        """Leave the level of the last `enter`."""

    def find(self, rule: str, word: Word, detail: str = "") -> None:
        """Record a finding at a word."""

    def nested(self) -> bool:
        """Whether the words stand in a text that another program runs."""

    def find_at(self, rule: str, start: int, end: int, detail: str = "") -> None:
        """Record a finding at a place of the current text."""

    def run(self, node: Node, stdin: Output = ...) -> Output:
        """Run one node and say what it prints."""

    def run_children(self, node: Node, stdin: Output = ...) -> Output:
        """Run every named child in order."""

    def run_all(self, nodes: Iterable[Node], stdin: Output) -> Output:
        """Run nodes in order and join what they print."""

    def substitute(self, node: Node) -> Output:
        """Run the commands of a substitution and say what they print."""

    def snapshot(self) -> Any:
        """What a statement may change."""

    def restore(self, state: Any) -> None:
        """Back to an earlier state."""

    def join(self, other: Any) -> None:
        """What differs from another state is not known."""

    def assign(self, name: str, word: Word) -> None:
        """Set a variable."""

    def evaluate(self, text: str, word: Word) -> None:
        """Evaluate a text as arithmetic."""

    def subscript(self, text: str, word: Word) -> None:
        """Evaluate the subscript of an array."""

    def expand_text(self, text: str, word: Word) -> None:
        """Expand a text once more, as a prompt."""

    def run_text(self, code: str, word: Word, stdin: Output = ...) -> Output:
        """Judge a script that is the text of a word."""

    def suspect_text(self, code: str, word: Word) -> None:
        """Judge a text that may be a script; only what blocks counts."""

    def call_function(self, name: str, argv: list[Word], stdin: Output) -> Output:
        """Run a function that the command defined."""

    def set_arguments(self, words: list[Word]) -> None:
        """Set the positional parameters."""
