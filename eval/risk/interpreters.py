"""Shells and the built-ins that run text, change the shell's state, or hand on a command.

A built-in returns the words of another command to judge in its place, or what it prints. An empty list means that
nothing is left to judge.
"""

from collections.abc import Callable

from eval.risk.context import Context
from eval.risk.effects import read_arguments, table
from eval.risk.filters import filtered
from eval.risk.judge import assigned, place, read
from eval.risk.paths import UNKNOWN, clean
from eval.risk.words import DECODED, NET, NOTHING, SECRET, SHELL, UNKNOWN_OUTPUT, Output, Word

Result = Output | list[Word]


def run_shell(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """bash, sh, ...: the script of -c, a script file, or standard input."""
    at, command, from_input, interactive, login = 1, False, False, False, False
    while at < len(argv) and argv[at].text[:1] in ("-", "+") and len(argv[at].text) > 1:
        text = argv[at].text
        at += 1
        if text == "--":
            break
        if text[:2] == "--":
            at += text in ("--rcfile", "--init-file")
            continue
        letters = text[1:]
        command = command or "c" in letters
        from_input = from_input or "s" in letters
        interactive = interactive or "i" in letters
        login = login or "p" in letters
        at += letters[-1:] in ("o", "O")
    if command:
        if at >= len(argv):
            return NOTHING
        state = shell.snapshot()
        shell.set_arguments(argv[at + 2 :])
        if at + 1 < len(argv):
            shell.variables["0"] = (argv[at + 1].text, argv[at + 1].taint)
        output = _script(shell, argv[at], stdin)
        shell.restore(state)
        return output
    if at < len(argv) and argv[at].text not in ("-", "/dev/stdin") and not from_input:
        state = shell.snapshot()
        output = script_file(shell, argv[at], argv[at + 1 :], stdin)
        shell.restore(state)
        return output
    if stdin.text == "" and not stdin.taint:
        if shell.privileged:
            shell.find("root-shell" if shell.nested() else "privileged-execution", argv[0])
        return Output(None, SHELL)
    shell.set_arguments(argv[at:])
    if stdin.taint & NET:
        shell.find("remote-code", argv[0])
    elif stdin.text is not None and UNKNOWN not in stdin.text:
        state = shell.snapshot()
        output = shell.run_text(stdin.text, argv[0])
        shell.restore(state)
        return output
    elif stdin.taint & DECODED:
        shell.find("obfuscated-code", argv[0])
    else:
        shell.find("dynamic-code", argv[0])
        if stdin.text:
            shell.run_text(stdin.text, argv[0])
    return Output(None, SHELL)


def _script(shell: Context, word: Word, stdin: Output) -> Output:
    """The text of `-c` or eval. What is unknown in it matters where a command's name would be."""
    if word.taint & NET:
        shell.find("remote-code", word)
        return UNKNOWN_OUTPUT
    if word.text.strip() == UNKNOWN:
        shell.find("obfuscated-code" if word.taint & DECODED else "dynamic-code", word)
        return UNKNOWN_OUTPUT
    return shell.run_text(word.text, word, stdin)


def script_file(shell: Context, word: Word, arguments: list[Word], stdin: Output) -> Output:
    """A script is run or sourced."""
    path = place(shell, word)
    content = shell.files.get(path)
    if content is None and path.startswith("/dev/fd/"):
        content = UNKNOWN_OUTPUT
    if content is None:
        content = stdin if path == "/dev/stdin" else read(shell, word)
    if (content.taint | word.taint) & NET:
        shell.find("remote-code", word)
    elif content.text and UNKNOWN not in content.text:
        shell.set_arguments(arguments)
        return shell.run_text(content.text, word)
    elif content.taint & DECODED:
        shell.find("obfuscated-code", word)
    else:
        shell.find("unknown-program", word)
    return UNKNOWN_OUTPUT


def _eval(shell: Context, argv: list[Word], stdin: Output) -> Result:
    if len(argv) < 2:
        return []
    taint = 0
    for word in argv[1:]:
        taint |= word.taint
    text = " ".join(word.text for word in argv[1:])
    return _script(shell, Word(text, taint, argv[1].start, argv[-1].end), stdin)


def _source(shell: Context, argv: list[Word], stdin: Output) -> Result:
    return script_file(shell, argv[1], argv[2:], stdin) if len(argv) > 1 else []


def _hand_on(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    """exec, command, builtin, coproc, nohup-like keywords."""
    rest = argv[1:]
    name = argv[0].text
    while rest and rest[0].text[:1] == "-":
        if name == "command" and rest[0].text in ("-v", "-V"):
            return UNKNOWN_OUTPUT
        rest = rest[2:] if name == "exec" and rest[0].text == "-a" else rest[1:]
    return rest


def _trap(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    words = [word for word in argv[1:] if word.text not in ("--", "-")]
    if len(words) > 1 and words[0].text[:1] != "-" and words[0].text:
        shell.run_text(words[0].text, words[0])
    return NOTHING


def _cd(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    targets = [word for word in argv[1:] if word.text[:1] not in ("-", "+") or len(word.text) == 1]
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
    lines = (stdin.text or "").split("\n")
    known = stdin.text is not None and bool(lines[0]) and UNKNOWN not in stdin.text
    # A list of files comes line by line: the first of several known paths stands for all.
    value = lines[0] if known else stdin.paths[0] if stdin.paths else UNKNOWN
    names = [word.text for word in use.operands] or ["REPLY"]
    parts = value.split(None, len(names) - 1) if known else [value] * len(names)
    for index, name in enumerate(names):
        shell.variables[name] = (parts[index] if index < len(parts) else "", stdin.taint & (NET | SECRET | DECODED))
    return UNKNOWN_OUTPUT


def _printf(shell: Context, argv: list[Word], stdin: Output) -> Result:
    taint = 0
    for word in argv[1:]:
        taint |= word.taint
    if len(argv) > 3 and argv[1].text == "-v":
        text = filtered([argv[0], *argv[3:]], stdin)
        shell.variables[argv[2].text] = (UNKNOWN if text is None else text, taint)
        return NOTHING
    return Output(filtered(argv, stdin), taint)


def _alias(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    for word in argv[1:]:
        name, equals, value = word.text.partition("=")
        if equals:
            shell.aliases[name] = value
            if name in ("sudo", "su", "ssh", "ls", "cd"):
                shell.suspect_text(value, word)
    return NOTHING


def _export(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    for word in argv[1:]:
        name, equals, value = word.text.partition("=")
        if equals:
            shell.variables[name] = (value, word.taint)
            assigned(shell, name, Word(value, word.taint, word.start, word.end))
    return NOTHING


def _enable(shell: Context, argv: list[Word], _stdin: Output) -> Result:
    if any(word.text == "-f" for word in argv):
        shell.find("library-injection", argv[0])
    return NOTHING


BUILTINS: dict[str, Callable[[Context, list[Word], Output], Result]] = {
    "eval": _eval,
    "source": _source,
    ".": _source,
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
    "export": _export,
    "enable": _enable,
    "shopt": lambda _shell, _argv, _stdin: NOTHING,
    "umask": lambda _shell, _argv, _stdin: NOTHING,
    "ulimit": lambda _shell, _argv, _stdin: NOTHING,
    "mapfile": lambda _shell, _argv, _stdin: NOTHING,
    "readarray": lambda _shell, _argv, _stdin: NOTHING,
    "let": lambda _shell, _argv, _stdin: NOTHING,
}
