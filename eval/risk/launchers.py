"""find, xargs and `python -m`: which files, and what is done to them.

A find without a test that narrows it (-name '*' and -type do not) stands for its whole roots; with one, for some
unknown files below them. xargs gets the words of its standard input when they are known.
"""

from collections.abc import Callable

from eval.risk.context import Context
from eval.risk.effects import read_arguments, table
from eval.risk.paths import UNKNOWN, is_below_home, is_critical_tree
from eval.risk.touched import delete, place, read, write
from eval.risk.word import FILE, NOTHING, SECRET, UNKNOWN_OUTPUT, Output, Word

Run = Callable[[list[Word], Output], Output]

NARROWS = {
    "-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex", "-lname", "-ilname",
    "-inum", "-mtime", "-ctime", "-Btime", "-Bmin", "-flags", "-xattrname", "-mnewer", "-atime", "-mmin", "-cmin",
    "-amin", "-newer", "-anewer", "-cnewer", "-size", "-user", "-group", "-uid", "-gid", "-perm", "-links",
    "-samefile", "-used", "-fstype", "-newermt", "-newerct", "-newerat", "-xtype", "-context",
}  # fmt: skip
NO_VALUE = {
    "-empty", "-nouser", "-nogroup", "-executable", "-readable", "-writable",
}  # fmt: skip
PLAIN = {
    "(", ")", "!", ",", "-o", "-or", "-a", "-and", "-not", "-true", "-false", "-print", "-print0", "-ls", "-prune",
    "-quit", "-depth", "-d", "-mount", "-xdev", "-x", "-follow", "-daystart", "-noleaf", "-ignore_readdir_race",
    "-noignore_readdir_race", "-warn", "-nowarn", "-help", "--help", "--version", "-version", "-L", "-P", "-H",
    "-E", "-X", "-s", "-O1", "-O2", "-O3", "-sparse", "-acl", "-noxdev", "-local", "-nolocal", "-xattr",
}  # fmt: skip
VALUE = {"-regextype", "-type", "-maxdepth", "-mindepth", "-printf", "-fprintf", "-fls", "-fprint", "-fprint0", "-D"}
RUNS = {"-exec", "-execdir", "-ok", "-okdir"}
CREDENTIAL_NAMES = ("id_rsa", "id_dsa", "id_ed25519", "id_ecdsa", "id_*", ".ssh", "shadow", "*.pem", "*.kdbx", "*.key",
                    ".netrc", ".pgpass", "wp-config.php", "*password*", "*passwd*", "credentials", "*.ovpn", "*.pfx",
                    "*.p12",
                    ".aws", ".git-credentials", "*secret*", "*token*", "*credential*", ".htpasswd")  # fmt: skip
MAX_INPUT_WORDS = 32


def find_action(shell: Context, argv: list[Word], run: Run) -> Output:
    """Judge a find command; returns what it lists."""
    at, end = 1, len(argv)
    roots: list[Word] = []
    while at < end and (
        argv[at].text[:1] not in ("-", "(", "!", ",") or argv[at].text in ("-L", "-P", "-H", "-E", "-X", "-s")
    ):
        if argv[at].text[:1] != "-":
            roots.append(argv[at])
        at += 1
    roots = roots or [Word(".", 0, argv[0].start, argv[0].end)]
    narrow, name = False, ""
    taint = 0
    while at < end:
        text = argv[at].text
        word, at = argv[at], at + 1
        if text in NARROWS or text.startswith("-newer"):
            value = argv[at].text if at < end else ""
            at += 1
            if text in ("-name", "-iname", "-path", "-wholename") and value in ("*", "*.*", "./*", "**", "?*"):
                continue
            if (text == "-perm" and "4000" in value) or "u=s" in value or value in ("-u+s", "-6000", "/6000"):
                taint |= FILE
            narrow, name = True, value if text in ("-name", "-iname", "-path") else name
            if name.lower() in CREDENTIAL_NAMES and name not in ("*", ""):
                taint |= SECRET
        elif text == "-files0-from" and at < end:
            read(shell, argv[at])
            at += 1
        elif text in NO_VALUE:
            narrow = True
        elif text in ("-maxdepth",):
            at += 1
        elif text in ("-fprintf", "-fls", "-fprint", "-fprint0"):
            if at < end:
                write(shell, argv[at], False, UNKNOWN_OUTPUT)
            at += 2 if text == "-fprintf" else 1
        elif text in VALUE:
            at += 1
        elif text in ("-o", "-or") and not _inside_group(argv, at):
            narrow = False
        elif text == "-delete":
            for root in roots:
                _deletes(shell, root, word, narrow, name)
        elif text in RUNS:
            tests = at < end and argv[at].text in ("grep", "egrep", "fgrep", "test", "[", "zgrep")
            at = _executes(shell, argv, at, roots, narrow, name, run)
            narrow = narrow or tests
        elif text[:1] == "-" and text not in PLAIN and len(text) > 1:
            shell.find("unknown-option", word)
    if taint & SECRET and any(root.text[:1] in "/~" for root in roots):
        shell.find("credential-search", argv[0], name)
    listed = tuple(_listed(shell, root, narrow) for root in roots)
    return Output(None, taint & SECRET, listed)


