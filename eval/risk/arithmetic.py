"""Texts that Bash evaluates: arithmetic, subscripts and prompts.

An arithmetic expression is expanded first; then the names in it are replaced by their values, which are expressions
again, and the subscripts in those are expanded once more. So `x='a[$(command)]'; echo $((x))` runs the command, and
so do `[[ x -eq 0 ]]`, `let`, `declare -i`, `test -v`, `read 'a[..]'`, `${s:x}` and `unset`.
"""

import re

from eval.risk.context import Context
from eval.risk.paths import UNKNOWN
from eval.risk.word import NET, Word

NAMES = re.compile(r"(?<![\w$])[A-Za-z_]\w*")
CODE = re.compile(r"(?<!\\)(?:\\\\)*(?:\$[({]|`)")
MAX_NAMES = 16


def evaluate(shell: Context, text: str, word: Word) -> None:
    """Evaluate a text as arithmetic: what it runs is judged, here and in the values of its names."""
    waiting = [(text, word.taint)]
    seen: set[str] = set()
    while waiting and len(seen) < MAX_NAMES:
        current, taint = waiting.pop()
        if current in seen or not current:
            continue
        seen.add(current)
        if taint & NET and UNKNOWN in current:
            shell.find("dynamic-code", word, "arithmetic on a text from the network")
        expand_text(shell, current, word)
        for name in NAMES.findall(current):
            known = shell.variables.get(name)
            if known is not None and not known[0].isdigit():
                waiting.append(known)


def subscript(shell: Context, text: str, word: Word) -> None:
    """The subscript of an array: arithmetic, after one more expansion."""
    if text not in ("@", "*") and not text.isdigit():
        evaluate(shell, text, word)


def expand_text(shell: Context, text: str, word: Word) -> None:
    """Expand a text as in double quotes: the commands in it run."""
    if CODE.search(text):
        shell.run_text(f': "{text}"', word)
