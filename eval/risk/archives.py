"""Archives: tar, whose options come in three styles, and where unpacking puts files."""

import re

from eval.risk.context import Context
from eval.risk.effects import Use
from eval.risk.network import Role
from eval.risk.paths import is_critical_tree
from eval.risk.touched import place, read, unpacked, write
from eval.risk.word import NET, SECRET, Output, Word

COMPRESSORS = re.compile(
    r"(?:pigz|pbzip2|zstdmt|zstd|xz|lz4|gzip|bzip2|pixz|lbzip2|lzip|lzop|plzip|brotli)(?:\s+-[\w=-]+)*"
)
ACTIONS = re.compile(r"\d+$|(?:echo|dot|bell|ttyout|sleep)\b")
RUNS = {
    "--checkpoint-action", "--to-command", "--use-compress-program", "--rsh-command", "--info-script",
    "--rmt-command", "--new-volume-script",
}  # fmt: skip
# Options with a value. Letters: what follows in a bundle of letters without a dash is taken in their order.
LETTERS = {
    "f": "file", "C": "directory", "X": "read", "T": "read", "I": "runs", "F": "runs", "g": "write", "b": "",
    "H": "", "K": "", "L": "", "N": "", "V": "",
}  # fmt: skip
LONG = {
    "--file": "file", "--directory": "directory", "--exclude-from": "read", "--files-from": "read",
    "--listed-incremental": "write", "--index-file": "write", "--volno-file": "write",
} | dict.fromkeys(RUNS, "runs")  # fmt: skip
WITH_VALUE = {
    "--exclude", "--transform", "--xform", "--newer", "--after-date", "--newer-mtime", "--strip-components",
    "--strip", "--mode", "--owner", "--group", "--mtime", "--format", "--suffix", "--level", "--blocking-factor",
    "--record-size", "--label", "--tape-length", "--starting-file", "--sort", "--quoting-style", "--warning",
    "--occurrence", "--sparse-version", "--exclude-tag", "--exclude-tag-under", "--exclude-tag-all",
    "--exclude-ignore", "--add-file", "--owner-map", "--group-map", "--pax-option", "--checkpoint", "--clamp-mtime",
    "--include", "--options", "--uid", "--gid", "--uname", "--gname", "--lrzip",
}  # fmt: skip
OPTIONAL = {"--checkpoint", "--occurrence", "--clamp-mtime", "--lrzip"}  # a value only behind `=`
MODES = {
    "--create": "c", "--extract": "x", "--get": "x", "--list": "t", "--append": "r", "--update": "u",
    "--absolute-names": "P", "--concatenate": "A", "--catenate": "A", "--delete": "D", "--diff": "d",
    "--compare": "d", "--absolute-paths": "P",
}  # fmt: skip
HARMLESS = {
    "--gzip", "--gunzip", "--ungzip", "--bzip2", "--xz", "--lzma", "--lzip", "--lzop", "--zstd", "--compress",
    "--uncompress", "--auto-compress", "--no-auto-compress", "--verbose", "--verify", "--preserve-permissions",
    "--same-permissions", "--same-owner", "--no-same-owner", "--no-same-permissions", "--numeric-owner",
    "--keep-old-files", "--skip-old-files", "--keep-newer-files", "--overwrite", "--overwrite-dir",
    "--no-overwrite-dir", "--unlink-first", "--recursive-unlink", "--to-stdout", "--touch", "--dereference",
    "--hard-dereference", "--one-file-system", "--sparse", "--no-recursion", "--recursion", "--null", "--no-null",
    "--wildcards", "--no-wildcards", "--anchored", "--no-anchored", "--ignore-case", "--exclude-vcs",
    "--exclude-vcs-ignores", "--exclude-backups", "--exclude-caches", "--exclude-caches-all", "--totals",
    "--xattrs", "--acls", "--selinux", "--no-xattrs", "--no-acls", "--no-selinux", "--ignore-failed-read",
    "--ignore-zeros", "--wildcards-match-slash", "--no-wildcards-match-slash", "--full-time", "--utc",
    "--block-number", "--show-transformed-names", "--show-stored-names", "--show-omitted-dirs", "--backup",
    "--check-links", "--delay-directory-restore", "--atime-preserve", "--no-check-device", "--check-device",
    "--seek", "--no-seek", "--read-full-records", "--force-local", "--multi-volume", "--interactive",
    "--confirmation", "--preserve-order", "--same-order", "--preserve", "--one-top-level", "--old-archive",
    "--portability", "--posix", "--incremental", "--no-unquote", "--unquote", "--test-label", "--quote-chars",
    "--exclude-caches-under", "--no-mac-metadata", "--disable-copyfile", "--restrict", "--help", "--version",
    "--usage", "--show-defaults", "--no-quote-chars", "--ignore-command-error", "--no-ignore-command-error",
    "--keep-directory-symlink", "--no-delay-directory-restore", "--no-verbose",
}  # fmt: skip