def _inside_group(argv: list[Word], at: int) -> bool:
    depth = 0
    for word in argv[:at]:
        depth += (word.text == "(") - (word.text == ")")
    return depth > 0


def _listed(shell: Context, root: Word, narrow: bool) -> str:
    path = place(shell, root)
    if path in (".", "./"):
        return "_/" + UNKNOWN if narrow else "./*"
    return f"{path.rstrip('/')}/{UNKNOWN if narrow else '*'}"


def _deletes(shell: Context, root: Word, word: Word, narrow: bool, name: str) -> None:
    path = place(shell, root)
    if not narrow:
        target = Word(path, root.taint, root.start, root.end)
        delete(shell, target, True)
        if path in (".", "*"):
            shell.find("delete-everything", word)
        return
    if is_critical_tree(path) or is_below_home(path) or path.startswith(("/etc", "/usr", "/boot", "/lib", "/bin")):
        rule = "home-loss" if path == "~" or is_below_home(path) else "delete-system"
        shell.find(rule, word, f"{root.text} {name}")


def _executes(shell: Context, argv: list[Word], at: int, roots: list[Word], narrow: bool, name: str, run: Run) -> int:
    """-exec: run its command once for each root, `{}` replaced; returns the place after the closing `;` or `+`."""
    end = at
    while end < len(argv) and argv[end].text not in (";", "+"):
        end += 1
    words = argv[at:end]
    for root in _worst_first(shell, roots)[:4] if words else ():
        path = _listed(shell, root, narrow)
        if narrow and name and not any(letter in name for letter in "*?[/"):
            path = f"{path}/{name}"
        replaced = [
            Word(word.text.replace("{}", path), word.taint, word.start, word.end) if "{}" in word.text else word
            for word in words
        ]
        run(replaced, NOTHING)
    return end + 1


def _worst_first(shell: Context, roots: list[Word]) -> list[Word]:
    """Places of the system before those of the working area: not all of many are tried."""
    return sorted(roots, key=lambda root: not is_critical_tree(place(shell, root)))


def xargs_words(shell: Context, argv: list[Word], stdin: Output) -> list[Word]:
    """The command that xargs runs, with the words it appends or puts in place of its marker."""
    options = read_arguments(table()["xargs"], argv)
    rest = options.rest or []
    marker = next((word.text for role, word in options.found if role == "marker"), None)
    if marker is None and "marker" in options.marks:
        marker = "{}"
    place_ = argv[0]
    inputs = [word for role, word in options.found if role == "read"]
    for word in inputs:
        read(shell, word)
    values = _input_words(stdin) if not inputs else [UNKNOWN]
    if not rest:
        rest = [Word("echo", 0, place_.start, place_.end)]
    taint = stdin.taint
    if not marker:
        return [*rest, *(Word(value, taint, place_.start, place_.end) for value in values)]
    joined = values[0] if values else UNKNOWN
    if stdin.text and not inputs:
        joined = stdin.text.replace("\0", "\n").strip("\n").split("\n")[0]
    return [
        Word(
            word.text.replace(marker, joined), word.taint | (taint if marker in word.text else 0), word.start, word.end
        )
        for word in rest
    ]


def parallel_text(rest: list[Word], stdin: Output) -> str:
    """The command that GNU parallel runs: its first input in place of `{}`, or at the end."""
    texts = [word.text for word in rest]
    at = next((index for index, text in enumerate(texts) if text in (":::", "::::")), len(texts))
    values = texts[at + 1 :] if texts[at : at + 1] == [":::"] else [UNKNOWN] if at < len(texts) else _input_words(stdin)
    command, value = " ".join(texts[:at]), " ".join(values)
    for marker in ("{}", "{.}", "{/}", "{//}", "{1}"):
        if marker in command:
            return command.replace("{}", value).replace(marker, value)
    return f"{command} {value}"


def _input_words(stdin: Output) -> list[str]:
    if stdin.text:
        words = stdin.text.replace("\0", " ") if "\0" in stdin.text else stdin.text
        found = words.split()
        beyond = [word for word in found[MAX_INPUT_WORDS:] if word[:1] in ("/", "~", "-", ".", "*")]
        return found[:MAX_INPUT_WORDS] + beyond[:MAX_INPUT_WORDS]
    return list(stdin.paths) or [UNKNOWN]


# Modules of Python that are utilities of the table, and those that do no more than print, test or make a folder.
MODULES = {"pip", "pytest", "mypy", "black", "ruff", "flake8", "pylint", "isort", "yamllint", "bandit"}
HARMLESS_MODULES = {"this", "calendar", "unittest", "doctest", "venv", "py_compile", "compileall", "tabnanny", "site"}


def python_module(shell: Context, rest: list[Word]) -> Output | list[Word]:
    """`python -m module arguments`."""
    name = rest[0].text
    if name in MODULES:
        return rest
    if name == "http.server":
        shell.find("listen", rest[0])
    elif name == "json.tool":
        files = [word for word in rest[1:] if word.text[:1] != "-"]
        for word in files[1:]:
            write(shell, word, False, UNKNOWN_OUTPUT)
        return Output(None, read(shell, files[0]).taint) if files else UNKNOWN_OUTPUT
    elif name not in HARMLESS_MODULES:
        shell.find("unknown-program", rest[0])
    return UNKNOWN_OUTPUT
