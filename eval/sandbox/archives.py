"""Digest of an archive by what it contains, so that two `tar -czf` of the same files are equal.

Compression level, member order, times and owners do not count; member names, types, modes, targets and bytes do.
Nothing is unpacked to disk and nothing past LIMIT bytes is unpacked at all: a decompression bomb, or a file that only
looks like an archive, keeps its plain digest.
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

LIMIT = 64 << 20
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
           NotImplementedError, RuntimeError, OverflowError)  # fmt: skip


def digest_of(content: bytes) -> tuple[str, int]:
    """sha256 and size of a file's content; of what is inside, where the content is a readable archive."""
    inside = _unpacked(content)
    if inside is None:
        return hashlib.sha256(content).hexdigest(), len(content)
    kind, members = inside
    total = hashlib.sha256(kind.encode())
    size = 0
    for name, data in sorted(members):
        size += len(data)
        total.update(f"\0{len(name)}:{name}:{len(data)}:".encode("utf-8", "surrogateescape") + data)
    return total.hexdigest(), size


def _unpacked(content: bytes) -> tuple[str, list[tuple[str, bytes]]] | None:
    """Kind and members of an archive; None when it is none."""
    try:
        for magic, opener in _OPENERS.items():
            if content.startswith(magic):
                with opener(io.BytesIO(content)) as stream:
                    plain = stream.read(LIMIT + 1)
                if len(plain) > LIMIT:
                    return None
                inner = _unpacked(plain) if not plain.startswith(tuple(_OPENERS)) else None
                kind = opener.__module__
                return (f"{kind} {inner[0]}", inner[1]) if inner else (kind, [("", plain)])
        if content[257:262] == b"ustar":
            return "tar", list(_tar_members(content))
        if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return "zip", list(_zip_members(content))
    except _BROKEN:  # it only looked like an archive, or it is damaged: then its bytes are what it is
        return None
    return None


def _tar_members(content: bytes) -> Iterable[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            data = stream.read() if stream else b""
            kind = f"{member.type!r} {member.mode:o} {member.linkname}"
            yield member.name.rstrip("/"), kind.encode("utf-8", "surrogateescape") + b"\0" + data


def _zip_members(content: bytes) -> Iterable[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > LIMIT:
            raise ValueError("too large")
        for member in archive.infolist():
            yield member.filename.rstrip("/"), f"{member.external_attr >> 16:o}".encode() + b"\0" + archive.read(member)
