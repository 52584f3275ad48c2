"""What the parts that judge a command may ask of the walk (shell.py). A protocol, so that imports go one way."""

from typing import Protocol

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
    privileged: bool

    def enter(self) -> None:
        """Count one step and one level of nesting; ends the walk at its limits."""

    def leave(self) -> None:
        """Leave the level of the last `enter`."""

    def find(self, rule: str, word: Word, detail: str = "") -> None:
        """Record a finding at a word."""

    def nested(self) -> bool:
        """Whether the words stand in a text that another program runs."""

    def run_text(self, code: str, word: Word, stdin: Output = ...) -> Output:
        """Judge a script that is the text of a word."""

    def suspect_text(self, code: str, word: Word) -> None:
        """Judge a text that may be a script; only what blocks counts."""

    def call_function(self, name: str, argv: list[Word], stdin: Output) -> Output:
        """Run a function that the command defined."""

    def set_arguments(self, words: list[Word]) -> None:
        """Set the positional parameters."""
