"""model.sig: of exactly what goes up, by this key; checked by a tool that is not ours."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from eval.common.errors import Refused
from eval.run.files import read_json
from scripts.loopback_hub.faults import Hub
from scripts.publishing import model_signature
from scripts.publishing.model_signature import NAME, PASSWORD, check_signature, read_key, sign_folder
from tests.hub_server import REPO, Capture, hub, publish_run, run
from tests.run_builder import assert_one_line

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def write_key(path: Path, key: object = None, password: bytes | None = None) -> Path:
    """A private key in PEM; on P-256 where none is given."""
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key or ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(private.private_bytes(PEM, PKCS8, lock))  # type: ignore[attr-defined]
    return path


def downloaded(hub: Hub, target: Path) -> Path:
    """Everything that the repository's newest commit holds, as a reader has it on their disk."""
    repository = hub.store.get(REPO)
    assert repository
    target.mkdir()
    for name, blob in repository.commits[repository.head].items():
        shutil.copyfile(hub.store.blobs / blob.sha256, target / name)
    return target


@pytest.mark.slow
@pytest.mark.slow
def test_what_goes_up_is_signed_and_a_reader_can_check_it(run: Path, hub: Hub, tmp_path: Path, capsys: Capture) -> None:
    key = write_key(tmp_path / "signer.pem")
    code, out, err = publish_run(run, capsys, "--sign-key", str(key))
    assert code == 0, err
    public, fingerprint = read_key(key).public, read_key(key).fingerprint
    record = read_json(run / "publication.json")
    assert record["signing_key"] == fingerprint and NAME in record["digests"] and fingerprint[:16] in out
    assert public.strip() in (run / "publication/README.md").read_text()
    folder = downloaded(hub, tmp_path / "adapter")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "download").write_text("as `hf download --local-dir` leaves it")
    (tmp_path / "signer.pub").write_text(public)
    (line,) = re.findall("^model_signing .*", (folder / "README.md").read_text(), re.MULTILINE)

    def verified() -> int:
        command = [sys.executable, "-m", *line.split()]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert verified() == 0
    (folder / "report.md").write_text("better than it was")
    assert verified() != 0

    writes = len(hub.writes)
    code, out, err = publish_run(run, capsys, "--sign-key", str(key))
    assert code == 0 and "already published" in out and len(hub.writes) == writes, err


def test_a_later_version_may_be_unsigned(run: Path, hub: Hub, tmp_path: Path, capsys: Capture) -> None:
    assert publish_run(run, capsys, "--sign-key", str(write_key(tmp_path / "signer.pem")))[0] == 0
    (run / "publication.json").unlink()
    code, _, err = publish_run(run, capsys, "--tag", "v1.0.1")
    assert code == 0, err
    repository = hub.store.get(REPO)
    assert repository and NAME not in repository.commits[repository.head]
    assert read_json(run / "publication.json")["signing_key"] is None


def test_a_signature_is_of_these_files_and_this_key(tmp_path: Path) -> None:
    folder, key = tmp_path / "files", read_key(write_key(tmp_path / "signer.pem"))
    folder.mkdir()
    (folder / "a").write_text("a")
    sign_folder(folder, key, tmp_path / "none")
    signature = (folder / NAME).read_bytes()
    (folder / ".gitattributes").write_text("of the Hub")
    check_signature(folder, key.public)
    with pytest.raises(Refused, match="not of these files by this key"):
        check_signature(folder, read_key(write_key(tmp_path / "other.pem")).public)
    for change in ("a", "b"):
        (folder / change).write_text("b")
        with pytest.raises(Refused, match="not of these files"):
            check_signature(folder, key.public)
        (folder / "a").write_text("a")
    (folder / "b").unlink()
    shutil.copyfile(folder / NAME, tmp_path / "kept")
    sign_folder(folder, key, tmp_path / "kept")
    assert (folder / NAME).read_bytes() == signature, "the same files are not signed anew"
    (folder / NAME).write_text("{")
    with pytest.raises(Refused):
        check_signature(folder, key.public)


def test_a_file_of_the_cache_is_a_link_and_still_itself(tmp_path: Path) -> None:
    folder, key = tmp_path / "files", read_key(write_key(tmp_path / "signer.pem"))
    folder.mkdir()
    (folder / "a").write_text("a")
    sign_folder(folder, key, tmp_path / "none")
    snapshot = tmp_path / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        (snapshot / path.name).symlink_to(path)
    check_signature(snapshot, key.public)
    assert list(snapshot.parent.iterdir()) == [snapshot]


KEYS = {
    "not there": (lambda path: None, "does not exist"),
    "no key": (lambda path: path.write_text("x"), "no private key in PEM"),
    "other kind": (lambda path: write_key(path, ed25519.Ed25519PrivateKey.generate()), "curve of this format"),
    "other curve": (lambda path: write_key(path, ec.generate_private_key(ec.SECP256K1())), "curve of this format"),
    "encrypted": (lambda path: write_key(path, password=b"pass"), PASSWORD),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_does_not_fit_is_one_line(name: str, run: Path, hub: Hub, tmp_path: Path, capsys: Capture) -> None:
    make, words = KEYS[name]
    make(tmp_path / "key.pem")
    code, _, err = publish_run(run, capsys, "--sign-key", str(tmp_path / "key.pem"))
    assert code == 2 and not hub.log and not (run / "publication").exists()
    assert_one_line(err, "signing key", words)


def test_an_encrypted_key_signs_with_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = write_key(tmp_path / "key.pem", password=b"pass"), tmp_path / "files"
    folder.mkdir()
    (folder / "a").write_text("a")
    monkeypatch.setenv(PASSWORD, "pass")
    sign_folder(folder, read_key(path), tmp_path / "none")
    monkeypatch.setenv(PASSWORD, "another")
    with pytest.raises(model_signature.UserError, match="passphrase is another"):
        read_key(path)


def test_another_key_than_the_committed_one_is_refused(
    run: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    ours, theirs = write_key(tmp_path / "ours.pem"), write_key(tmp_path / "theirs.pem")
    public = read_key(ours).public.encode()
    monkeypatch.setattr(model_signature, "committed_bytes", lambda *_: public)
    assert read_key(ours).public.encode() == public
    code, _, err = publish_run(run, capsys, "--sign-key", str(theirs))
    assert code == 1 and not hub.log
    assert_one_line(err, "configs/signing_key.pub")
