"""Programs inside words: sed and awk are read for what leaves them, other languages need human review.

A program in Perl, Python, Ruby, ... is `inline-code`, never allowed. It is searched for a few things of high
precision: shell commands in its strings beside a call that runs them, sockets tied to shells, deleted trees.
"""

import re

from eval.risk.context import Context
from eval.risk.paths import UNKNOWN
from eval.risk.touched import delete, read, send, write
from eval.risk.word import DECODED, NET, SECRET, UNKNOWN_OUTPUT, Output, Word

STRING = re.compile(r"'((?:[^'\\\n]|\\.)*)'|\"((?:[^\"\\\n]|\\.)*)\"|`([^`]*)`")
RUNS = re.compile(
    r"\b(?:system|exec\w*|popen\w*|Popen|spawn\w*|call|check_output|run|shell_exec|passthru|do shell script)\b|`|%x"
)
SHELL_NAME = re.compile(r"(?:/bin/|\b)(?:ba|z|da|k)?sh\b|cmd\.exe|\bpty\b")
SOCKET = re.compile(r"\bsocket\b|TCPSocket|fsockopen|net\.(?:connect|Socket)|/inet/|\bSocket\b|IO::Socket|ztcp")
DOWNLOAD = re.compile(
    r"urlopen|urllib|requests\.|LWP|open-uri|http\.get|file_get_contents\(.?http|curl_exec|Net::HTTP|fetch\("
)
EXECUTES = re.compile(r"\b(?:exec|eval|system|popen|spawn|subprocess)\b")
DECODES = re.compile(
    r"b64decode|base64|decode_base64|Base64|fromhex|unhexlify|map\(chr|pack\(|fromCharCode|rot13|atob|zlib"
)
TREES = re.compile(r"(?:rmtree|rm_rf|rm_r|remove_tree|removedirs|rimraf|rmSync|rmdirSync)\W+['\"]([^'\"]*)['\"]")
# Files that a program names outright: removed, emptied or written.
REMOVES = re.compile(
    r"(?:os\.(?:remove|unlink|rmdir)|\bunlink|File\.(?:delete|unlink)|FileUtils\.rm\w*|fs\.(?:rm|unlink|rmdir)\w*|rimraf)"
    r"[\s(]*(?:glob[\s(]*|Dir\[|Dir\.glob\()?['\"]([/~][^'\"]*)['\"]"
)
PATH_REMOVES = re.compile(r"Path\(['\"]([/~][^'\"]*)['\"]\)\.(?:unlink|rmdir|write_\w+)")
WRITES = re.compile(
    r"open[\s(]+(?:\w+\s*,\s*)?['\"]\s*>{1,2}\s*([/~][^'\"]*)['\"]"
    r"|open[\s(]+\w+\s*,\s*['\"]\+?>{1,2}['\"]\s*,\s*['\"]([/~][^'\"]*)['\"]"
    r"|open\(\s*['\"]([/~][^'\"]*)['\"]\s*,\s*(?:mode\s*=\s*)?['\"][rwab+]*[wax+][b+]*['\"]"
    r"|(?:writeFile\w*|appendFile\w*|File\.write|IO\.write|file_put_contents|fs\.truncate\w*)[\s(]+['\"]([/~][^'\"]*)['\"]"
)
FORKS = re.compile(r"fork\s+while|while\s*(?:\(1\)|1|True|true)[\s:{]*(?:os\.)?fork|fork\(?\)?\s*(?:while|until)")

AWK_SYSTEM = re.compile(r"\bsystem\s*\(\s*(\"((?:[^\"\\]|\\.)*)\"\s*\))?")
AWK_PIPE = re.compile(
    r"\|&?\s*\"((?:[^\"\\]|\\.)*)\"|\"((?:[^\"\\]|\\.)*)\"\s*\|&?\s*getline|\|&?\s*(\w[\w.]*)\b(?!\s*\|)"
)
AWK_FILE = re.compile(r"print[^;}\n>]*>>?\s*\"((?:[^\"\\]|\\.)*)\"|getline[^;}\n]*<\s*\"((?:[^\"\\]|\\.)*)\"")
AWK_STRINGS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|/(?:[^/\\\n]|\\.)+/")
VIM_SHELL = re.compile(r"^:?\s*(?:\w*!|r!|r\s*!|w\s*!|\w+do\s*!|silent\s*!?\s*!)\s*(.+)", re.DOTALL)
VIM_CODE = re.compile(r"^:?\s*(?:py|perl|lua|ruby|call|exe|source|so\b|terminal|shell|sh$|mz)")
SQL_LOSS = re.compile(
    r"\b(?:drop\s+(?:database|table|schema|user)|truncate\b|delete\s+from\s+\w+\s*(?:;|$)|flushall|flushdb)", re.I
)
SQL_LOSS_ALL = re.compile(r"\bdrop\s+(?:database|schema)|flushall|dropDatabase", re.I)
SQL_FILE = re.compile(
    r"(?:^|[\n;])[^\S\n]*\.(output|once|log|backup|save|clone|trace|read|import|restore|open|load)\s+(?:-\S+\s+)*(\S+)"
)
SQL_SHELL = re.compile(
    r"(?:^|[\n;])[^\S\n]*(?:\\!|\.shell|\.system|system|!)\s*(.*)|copy\s.+\bprogram\b\s*'([^']*)'|into\s+outfile|load_file|xp_cmdshell",
    re.I,
)


