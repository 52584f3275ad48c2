"""The same command in another spelling: what the manuals say changes nothing, so that running proves nothing more.

Canonical words of a command: quoting and blanks as in eval.bash.parsing.normalise, long options as short ones,
bundles of flags taken apart and sorted, find's default action, and the flags that only make a tool talk. Two
commands with equal canonical words are equal on every file system; unequal ones may still do the same.
"""

import re

from eval.bash.parsing import normalise

SEPARATORS = {"|", "||", "&&", ";", "\n", "(", ")", "$(", "`", "{", "}", "<(", "|&", "&", "do", "then", "else"}
# Long options that are exactly a short one, for the utilities whose flags are taken apart below.
LONG = {
    "ls": {"all": "a", "almost-all": "A", "human-readable": "h", "reverse": "r", "recursive": "R", "inode": "i"},
    "cp": {"recursive": "r", "verbose": "v", "force": "f", "archive": "a"},
    "mv": {"verbose": "v", "force": "f", "no-clobber": "n"},
    "rm": {"recursive": "r", "verbose": "v", "force": "f"},
    "mkdir": {"parents": "p", "verbose": "v"},
    "rmdir": {"parents": "p", "verbose": "v"},
    "wc": {"lines": "l", "words": "w", "bytes": "c", "chars": "m"},
    "du": {"summarize": "s", "all": "a", "human-readable": "h", "bytes": "b", "total": "c"},
    "df": {"human-readable": "h", "print-type": "T", "inodes": "i"},
    "sort": {"numeric-sort": "n", "reverse": "r", "unique": "u", "human-numeric-sort": "h", "ignore-case": "f"},
    "uniq": {"count": "c", "repeated": "d", "unique": "u", "ignore-case": "i"},
    "grep": {
        "ignore-case": "i", "invert-match": "v", "line-number": "n", "count": "c", "recursive": "r", "word-regexp": "w",
        "files-with-matches": "l", "only-matching": "o", "extended-regexp": "E", "fixed-strings": "F", "quiet": "q",
    },
    "gzip": {"keep": "k", "decompress": "d", "force": "f", "stdout": "c"},
    "base64": {"decode": "d"},
    "sysctl": {"all": "a"},
    "netstat": {"statistics": "s", "interfaces": "i", "route": "r", "all": "a", "numeric": "n"},
    "uname": {"all": "a", "kernel-release": "r", "kernel-name": "s", "machine": "m"},
    "chmod": {"recursive": "R", "verbose": "v"},
    "chown": {"recursive": "R", "verbose": "v"},
    "ln": {"symbolic": "s", "force": "f", "verbose": "v"},
    "tree": {},
    "id": {"user": "u", "group": "g", "name": "n", "groups": "G"},
}  # fmt: skip
TALK = {"cp": "v", "mv": "v", "rm": "v", "mkdir": "v", "rmdir": "v", "chmod": "v", "chown": "v", "ln": "v"}
SAME_LETTER = {"cp": {"R": "r"}, "rm": {"R": "r"}, "grep": {}}
# Of find: beside one of these, or an operator, -print is no default.
ACTIONS = frozenset(
    ("-o", "-or", ",", "-exec", "-execdir", "-ok", "-okdir", "-delete", "-ls", "-fls", "-printf", "-print0", "-fprint",
     "-fprint0", "-fprintf", "-quit", "-prune")
)  # fmt: skip
ALIASES = {"egrep": ("grep", "-E"), "fgrep": ("grep", "-F")}
# Letters of these utilities that take a value: a bundle holding one is left as it is.
WITH_VALUE = {"sort": "kotST", "grep": "efmABCdD", "du": "dt", "cp": "tS", "mv": "tS", "ls": "IwT", "tree": "LPIo"}
# Of these letters the last one wins: two of them in one command are left in their order.
LAST_WINS = {"ls": "StXUvlCmx1", "rm": "fiI", "cp": "fin", "mv": "fin", "grep": "EFGP", "du": "hkm", "wc": ""}
SHOW_ASKED = re.compile(r"\b(print|show|display|verbose|list|output|report|message)\w*", re.IGNORECASE)


def canonical(command: str, request: str) -> tuple[str, ...] | None:
    """Canonical words; None when the command does not parse. `request` decides whether talking flags may go."""
    tokens = normalise(command)
    if tokens is None:
        return None
    words: list[str] = []
    part: list[str] = []
    for token in (*tokens, ";"):
        if token in SEPARATORS:
            words += [*simple(part, request), token]
            part = []
        else:
            part.append(token)
    return tuple(words[:-1])


def simple(words: list[str], request: str) -> list[str]:
    """One simple command in canonical spelling."""
    if not words:
        return words
    name = words[0]
    if name in ALIASES:
        words = [*ALIASES[name], *words[1:]]
        name = words[0]
    if name == "find":
        # -print is the default unless another action stands before it or tests are joined by an operator.
        plain = not ACTIONS & {*words}
        return words[:-1] if words[-1] == "-print" and plain and len(words) > 1 else words
    if name == "xargs" and len(words) > 1 and words[1] in LONG:
        return ["xargs", *simple(words[1:], request)]
    if name not in LONG:
        return words
    flags: set[str] = set()
    rest: list[str] = []
    for index, word in enumerate(words[1:], start=1):
        if word == "--":
            rest += words[index:]
            break
        if word.startswith("--") and word[2:] in LONG[name]:
            flags.add(LONG[name][word[2:]])
        elif re.fullmatch(r"-[A-Za-z]+", word) and not set(word[1:]) & set(WITH_VALUE.get(name, "")):
            flags |= {SAME_LETTER.get(name, {}).get(letter, letter) for letter in word[1:]}
        else:
            rest.append(word)
    if len(flags & set(LAST_WINS.get(name, ""))) > 1:
        return words
    if name in TALK and not SHOW_ASKED.search(request):
        flags.discard(TALK[name])
    return [name, *(f"-{letter}" for letter in sorted(flags)), *rest]


def same_text(gold: str, candidate: str, request: str) -> bool:
    """The candidate is the gold in another spelling."""
    if gold.strip() == candidate.strip():
        return True
    expected = canonical(gold, request)
    return expected is not None and expected == canonical(candidate, request)
