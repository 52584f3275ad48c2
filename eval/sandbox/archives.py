"""Digest of an archive by what it contains, so that two `tar -czf` of the same files are equal.

Compression level, member order, times and owners do not count; member names, types, modes, targets and bytes do.
Nothing is unpacked to disk, and nothing past LIMIT bytes or MAX_MEMBERS members is unpacked at all: a decompression
bomb, or a file that only looks like an archive, keeps its plain digest.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

LIMIT = 64 << 20  # for all archives of a tree together
MAX_MEMBERS = 20_000  # of one archive: each costs its reader kilobytes, whatever it holds
MEMBER_COST = 512  # bytes that a member counts as beside its content, so that empty ones are not free
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_INDEX = b"DIRC\0\0\0\2"  # git's index: it holds device numbers, which no two runs share
_MAGIC = (*_OPENERS, *_ZIP, _INDEX)
_BROKEN = (OSError, EOFError, ValueError, IndexError, zlib.error, lzma.LZMAError, tarfile.TarError,
           zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError)  # fmt: skip


def digest_of(content: bytes, limit: int = LIMIT) -> tuple[str, int, int]:
    """sha256 and size of a file's content, or of what is inside where the content is a readable archive.

    The third number is how many bytes were unpacked, at most about `limit`; the caller adds them up, since reading a
    tree full of archives must end in time.
    """
    if limit <= 0 or (not content.startswith(_MAGIC) and content[257:262] != b"ustar"):
        return hashlib.sha256(content).hexdigest(), len(content), 0
    inside = _unpacked(content, limit)
    if inside is None:
        return hashlib.sha256(content).hexdigest(), len(content), limit
    kind, members = inside
    total = hashlib.sha256(kind.encode())
    size, cost = 0, len(content)
    for name, data in sorted(members):
        size += len(data)
        cost += len(data) + MEMBER_COST
        total.update(f"\0{len(name)}:{name}:{len(data)}:".encode("utf-8", "surrogateescape") + data)
    return total.hexdigest(), size, cost


def _unpacked(content: bytes, limit: int) -> tuple[str, list[tuple[str, bytes]]] | None:
    """Kind and members of an archive; None when it is none, damaged or too large."""
    try:
        for magic, opener in _OPENERS.items():
            if content.startswith(magic):
                with opener(io.BytesIO(content)) as stream:
                    plain = stream.read(limit + 1)
                if len(plain) > limit:
                    return None
                inner = _unpacked(plain, limit) if plain[257:262] == b"ustar" else None
                kind = opener.__module__
                return (f"{kind} {inner[0]}", inner[1]) if inner else (kind, [("", plain)])
        if content.startswith(_INDEX):
            return "git index", list(_index_entries(content))
        if content[257:262] == b"ustar":
            return "tar", list(_tar_members(content, limit))
        return "zip", list(_zip_members(content, limit))
    except _BROKEN:  # it only looked like an archive, or it is damaged: then its bytes are what it is
        return None


def _tar_members(content: bytes, limit: int) -> Iterable[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for number, member in enumerate(archive):
            if number >= MAX_MEMBERS:
                raise ValueError("too many members")
            limit -= member.size  # a sparse member claims what it does not hold
            if limit < 0:
                raise ValueError("too large")
            stream = archive.extractfile(member) if member.isreg() else None
            data = stream.read() if stream else b""
            kind = f"{member.type!r} {member.mode:o} {member.linkname}"
            yield member.name.rstrip("/"), kind.encode("utf-8", "surrogateescape") + b"\0" + data


def _zip_members(content: bytes, limit: int) -> Iterable[tuple[str, bytes]]:
    if content.count(b"PK\1\2") > MAX_MEMBERS:  # each begins an entry of the list that is read whole
        raise ValueError("too many members")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > limit:
            raise ValueError("too large")
        for member in archive.infolist():
            yield member.filename.rstrip("/"), f"{member.external_attr >> 16:o}".encode() + b"\0" + archive.read(member)


def _index_entries(content: bytes) -> Iterable[tuple[str, bytes]]:
    """Name, mode, object and stage of each entry; times, device and inode left out. Source: gitformat-index(5)."""
    place, count = 12, int.from_bytes(content[8:12], "big")
    if count > MAX_MEMBERS:
        raise ValueError("too many entries")
    for _ in range(count):
        end = content.index(b"\0", place + 62)
        flags = content[place + 60 : place + 62]
        name = content[place + 62 : end].decode("utf-8", "surrogateescape")
        kept = content[place + 24 : place + 28] + content[place + 40 : place + 60] + bytes([flags[0] & 0xF0])
        yield f"{name}\0{flags[0] >> 4 & 3}", kept
        place += (end - place + 8) // 8 * 8
