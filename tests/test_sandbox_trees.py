"""Reading and clearing what a command left: bounded work on hostile trees and archives."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.sandbox.archives import LIMIT, MAX_MEMBERS, digest_of
from eval.sandbox.removal import clear
from eval.sandbox.trees import MAX_DEPTH, TooManyEntries, changes_between, disk_usage, lay_out, read_tree


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_member_order_does_not_count_and_content_does(pack) -> None:  # type: ignore[no-untyped-def]
    one = digest_of(pack({"a": b"1", "b": b"2"}))
    assert one[:2] == digest_of(pack({"b": b"2", "a": b"1"}))[:2]
    assert one[0] != digest_of(pack({"a": b"1", "b": b"3"}))[0] != digest_of(pack({"a": b"1", "c": b"3"}))[0]


def test_an_archive_is_not_its_content() -> None:
    assert digest_of(b"x")[0] != digest_of(gzip.compress(b"x"))[0]


@pytest.mark.parametrize(
    "packed",
    [
        lambda: gzip.compress(b"\0" * (LIMIT + 1)),
        lambda: tar_of(dict.fromkeys(map(str, range(MAX_MEMBERS + 1)), b"")),
        lambda: zip_of(dict.fromkeys(map(str, range(MAX_MEMBERS + 1)), b"")),
        lambda: b"DIRC\0\0\0\2" + b"\xff" * 500,
        lambda: zip_of({"a": b"\0" * (LIMIT + 1)}),
        lambda: b"PK\x03\x04" + b"\xff" * 500,
        lambda: b"\x1f\x8b" + b"\0" * 500,
        lambda: b"BZh9" + b"\0" * 500,
        lambda: b"x" * 257 + b"ustar" + b"\xff" * 2000,
    ],
    ids=[
        "gzip bomb",
        "many in tar",
        "many in zip",
        "many in index",
        "zip bomb",
        "broken zip",
        "broken gzip",
        "broken bzip2",
        "broken tar",
    ],
)
def test_bombs_and_broken_archives_keep_their_plain_digest(packed: Callable[[], bytes]) -> None:
    import hashlib

    bomb = packed()
    assert digest_of(bomb) == (hashlib.sha256(bomb).hexdigest(), len(bomb), LIMIT)


def test_empty_members_are_not_free() -> None:
    """Else a tree full of archives of nothing would be read for hours within the same limit."""
    content = gzip.compress(tar_of(dict.fromkeys(map(str, range(1000)), b"")))
    assert digest_of(content)[2] > 500 * 1000


def test_names_are_bounded(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).symlink_to("x" * 4000)
    assert len(read_tree(tmp_path)) == 4
    for number in range(3, 2200):
        (tmp_path / str(number)).symlink_to("x" * 4000)
    with pytest.raises(TooManyEntries):
        read_tree(tmp_path)


def test_a_sparse_member_that_claims_a_terabyte_is_not_believed() -> None:
    member = tarfile.TarInfo("big")
    member.size = 1 << 40
    header = member.tobuf(tarfile.GNU_FORMAT)
    assert digest_of(header + b"\0" * 10240)[1] == len(header) + 10240


def test_all_archives_of_a_tree_share_one_budget(tmp_path: Path) -> None:
    length = LIMIT // 2 - (1 << 17)  # what it takes packed and a member's own cost count as well
    for number in range(5):
        (tmp_path / f"{number}.gz").write_bytes(gzip.compress(b"\0" * length))
    sizes = [node.entry.size for path, node in sorted(read_tree(tmp_path, keep=False).items()) if path]
    assert sum(size == length for size in sizes) == 2


def test_what_is_removed_never_makes_the_folder_around_it_grow(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    before = kept.stat().st_size
    (kept / "gone").mkdir()
    for number in range(3000):
        (kept / "gone" / f"a-folder-with-a-long-name-{number}").mkdir()
    clear(str(kept))
    assert kept.stat().st_size == before and not any(kept.iterdir())


def nest(top: Path, depth: int) -> None:
    """Folders nested `depth` deep, far beyond the longest path the system takes."""
    folder = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def test_folders_nested_beyond_any_path_are_read_measured_and_removed(tmp_path: Path) -> None:
    nest(tmp_path, 4000)
    tree = read_tree(tmp_path)
    assert len(tree) == MAX_DEPTH + 2 and list(tree.values())[-1].entry.type == "other"
    with pytest.raises(TooManyEntries):
        disk_usage(str(tmp_path), frozenset())
    clear(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "secret").write_text("secret")
    (inside / "link").symlink_to(outside)
    (inside / "file").symlink_to(outside / "secret")
    tree = read_tree(inside)
    assert {path: node.entry.type for path, node in tree.items() if path} == {"link": "link", "file": "link"}
    clear(str(inside))
    assert (outside / "secret").read_text() == "secret"


def test_a_tree_survives_being_stored_and_laid_out(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    (source / "folder").mkdir(parents=True)
    copy.mkdir()
    (source / "folder" / "file").write_bytes(b"\xff\0")
    (source / "folder" / "file").chmod(0o4751)
    (source / "name\nwith\udcff").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    os.utime(source / "folder" / "file", (1000, 1000))
    tree = read_tree(source)
    lay_out(tree, str(copy), os.getuid())
    again = read_tree(copy)
    assert changes_between(tree, again) == ()
    assert again["folder/file"].modified == 1000 * 10**9 and again["folder/file"].entry.mode == 0o4751
