"""A word after expansion, what a command prints, and what expansion needs of the shell (words.py does it)."""

from typing import NamedTuple, Protocol

from tree_sitter import Node

# Where a text comes from. NET: the network. SECRET: credentials or the environment. DECODED: an encoding was undone.
# ENDLESS: it does not end by itself. FILE: a file's content. SHELL: what a shell prints that obeys its
# input. RUN: an unknown output of a command. PROCESSES: a list of processes, SERVICE: of a service of the system.
NET, SECRET, DECODED, ENDLESS, FILE, SHELL, RUN, PROCESSES, SERVICE = 1, 2, 4, 8, 16, 32, 64, 128, 256
MAX_TEXT = 10_240  # a longer text is unknown: variables could double it again and again


class Word(NamedTuple):
    """An expanded word: its text, where it comes from, and its place in the analysed text."""

    text: str
    taint: int
    start: int
    end: int


class Output(NamedTuple):
    """What a command prints or a file holds: the text when it is known, where it comes from, the paths when it lists
    files, and where it leads when it is a symbolic link."""

    text: str | None
    taint: int = 0
    paths: tuple[str, ...] = ()
    link: str = ""


NOTHING = Output("")
UNKNOWN_OUTPUT = Output(None)


class Shell(Protocol):
    """What expansion needs of the shell: its text, its variables, and a way to run a substitution."""

    text: str
    variables: dict[str, tuple[str, int]]
    arrays: dict[str, list[Word]]
    references: dict[str, str]
    steps: int

    def enter(self) -> None:
        """Count one step and one level of nesting."""

    def leave(self) -> None:
        """Leave the level of the last `enter`."""

    def find_at(self, rule: str, start: int, end: int, detail: str = "") -> None:
        """Record a finding."""

    def run_text(self, code: str, word: Word) -> Output:
        """Judge a script that is the text of a word."""

    def assign(self, name: str, word: Word) -> None:
        """Set a variable."""

    def evaluate(self, text: str, word: Word) -> None:
        """Evaluate a text as arithmetic."""

    def subscript(self, text: str, word: Word) -> None:
        """Evaluate the subscript of an array."""

    def expand_text(self, text: str, word: Word) -> None:
        """Expand a text once more, as a prompt."""

    def substitute(self, node: Node) -> Output:
        """Run the commands of a `$(..)`, `<(..)` or backquotes and say what they print."""
