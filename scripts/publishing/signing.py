"""Signatures of reviews with ordinary SSH keys, made and verified by `ssh-keygen -Y` (OpenSSH 8.2 or newer).

    signature = sign(message, key)                    armoured text; the key may live in an agent
    principal = verify(message, signature)            who signed, by the file of allowed signers; Refused otherwise

Allowed signers are listed in configs/allowed_signers as the repository has committed it (committed.py), one line `NAME
KEYTYPE KEY` each (ssh-keygen(1), ALLOWED SIGNERS). No setting and no variable names another list. A signature is made
for NAMESPACE, so one of a git commit or of a file is none of a review.

Not protected against: someone who may commit to the list of allowed signers, or who has a signer's key; a signature
says which key, not that its owner read the report.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.common.programs import SSH_KEYGEN, how_to_install
from eval.common.reading import read_bytes, read_text
from eval.run.secret_patterns import find_secrets
from scripts.publishing.committed import committed_bytes

NAMESPACE = "review@securecli-tuner"
ALLOWED_SIGNERS = Path("configs/allowed_signers")
SECONDS = 120  # a person may have to type a passphrase or touch a token


def sign(message: bytes, key: Path) -> str:
    """The SSH signature of a message by a private key, or by an agent's key given as its public half.

    Raises UserError when there is no such key or it cannot sign.
    """
    if not key.is_file():
        raise UserError(f"signing key {key} does not exist: give KEY=, or set git's user.signingkey")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "review"
        file.write_bytes(message)
        done = run("-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(file))
        signature = file.with_name("review.sig")
        if done.returncode != 0 or not signature.is_file():
            raise UserError(f"{key} cannot sign: {last_line(done)}")
        return read_text(signature)


def verify(message: bytes, signature: str, allowed: Path | None = None) -> str:
    """The principal whose listed key signed exactly this message for this purpose.

    Raises UserError without a file of allowed signers, Refused when the signature is not one of theirs.
    """
    listed = read_bytes(allowed) if allowed else allowed_signers()
    with tempfile.TemporaryDirectory() as folder:
        file, allowed = Path(folder) / "review.sig", Path(folder) / "allowed_signers"
        allowed.write_bytes(listed)
        file.write_text(signature)
        found = run("-Y", "find-principals", "-s", str(file), "-f", str(allowed))
        principals = found.stdout.decode(errors="replace").splitlines()
        if found.returncode != 0 or not principals:
            raise Refused(f"the review's signature is of no key in configs/allowed_signers: {last_line(found)}")
        flags = ("-n", NAMESPACE, "-s", str(file), "-f", str(allowed))
        for principal in principals:
            if run("-Y", "verify", "-I", principal, *flags, message=message).returncode == 0:
                return principal
    raise Refused("the review's signature is not of this review: sign it again with `make review`")


def allowed_signers() -> bytes:
    """The list of allowed signers at HEAD, as far as it is merged. UserError when there is none."""
    committed = committed_bytes(None, ROOT / ALLOWED_SIGNERS, ROOT)
    if committed is not None:
        return committed
    if (ROOT / ALLOWED_SIGNERS).is_file():
        raise UserError(
            f"{ALLOWED_SIGNERS} is not committed, or on no protected branch: who may sign has to stand in the history"
        )
    raise UserError(f"no list of allowed signers: commit {ALLOWED_SIGNERS}, a line `NAME KEYTYPE KEY` a reviewer")


def default_key() -> Path | None:
    """The SSH key that git signs with, where it is a file."""
    found = git_settings("gpg.format", "user.signingkey")
    named = found["user.signingkey"] if found["gpg.format"] == "ssh" else ""
    return Path(named).expanduser() if named and not named.startswith(("key::", "ssh-")) else None


def git_settings(*names: str) -> dict[str, str]:
    """Settings of git by name, as seen from the repository; empty without one, or without git."""
    asked = "|".join(map(re.escape, names))
    command = ["git", "-C", str(ROOT), "config", "--null", "--get-regexp", f"^({asked})$"]
    try:
        said = subprocess.run(command, capture_output=True, check=False).stdout
    except FileNotFoundError:
        said = b""
    rows = (row.partition("\n") for row in said.decode(errors="replace").split("\0"))
    found = dict.fromkeys(names, "") | {name: value.strip() for name, _, value in rows if name}
    for name in ("user.name", "user.email"):
        if find_secrets(name, found.get(name, "")):
            raise Refused(
                f"git's {name} looks like a credential, and would be published: set it to a name, and revoke it"
            )
    return found


def run(*arguments: str, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """ssh-keygen; UserError when it is missing or waits too long."""
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments], input=message, capture_output=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        advice = how_to_install([SSH_KEYGEN.package])
        raise UserError(f"ssh-keygen is missing, and {SSH_KEYGEN.use}: {advice}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"ssh-keygen gave no answer within {SECONDS} s") from None


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"ssh-keygen ended with {done.returncode}")
