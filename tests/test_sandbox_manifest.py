"""The sandbox root is what was built, or nothing runs."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.sandbox import SandboxError
from eval.sandbox.manifest import MANIFEST, check_root, write_manifest
from eval.sandbox.root import find_root, recipe_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small root with its list, as `make sandbox-root` leaves one."""
    for path in ("etc/passwd", "usr/bin/env", "bin/bash"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(path)
    (tmp_path / "root/etc/link").symlink_to("passwd")
    about = {"kind": "debian", "digest": "0", "recipe": recipe_digest(), "manifest": write_manifest(tmp_path)}
    (tmp_path / "root.json").write_text(json.dumps(about))
    return tmp_path


def rewrite(path: Path) -> None:
    """Other bytes, with the size and times of the old ones."""
    times = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_root_as_it_was_built_is_used(folder: Path) -> None:
    assert find_root(folder).kind == "debian"
    check_root(folder, json.loads((folder / "root.json").read_text())["manifest"], contents=True)


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda top: (top / "etc").rename(top.parent / "away"), "/etc"),
        (lambda top: (top / "etc/passwd").unlink(), "/etc/passwd"),
        (lambda top: (top / "etc/passwd").write_text("somebody"), "/etc/passwd"),
        (lambda top: (top / "usr/bin/env").chmod(0o4755), "/usr/bin/env"),
        (lambda top: (top / "usr/bin/more").write_text(""), "/usr/bin/more"),
        (lambda top: (top / "etc/link").unlink() or (top / "etc/link").symlink_to("shadow"), "/etc/link"),
    ],
    ids=["no etc", "no file", "other bytes", "other mode", "one more", "other target"],
)
def test_a_root_that_differs_is_refused_with_what_differs(
    damage: Callable[[Path], object], where: str, folder: Path
) -> None:
    damage(folder / "root")
    with pytest.raises(SandboxError, match=rf"not what was built: {where}.* differs; .*FORCE=1"):
        find_root(folder)


def test_a_check_of_contents_finds_other_bytes_of_the_same_size_and_time(folder: Path) -> None:
    rewrite(folder / "root/bin/bash")
    sha256 = json.loads((folder / "root.json").read_text())["manifest"]
    check_root(folder, sha256)
    with pytest.raises(SandboxError, match="/bin/bash differs"):
        check_root(folder, sha256, contents=True)


@pytest.mark.parametrize("content", [None, "{}"])
def test_the_list_itself_is_checked(content: str | None, folder: Path) -> None:
    (folder / MANIFEST).unlink()
    if content:
        (folder / MANIFEST).write_text(content)
    with pytest.raises(SandboxError, match="FORCE=1"):
        find_root(folder)


def test_a_root_from_before_there_was_a_list_has_the_most_necessary(folder: Path) -> None:
    check_root(folder, None)
    (folder / "root/etc/passwd").unlink()
    with pytest.raises(SandboxError, match="no /etc/passwd"):
        check_root(folder, None)
