"""Roles of single tools (see roles.py): documents, editors by script, plugins, settings, macros."""

import re

from eval.risk.context import Context
from eval.risk.effects import Use
from eval.risk.languages import inline, program_file
from eval.risk.network import Role
from eval.risk.paths import UNKNOWN, is_credential
from eval.risk.touched import read, write
from eval.risk.word import NET, UNKNOWN_OUTPUT, Output, Word

MAGICK = {"convert", "composite", "montage", "magick", "sox", "pdfunite"}  # the last operand is written
IN_PLACE = {"black", "isort", "rustfmt", "mogrify"}  # without an option that says so
MAGICK_RUNS = re.compile(r"\||(?:ephemeral|msl|mvg|https?|url|text|label):@?")
# Nothing is tried twice (`*+`): two readings of one text would be exponentially many.
SUBSTITUTIONS = re.compile(
    r"(?:\s*+(?:s|y|tr)(\W)(?:\\.|(?!\1).)*+\1(?:\\.|(?!\1).)*+\1[gimxrsl]*+\s*+;?)++$", re.DOTALL
)
ED_FILE = re.compile(r"[\d,.$%;'/\w]*?([eErwW])\s+(\S.*)$")
DC_RUNS = re.compile(r"!(?![<>=])([^\n]*)")
RPM_RUNS = re.compile(r"%\((.*)\)|%\{(?:lua|uncompress|shell)[:.]", re.DOTALL)


def _at(word: Word, text: str) -> Word:
    return Word(text, word.taint, word.start, word.end)


