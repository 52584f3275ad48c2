"""Credentials removed from a job's output before it is written anywhere: line by line, as it comes.

    redactor = Redactor(os.environ)
    clean = redactor.line("token: hf_...")

Two kinds are known: what looks like one (eval/run/secret_patterns.py), over a few lines where a name stands above its
value; and the values of this machine's own variables whose names say TOKEN, KEY, SECRET or PASSWORD. A private key is
left out from its first line to its last.

Not protected against: a value shorter than 6 characters, one that is printed encoded or in pieces, and one that a
program has read from a file and that has no known shape.
"""

import re
from collections import deque
from collections.abc import Mapping

from eval.run.secret_patterns import matches

SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
SHORTEST = 6  # characters; a shorter value would be found inside ordinary words
BEFORE = 2, 160  # lines, and characters of each, that are looked at again: a key may stand below its name
KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY")
KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,60}PRIVATE KEY")


class Redactor:
    """Remembers the lines before, and whether it is inside of a private key."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        named = {value.strip(): name for name, value in variables.items() if SECRET_NAME.search(name)}
        # Longest first: one value may be the beginning of another.
        self._values = sorted(((v, n) for v, n in named.items() if len(v) >= SHORTEST), key=lambda pair: -len(pair[0]))
        self._before: deque[str] = deque(maxlen=BEFORE[0])
        self._in_key = False

    def line(self, text: str) -> str:
        """One line without its credentials; empty inside of a private key."""
        if self._in_key:
            self._in_key = not KEY_ENDS.search(text)
            return ""
        begins = KEY_BEGINS.search(text)
        if begins:
            self._in_key = not KEY_ENDS.search(text, begins.end())
            text = text[: begins.start()] + "[private key removed]"
        for value, name in self._values:
            text = text.replace(value, f"[{name} removed]")
        clean = self._without_shapes(text)
        self._before.append(text[-BEFORE[1] :])
        return clean

    def _without_shapes(self, text: str) -> str:
        """Without what looks like a credential in this line and the ones before it."""
        before = "".join(f"{line}\n" for line in self._before)
        shift, pieces, end = len(before), list[str](), 0
        for start, stop, kind in sorted(matches(before + text)):
            if stop - shift > end:
                pieces += [text[end : max(start - shift, end)], f"[{kind} removed]"]
                end = stop - shift
        return "".join([*pieces, text[end:]])
