"""What a gold command and its request say about the files that would tell it from a wrong one.

The judge may look at the gold to choose how a fixture is perturbed: `-name '*.php'` asks for more names like that
and for some almost like it, `head -n 5` for files longer than five lines. It never looks at the candidate, so one
set of copies, and one set of gold results, serves every candidate. Heuristics: a missed hint costs sharpness only.
"""

import posixpath
import re
from dataclasses import dataclass

from eval.bash.parsing import normalise
from eval.sandbox.execution import Execution

NAME_TESTS = {"-name", "-iname", "-path", "-ipath", "-wholename", "--include", "--exclude"}
AGE_TESTS = {"-mtime", "-atime", "-ctime"}
MINUTE_TESTS = {"-mmin", "-amin", "-cmin"}
SIZE_UNITS = {"c": 1, "w": 2, "b": 512, "k": 1024, "M": 1 << 20, "G": 1 << 30, "": 512}
REGEX_PARTS = re.compile(r"\\[a-zA-Z<>]|\[[^\]]{0,200}\]|[\\^$.*+?(){}|/;:=,#@\"'`~&%<>!-]")
QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"|“([^“”]+)”")
PATH = re.compile(r"/?[\w.@+~-]+(?:/[\w.@+~-]+)*/?")
MISSING = re.compile(r"(?<![^\s'’\"‘:])([^\s'’\"‘:]+)['’\"]?(?: for reading)?: No such file or directory")
CASE_FREE = re.compile(
    r"\b(?:case[- ]?insensitive\w*|ignor\w+ (?:the )?(?:letter )?case|regardless of case)\b", re.IGNORECASE
)
COMPARED = re.compile(r"[<>]=?\s*(\d{1,4})\b|-(?:gt|lt|ge|le|eq|ne)\s+(\d{1,4})\b|==\s*(\d{1,4})\b")
GLOB = re.compile(r"[^\s*?]*[*?]\S*\.\w+|\*\w+\*|\w+\*")
FOLDER_WORDS = re.compile(r"\b(rmdir|cd|find|du|tree|pushd|ls|dir|rsync)\b")


@dataclass(frozen=True)
class Hints:
    """words: texts the gold looks for; globs: names it matches; sizes in bytes; ages in days; modes as octal;
    numbers: counts it names; mentioned: paths that must not disappear; types: of `find -type`;
    bounds: numbers that its filters compare with; case_free: letters of both cases are to be alike."""

    words: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    ages: tuple[float, ...] = ()
    modes: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    mentioned: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    bounds: tuple[int, ...] = ()
    case_free: bool = False


def command_words(command: str) -> list[str]:
    """Words of a command without their quotes; quoted scripts (sh -c '...') are opened as well."""
    words: list[str] = []
    for token in normalise(command) or tuple(command.split()):
        plain = token.strip("'\"")
        words.append(plain)
        if " " in plain and re.match(r"[a-z]+ ", plain):
            words += [part.strip("'\"") for part in normalise(plain) or ()]
    return words


def read_hints(gold: str, request: str) -> Hints:
    """Hints of one gold command; words come in order of appearance, so that the same text gives the same hints."""
    tokens = command_words(gold)
    found: dict[str, list] = {name: [] for name in Hints.__dataclass_fields__}
    before = ""
    for token in tokens:
        if before in NAME_TESTS or (before not in AGE_TESTS and GLOB.fullmatch(token)):
            found["globs"].append(token.rsplit("/", 1)[-1] if "/" in token and not token.startswith("*") else token)
        elif before == "-size" and (match := re.fullmatch(r"[+-]?(\d+)([cwbkMG]?)", token)):
            found["sizes"].append(int(match.group(1)) * SIZE_UNITS[match.group(2)])
        elif before in AGE_TESTS and re.fullmatch(r"[+-]?\d+", token):
            found["ages"].append(float(token.lstrip("+-")))
        elif before in MINUTE_TESTS and re.fullmatch(r"[+-]?\d+", token):
            found["ages"].append(float(token.lstrip("+-")) / 1440)
        elif before == "-perm" and re.fullmatch(r"[-/]?[0-7]{3,4}", token):
            found["modes"].append(int(token.lstrip("-/"), 8))
        elif before == "-perm" and (bits := symbolic_bits(token)):
            found["modes"] += [0o644 | bits, 0o644 & ~bits | 0o400]
        elif before == "-type":
            found["types"].append(token)
        elif not token.startswith("-") and len(token) <= 80:
            if PATH.fullmatch(token) and ("/" in token or "." in token):
                found["mentioned"].append(token)
            else:
                found["words"] += literal_words(token)
        found["numbers"] += [int(number) for number in re.findall(r"(?<![\w.])\d{1,3}(?![\w.])", token)]
        before = token
    for match in QUOTED.finditer(request):
        quoted = next(group for group in match.groups() if group)
        if not (PATH.fullmatch(quoted) and "/" in quoted):
            found["words"] += literal_words(quoted)
    found["mentioned"] += [path for path in PATH.findall(request) if "/" in path or "." in path.strip(".")]
    found["bounds"] = [int(next(filter(None, groups))) for groups in COMPARED.findall(gold)][:3]
    lists = {name: tuple(dict.fromkeys(values)) for name, values in found.items() if name != "case_free"}
    return Hints(**lists, case_free=CASE_FREE.search(request) is not None)


def symbolic_bits(mode: str) -> int:
    """Permission bits of a symbolic mode as find takes it (`-g+w,o+w`); 0 when it is none."""
    bits = 0
    for clause in mode.lstrip("-/").split(","):
        match = re.fullmatch(r"([ugoa]*)[+=]([rwx]+)", clause)
        if match is None:
            return 0
        for who, shift in (("u", 6), ("g", 3), ("o", 0)):
            if who in match[1] or "a" in match[1] or not match[1]:
                bits |= sum({"r": 4, "w": 2, "x": 1}[letter] for letter in set(match[2])) << shift
    return bits


def literal_words(text: str) -> list[str]:
    """Words of a pattern that a text can hold literally: `^foo.*bar$` gives foo and bar."""
    return [word for word in REGEX_PARTS.sub(" ", text).split() if re.search(r"[A-Za-z]", word) and len(word) <= 30]


def missing_operands(run: Execution, request: str, gold: str, cwd: str) -> dict[str, bool]:
    """Paths the command complained were missing -> whether a folder is meant, read from its own messages."""
    text = run.stderr.decode(errors="replace")
    if run.exit == 0 and not text:
        return {}
    found = {}
    for path in MISSING.findall(text):
        where = posixpath.normpath(posixpath.join(cwd, path))
        if not PATH.fullmatch(path.replace("~", "x", 1)) or where.startswith(("/dev", "/proc", "/sys", "/usr")):
            continue
        name = path.rstrip("/").rsplit("/", 1)[-1]
        asked = re.search(rf"\b(director(y|ies)|folders?)\b[^,;]{{0,20}}{re.escape(name)}", request, re.IGNORECASE)
        listed = FOLDER_WORDS.match(gold.strip()) and not gold.strip().startswith("ls -l ")
        found[path] = path.endswith("/") or bool(asked) or ("." not in name and bool(listed))
    return found
