"""One simple command: find out what really runs, then judge it.

In order: functions and aliases that the command defined, shells (interpreters.py) and built-ins (shell_builtins.py),
find and xargs (launchers.py), the effect table. Wrappers (sudo, env, timeout, ...) hand on what they run. What is not
known is `unknown-command`, a file that is run is `unknown-program`, a name that is not constant `dynamic-command`:
review.
"""

import re

from eval.risk.archives import archive
from eval.risk.context import Context
from eval.risk.effects import Row, Use, asks_about, read_arguments, table
from eval.risk.filters import filtered, passed
from eval.risk.interpreters import run_shell
from eval.risk.languages import code, from_stdin, sed, vim
from eval.risk.launchers import find_action, parallel_text, python_module, xargs_words
from eval.risk.network import piped_out
from eval.risk.paths import GLOB, UNKNOWN, program_name
from eval.risk.processes import processes
from eval.risk.repository import changes_files
from eval.risk.roles import ROLES
from eval.risk.shell_builtins import BUILTINS
from eval.risk.special import SPECIAL
from eval.risk.touched import forget, place, write
from eval.risk.variables import assigned
from eval.risk.word import DECODED, ENDLESS, NET, NOTHING, SECRET, UNKNOWN_OUTPUT, Output, Word

SHELLS = {"sh", "bash", "dash", "ash", "ksh", "zsh", "csh", "tcsh", "fish", "rbash", "mksh"}
MAX_WRAPPERS = 24
MAX_ARGUMENTS = 256
DELETES_ALL = re.compile(r"\s*(?:1\s*,\s*\$\s*|/\.\*/\s*)?d\s*(?:;\s*)?")
RUN_BY_SHELL = {"parallel", "watch"}  # their words are a line for a shell
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def invoke(shell: Context, argv: list[Word], stdin: Output, direct: bool = True) -> Output:
    """Judge a command given as words (argv[0] is its name); returns what it prints, as far as known.

    `direct` says that the shell itself looks the name up, so that functions and aliases count.
    """
    shell.enter()
    if len(argv) > MAX_ARGUMENTS:
        shell.find("too-large", argv[0], "arguments")
        argv = argv[:MAX_ARGUMENTS]
    output = _invoke(shell, argv, stdin, direct)
    shell.leave()
    return output


def _invoke(shell: Context, argv: list[Word], stdin: Output, direct: bool) -> Output:
    for _ in range(MAX_WRAPPERS):
        name = argv[0].text
        utility = program_name(name)
        if direct and name in shell.functions:
            output = shell.call_function(name, argv, stdin)
            if not _is_known(utility):
                return output
        elif direct and name in shell.aliases:
            rest = " ".join(word.text for word in argv[1:])
            output = shell.run_text(f"{shell.aliases.pop(name)} {rest}", argv[0], stdin)
            if not _is_known(utility):
                return output
        direct = False  # a wrapper finds programs, not functions; and a function may not be what is called
        if UNKNOWN in name or not name or (GLOB.search(name) and name not in ("[", "[[")):
            return _dynamic(shell, argv, stdin)
        if utility is None or (name in shell.files and not _is_known(utility)):
            return _program(shell, argv, stdin)
        if utility in SHELLS:
            return run_shell(shell, argv, stdin)
        if utility == "coproc" and len(argv) > 1:  # beside the shell: what it will be sent is not known
            if any(word.text == "{" for word in argv):
                shell.find("unparsable", argv[0], "coproc NAME {")
            argv, stdin = argv[1:], UNKNOWN_OUTPUT
            continue
        builtin = BUILTINS.get(utility)
        if builtin is not None:
            result = builtin(shell, argv, stdin)
            if isinstance(result, Output):
                return result
            if not result:
                return NOTHING
            argv = result
            continue
        if utility == "find" or utility == "gfind":
            return find_action(shell, argv, lambda inner, given: invoke(shell, inner, given, False))
        if utility == "xargs" or utility == "gxargs":
            inner = xargs_words(shell, argv, stdin)
            return (
                invoke(shell, inner, UNKNOWN_OUTPUT if inner[0].text != "xargs" else NOTHING, False) if inner else stdin
            )
        row = table().get(utility)
        if row is None:
            shell.find("unknown-command", argv[0])
            _unknown_operands(shell, argv, stdin)
            return UNKNOWN_OUTPUT
        inner_or_output = _known(shell, row, argv, stdin)
        if isinstance(inner_or_output, Output):
            return inner_or_output
        argv = inner_or_output
    shell.find("too-large", argv[0], "wrappers")
    return UNKNOWN_OUTPUT


