"""What goes up, signed as a whole: model.sig, in the OpenSSF Model Signing format, made and checked without a network.

    key = read_key(Path("signer.pem"))         UserError for a file that is no such key, Refused for another's
    sign_folder(folder, key, earlier)          writes folder/model.sig over every other file there
    check_signature(folder, key.public)        Refused unless model.sig is of exactly these files, by this key

The review's signature (signing.py) says who approved; this one says who published, and readers check it with a tool
that is not ours. A key is an elliptic-curve private key in PEM (P-256, P-384 or P-521), as `openssl ecparam` makes it.
Where the repository has committed configs/signing_key.pub, only that key's private half signs.

Signatures differ from time to time (ECDSA). One that was made for the same files by the same key is kept, so that a
second try sends the same bytes.

Not protected against: who has the key; a reader who takes the public key from the same page as the signature.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from scripts.publishing.committed import committed_bytes

NAME = "model.sig"
COMMITTED_KEY = Path("configs/signing_key.pub")
PASSWORD = "SIGN_KEY_PASSWORD"  # the variable with the passphrase of a key that is encrypted
CURVES = ("secp256r1", "secp384r1", "secp521r1")
LARGEST_KEY, LARGEST_SIGNATURE = 64 << 10, 1 << 20  # bytes
MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out signer.pem"


@dataclass(frozen=True)
class SigningKey:
    """A private key by its file, and its public half."""

    path: Path
    public: str  # PEM
    password: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key's PEM, which a signature names too."""
        return hashlib.sha256(self.public.encode()).hexdigest()


def read_key(path: Path) -> SigningKey:
    """The key of a file. UserError when it is none that can sign; Refused where another one is committed."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    path = path.expanduser()
    if not path.is_file():
        raise UserError(f"signing key {path} does not exist: make one with `{MAKE}`")
    password = os.environ.get(PASSWORD, "").encode() or None
    try:
        key = serialization.load_pem_private_key(read_bytes(path, LARGEST_KEY), password)
    except TypeError:
        wanted = f"set {PASSWORD} to its passphrase" if password is None else f"it has none: unset {PASSWORD}"
        raise UserError(f"signing key {path}: {wanted}") from None
    except ValueError:
        raise UserError(
            f"signing key {path} is no private key in PEM, or its passphrase is another: `{MAKE}`"
        ) from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise UserError(f"signing key {path} is not on a curve of this format (P-256, P-384 or P-521): `{MAKE}`")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    committed = committed_bytes(None, ROOT / COMMITTED_KEY, ROOT)
    if committed is not None and committed.decode(errors="replace").split() != public.split():
        raise Refused(f"signing key {path} is not the one whose public half is committed in {COMMITTED_KEY}")
    return SigningKey(path, public, password)


def sign_folder(folder: Path, key: SigningKey, earlier: Path) -> None:
    """Write model.sig over every other file of `folder`: the one at `earlier`, where it fits, or a new one."""
    import model_signing.signing

    if earlier.is_file() and not earlier.is_symlink() and earlier.stat().st_size <= LARGEST_SIGNATURE:
        shutil.copyfile(earlier, folder / NAME)
        try:
            check_signature(folder, key.public)
            return
        except Refused:
            (folder / NAME).unlink()
    config = model_signing.signing.Config().set_hashing_config(covered())
    config.use_elliptic_key_signer(private_key=key.path, password=key.password)  # type: ignore[arg-type]
    config.sign(folder, folder / NAME)
    check_signature(folder, key.public)


def covered() -> Any:
    """Every file but the signature itself, and git's own, which the Hub writes."""
    import model_signing.hashing

    return model_signing.hashing.Config().set_ignored_paths(paths=[NAME], ignore_git_paths=True)


def check_signature(folder: Path, public: str) -> None:
    """Refused unless model.sig of a folder is of exactly its files, by the private half of `public`.

    The folder may be a snapshot of the Hub's cache, whose files are links: what they lead to is linked anew.
    """
    import model_signing.verifying

    if not (folder / NAME).is_file():
        raise Refused(f"{folder.name} has no {NAME}")
    with tempfile.TemporaryDirectory(prefix="publication.", suffix=".partial", dir=folder.parent) as place:
        copy, pem = Path(place) / "files", Path(place) / "key.pub"
        copy.mkdir()
        pem.write_text(public)
        for path in sorted(folder.rglob("*")):
            target = copy / path.relative_to(folder)
            if path.is_dir():
                target.mkdir()
            else:
                same_file(path.resolve(), target)
        try:
            config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=pem)
            config.verify(copy, copy / NAME)
        except Exception as error:  # the library raises what its own libraries do, an altered text's parser among them
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise Refused(f"{NAME} is not of these files by this key: {said}") from None


def same_file(source: Path, target: Path) -> None:
    """A second name of a file, or a copy where there can be none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