def _date(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """`date 0102030405` sets the clock."""
    if re.match(r"\d{4,}", word.text):
        shell.find("system-write", word)


def _man_page(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    """A page that is a file may hold requests that run programs."""
    if "local" in use.marks or "/" in word.text:
        shell.find("unknown-program", word)


def _settings(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    shell.find("system-write", word)


def _unknown_code(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """A configuration file that can name programs to run."""
    if word.text in ("/dev/null", "none", "NONE", ""):
        return
    content = read(shell, word)
    shell.find("remote-code" if content.taint & NET else "unknown-program", word)


def _document(shell: Context, use: Use, word: Word, stdin: Output) -> Output | None:
    text = word.text
    if MAGICK_RUNS.match(text) and use.row.name in MAGICK | {"mogrify"}:
        shell.find("shell-escape", word)
        if text[:1] == "|":
            shell.run_text(text[1:], word)
        return None
    if use.row.name in MAGICK and len(use.operands) > 1 and word is use.operands[-1]:
        write(shell, word, False, UNKNOWN_OUTPUT)
        return None
    if text == "-":
        return stdin
    return read(shell, _at(word, text.lstrip("@")))


def _media(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """What ffmpeg writes: a file or an address."""
    if "://" in word.text:
        shell.find("network-send", word)
    elif word.text not in ("-", "pipe:1", "pipe:"):
        write(shell, word, False, UNKNOWN_OUTPUT)


def _media_in(shell: Context, _use: Use, word: Word, _stdin: Output) -> Output | None:
    if word.text.startswith(("/dev/video", "/dev/snd")):
        shell.find("capture", word)
        return None
    return read(shell, _at(word, word.text.removeprefix("concat:").removeprefix("file:")))


def _in_place(shell: Context, use: Use, word: Word, stdin: Output) -> Output | None:
    """Read, or changed where an option (or the tool) says so."""
    checks = any(one.text in ("--check", "--diff", "-c", "--check-only", "--dry-run") for one in use.words)
    if "inplace" in use.marks or (use.row.name in IN_PLACE and not checks):
        write(shell, word, False, UNKNOWN_OUTPUT)
        return None
    return stdin if word.text == "-" else read(shell, word)


def _assignment(shell: Context, _use: Use, word: Word, _stdin: Output) -> Output | None:
    """`awk -v name=value`: the program may open a file of that name."""
    value = _at(word, word.text.partition("=")[2])
    return read(shell, value) if is_credential(value.text) else None


def _config_file(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """A linter's configuration can name code; what the project brings is as trusted as the rest of it."""
    if word.text[:1] in "/~" and word.text not in ("", "/dev/null"):
        shell.find("unknown-program", word)


def _edit_file(shell: Context, _use: Use, word: Word, _stdin: Output) -> Output:
    content = read(shell, word)
    write(shell, word, False, UNKNOWN_OUTPUT)
    return content


def _exif(shell: Context, use: Use, word: Word, _stdin: Output) -> Output:
    if any(re.match(r"-[\w:*-]+[-+<]?=|-(?:tagsfromfile|overwrite_original)", one.text, re.I) for one in use.words[1:]):
        write(shell, word, False, UNKNOWN_OUTPUT)
        for one in use.words[1:]:
            if found := re.match(r"-(?:filename|directory|testname|hardlink|symlink)[-+<]?=(.+)", one.text, re.I):
                write(shell, _at(one, found.group(1)), False, UNKNOWN_OUTPUT)
    return read(shell, word)


def _rename_code(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """Perl's rename takes a program; a substitution is no more than that."""
    text = word.text
    plain = re.fullmatch(r"[\w.*?\s-]*", text) is not None
    simple = SUBSTITUTIONS.match(text) is not None and not re.search(r"[@$]\{|\(\?\??\{", text)
    if not (plain or simple):
        inline(shell, word)


def _awk_include(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    """gawk -i: `inplace` changes the files, anything else is a program."""
    if word.text != "inplace":
        program_file(shell, word, stdin)
        return
    for one in use.operands if any(role.startswith("code:") for role, _word in use.found) else use.operands[1:]:
        write(shell, one, False, UNKNOWN_OUTPUT)


def _pytest_plugin(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    if not word.text.startswith("no:") and word.text not in ("xdist", "pytest_cov", "randomly"):
        shell.find("unknown-program", word)


def _vimrc(shell: Context, _use: Use, word: Word, stdin: Output) -> None:
    if word.text not in ("NONE", "NORC", "DEFAULTS", "/dev/null"):
        program_file(shell, word, stdin)


def _screen_config(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    """`screen -c FILE` obeys it; `tmux -c COMMAND` runs it, before any verb."""
    if use.row.name == "screen":
        shell.find("unknown-program", word)
    elif len(use.words) > 1 and use.words[1].text.startswith("-c"):
        shell.run_text(word.text, word)


def _xdg_name(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """xdg-user-dir hands its operand to eval."""
    if not re.fullmatch(r"[A-Z]+", word.text):
        shell.find("shell-escape", word)


def _dc(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """dc: `!` runs the rest of the line."""
    found = DC_RUNS.search(word.text)
    if found:
        shell.find("shell-escape", word)
        shell.run_text(found.group(1), word)


def _rpm_macro(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """rpm: `%(command)` and `%{lua:..}` in a macro."""
    found = RPM_RUNS.search(word.text)
    if found:
        shell.find("shell-escape", word)
        if found.group(1):
            shell.run_text(found.group(1), word)


def _ed(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    """Commands of ed from a pipe: `!command`, `e file`, `w file`."""
    if UNKNOWN in word.text:
        shell.find("dynamic-code", word)
    target = use.operands[-1] if use.operands else None
    for line in word.text.split("\n"):
        command = line.strip()
        if command.startswith("!"):
            shell.find("shell-escape", word)
            shell.run_text(command[1:], word)
        elif (found := ED_FILE.match(command)) is not None:
            path = found.group(2)
            if path.startswith("!"):
                shell.find("shell-escape", word)
                shell.run_text(path[1:], word)
            elif found.group(1) in "wW":
                write(shell, _at(word, path), found.group(1) == "W", UNKNOWN_OUTPUT)
            else:
                read(shell, _at(word, path))
        elif command in ("w", "wq", "x") and target is not None:
            write(shell, target, False, UNKNOWN_OUTPUT)


def _cpan(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    inline(shell, word)


def _read_pair(shell: Context, _use: Use, word: Word, _stdin: Output) -> Output:
    return read(shell, word)


def _none(_shell: Context, _use: Use, _word: Word, _stdin: Output) -> None:
    return None


def kill_source(shell: Context, word: Word) -> str:
    """The name that `kill $(pgrep name)` looks for; an empty text for none."""
    source = shell.text[word.start : word.end]
    found = re.search(r"\b(?:pgrep|pidof)\s+(?:-\S+\s+)*['\"]?([\w.^-]+)", source)
    return found.group(1) if found else ""


TOOL_ROLES: dict[str, Role] = {
    "date": _date, "man-page": _man_page, "settings": _settings, "unknown-code": _unknown_code,
    "document": _document, "media": _media,
    "media-in": _media_in, "write-in-place": _in_place, "edit-file": _edit_file, "assignment": _assignment,
    "config-file": _config_file, "exif": _exif,
    "rename-code": _rename_code, "awk-include": _awk_include, "pytest-plugin": _pytest_plugin, "vimrc": _vimrc,
    "screen-config": _screen_config, "xdg-name": _xdg_name, "dc": _dc, "rpm-macro": _rpm_macro, "ed": _ed,
    "cpan": _cpan, "keyfile": _none, "directory": _none, "attributes": _none, "gitconfig-file": _read_pair,
}  # fmt: skip