def code(shell: Context, language: str, word: Word, stdin: Output) -> None:
    """Judge the text of a word as a program in `language`."""
    text = word.text
    if word.taint & NET:
        shell.find("remote-code", word)
    elif language == "sh":
        shell.run_text(text, word, stdin)
    elif language == "ssh":  # a transport: `ssh -p 22` is ordinary
        if not re.fullmatch(r"(?:/usr/bin/)?ssh(?:\s+-[pil1246Cxq]*(?:\s+(?!-)[\w./@~$\0-]+)?)*", text):
            shell.find("shell-escape", word)
            shell.run_text(text, word, stdin)
    elif language == "awk":
        awk(shell, word)
    elif language == "vim":
        vim(shell, word)
    elif language == "sql":
        sql(shell, word)
    elif language == "file":
        program_file(shell, word, stdin)
    elif language == "shell":
        shell.find("reverse-shell" if SHELL_NAME.search(text) else "listen", word)
    elif language in ("program", "gdb", "debugfs"):
        shell.find("shell-escape", word)
        if language == "debugfs":
            for piece in text.split()[1:]:
                read(shell, Word(piece, 0, word.start, word.end))
        inline(shell, word) if language == "gdb" else shell.run_text(text, word, UNKNOWN_OUTPUT)
    elif language == "make":
        shell.find("shell-escape", word)
        for line in text.split("\n\t")[1:]:
            shell.run_text(line.lstrip("@-\\t "), word, stdin)
    else:
        inline(shell, word)


def program_file(shell: Context, word: Word, stdin: Output) -> None:
    """A program is read from a file: known text is unknown to us all the same, it is another language."""
    if word.text == "-" or word.text.startswith("/dev/stdin"):
        from_stdin(shell, word, stdin)
        return
    content = read(shell, word)
    if content.taint & NET:
        shell.find("remote-code", word)
    elif content.text:
        inline(shell, Word(content.text, content.taint, word.start, word.end))
    else:
        shell.find("unknown-program", word)


def from_stdin(shell: Context, word: Word, stdin: Output) -> None:
    """An interpreter of another language reads its program from a pipe."""
    if stdin.taint & NET:
        shell.find("remote-code", word)
    elif stdin.taint & DECODED:
        shell.find("obfuscated-code", word)
    elif stdin.text:
        inline(shell, Word(stdin.text, stdin.taint, word.start, word.end))
    else:
        shell.find("dynamic-code", word)


def inline(shell: Context, word: Word) -> None:
    """Code in another language: always for review, blocked for what cannot be honest."""
    text = word.text
    shell.find("inline-code", word)
    if SOCKET.search(text) and (SHELL_NAME.search(text) or EXECUTES.search(text)):
        shell.find("reverse-shell", word)
    if FORKS.search(text):
        shell.find("fork-bomb", word)
    if DOWNLOAD.search(text) and EXECUTES.search(text):
        shell.find("remote-code", word)
    if DECODES.search(text) and EXECUTES.search(text):
        shell.find("obfuscated-code", word)
    for found in TREES.finditer(text):
        delete(shell, Word(found.group(1), 0, word.start, word.end), True)
    for found in (*REMOVES.finditer(text), *PATH_REMOVES.finditer(text)):
        delete(shell, Word(found.group(1), 0, word.start, word.end), False)
    for found in WRITES.finditer(text):
        target = next(group for group in found.groups() if group)
        write(shell, Word(target, 0, word.start, word.end), True, UNKNOWN_OUTPUT)
    if RUNS.search(text):
        for found in list(STRING.finditer(text))[:12]:
            literal = next((group for group in found.groups() if group), "")
            if len(literal) > 2:
                shell.suspect_text(literal.replace('\\"', '"'), word)
    if word.taint & SECRET:
        shell.find("credential-search", word)