def _is_known(utility: str | None) -> bool:
    """Whether the name means a program of the system, whatever functions or files of that name there are."""
    return utility in table() or utility in BUILTINS or utility in SHELLS or utility in ("find", "gfind", "gxargs")


def _dynamic(shell: Context, argv: list[Word], stdin: Output) -> Output:
    taint = argv[0].taint
    rule = "remote-code" if taint & NET else "obfuscated-code" if taint & DECODED else "dynamic-command"
    shell.find(rule, argv[0])
    return UNKNOWN_OUTPUT


def _program(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """A file is run: judged when this command wrote it."""
    path = place(shell, argv[0])
    content = shell.files.get(path)
    if content is not None and content.taint & NET:
        shell.find("remote-code", argv[0])
    elif content is not None and content.text:
        shell.set_arguments(argv[1:])
        return shell.run_text(content.text, argv[0], stdin)
    else:
        shell.find("unknown-program", argv[0])
        if "xmrig" in argv[0].text:
            shell.find("miner", argv[0])
    return UNKNOWN_OUTPUT


def _unknown_operands(shell: Context, argv: list[Word], stdin: Output) -> None:
    """An unknown command with a whole command behind it, such as `wrapper rm -rf /`: judge that too."""
    for index, word in enumerate(argv[1:4], start=1):
        if word.text in ("rm", "dd", "mkfs", "bash", "sh", "shred"):
            invoke(shell, argv[index:], stdin)
            return


def _known(shell: Context, row: Row, argv: list[Word], stdin: Output) -> Output | list[Word]:
    """A utility of the table: its findings and output, or the words of the command it runs."""
    if row.many == "archive":
        return archive(shell, argv, stdin)
    if row.name in ("sed", "gsed"):
        return _sed(shell, row, argv, stdin)
    if asks_about(row, argv):
        return UNKNOWN_OUTPUT
    known = filtered(argv, stdin)
    use = read_arguments(row, argv)
    row = use.row
    if row.rule:
        rule = SPECIAL[row.rule[:-1]](use, stdin) if row.rule[-1] == "?" else row.rule
        if rule:
            shell.find(rule, use.name, " ".join(word.text for word in argv[:6]))
    for rule, word in use.rules:
        if rule[-1] == "?":
            rule = SPECIAL[rule[:-1]](use, stdin)
        if rule:
            shell.find(rule, word)
    taint = NET if row.out == "net" else SECRET if row.out == "secret" else 0
    sources = 0
    for role, word in use.found:
        if role.startswith("code:"):
            code(shell, role[5:], word, stdin)
        elif role.startswith("rule:"):
            shell.find(role[5:], word)
        elif role.startswith("rule?:"):
            rule = SPECIAL[role[6:]](use, stdin)
            if rule:
                shell.find(rule, word)
        elif role == "pattern":
            pass
        else:
            output = ROLES[role](shell, use, word, stdin)
            if output is not None:
                sources += 1
                taint |= output.taint
                if role == "read" and row.name == "cat" and output.text is not None and len(use.found) == 1:
                    known = output.text
    if shell.files and _may_change_files(row, use):
        forget(shell, UNKNOWN)
    if row.name in EDITORS and stdin.text:
        lines = stdin.text.split("\n")
        if len(lines) > MAX_LINES:
            shell.find("too-large", use.name, "lines")
        for line in lines[:MAX_LINES]:
            vim(shell, use.name._replace(text=line))
    if row.stdin and stdin.text:
        _obeys(shell, use, stdin)
    elif row.stdin == "ed" and stdin.text is None:
        shell.find("dynamic-code", use.name)
    if "shell" in use.marks and row.name in ("sudo", "doas") and not use.rest:
        shell.privileged = True
        return run_shell(shell, argv[:1], stdin)
    if use.rest is not None or row.name == "parallel":
        return _wrapped(shell, row, use, stdin)
    if shell.privileged and "executes" in row.does and row.name not in ("sudo", "env"):
        shell.find("privileged-execution", use.name)
    piped_out(shell, row, use, stdin)
    if row.lead[:1] == ("code:file",) and not use.found and (stdin.text != "" or stdin.taint):
        from_stdin(shell, use.name, stdin)
    if row.out == "endless":
        return Output(None, ENDLESS)
    if "decode" in use.marks and row.name not in COMPRESSORS:
        taint |= DECODED
    if not sources or row.name in ("tee", "tr"):
        taint |= stdin.taint
    if row.name in ("head", "wc", "grep"):
        taint &= ~ENDLESS
    taint |= processes(row.name, argv, stdin)
    if known is not None:
        return Output(known, taint)
    return Output(None, taint, passed(row, use, stdin))


def _obeys(shell: Context, use: Use, stdin: Output) -> None:
    """A utility whose commands come from standard input."""
    word = Word(stdin.text or "", stdin.taint, use.name.start, use.name.end)
    if use.row.stdin == "sh":
        shell.run_text(word.text, use.name)
    else:
        ROLES[use.row.stdin](shell, use, word, NOTHING)


def _may_change_files(row: Row, use: Use) -> bool:
    """Whether files that this command wrote may hold something else now."""
    if row.name == "git":
        return changes_files(use)
    writes = "writes" in row.does and row.name not in NAMES_WHAT_IT_WRITES
    return use.rest is None and (writes or row.name in CHANGES_FILES)


def _wrapped(shell: Context, row: Row, use: Use, stdin: Output) -> Output | list[Word]:
    """The command that a wrapper runs."""
    rest = use.rest or []
    if "privileges" in row.does:
        shell.privileged = True
    while rest and "executes" in row.does and row.name not in RUN_BY_SHELL and ASSIGNMENT.match(rest[0].text):
        name, _equals, value = rest[0].text.partition("=")
        assigned(shell, name, Word(value, rest[0].taint, rest[0].start, rest[0].end))
        rest = rest[1:]
    if not rest:  # parallel without a command runs its input
        return run_shell(shell, [use.name], stdin) if row.name == "parallel" else NOTHING
    directory = next((word for role, word in use.found if role == "directory"), None)
    if directory is not None:
        before, shell.directory = shell.directory, place(shell, directory)
        output = _runs(shell, row, use, rest, stdin)
        if not isinstance(output, Output):
            output = invoke(shell, output, stdin, False)
        shell.directory = before
        return output
    return _runs(shell, row, use, rest, stdin)


def _runs(shell: Context, row: Row, use: Use, rest: list[Word], stdin: Output) -> Output | list[Word]:
    if row.name == "watch":
        return shell.run_text(" ".join(word.text for word in rest), rest[0], stdin)
    if row.name == "parallel":
        return shell.run_text(parallel_text(rest, stdin), rest[0], UNKNOWN_OUTPUT)
    if row.name.startswith(("python", "pypy", "ipython")):
        return python_module(shell, rest)
    if row.name in ("fd", "fdfind"):
        roots = use.operands[1:] or [Word("_", 0, rest[0].start, rest[0].end)]
        narrow = UNKNOWN if use.operands and use.operands[0].text not in (".", "", "*", ".*") else "*"
        return [*rest, *(one._replace(text=f"{one.text.rstrip('/')}/{narrow}") for one in roots)]
    return rest


# Files they write are named on the command line, and judged there; all others that write may change any file.
NAMES_WHAT_IT_WRITES = {
    "tee", "sponge", "touch", "mkdir", "mkfifo", "mktemp", "cp", "gcp", "mv", "gmv", "ln", "install", "dd", "sed",
    "gsed",
    "truncate", "sort", "uniq", "rm", "rmdir", "unlink", "chmod", "chown", "tree", "xxd", "base64", "curl",
}  # fmt: skip
CHANGES_FILES = {"make", "code"}
EDITORS = {"ex", "vi", "vim", "nvim", "view", "gvim"}  # with -e they obey their input
MAX_LINES = 32
COMPRESSORS = {"gzip", "bzip2", "xz", "lzma", "zstd", "lz4", "pigz", "pbzip2"}


def _sed(shell: Context, row: Row, argv: list[Word], stdin: Output) -> Output:
    use = read_arguments(row, argv)
    taint = 0
    for rule, word in use.rules:
        shell.find(rule, word)
    for role, word in use.found:
        if role == "code:sed":
            sed(shell, word)
        elif role == "code:file":
            shell.find("unknown-program", word)
        elif role == "read":
            if "inplace" in use.marks:
                everything = any(role == "code:sed" and DELETES_ALL.fullmatch(one.text) for role, one in use.found)
                write(shell, word, False, NOTHING if everything else UNKNOWN_OUTPUT)
            else:
                output = ROLES["read"](shell, use, word, stdin)
                taint |= output.taint if output else 0
    known = filtered(argv, stdin)
    return Output(known, taint | stdin.taint & ~ENDLESS, passed(row, use, stdin))
