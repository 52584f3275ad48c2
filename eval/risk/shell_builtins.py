"""The built-ins that change the shell's state: variables, directories, arguments, traps, aliases.

A built-in returns the words of another command to judge in its place, or what it prints. An empty list means that
nothing is left to judge.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from eval.risk.context import Context
from eval.risk.effects import read_arguments, table
from eval.risk.filters import filtered
from eval.risk.interpreters import Result, run_eval, run_source
from eval.risk.paths import UNKNOWN, clean
from eval.risk.variables import assign
from eval.risk.word import DECODED, FILE, NET, NOTHING, SECRET, UNKNOWN_OUTPUT, Output, Word
from eval.risk.words import fields

MAX_LINES = 64


def _hand_on(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    """exec, command, builtin, coproc, nohup-like keywords."""
    rest = argv[1:]
    name = argv[0].text
    while rest and rest[0].text[:1] == "-":
        if name == "command" and rest[0].text in ("-v", "-V"):
            return Output(f"{rest[1].text}\n", rest[1].taint) if len(rest) == 2 else UNKNOWN_OUTPUT
        rest = rest[2:] if name == "exec" and rest[0].text == "-a" else rest[1:]
    return rest


def _trap(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    """Code for later: judged now, and again at the end with the variables as they are then."""
    words = [word for word in argv[1:] if word.text not in ("--", "-")]
    if len(words) > 1 and words[0].text[:1] != "-" and words[0].text:
        shell.run_text(words[0].text, words[0])
        shell.traps.append(words[0])
        if any(word.text in ("DEBUG", "SIGDEBUG") for word in words[1:]):  # sees every command before it runs
            shell.find("capture", words[0], words[0].text)
    return NOTHING


def _cd(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    targets = [word for word in argv[1:] if word.text[:1] not in ("-", "+") or len(word.text) == 1]
    before = shell.directory
    if before is None and (not targets or targets[0].text[:1] != "/"):
        for name, content in shell.files.items():  # the same names mean other files there
            if name[:1] not in ("/", "~"):
                shell.files[name] = Output(None, content.taint)
    if argv[0].text == "popd":
        shell.directory = None
        return NOTHING
    text = targets[0].text if targets else "~"
    known = UNKNOWN not in text and text != "-" and (text[:1] in "/~" or shell.directory is not None)
    shell.directory = clean(text, shell.directory) if known and text else None
    return NOTHING


def _set(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    texts = [word.text for word in argv[1:]]
    if "history" in texts and "+o" in texts:
        shell.find("anti-forensics", argv[0], "set +o history")
    if "--" in texts:
        shell.set_arguments(argv[2 + texts.index("--") :])
    elif texts and texts[0][:1] not in ("-", "+"):
        shell.set_arguments(argv[1:])
    return NOTHING


def _read(shell: Context, argv: list[Word], stdin: Output) -> Result:
    use = read_arguments(table()["read"], argv)
    stdin = _descriptor(shell, argv, stdin)
    lines = (stdin.text or "").split("\n")
    known = stdin.text is not None and bool(lines[0]) and UNKNOWN not in stdin.text
    # A list of files comes line by line: the first of several known paths stands for all.
    value = lines[0] if known else stdin.paths[0] if stdin.paths else UNKNOWN
    taint = stdin.taint & (NET | SECRET | DECODED) | (FILE if value == UNKNOWN else 0)
    array = next((word for before, word in pairwise(argv) if before.text[:1] == "-" and before.text[-1:] == "a"), None)
    if array is not None:
        pieces = fields(shell, value) if known else [value]
        shell.arrays[array.text] = [Word(piece, taint, array.start, array.end) for piece in pieces]
        assign(shell, array.text, array._replace(text=pieces[0] if pieces else "", taint=taint))
        return UNKNOWN_OUTPUT
    names = use.operands or [argv[0]._replace(text="REPLY")]
    parts = _fields_for(shell, value, len(names)) if known else [value] * len(names)
    for index, name in enumerate(names):
        text = parts[index] if index < len(parts) else ""
        assign(shell, name.text, Word(text, taint, name.start, name.end))
    return UNKNOWN_OUTPUT


def _fields_for(shell: Context, line: str, count: int) -> list[str]:
    """A line as `read` gives it to so many names: the last gets the rest."""
    separators = shell.variables.get("IFS", (" ", 0))[0]
    if not separators:
        return [line]
    if UNKNOWN in separators or not separators.strip():
        return line.split(None, count - 1)
    return re.split(f"[{re.escape(separators)}]", line, maxsplit=count - 1)


def _descriptor(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """Standard input, or the descriptor of `-u`."""
    for at, word in enumerate(argv[:-1]):
        if word.text[:1] == "-" and word.text[-1:] == "u":
            return shell.descriptors.get(argv[at + 1].text, UNKNOWN_OUTPUT)
    return stdin


def _mapfile(shell: Context, argv: list[Word], stdin: Output) -> Result:
    """mapfile, readarray: lines into an array; the value of -C is a command that runs now and then."""
    stdin = _descriptor(shell, argv, stdin)
    name, at = argv[0]._replace(text="MAPFILE"), 1
    while at < len(argv):
        word, at = argv[at], at + 1
        if word.text[:1] != "-" or word.text == "-":
            name = word
        elif (letter := word.text.lstrip("-t")[:1]) and letter in "dnOsuCc":
            value = word.text.partition(letter)[2]
            if not value and at < len(argv):
                value, at = argv[at].text, at + 1
            if letter == "C":
                shell.run_text(f"{value} 0 line", word)
    known = stdin.text is not None and UNKNOWN not in stdin.text and stdin.text.count("\n") <= MAX_LINES
    lines = (stdin.text or "").split("\n") if known else [stdin.paths[0] if stdin.paths else UNKNOWN]
    taint = stdin.taint | (0 if known else FILE)
    shell.arrays[name.text] = [Word(line, taint, name.start, name.end) for line in lines if line]
    assign(shell, name.text, Word(lines[0], taint, name.start, name.end))
    return NOTHING


def _getopts(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    for word in argv[2:3]:
        assign(shell, word.text, word._replace(text=UNKNOWN, taint=FILE))
    return NOTHING


def _shift(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    words = shell.arrays.get("@")
    count = argv[1].text if len(argv) > 1 else "1"
    if words is None:
        return NOTHING
    for number in "123456789":
        shell.variables.pop(number, None)
    if count.isdigit():
        shell.set_arguments(words[int(count) :])
    else:
        shell.arrays.pop("@")
    return NOTHING


def _let(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    for word in argv[1:]:
        shell.evaluate(word.text, word)
        name, equals, _value = word.text.partition("=")
        if equals and name.isidentifier():
            assign(shell, name, word._replace(text=UNKNOWN, taint=0))
    return NOTHING


def _test(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    """test, [: `-v` and `-R` name a variable, whose subscript is evaluated."""
    for before, word in pairwise(argv):
        if before.text in ("-v", "-R") and "[" in word.text:
            shell.subscript(word.text.partition("[")[2].rstrip("]"), word)
    return NOTHING


def _compgen(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    """compgen, complete: -C runs a command, -W expands its words, -F calls a function."""
    for before, word in pairwise(argv):
        if before.text == "-C":
            shell.run_text(word.text, word)
        elif before.text == "-W":
            shell.expand_text(word.text, word)
        elif before.text == "-F" and word.text in shell.functions:
            shell.call_function(word.text, [word], UNKNOWN_OUTPUT)
    return UNKNOWN_OUTPUT


def _wait(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    for before, word in pairwise(argv):
        if before.text == "-p":
            assign(shell, word.text, word._replace(text=UNKNOWN))
    return NOTHING


def _printf(shell: Context, argv: list[Word], stdin: Output) -> Result:
    taint = 0
    for word in argv[1:]:
        taint |= word.taint
    if len(argv) > 3 and argv[1].text == "-v":
        text = filtered([argv[0], *argv[3:]], stdin)
        assign(shell, argv[2].text, argv[2]._replace(text=UNKNOWN if text is None else text, taint=taint))
        return NOTHING
    if len(argv) > 2 and argv[1].text[:2] == "-v" and len(argv[1].text) > 2:
        text = filtered([argv[0], *argv[2:]], stdin)
        assign(shell, argv[1].text[2:], argv[1]._replace(text=UNKNOWN if text is None else text, taint=taint))
        return NOTHING
    return Output(filtered(argv, stdin), taint)


def _alias(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    for word in argv[1:]:
        name, equals, value = word.text.partition("=")
        if equals:
            shell.aliases[name] = value
            shell.suspect_text(value, word)
    return NOTHING


def declare(shell: Context, argv: list[Word], names: Sequence[str] = ()) -> Output:
    """declare, typeset, local, readonly, export. Of `names`, which the caller sets, only attributes are noted."""
    letters = "".join(word.text[1:] for word in argv[1:] if re.fullmatch(r"-\w+", word.text))
    words = [word for word in argv[1:] if word.text[:1] not in ("-", "+")]
    reference = "n" in letters and argv[0].text != "export"
    for name in (*names, *(word.text.partition("=")[0] for word in words)):
        base = name.partition("[")[0]
        if "i" in letters:
            shell.integers.add(base)
        if "A" in letters:
            shell.associative.add(base)
    for word in words:
        name, equals, value = word.text.partition("=")
        if word.text == UNKNOWN and word.taint & NET:
            shell.find("dynamic-code", word, "variables from the network")
        elif equals and reference:
            shell.references[name] = value
        elif equals:
            if value.startswith("(") and ("a" in letters or "A" in letters):
                shell.expand_text(value, word)
            assign(shell, name.rstrip("+"), word._replace(text=value), append=name.endswith("+"))
        elif "[" in name:
            assign(shell, name, word._replace(text=""))
    return NOTHING


def _declare(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    return declare(shell, argv)


def _enable(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    if any(word.text == "-f" for word in argv):
        shell.find("library-injection", argv[0])
    return NOTHING


BUILTINS: dict[str, Callable[[Context, list[Word], Output], Result]] = {
    "eval": run_eval,
    "source": run_source,
    ".": run_source,
    "exec": _hand_on,
    "command": _hand_on,
    "builtin": _hand_on,
    "trap": _trap,
    "cd": _cd,
    "pushd": _cd,
    "popd": _cd,
    "set": _set,
    "read": _read,
    "echo": _printf,
    "printf": _printf,
    "alias": _alias,
    "export": _declare,
    "declare": _declare,
    "typeset": _declare,
    "local": _declare,
    "readonly": _declare,
    "getopts": _getopts,
    "test": _test,
    "[": _test,
    "compgen": _compgen,
    "wait": _wait,
    "enable": _enable,
    "shopt": lambda _shell, _argv, _stdin: NOTHING,
    "umask": lambda _shell, _argv, _stdin: NOTHING,
    "ulimit": lambda _shell, _argv, _stdin: NOTHING,
    "mapfile": _mapfile,
    "readarray": _mapfile,
    "let": _let,
    "shift": _shift,
}
