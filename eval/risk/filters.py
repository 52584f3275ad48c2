"""What a pipeline's filters print when their input is known: echo, printf, base64, xxd, rev, tr, gunzip, ..."""

from collections.abc import Callable, Sequence

from eval.risk.decode import (
    MAX_TEXT,
    echo,
    from_base32,
    from_base64,
    from_hex,
    printf,
    reverse_lines,
    translate,
    unpack,
)
from eval.risk.effects import Row, Use
from eval.risk.paths import GLOB, UNKNOWN, program_name
from eval.risk.word import Output, Word

Filter = Callable[[str, Sequence[str]], str | None]
SILENT = {"true", "false", ":", "test", "[", "[[", "cd", "touch", "mkdir", "sleep", "umask", "export", "declare", "set"}
NAMES_PROGRAMS = {"which", "type"}  # `$(which rm)` is rm


def filtered(argv: Sequence[Word], stdin: Output) -> str | None:
    """The text that the command prints; None when it is not known."""
    name = program_name(argv[0].text) or ""
    if name in ("echo", "printf"):
        words = [word.text for word in argv[1:]]
        if any(UNKNOWN in word for word in words):
            return None
        return echo(words) if name == "echo" else printf(words)
    if name in SILENT:
        return ""
    if name in NAMES_PROGRAMS and len(argv) >= 2 and UNKNOWN not in argv[-1].text:
        return f"{argv[-1].text}\n"
    if name == "mktemp" and not any(word.text[:1] != "-" for word in argv[1:]):
        return f"/tmp/tmp.{UNKNOWN}\n"  # a new name in the folder for that
    known = FILTERS.get(name)
    if known is None or not stdin.text or UNKNOWN in stdin.text or len(stdin.text) > MAX_TEXT:
        return None
    return known(stdin.text, [word.text for word in argv[1:]])


def _cat(text: str, arguments: Sequence[str]) -> str | None:
    return text if not [word for word in arguments if word != "-"] else None


def _base64(text: str, arguments: Sequence[str]) -> str | None:
    return from_base64(text) if set(arguments) & {"-d", "-D", "--decode", "-di", "--d", "--dec"} else None


def _base32(text: str, arguments: Sequence[str]) -> str | None:
    return from_base32(text) if set(arguments) & {"-d", "--decode"} else None


def _xxd(text: str, arguments: Sequence[str]) -> str | None:
    options = "".join(word for word in arguments if word.startswith("-"))
    return from_hex(text) if "r" in options and "p" in options else None


def _rev(text: str, arguments: Sequence[str]) -> str | None:
    return reverse_lines(text) if not arguments else None


def _gunzip(text: str, _arguments: Sequence[str]) -> str | None:
    return unpack(text)


def _tac(text: str, _arguments: Sequence[str]) -> str | None:
    return "\n".join(reversed(text.rstrip("\n").split("\n"))) + "\n"


FILTERS: dict[str, Filter] = {
    "cat": _cat,
    "tee": lambda text, _arguments: text,
    "base64": _base64,
    "base32": _base32,
    "xxd": _xxd,
    "rev": _rev,
    "tr": translate,
    "gunzip": _gunzip,
    "zcat": _gunzip,
    "gzip": lambda text, arguments: unpack(text) if "-d" in "".join(arguments) else None,
    "tac": _tac,
    "sort": lambda text, arguments: None if arguments else "\n".join(sorted(text.split("\n"))),
    "envsubst": lambda text, _arguments: None,
}


# Of the paths that they are given they let through some.
THINNING = {"grep", "egrep", "fgrep", "head", "tail", "sort", "uniq", "sed", "awk", "cut", "tr", "tac", "shuf", "comm",
            "rg"}  # fmt: skip


def passed(row: Row, use: Use, stdin: Output) -> tuple[str, ...]:
    """Paths that a filter lets through: no longer all of them."""
    if row.name in ("ls", "dir", "fd"):
        places = [word.text for role, word in use.found if role == "read"]
        return tuple(f"{one.rstrip('/')}/*" if not GLOB.search(one) else one for one in places) or ("./*",)
    if row.name not in THINNING or not stdin.paths:
        return ()
    if row.name in ("sort", "uniq", "tac", "shuf"):
        return stdin.paths
    return tuple(path[: path.rindex("/") + 1] + UNKNOWN if path.endswith("/*") else path for path in stdin.paths)