class _Tar:
    """What a tar command line says."""

    def __init__(self, shell: Context, name: Word) -> None:
        self.shell, self.name = shell, name
        self.letters = ""
        self.file: Word | None = None
        self.directory: Word | None = None
        self.operands: list[Word] = []
        self.lists: list[Word] = []

    def value(self, kind: str, word: Word) -> None:
        """Take an option's value."""
        if kind == "file":
            self.file = word
        elif kind == "directory":
            self.directory = word
        elif kind == "read":
            self.lists.append(word)
        elif kind == "write":
            write(self.shell, word, False, Output(None))
        elif kind == "runs" and not (COMPRESSORS.fullmatch(word.text) or ACTIONS.match(word.text)):
            self.shell.find("shell-escape", word)
            self.shell.run_text(word.text.removeprefix("exec="), word)

    def read(self, words: list[Word]) -> None:
        """Read options and operands."""
        at = 0
        while at < len(words):
            word, at = words[at], at + 1
            text = word.text
            if text == "--":
                self.operands += words[at:]
                return
            if text[:2] == "--":
                at = self.long(words, at, word)
            elif (text[:1] == "-" and len(text) > 1) or at == 1:
                at = self.bundle(words, at, word)
            else:
                self.operands.append(word)

    def long(self, words: list[Word], at: int, word: Word) -> int:
        """`--option`, `--option=value`, `--option value`, and abbreviations."""
        name, equals, value = word.text.partition("=")
        known = LONG.keys() | WITH_VALUE | MODES.keys() | HARMLESS | {"--remove-files"}
        if name not in known:
            longer = [one for one in known if one.startswith(name)]
            name = longer[0] if len(longer) == 1 else name
        if name == "--remove-files":
            self.shell.find("data-loss", word)
        elif name in MODES:
            self.letters += MODES[name]
        elif name == "--one-top-level" and equals:
            self.directory = Word(value, word.taint, word.start, word.end)
        elif name in LONG or name in WITH_VALUE:
            found = Word(value, word.taint, word.start, word.end)
            if not equals and name not in OPTIONAL and at < len(words):
                found, at = words[at], at + 1
            self.value(LONG.get(name, ""), found)
        elif name not in HARMLESS:
            self.shell.find("unknown-option", word)
        return at

    def bundle(self, words: list[Word], at: int, word: Word) -> int:
        """`-xzf FILE`, `xzfC FILE DIRECTORY`: letters, values in their order; behind a dash a value may be attached."""
        text = word.text.lstrip("-")
        dashed = word.text[:1] == "-"
        for index, letter in enumerate(text):
            self.letters += letter
            if letter not in LETTERS:
                continue
            if dashed and index + 1 < len(text):
                self.value(LETTERS[letter], Word(text[index + 1 :], word.taint, word.start, word.end))
                return at
            if at < len(words):
                self.value(LETTERS[letter], words[at])
                at += 1
        return at


def archive(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """tar: the file of -f is written when creating and read otherwise; extracting writes below -C."""
    tar = _Tar(shell, argv[0])
    tar.read(argv[1:])
    taint = 0
    for word in tar.lists:
        taint |= read(shell, word).taint
    if set("cru") & set(tar.letters):
        for word in tar.operands:
            taint |= read(shell, word).taint
            path = place(shell, word)
            if is_critical_tree(path) and path not in ("/mnt", "/media", "/opt", "/srv"):
                taint |= SECRET
        if tar.file is not None and tar.file.text != "-":
            write(shell, tar.file, False, Output(None, taint))
    elif "x" in tar.letters:
        content = stdin if tar.file is None or tar.file.text == "-" else read(shell, tar.file)
        taint |= content.taint
        if not set("O") & set(tar.letters):
            unpacked(shell, tar.directory or Word(".", 0, argv[0].start, argv[0].end), content.taint & NET)
        if "P" in tar.letters:
            shell.find("system-write", argv[0], "absolute names")
    elif tar.file is not None:
        taint |= read(shell, tar.file).taint
    return Output(None, taint)


def _extract(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    unpacked(shell, word)


def _prefix(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """split, csplit: the files are called prefix and letters."""
    write(shell, Word(f"{word.text}aa", word.taint, word.start, word.end), False, Output(None))


def _unpack(shell: Context, use: Use, word: Word, _stdin: Output) -> Output:
    content = read(shell, word)
    if "lists" not in use.marks and not any(role == "extract" for role, _word in use.found):
        unpacked(shell, Word(".", 0, word.start, word.end), content.taint & NET)
    return content


def _seven(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    verb = use.operands[0].text
    if verb in ("a", "u", "d", "rn", "m", "mf"):
        write(shell, word, False, Output(None))
        if verb in ("d", "m", "mf"):
            shell.find("data-loss", word)
        return None
    content = read(shell, word)
    if verb in ("x", "e") and not any(role == "extract" for role, _word in use.found):
        unpacked(shell, Word(".", 0, word.start, word.end), content.taint & NET)
    return content


def _unrar_into(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    """`unrar x archive directory/`: what ends with a slash is where files go."""
    if use.row.name in ("unrar", "rar") and use.operands[0].text in ("x", "e") and word.text.endswith("/"):
        unpacked(shell, word)
        return None
    return read(shell, word)


ARCHIVE_ROLES: dict[str, Role] = {
    "extract": _extract,
    "unpack": _unpack,
    "seven": _seven,
    "seven-more": _unrar_into,
    "prefix": _prefix,
}
