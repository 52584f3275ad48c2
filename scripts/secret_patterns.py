"""Credentials by their shape: the always-on check of everything that is uploaded.

    findings = find_secrets("recipe.yaml", text)      -> where and which kind; never the secret itself
    refuse_secrets(files, folder)                     -> Refused at the first one

Named formats are matched as their issuers write them. The last pattern, `password = value`, wants a value of at
least 16 characters with a letter and a digit, so that prose, options and tokenizer files pass.

Not protected against: a credential of a format not listed here, one that is encoded (base64, JSON escapes) or
split over lines, and short passwords.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval.errors import Refused

# Each starts with letters, which the search finds fast; where the start of a word matters it is looked at after them.
PATTERNS = {
    "Hugging Face token": r"hf_[A-Za-z0-9]{30,}",
    "RunPod key": r"rpa_[A-Za-z0-9]{30,}",
    "AWS access key": r"A(?:KIA|SIA)(?<![A-Za-z0-9]....)[A-Z0-9]{16}\b",
    "GitHub token": r"g(?:h[pousr]_[A-Za-z0-9]{36,}|ithub_pat_[A-Za-z0-9_]{40,})",
    "OpenAI or Anthropic key": r"sk-(?<!\w...)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}",
    "Slack token": r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "Google API key": r"AIza(?<!\w....)[A-Za-z0-9_-]{35}",
    "private key": r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    "W&B key": r"wandb[ _]login\b[^\n]{0,80}?\b[0-9a-f]{40}\b",
    "JSON web token": r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "password, token or key in an assignment": (
        r"(?i:password|passwd|token|secret|api[_-]?key)[\"']?[ \t]*[:=][ \t]*[\"']?"
        r"(?=[A-Za-z0-9_+~-]*[A-Za-z])(?=[A-Za-z0-9_+~-]*[0-9])[A-Za-z0-9_+~-]{16,}"
    ),
}
COMPILED = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}


@dataclass(frozen=True)
class Finding:
    """One suspected credential. Holds no part of it, so that it can be printed and logged."""

    file: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}"


def find_secrets(file: str, text: str) -> list[Finding]:
    """Suspected credentials in a text, by line; `file` is the name to report."""
    found = {
        (text.count("\n", 0, match.start()) + 1, kind)
        for kind, pattern in COMPILED.items()
        for match in pattern.finditer(text)
    }
    return [Finding(file, line, kind) for line, kind in sorted(found)]


def refuse_secrets(files: Iterable[Path], folder: Path) -> None:
    """Refused with file (relative to `folder`), line and kind of the first suspected credential."""
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            found = find_secrets(name, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise Refused(f"{name} is not text, so it cannot be searched for credentials") from None
        if found:
            raise Refused(f"{found[0]}: remove it, revoke it, and evaluate and review again")
