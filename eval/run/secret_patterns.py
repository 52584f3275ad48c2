"""Credentials by their shape: the always-on check of what is committed, trained on, evaluated and uploaded.

    findings = find_secrets("recipe.yaml", text)      -> where and which kind; never the secret itself
    findings = scan_file(path, "recipe.yaml")         -> the same for a file of any size, text or binary, in pieces
    refuse_secrets(files, folder)                     -> Refused at the first one
    python -m eval.run.secret_patterns FILE...         one line a finding, exit 1 when there is one

Named formats are matched as their issuers write them. The last kind, `password = value`, wants a value of at least 16
characters with a letter and a digit, so that prose, options and tokenizer files pass. A digest alone is never one.

Not protected against: a credential of a format not listed here, one that is encoded (base64, escapes, UTF-16),
compressed or split over lines, one longer than OVERLAP_BYTES, and short passwords.
"""

import argparse
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.common.errors import NO_SHIP, Refused, UserError, run_command
from eval.common.reading import open_regular, read_bytes, witness
from eval.run.files import write_bytes

QUOTE = r"\\?[\"']"  # escaped where JSON holds JSON
SET_TO = rf"(?:{QUOTE})?[ \t]{{0,4}}[:=][ \t]{{0,4}}(?:{QUOTE})?"


@dataclass(frozen=True)
class Pattern:
    """One way to write one kind. Only where one of `anchors` stands in the lower-cased text is `regex` tried."""

    kind: str
    anchors: tuple[str, ...]
    regex: re.Pattern[str]
    back: int = 0  # the anchor stands at most this many characters after the start of the match


def _pattern(kind: str, anchors: str, regex: str, back: int = 0) -> Pattern:
    return Pattern(kind, tuple(anchors.split(",")), re.compile(regex), back)