def awk(shell: Context, word: Word) -> None:
    """Commands that an awk program starts, and files it names."""
    text = word.text
    if "system" in text:
        for found in AWK_SYSTEM.finditer(text):
            if found.group(1):
                shell.run_text(_plain(found.group(2)), word)
            else:
                shell.find("dynamic-code", word)
    if "|" in text or "getline" in text:
        bare = AWK_STRINGS.sub('""', text).replace("||", "")
        if "|" in bare:
            if "/inet/" in text:
                shell.find("reverse-shell" if "getline" in text else "listen", word)
            for found in AWK_PIPE.finditer(text.replace("||", "")):
                command = found.group(1) or found.group(2)
                if command:
                    shell.run_text(_plain(command), word, UNKNOWN_OUTPUT)
            if not re.search(r'\|&?\s*""|""\s*\|', bare):
                shell.find("dynamic-code", word)
    for found in AWK_FILE.finditer(text) if "print" in text or "getline" in text else ():
        if found.group(1):
            write(shell, Word(found.group(1), 0, word.start, word.end), True, UNKNOWN_OUTPUT)
        elif found.group(2):
            read(shell, Word(found.group(2), 0, word.start, word.end))


def _plain(text: str) -> str:
    return text.replace('\\"', '"').replace("\\\\", "\\")


def vim(shell: Context, word: Word) -> None:
    """An editor's command: `:!command` runs it."""
    found = VIM_SHELL.match(word.text)
    if found:
        shell.find("shell-escape", word)
        shell.run_text(found.group(1), word)
    elif VIM_CODE.match(word.text):
        shell.find("inline-code", word)


def sql(shell: Context, word: Word) -> None:
    """Statements that destroy data, and the ways out of a database client."""
    text = word.text
    if SQL_LOSS_ALL.search(text):
        shell.find("data-destruction", word)
    elif SQL_LOSS.search(text):
        shell.find("data-loss", word)
    for found in SQL_FILE.finditer(text):
        file = Word(found.group(2).strip("'\""), word.taint, word.start, word.end)
        if file.text.startswith("|") or found.group(1) == "load":
            shell.find("shell-escape", word)
        elif found.group(1) in ("read", "import", "restore", "open"):
            read(shell, file)
        else:
            write(shell, file, False, UNKNOWN_OUTPUT)
    for found in SQL_SHELL.finditer(text):
        shell.find("shell-escape", word)
        command = found.group(1) or found.group(2)
        if command:
            shell.run_text(command, word)
    if UNKNOWN in text:
        shell.find("dynamic-code", word)


def sed(shell: Context, word: Word) -> None:
    """A sed program: `e` and the flag `e` run commands, `w` writes a file, `r` reads one."""
    text, at, end = word.text, 0, len(word.text)
    while at < end:
        letter = text[at]
        at += 1
        if letter in " \t\n;{}!,+~$0123456789":
            continue
        if letter in "/\\":
            delimiter = letter if letter == "/" else text[at : at + 1]
            at = _skip(text, at + (letter == "\\"), delimiter)
            while text[at : at + 1] in ("I", "M"):
                at += 1
        elif letter in "sy":
            delimiter = text[at : at + 1]
            middle = _skip(text, at + 1, delimiter)
            after = _skip(text, middle, delimiter)
            flags = re.compile(r"[gpiImMe0-9]*").match(text, after)
            at = flags.end() if flags else after
            if flags and "e" in flags.group() and letter == "s":
                _sed_runs(shell, word, text[middle : after - 1].replace("\\" + delimiter, delimiter))
            if letter == "s" and text[at : at + 1] == "w":
                at = _sed_file(shell, word, at + 1, True)
        elif letter == "e":
            line = _line(text, at)
            _sed_runs(shell, word, line.strip())
            at += len(line)
        elif letter in "wWrR":
            at = _sed_file(shell, word, at, letter in "wW")
        elif letter in "aic#":
            at += len(_line(text, at))
        elif letter in "btT:":
            at += len(re.split(r"[;\n}]", text[at:], maxsplit=1)[0])


def _skip(text: str, at: int, delimiter: str) -> int:
    """The place after the next unescaped delimiter; in a bracket expression it does not count."""
    if not delimiter:
        return len(text)
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == delimiter:
            return at + 1
        at += 1
    return at


def _line(text: str, at: int) -> str:
    return text[at:].split("\n", 1)[0]


def _sed_runs(shell: Context, word: Word, command: str) -> None:
    shell.find("shell-escape", word)
    if command:
        shell.run_text(command, word)


def _sed_file(shell: Context, word: Word, at: int, written: bool) -> int:
    line = _line(word.text, at)
    file = Word(line.strip(), 0, word.start, word.end)
    if file.text and not file.text.startswith("/dev/std"):
        write(shell, file, True, UNKNOWN_OUTPUT) if written else read(shell, file)
    return at + len(line)


def attached(shell: Context, word: Word, stdin: Output) -> None:
    """Data of a pipe is sent to the network."""
    if stdin.taint & SECRET:
        shell.find("exfiltration", word)
    elif stdin.text != "":
        send(shell, word)
