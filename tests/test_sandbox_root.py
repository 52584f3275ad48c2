"""The sandbox root is a Debian from keys of this repository; what stands in for it is never taken for it.

mmdebstrap is a stand-in here; `make sandbox-root` runs the real one before these tests.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.sandbox import local_disk, root
from eval.sandbox.execution import SandboxError
from eval.sandbox.local_disk import file_system, why_not_local
from scripts.setup import sandbox_root

LOG = """I: automatically chosen mode: root
Err:1 http://deb.example/debian bookworm InRelease
  The following signatures couldn't be verified because the public key is not available: NO_PUBKEY F8D2585B8783D481
E: The repository 'http://deb.example/debian bookworm InRelease' is not signed.
E: apt-get update --error-on=any failed
E: mmdebstrap failed to run
"""
BUILDS = """
for folder; do :; done
mkdir -p "$folder/var/log" "$folder/run" "$folder/usr/bin"; : > "$folder/var/log/wtmp"; echo "$@" >> "$LOG"
"""
FAILS = 'cat "$SAYS"; exit 25'


@pytest.fixture
def mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a stand-in for mmdebstrap on the PATH, and the root into a folder of this test's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "says").write_text(LOG)
    (tmp_path / "log").touch()
    for name, value in {"SAYS": "says", "LOG": "log", "SANDBOX_FOLDER": "sandbox-root"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    monkeypatch.setattr(sandbox_root, "prepare", lambda need: None)
    monkeypatch.setattr(sandbox_root, "installed", lambda top: ["bash 5.2", "coreutils 9.1"])

    def put(text: str) -> None:
        path = tmp_path / "bin" / "mmdebstrap"
        path.write_text(f"#!/bin/sh\n{text.strip()}\n")
        path.chmod(0o755)

    return put


def built(folder: Path) -> str:
    return str(json.loads((folder / "sandbox-root" / "root.json").read_text())["kind"])


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["sandbox_root", *options])
    sandbox_root.main()


def test_the_first_error_is_shown_and_the_host_stands_in_until_a_build_succeeds(
    tmp_path: Path,
    mmdebstrap: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mmdebstrap(FAILS)
    for _ in range(2):  # the second time too: a host root is not "up to date"
        run(monkeypatch)
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and "NO_PUBKEY F8D2585B8783D481" in said.err and "build.log" in said.err
        assert "mmdebstrap failed to run" not in said.err and "up to date" not in said.out
        assert "stands in until a build succeeds" in said.out and built(tmp_path) == "host"
    mmdebstrap(BUILDS)
    run(monkeypatch)
    assert built(tmp_path) == "debian"
    (tmp_path / "log").write_text("")
    run(monkeypatch)
    assert "up to date" in capsys.readouterr().out and (tmp_path / "log").read_text() == ""
    run(monkeypatch, "--force")
    assert (tmp_path / "log").read_text() != ""


def test_a_debian_root_is_never_exchanged_for_the_hosts_files(
    tmp_path: Path, mmdebstrap: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mmdebstrap(BUILDS)
    run(monkeypatch)
    mmdebstrap(FAILS)
    with pytest.raises(UserError, match="the root built before is still there, and used"):
        run(monkeypatch, "--force")
    assert built(tmp_path) == "debian" and (tmp_path / "sandbox-root" / "root" / "usr").is_dir()


@pytest.mark.parametrize("damage", ["no root", "another recipe", "no JSON", "empty"])
def test_what_is_not_whole_is_built_again(
    damage: str, tmp_path: Path, mmdebstrap: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mmdebstrap(BUILDS)
    run(monkeypatch)
    about = tmp_path / "sandbox-root" / "root.json"
    if damage == "no root":
        (tmp_path / "sandbox-root" / "root").rename(tmp_path / "gone")
    else:
        other = json.dumps(json.loads(about.read_text()) | {"recipe": "0" * 64})
        about.write_text({"another recipe": other, "no JSON": "{", "empty": ""}[damage])
    assert not sandbox_root.is_built(tmp_path / "sandbox-root")
    run(monkeypatch)
    assert sandbox_root.is_built(tmp_path / "sandbox-root")


def test_only_the_repositorys_keys_count_and_apts_own_user_can_read_them(
    tmp_path: Path, mmdebstrap: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mmdebstrap(BUILDS)
    run(monkeypatch)
    keys = tmp_path / "sandbox-root" / "keys"
    assert f"--keyring={keys}" in (said := (tmp_path / "log").read_text()) and "--skip=check/signed-by" in said
    for path in keys.iterdir():
        armoured = (sandbox_root.KEYS / f"{path.stem}.asc").read_text()
        assert path.suffix == ".gpg" and in_binary(path.read_bytes()) == fingerprints(armoured)
    assert len(list(keys.iterdir())) == len(list(sandbox_root.KEYS.glob("*.asc"))) == 3
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o644} and keys.stat().st_mode & 0o777 == 0o755


def fingerprints(armoured: str) -> list[str]:
    """Fingerprints of the primary keys in an armoured file (RFC 4880, 4.2, 6.2 and 12.2)."""
    return in_binary(base64.b64decode(armoured.split("\n\n", 1)[1].split("\n=", 1)[0]))


def in_binary(data: bytes) -> list[str]:
    """The same of a binary one."""
    found = []
    while data:
        tag, size = (data[0] & 0x3F, 0) if data[0] & 0x40 else (data[0] >> 2 & 0x0F, 1 << (data[0] & 3))
        if data[0] & 0x40:
            size = 1 if data[1] < 192 else 2 if data[1] < 224 else 5
            length = {1: data[1], 2: (data[1] - 192 << 8) + data[2] + 192}.get(size) or int.from_bytes(data[2:6], "big")
        else:
            length = int.from_bytes(data[1 : 1 + size], "big")
        packet, data = data[1 + size : 1 + size + length], data[1 + size + length :]
        if tag == 6:  # a public key
            found.append(hashlib.sha1(b"\x99" + len(packet).to_bytes(2, "big") + packet).hexdigest().upper())
    return found


def test_the_keys_are_those_that_their_table_names() -> None:
    table = (sandbox_root.KEYS / "README.md").read_text()
    keys = sorted(sandbox_root.KEYS.glob("*.asc"))
    assert len(keys) == 3
    for path in keys:
        (own,) = fingerprints(path.read_text())
        assert re.search(rf"^\| `{path.name}` \| .* \| {own} \| 2031-01-\d\d \|$", table, re.MULTILINE)


def test_too_small_a_disk_is_said_before_anything_is_fetched(
    tmp_path: Path,
    mmdebstrap: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mmdebstrap(BUILDS)
    monkeypatch.setattr(sandbox_root, "ROOM", 1 << 60)
    run(monkeypatch)
    assert "MB free in" in (said := capsys.readouterr().err) and "SANDBOX_FOLDER" in said
    assert (tmp_path / "log").read_text() == ""


# ------------------------------------------------------------------------------------------- where the root lies


TABLE = """22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /workspace rw,relatime - fuse mfs#euro:9421 rw,user_id=0
31 30 0:41 / /workspace/fast rw - xfs /dev/sdb rw
32 22 0:42 / /home/my\\040disk rw - nfs4 server:/export rw
33 22 0:43 / /data rw - fuseblk /dev/sdc1 rw
34 22 0:44 / /over rw - overlay overlay rw
35 34 0:45 / /over rw - ceph x rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/work", "ext4"),
        ("/workspace", "fuse"),
        ("/workspace/project/.cache", "fuse"),
        ("/workspace/fast/x", "xfs"),
        ("/workspaces", "ext4"),
        ("/home/my disk/x", "nfs4"),
        ("/over/x", "ceph"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(
    path: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table").write_text(TABLE)
    monkeypatch.setattr(local_disk, "MOUNTS", tmp_path / "table")
    assert file_system(Path(path)) == kind


@pytest.mark.parametrize(
    ("kind", "local"),
    [
        *((kind, True) for kind in ("ext4", "xfs", "overlay", "tmpfs", "fuseblk", "fuse.fuse-overlayfs")),
        *((kind, False) for kind in ("fuse", "fuse.mfs", "nfs4", "ceph", "virtiofs", "lustre")),
    ],
)
def test_a_network_volume_is_no_place_for_a_root(
    kind: str, local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_disk, "file_system", lambda folder: kind)
    said = why_not_local(tmp_path / "not" / "there" / "yet", devices=False)
    assert (said is None) == local and (local or "network volume" in str(said))


def network(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """These folders are on a network volume."""
    monkeypatch.delenv("SANDBOX_FOLDER", raising=False)
    monkeypatch.setattr(root, "why_not_local", lambda folder, devices: "network" if folder in folders else None)


def test_on_a_network_volume_the_root_goes_to_the_local_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "LOCAL", tmp_path)
    network(monkeypatch)
    assert root.root_folder() == root.FOLDER
    network(monkeypatch, root.FOLDER)
    local = root.root_folder()
    assert local.parent == tmp_path and root.recipe_digest()[:12] in local.name
    network(monkeypatch, root.FOLDER, local)
    assert root.root_folder() == root.FOLDER, "nowhere is better"
    monkeypatch.setenv("SANDBOX_FOLDER", "/mnt/disk")
    assert root.root_folder() == Path("/mnt/disk")


def test_a_folder_that_somebody_else_laid_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "LOCAL", tmp_path)
    network(monkeypatch, root.FOLDER)
    root.root_folder().symlink_to("/etc")
    with pytest.raises(SandboxError, match="belongs to somebody else"):
        root.root_folder()


NODEV = """
import subprocess, sys
from pathlib import Path
from eval.sandbox.local_disk import why_not_local
top = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "nodev,size=900m", "none", top], check=True)
print(why_not_local(Path(top, "x"), devices=True), why_not_local(Path(top, "x"), devices=False), sep="|")
subprocess.run(["cp", "-a", "--no-preserve=links", ".cache/sandbox-root/root", f"{top}/root"], check=True)
from eval.sandbox.execution import SandboxError
from eval.sandbox.pod import Pod
from eval.sandbox.root import Root
try:
    Pod(Root(Path(top, "root"), "debian", "0" * 64), 62199, Path(top))
except SandboxError as error:
    print(error)
"""


def test_a_disk_mounted_nodev_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A real one, as network volumes are mounted: device files can be made there, and do not work."""
    command = ["unshare", "--mount", sys.executable, "-c", NODEV, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reasons, refused = done.stdout.splitlines()
    assert reasons.startswith("device files do not work") and reasons.endswith("mounted nodev)|None")
    assert "/dev/null does not work (Permission denied)" in refused and "SANDBOX_FOLDER" in refused


def test_a_disk_without_hard_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval.sandbox.pod import _copy_of_root

    (tmp_path / "root" / "usr").mkdir(parents=True)
    (tmp_path / "root" / "usr" / "file").write_text("x")
    _copy_of_root(tmp_path / "root", tmp_path / "linked")
    assert (tmp_path / "linked/usr/file").stat().st_ino == (tmp_path / "root/usr/file").stat().st_ino
    (tmp_path / "bin").mkdir()
    cp = tmp_path / "bin" / "cp"
    refuses = 'case $1 in -al) mkdir -p "$3/usr"; echo "cp: Operation not permitted" >&2; exit 1;; esac'
    cp.write_text(f'#!/bin/sh\n{refuses}\nexec /bin/cp "$@"\n')
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    _copy_of_root(tmp_path / "root", tmp_path / "copied")
    assert (tmp_path / "copied/usr/file").read_text() == "x" and not (tmp_path / "copied/root").exists()
    assert (tmp_path / "copied/usr/file").stat().st_ino != (tmp_path / "root/usr/file").stat().st_ino
    cp.write_text('#!/bin/sh\necho "cp: No space left on device" >&2; exit 1\n')
    with pytest.raises(SandboxError, match="neither linked nor copied: cp: No space left"):
        _copy_of_root(tmp_path / "root", tmp_path / "none")
