"""Shells and the built-ins that run a text or a file: bash, sh, eval, source."""

import re

from eval.risk.context import Context
from eval.risk.paths import UNKNOWN
from eval.risk.touched import place, read
from eval.risk.word import DECODED, NET, NOTHING, SHELL, UNKNOWN_OUTPUT, Output, Word

Result = Output | list[Word]
STANDARD_INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
OWN_STARTUP = re.compile(
    r"~/\.(?:bashrc|bash_profile|bash_login|bash_aliases|profile|zshrc|zprofile|zshenv|nvm/nvm\.sh|cargo/env|asdf/asdf\.sh"
    r"|sdkman/bin/sdkman-init\.sh|fzf\.bash)|/etc/(?:profile|bash\.bashrc|bash_completion|os-release)"
)


def run_shell(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """bash, sh, ...: the script of -c, a script file, or standard input."""
    at, command, from_input, interactive, login = 1, False, False, False, False
    while at < len(argv) and argv[at].text[:1] in ("-", "+") and len(argv[at].text) > 1:
        text = argv[at].text
        at += 1
        if text == "--":
            break
        if text[:2] == "--":
            if text in ("--rcfile", "--init-file") and at < len(argv):  # an interactive shell reads it first
                if argv[at].text != "/dev/null":
                    script_file(shell, argv[at], [], NOTHING)
                at += 1
            continue
        letters = text[1:]
        if text[0] == "-" and "n" in letters:  # reads the script and runs nothing
            return UNKNOWN_OUTPUT
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
        output = script(shell, argv[at], stdin)
        shell.restore(state)
        return output
    if at < len(argv) and argv[at].text not in ("-", *STANDARD_INPUT) and not from_input:
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
        if stdin.taint & DECODED:
            shell.find("encoded-code", argv[0])
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


def script(shell: Context, word: Word, stdin: Output) -> Output:
    """The text of `-c` or eval. What is unknown in it matters where a command's name would be."""
    if word.taint & DECODED:
        shell.find("encoded-code", word)
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
    if content is None and path in STANDARD_INPUT:
        content = stdin
    if content is None and path.startswith("/dev/fd/"):
        content = UNKNOWN_OUTPUT
    if content is None:
        content = read(shell, word)
    if (content.taint | word.taint) & NET:
        shell.find("remote-code", word)
    elif content.text and UNKNOWN not in content.text:
        if content.taint & DECODED:
            shell.find("encoded-code", word)
        shell.set_arguments(arguments)
        return shell.run_text(content.text, word)
    elif content.taint & DECODED:
        shell.find("obfuscated-code", word)
    else:
        shell.find("unknown-program", word)
    return UNKNOWN_OUTPUT


def run_eval(shell: Context, argv: list[Word], stdin: Output) -> Result:
    if len(argv) < 2:
        return []
    taint = 0
    for word in argv[1:]:
        taint |= word.taint
    text = " ".join(word.text for word in argv[1:])
    return script(shell, Word(text, taint, argv[1].start, argv[-1].end), stdin)


def run_source(shell: Context, argv: list[Word], stdin: Output) -> Result:
    if len(argv) == 2 and OWN_STARTUP.fullmatch(argv[1].text) and place(shell, argv[1]) not in shell.files:
        return UNKNOWN_OUTPUT  # what every shell of this person reads anyway
    return script_file(shell, argv[1], argv[2:], stdin) if len(argv) > 1 else []
