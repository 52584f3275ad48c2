"""What the parts that judge a command may ask of the walk (shell.py). A protocol, so that imports go one way."""

from collections.abc import Iterable
from typing import Any, Protocol

from tree_sitter import Node

from eval.risk.words import Output, Word


class Context(Protocol):
    """The walk's state: variables, functions, files written so far, and the findings."""

    text: str
    variables: dict[str, tuple[str, int]]
    arrays: dict[str, list[Word]]
    functions: dict[str, tuple[str, Node]]
    aliases: dict[str, str]
    files: dict[str, Output]
    directory: str | None
    steps: int
    privileged: bool

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

    def redirects(self, nodes: Iterable[Node], stdin: Output) -> tuple[Output, list[tuple[Word, bool, bool]]]:
        """Standard input after redirections, and the files written: (word, append, is standard output)."""

    def write_targets(self, targets: list[tuple[Word, bool, bool]], output: Output) -> Output:
        """Judge the files an output goes to; what is left goes on to the pipeline."""

    def snapshot(self) -> Any:
        """What a statement may change."""

    def restore(self, state: Any) -> None:
        """Back to an earlier state."""

    def join(self, other: Any) -> None:
        """What differs from another state is not known."""

    def run_text(self, code: str, word: Word, stdin: Output = ...) -> Output:
        """Judge a script that is the text of a word."""

    def suspect_text(self, code: str, word: Word) -> None:
        """Judge a text that may be a script; only what blocks counts."""

    def call_function(self, name: str, argv: list[Word], stdin: Output) -> Output:
        """Run a function that the command defined."""

    def set_arguments(self, words: list[Word]) -> None:
        """Set the positional parameters."""