PATTERNS = (
    _pattern("Hugging Face token", "hf_", r"hf_(?:[A-Za-z0-9]{30,}|oauth_[A-Za-z0-9._-]{20,})"),
    _pattern("Hugging Face token", "api_org_", r"api_org_[A-Za-z]{34}\b"),
    _pattern("RunPod key", "rpa_", r"rpa_[A-Za-z0-9]{30,}"),
    _pattern("AWS access key", "akia,asia", r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{16}\b"),
    _pattern("AWS secret key", "secret", r"(?i:secret_?access_?key)" + SET_TO + r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
    _pattern("GitHub token", "ghp_,gho_,ghu_,ghs_,ghr_", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    _pattern("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{40,}"),
    _pattern(
        "GitLab token",
        "glpat-,glptt-,gldt-,glrt-,glcbt-,gloas-,glsoat-,glft-,glimt-,glagent-",
        r"(?<!\w)gl[a-z]+-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}",
    ),
    _pattern("OpenAI or Anthropic key", "sk-", r"(?<!\w)sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"),
    _pattern(
        "Groq, Replicate, xAI or Perplexity key",
        "gsk_,r8_,xai-,pplx-",
        r"(?<!\w)(?:gsk_|r8_|xai-|pplx-)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{36,}",
    ),
    _pattern("Slack token", "xox", r"xox[abeprs]-[A-Za-z0-9-]{10,}"),
    _pattern("Slack token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{20,}"),
    _pattern(
        "Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com\\?/(?:services|workflows|triggers)\\?/[A-Za-z0-9]{8,}\\?/[A-Za-z0-9/\\]{16,}",
    ),
    _pattern("Discord webhook", "webhooks", r"webhooks\\?/\d{15,}\\?/(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{40,}"),
    _pattern("Telegram bot token", ":aa", r"(?<![0-9A-Za-z])\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])", back=10),
    _pattern("Google API key", "aiza", r"(?<!\w)AIza[A-Za-z0-9_-]{35}"),
    _pattern("Google OAuth secret", "gocspx-,ya29.", r"GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{40,}"),
    _pattern("Azure storage key", "accountkey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    _pattern("Azure shared access signature", "sig=", r"(?<=[?&])sig=[A-Za-z0-9%+/]{40,60}(?:%3D|=)"),
    _pattern(
        "Azure client secret", "q~", r"(?<![\w~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![\w~.-])", back=4
    ),
    _pattern("npm token", "npm_", r"npm_[A-Za-z0-9]{36}\b"),
    _pattern("PyPI token", "pypi-", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    _pattern("Docker token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    _pattern(
        "Docker registry login",
        '"auth',
        rf"\"auth{QUOTE}\s{{0,9}}:\s{{0,9}}{QUOTE}(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{{16,}}={{0,2}}{QUOTE}",
    ),
    _pattern("Stripe key", "sk_live_,sk_test_,rk_live_,rk_test_", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _pattern("Stripe key", "whsec_", r"whsec_[A-Za-z0-9+/]{32,}"),
    _pattern("SendGrid key", "sg.", r"(?<!\w)SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _pattern("DigitalOcean token", "dop_v1_,doo_v1_,dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _pattern("Databricks token", "dapi", r"(?<!\w)dapi[0-9a-f]{32}\b"),
    _pattern("HashiCorp token", "hvs.,hvb.", r"(?<!\w)hv[sb]\.(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{24,}"),
    _pattern("HashiCorp token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}", back=14),
    _pattern("age key", "age-secret-key-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _pattern("private key", "-----begin ", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    _pattern("private key", "putty-user-key-file-", r"PuTTY-User-Key-File-\d: (?:ssh|ecdsa)"),
    # 40 hexadecimal digits are also a git commit: only beside the name.
    _pattern("W&B key", "wandb", r"(?i:wandb)[^\n]{0,80}?(?:\n[^\n]{0,40}){0,2}?(?<=[\s\"':=])[0-9a-f]{40}\b"),
    _pattern("W&B key", "wandb_v", r"wandb_v\d_[A-Za-z0-9_]{40,}"),
    _pattern("Kaggle key", '"key', rf"\"key{QUOTE}\s{{0,4}}:\s{{0,4}}{QUOTE}[0-9a-f]{{32}}{QUOTE}"),
    _pattern("Kaggle key", "kgat_", r"KGAT_[0-9a-f]{32}"),
    _pattern(
        "login in a netrc file",
        "machine",
        r"machine\s{1,9}\S{3,100}\s{1,9}login\s{1,9}\S{1,100}\s{1,9}password\s{1,9}(?![$<{*%])\S{8,}",
    ),
    _pattern(
        "login in a URL",
        "://",
        r"://[A-Za-z0-9._%+-]{0,64}:(?=[^\s:@/\"'<>]{0,127}[0-9])(?=[^\s:@/\"'<>]{0,127}[A-Za-z])"
        r"[^\s:@/\"'<>${}()\[\]\\]{8,128}@[A-Za-z0-9.-]+",
    ),
    _pattern("bearer token", "bearer ", r"[Bb]earer [\"']?(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{24,}"),
    _pattern("JSON web token", "eyj", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    _pattern(
        "password, token or key in an assignment",
        "password,passwd,token,secret,apikey,api_key,api-key,accesskey,access_key,access-key",
        r"(?i:password|passwd|token|secret|api[_-]?key|access[_-]?key)" + SET_TO + r"(?=[A-Za-z_+~-]*[0-9])"
        r"(?=[0-9_+~-]*[A-Za-z])[A-Za-z0-9_+~-]{16,}",
    ),
)
KINDS = tuple(dict.fromkeys(pattern.kind for pattern in PATTERNS))
CHUNK_BYTES = 4 << 20
OVERLAP_BYTES = 4096
SHORTEST = 16  # no pattern matches a shorter run of printable characters
PRINTABLE = np.zeros(256, dtype=bool)
PRINTABLE[[9, 10, 13, *range(32, 127)]] = True


@dataclass(frozen=True)
class Finding:
    """One suspected credential. Holds no part of it, so that it can be printed and logged."""

    file: str
    line: int  # 1 is the first; of a binary file, the lines that its bytes 10 happen to make
    kind: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}"


def matches(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind of every suspected credential in a text."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters have a longer lower case; then only ASCII is lowered
        lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    for pattern in PATTERNS:
        for anchor in pattern.anchors:
            place = lowered.find(anchor)
            while place >= 0:
                search = pattern.regex.search if pattern.back else pattern.regex.match
                match = search(text, max(0, place - pattern.back), place + OVERLAP_BYTES)
                if match:
                    yield match.start(), match.end(), pattern.kind
                place = lowered.find(anchor, place + 1)


def find_secrets(file: str, text: str) -> list[Finding]:
    """Suspected credentials in a text, by line; `file` is the name to report."""
    found = {(text.count("\n", 0, start) + 1, kind) for start, _, kind in matches(text)}
    return [Finding(file, line, kind) for line, kind in sorted(found)]


def scan_file(path: Path, name: str | None = None) -> list[Finding]:
    """Suspected credentials in a file, text or binary, read in pieces of 4 MiB that overlap.

    `name` is what to report instead of the path. UserError when the file cannot be read.
    """
    found: set[tuple[int, str]] = set()
    line, tail, digest = 1, b"", hashlib.sha256()
    try:
        with open_regular(path) as stream:
            while piece := stream.read(CHUNK_BYTES):
                digest.update(piece)
                chunk = tail + piece
                for offset, text in readable(chunk):
                    for start, _, kind in matches(text):
                        found.add((line + chunk.count(b"\n", 0, offset + start), kind))
                tail = chunk[-OVERLAP_BYTES:]
                line += chunk.count(b"\n", 0, len(chunk) - len(tail))
    except OSError as error:
        raise UserError(f"{path} cannot be searched for credentials: {error.strerror}") from None
    witness(path, digest.hexdigest())
    return [Finding(name or str(path), *finding) for finding in sorted(found)]


def readable(chunk: bytes) -> Iterator[tuple[int, str]]:
    """Offset and text of what could hold a credential: all of a text, the printable runs of anything binary."""
    if b"\0" not in chunk:
        yield 0, chunk.decode("latin-1")  # a character a byte, so that places agree
        return
    # Line breaks are printable here: a login in a netrc file and a key beside its name go over them.
    breaks = np.flatnonzero(~PRINTABLE[np.frombuffer(chunk, dtype=np.uint8)])
    edges = np.concatenate(([-1], breaks, [len(chunk)]))
    for place in np.flatnonzero(np.diff(edges) > SHORTEST):
        start, end = int(edges[place]) + 1, int(edges[place + 1])
        yield start, chunk[start:end].decode("ascii")


def refuse_secrets(files: Iterable[Path], folder: Path, then: str = "evaluate and review again") -> None:
    """Refused with file (relative to `folder`), line and kind of the first suspected credential.

    `then` is what to do after it was removed and revoked. UserError when a file cannot be read.
    """
    for path in files:
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        if find_secrets(name, name):  # a run, its tag and its report would carry the name
            raise Refused(f"the name of {redact(name)} holds a credential: rename the file, revoke it, and {then}")
        if found := scan_file(path, name):
            raise Refused(f"{found[0]}: remove it, revoke it, and {then}")


def redact(text: str) -> str:
    """The text with every suspected credential replaced by its kind in brackets."""
    pieces, end = [], 0
    for start, stop, kind in sorted(matches(text)):
        if stop > end:
            pieces += [text[end : max(start, end)], f"[{kind} removed]" if start >= end else ""]
            end = stop
    return "".join([*pieces, text[end:]])


def redact_file(path: Path) -> int:
    """Remove suspected credentials from a log, in place; how many lines held one. A missing file has none."""
    if not path.is_file():
        return 0
    found = scan_file(path)
    if found:
        text = read_bytes(path).decode("utf-8", errors="surrogateescape")
        write_bytes(path, redact(text).encode("utf-8", errors="surrogateescape"))
    return len({finding.line for finding in found})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m eval.run.secret_patterns", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path)
    found = [finding for path in parser.parse_args(argv).files for finding in scan_file(path)]
    for finding in found:
        print(finding)
    return NO_SHIP if found else 0


if __name__ == "__main__":
    run_command(main)
