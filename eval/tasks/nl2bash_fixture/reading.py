"""What a gold command asks of its file tree, as data, and the words of a command. operands.py fills it in."""

import re
import shlex
from dataclasses import dataclass, field

# Options that take a word of their own, by utility; all other words with a dash stand alone.
TAKES_WORD = {
    "awk": {"-F", "-v"}, "cut": {"-d", "-f", "-c"}, "sort": {"-k", "-t"}, "head": {"-n", "-c"}, "tail": {"-n", "-c"},
    "grep": {"-A", "-B", "-C", "-m", "-e"}, "paste": {"-d"}, "du": {"-d"}, "tar": {"-C"}, "unzip": {"-d"},
    "stat": {"-c"}, "touch": {"-r", "-d"}, "date": {"-r", "-d"}, "git": {"-n", "-m", "-L", "-c"}, "seq": {"-s"},
    "sed": {"-e"}, "shuf": {"-n"}, "split": {"-l", "-b"}, "xargs": {"-n", "-I"},
}  # fmt: skip


@dataclass(frozen=True)
class Operand:
    """A path the gold names and what has to be there. `twin` is the path that this one is compared with.

    `kind` is a key of contents.MAKERS, or: `folder` (searched, packed, listed ...), `target` (a folder where things are
    put), `kept` (the same, and nothing there may be overwritten), `fresh` (a file that `touch` makes), `absent` (made
    by the gold), `accounts` (/etc/passwd, /etc/group), `edited` (its twin with changes).
    """

    path: str
    kind: str
    twin: str | None = None


@dataclass
class Reading:
    """What one gold asks of its file tree. Ages in days, sizes in bytes; `signs` are those of -mtime, -size."""

    gold: str
    operands: list[Operand] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # texts that are looked for or replaced
    globs: list[str] = field(default_factory=list)
    any_case: bool = False
    folder_names: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)  # folders that are left out
    ages: list[tuple[str, float]] = field(default_factory=list)
    sizes: list[tuple[str, int]] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)  # looked for
    new_modes: list[int] = field(default_factory=list)  # given
    types: list[str] = field(default_factory=list)
    depth: int = 0
    is_empty: bool = False
    newer: str | None = None
    owners: list[str] = field(default_factory=list)
    group_owners: list[str] = field(default_factory=list)
    rows: int = 0  # the largest number of lines that is counted off
    named_lines: list[int] = field(default_factory=list)  # by their numbers
    context: int = 0
    width: int = 0
    size: int = 0
    columns: int = 0
    numeric: set[int] = field(default_factory=set)
    word_columns: set[int] = field(default_factory=set)
    limits: list[int] = field(default_factory=list)
    carriage_returns: bool = False
    no_header: bool = False
    utilities: list[str] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)  # words of each simple command

    def add(self, path: str, kind: str, twin: str | None = None) -> None:
        if path not in {operand.path for operand in self.operands}:
            self.operands.append(Operand(path, kind, twin))

    def column(self, number: int) -> None:
        self.columns = max(self.columns, number)

    def count(self, number: int) -> None:
        self.rows = max(self.rows, number)


def simple_commands(gold: str) -> list[list[str]]:
    """The words of each simple command, quotes removed; redirection signs are words of their own."""
    lexer = shlex.shlex(gold, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    calls: list[list[str]] = [[]]
    for word in lexer:
        if word in ("|", "||", "&&", ";", "&"):
            calls.append([])
        else:
            calls[-1].append(word)
    return [call for call in calls if call]


def split_options(utility: str, words: list[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """(options standing alone, options with their word, other words)."""
    alone: list[str] = []
    valued: dict[str, str] = {}
    rest: list[str] = []
    taking = TAKES_WORD.get(utility, set())
    queue = iter(words)
    for word in queue:
        last = f"-{word[-1]}" if word.startswith("-") and not word.startswith("--") and len(word) > 1 else ""
        if word == "--":
            rest += list(queue)
        elif last in taking and (len(word) == 2 or (utility in ("sort", "paste") and word[1:-1].isalpha())):
            alone.append(word[:-1])
            valued[last] = next(queue, "")
        elif word.startswith("-") and word != "-" and utility != "find":
            head, _, value = word.partition("=")
            if value:
                valued[head] = value
            else:
                alone.append(word)
        else:
            rest.append(word)
    return [option for option in alone if option != "-"], valued, rest


def literal_parts(pattern: str, extended: bool = False) -> list[str]:
    """Texts that a pattern matches literally: `^foo` gives foo, `ORD-[0-9]+` gives ORD-4711."""
    parts = pattern.split("|") if extended else [pattern]
    found = []
    for part in parts:
        text = part.replace("[0-9]+", "4711").replace("[[:space:]]*", "").replace("[^[:space:]]+", "")
        text = re.sub(r"\\(.)", r"\1", text.removeprefix("^").removesuffix("$"))
        if text and re.search(r"\w|#", text) and "[" not in text:
            found.append(text)
    return found


def content_kind(path: str, fallback: str = "text") -> str:
    """The kind of a file that is only read, by its name."""
    name = path.rsplit("/", 1)[-1].lower()
    for ends, kind in ((".tar.gz", "tgz"), (".tgz", "tgz"), (".tar", "tar"), (".zip", "zip"), (".gz", "gz"),
                       (".csv", "csv"), (".log", "log"), (".sh", "script"), (".conf", "config"), (".ini", "config"),
                       (".cfg", "config"), (".cnf", "config"), (".env", "config")):  # fmt: skip
        if name.endswith(ends):
            return kind
    if path in ("/etc/passwd", "/etc/group"):
        return "accounts"
    return "log" if path.startswith("/var/log/") else fallback


def read_files(reading: Reading, paths: list[str]) -> None:
    """Files that are only read, each of the kind its name says."""
    for path in paths:
        reading.add(path, content_kind(path))
