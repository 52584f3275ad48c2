"""What it means that a variable is set: some decide which code runs, or what is recorded.

Every way to set one comes here (`assign`): `x=`, declare, export, read, printf -v, mapfile, getopts, for, select,
`${x:=y}`, names given through `declare -n`. Which variables matter is in the folder variables/: those that name code
or settings (code.yaml), those whose value is a command (commands.yaml), those that hold options (options.yaml).
"""

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from eval.risk.arithmetic import evaluate, subscript
from eval.risk.catalogue import sections
from eval.risk.context import Context
from eval.risk.paths import UNKNOWN, program_name
from eval.risk.word import FILE, MAX_TEXT, NET, NOTHING, UNKNOWN_OUTPUT, Word

HIST_OFF = {"HISTFILE", "HISTSIZE", "HISTFILESIZE", "HISTCONTROL", "HISTIGNORE", "HISTCMD"}
HISTORY_OFF = ("/dev/null", "0", "")
MAX_LINES = 64  # elements of an array
INTEGERS = {"RANDOM", "SECONDS", "LINENO"}  # Bash evaluates what is assigned to them
# A place that anybody may write, or that lies in the working area: programs found there are anybody's.
ANYBODYS = re.compile(r"/tmp\b|/var/tmp\b|/dev/shm\b|\.{0,2}$|\./?$")
PROJECT_PROGRAMS = re.compile(r"(?:\./)?(?:[\w.-]+/)*(?:node_modules/\.bin|\.?v?env/bin|vendor/bin)/?$")
PLACES = {"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "KUBECONFIG",
          "DOCKER_CONFIG", "CARGO_TARGET_DIR", "GOPATH", "GOBIN", "GOMODCACHE"}  # fmt: skip
PROMPTS = {"PS0", "PS1", "PS2", "PS4"}  # expanded when they are shown; PS4 by `set -x`
SUBSCRIPTED = re.compile(r"([A-Za-z_]\w*)\[(.*)\]$", re.DOTALL)
NAME = re.compile(r"[A-Za-z_]\w*")


class Meaning(NamedTuple):
    """Why a variable matters: `code`, `command` (with what its program adds) or `options` (with what is dangerous).

    `usual` are the programs that people give there.
    """

    kind: str
    detail: str = ""
    usual: frozenset[str] = frozenset()


def assign(shell: Context, target: str, value: Word, append: bool = False) -> None:
    """Set `target`, a name or `name[subscript]`, to a text."""
    element = SUBSCRIPTED.match(target)
    name = element.group(1) if element else target
    name = shell.references.get(name, name)
    if (through := SUBSCRIPTED.match(name)) is not None:  # declare -n r='a[..]'
        subscript(shell, through.group(2), value)
        name = through.group(1)
    if element is not None and name not in shell.associative:
        subscript(shell, element.group(2), value)
    if not NAME.fullmatch(name):
        return
    text, taint = value.text, value.taint
    if append:
        before, more = shell.variables.get(name, (UNKNOWN, 0))
        text, taint = before + text if len(before) < MAX_TEXT else UNKNOWN, taint | more
    if name in shell.integers or name in INTEGERS:
        evaluate(shell, text, value)
    if element is not None:
        _set_element(shell, name, element.group(2), value)
        if element.group(2) != "0":
            shell.variables.setdefault(name, (UNKNOWN, taint))
            return
    shell.variables[name] = (text, taint)
    assigned(shell, name, value._replace(text=text, taint=taint))


def _set_element(shell: Context, name: str, index: str, value: Word) -> None:
    """Set one element of an array; with a gap or an unknown place the whole is unknown."""
    items = list(shell.arrays.get(name, [] if index == "0" else [value] * MAX_LINES))
    if index.isdigit() and int(index) <= len(items) < MAX_LINES:
        shell.arrays[name] = [*items[: int(index)], value, *items[int(index) + 1 :]]
    else:
        shell.arrays.pop(name, None)


def assigned(shell: Context, name: str, word: Word) -> None:
    """A variable is set: findings when it decides which code runs or what is recorded."""
    text = word.text
    if name in HIST_OFF:
        off = name in ("HISTFILE", "HISTSIZE", "HISTFILESIZE") and text in HISTORY_OFF
        shell.find("anti-forensics" if off else "hide-traces", word, f"{name}={text}")
        return
    if name == "PATH":
        if _is_risky_path(word):
            shell.find("library-injection", word, f"{name}={text}")
        return
    if name in PLACES:
        if any(ANYBODYS.match(one) for one in text.split(":")) and text:
            shell.find("library-injection", word, f"{name}={text}")
        return
    meaning = meaning_of(name)
    if name in PROMPTS:
        shell.expand_text(text, word)
    elif meaning is None:
        return
    elif meaning.kind == "code":
        shell.find("library-injection", word, f"{name}={text}")
    elif meaning.kind == "options":
        if re.search(meaning.detail, text):
            shell.find("library-injection", word, f"{name}={text}")
    elif name == "PROMPT_COMMAND":
        shell.find("startup-file", word, f"{name}={text}")
        shell.run_text(text, word, UNKNOWN_OUTPUT)
    elif text.strip():
        added = " given-file" if meaning.detail == "a file" else ""
        command = text.lstrip("|-") if name in ("LESSOPEN",) else text
        if not command.strip() or (program_name(command.split()[0].strip("'\"")) or "") not in meaning.usual:
            shell.find("library-injection", word, f"{name}={text}")
        shell.run_text(command + added, word, UNKNOWN_OUTPUT if meaning.detail == "its output" else NOTHING)


def _is_risky_path(word: Word) -> bool:
    """Whether programs would be found where anybody may put them, or at a place that nobody can tell."""
    if word.text == UNKNOWN:
        return bool(word.taint & (NET | FILE))
    return any(
        ANYBODYS.match(one) or (one[:1] not in ("/", "~", "$", UNKNOWN) and not PROJECT_PROGRAMS.match(one))
        for one in word.text.split(":")
    )


@cache
def meaning_of(name: str) -> Meaning | None:
    """Why a variable matters, or None."""
    exact, patterns, harmless = _listed()
    if name in harmless:
        return None
    if name in exact:
        return exact[name]
    return next((meaning for pattern, meaning in patterns if fnmatchcase(name, pattern)), None)


@cache
def _listed() -> tuple[dict[str, Meaning], list[tuple[str, Meaning]], set[str]]:
    """Meanings by exact name, meanings by pattern, and names that match a pattern and are harmless."""
    exact: dict[str, Meaning] = {}
    patterns: list[tuple[str, Meaning]] = []
    harmless: set[str] = set()
    found = sections("variables")
    for entry in found["options"]:
        exact |= dict.fromkeys(entry["names"].split(), Meaning("options", entry["danger"]))
    for section, kind, detail in (("commands", "command", "given"), ("code", "code", "why")):
        for entry in found[section]:
            harmless |= set(entry.get("except", "").split())
            for name in entry["names"].split():
                meaning = Meaning(kind, entry[detail], frozenset(entry.get("usual", "").split()))
                if re.search(r"[*?]", name):
                    patterns.append((name, meaning))
                else:
                    exact.setdefault(name, meaning)
    return exact, patterns, harmless
