"""git: what loses work, and which configuration runs code. Checks and roles of its entry in utilities/."""

import re

from eval.risk.context import Context
from eval.risk.effects import Use
from eval.risk.paths import SCRATCH
from eval.risk.touched import read
from eval.risk.word import Output, Word

# Configuration that cannot run code nor send anything elsewhere.
HARMLESS_SETTINGS = re.compile(
    r"(?i)(?:user\.(?:name|email|signingkey|useconfigonly)|color\.[\w.-]+|column\.\w+|advice\.\w+|status\.\w+|log\.\w+"
    r"|core\.(?:autocrlf|filemode|ignorecase|quotepath|longpaths|eol|safecrlf|abbrev|commentchar|whitespace|compression"
    r"|precomposeunicode|symlinks|bigfilethreshold|preloadindex|untrackedcache|multipackindex|checkstat|trustctime|bare"
    r"|logallrefupdates|repositoryformatversion|sharedrepository|fscache|protectntfs|protecthfs)"
    r"|pull\.\w+|push\.(?:default|autosetupremote|followtags)|fetch\.\w+|rebase\.\w+|rerere\.\w+|gc\.\w+|pack\.\w+"
    r"|merge\.(?:ff|conflictstyle|log|renames|stat|autostash|renamelimit)|init\.defaultbranch|i18n\.\w+|tag\.sort"
    r"|diff\.(?:algorithm|renames|colormoved\w*|mnemonicprefix|noprefix|renamelimit|context|submodule|wordregex)"
    r"|branch\.(?:sort|autosetuprebase|autosetupmerge)|branch\.\S+\.(?:remote|merge|rebase|description)"
    r"|commit\.(?:gpgsign|verbose|cleanup|status)|grep\.\w+|blame\.\w+|stash\.\w+|help\.format|format\.pretty"
    r"|http\.(?:postbuffer|lowspeedlimit|lowspeedtime|version|maxrequests)|feature\.\w+|index\.\w+|checkout\.\w+"
    r"|clean\.requireforce|credential\.(?:usehttppath|username)|versionsort\.\w+|worktree\.\w+|apply\.whitespace"
    r"|submodule\.(?:recurse|fetchjobs)|safe\.directory|maintenance\.\w+|lfs\.(?:locksverify|concurrenttransfers))$"
)
# Verbs that leave the files of the working tree as they are; after any other, what they hold is not known.
KEEPS_FILES = {
    "add", "stage", "commit", "status", "log", "show", "diff", "branch", "tag", "push", "fetch", "init", "config",
    "remote", "blame", "grep", "rev-parse", "ls-files", "describe", "notes", "archive", "gc", "reflog",
}  # fmt: skip
FILE_NAME = re.compile(r"(?:^|/)[^/]*[A-Za-z_][^/]*\.[A-Za-z]\w{0,4}$")


def setting(key: str, value: str) -> str:
    """The rule for setting `key` to `value`."""
    name = key.lower()
    if HARMLESS_SETTINGS.match(key):
        return ""
    if name.startswith("alias."):
        return "shell-escape" if value.lstrip().startswith("!") or not value else ""
    runs = r"core\.(?:fsmonitor|pager|editor|sshcommand|hookspath|askpass)|credential\..*helper|pager|diff\.external"
    return "shell-escape" if re.match(runs, name) else "git-config"


def option_setting(use: Use, _stdin: Output) -> str:
    """`-c key=value`."""
    found = [word.text for role, word in use.found if role == "ignore"]
    rules = [setting(*text.partition("=")[::2]) for text in found if "." in text.partition("=")[0]]
    return next((rule for rule in rules if rule), "")


def config(use: Use, _stdin: Output) -> str:
    """`git config key value`, `git config set key value`; reading a key is fine."""
    texts = [word.text for word in use.operands]
    if "reads" in use.marks:
        return ""
    if texts[:1] == ["set"]:
        texts = texts[1:]
    elif texts[:1] in (["unset"], ["remove-section"], ["rename-section"], ["edit"]) or "unset" in use.marks:
        return "" if all(HARMLESS_SETTINGS.match(text) for text in texts[-1:]) else "git-config"
    elif len(texts) < 2:
        return ""
    return setting(texts[0], texts[1] if len(texts) > 1 else "") if texts else ""


def checkout(use: Use, _stdin: Output) -> str:
    """`git checkout` of paths overwrites them; of a branch it refuses to."""
    texts = [word.text for word in use.operands]
    paths = any(word.text == "--" for word in use.words) and bool(texts)
    if paths or len(texts) > 1 or any(text in (".", "..", "*", ":/") or text.endswith("/") for text in texts):
        return "git-loss"
    return "git-loss" if any(FILE_NAME.search(text) for text in texts) else ""


def restore(use: Use, _stdin: Output) -> str:
    """`git restore` overwrites the working tree, unless only --staged is asked for."""
    return "" if "staged" in use.marks and "worktree" not in use.marks else "git-loss"


def clean(use: Use, _stdin: Output) -> str:
    """`git clean` deletes what git does not know, unless it only shows it."""
    return "" if "dry" in use.marks else "git-loss"


def changes_files(use: Use) -> bool:
    """Whether files of the working tree may have another content afterwards."""
    words = [word.text for word in use.words[1:] if word.text[:1] != "-"]
    return not KEEPS_FILES & set(words[:2])


def git_path(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    """A path of the repository, or of elsewhere, which git then reads."""
    outside = word.text[:1] in "/~" or word.text.startswith("../") or "files" in use.marks
    return read(shell, word) if outside and word.text else None


def git_directory(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """Another repository's configuration is obeyed."""
    if SCRATCH.search(word.text.removesuffix("/.git")) and word.text[:1] == "/":
        shell.find("git-config", word)


def git_argument(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """`ext::` is a transport that runs a command."""
    if word.text.startswith("ext::"):
        shell.find("shell-escape", word)
        shell.run_text(word.text[5:], word)
    elif word.text.startswith("--"):
        shell.find("unknown-option", word)
