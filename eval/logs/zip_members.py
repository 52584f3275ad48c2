"""Members of a zip file that somebody else wrote, unpacked one at a time in bounded memory.

Bounded are the directory at its end (it is parsed at once), each member, and all of them together. Compression is none,
deflate, or zstd, which Inspect writes and Python's own library reads from 3.14 on: it takes the package zstandard.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from eval.common.reading import open_regular
from eval.logs.documents import ZIP
from eval.logs.rows import refuse

LARGEST_DIRECTORY = 64 << 20  # bytes; about 600,000 samples
LARGEST_MEMBER = 64 << 20  # bytes, unpacked
LARGEST_TOTAL = 2 << 30  # bytes, unpacked
LARGEST_WINDOW = 1 << 27  # bytes that a zstd stream may make its reader keep
ZSTD = 93
ENCRYPTED = 1
DIRECTORY_SIZE = 5  # place in the list that zipfile makes of the record at the end
LOCAL_HEADER = 30  # bytes before a member's name
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error,
          OverflowError)  # fmt: skip
AGAIN = "copy the log again, or write it with `inspect log convert --to json`"


class Members:
    """The members of one file, by name."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self.stream, self.left = path, stream, LARGEST_TOTAL
        with readable(path):
            self.file = self._opened()
        self.entries = {entry.filename: entry for entry in self.file.infolist()}

    def _opened(self) -> zipfile.ZipFile:
        end: Any = getattr(zipfile, "_EndRecData")(self.stream)  # noqa: B009  zipfile parses a directory of any size
        if end is None or end[DIRECTORY_SIZE] > LARGEST_DIRECTORY:
            raise refuse(self.path, "its directory is too large" if end else "not a whole zip file", AGAIN)
        return zipfile.ZipFile(self.stream)

    def names(self, folder: str) -> Iterator[str]:
        """The members below a folder, in their order."""
        return (name for name in self.entries if name.startswith(folder) and not name.endswith("/"))

    def read(self, name: str) -> bytes:
        """A member's bytes. UserError when it is too large."""
        entry = self.entries[name]
        most = min(LARGEST_MEMBER, self.left)
        with readable(self.path):
            content = self._unpacked(entry, most + 1)
        if len(content) > most:
            raise refuse(self.path, f"{name[:80]!a} unpacks to more than {most:,} bytes", "is it the right file?")
        self.left -= len(content)
        return content

    def _unpacked(self, entry: zipfile.ZipInfo, most: int) -> bytes:
        """At most so many bytes of a member. Those of a whole one have its checksum."""
        if entry.flag_bits & ENCRYPTED:
            raise refuse(self.path, "encrypted", AGAIN)
        packed = self._packed(entry)
        if entry.compress_type == zipfile.ZIP_STORED:
            content = packed[:most]
        elif entry.compress_type == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
        elif entry.compress_type == ZSTD:
            content = self._from_zstd(packed, most)
        else:
            raise refuse(self.path, f"compressed by method {entry.compress_type}, which no log is", AGAIN)
        if len(content) < most and zlib.crc32(content) != entry.CRC:
            raise zipfile.BadZipFile(f"{entry.filename[:80]!a} has another checksum")
        return content

    def _packed(self, entry: zipfile.ZipInfo) -> bytes:
        """A member as it lies in the file, behind its own header, whose names may have another length."""
        self.stream.seek(entry.header_offset)
        header = self.stream.read(LOCAL_HEADER)
        if len(header) < LOCAL_HEADER or not header.startswith(ZIP):
            raise zipfile.BadZipFile(f"{entry.filename[:80]!a} is not where it should be")
        name, extra = struct.unpack("<HH", header[-4:])
        self.stream.seek(name + extra, os.SEEK_CUR)
        return self.stream.read(min(entry.compress_size, LARGEST_MEMBER + 1))

    def _from_zstd(self, packed: bytes, most: int) -> bytes:
        try:
            import zstandard
        except ModuleNotFoundError:
            advice = "install the package zstandard, or `inspect log convert --to json`"
            raise refuse(self.path, "compressed with zstd", advice) from None
        reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(packed)
        pieces, left = [], most
        try:
            while left > 0 and (piece := reader.read(min(left, 1 << 20))):
                pieces.append(piece)
                left -= len(piece)
        except zstandard.ZstdError as error:
            raise zipfile.BadZipFile(str(error)) from None
        return b"".join(pieces)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """UserError, in one line, for what the libraries raise of a file that is broken or cut off."""
    try:
        yield
    except BROKEN as error:
        raise refuse(path, f"not a zip file that can be read ({str(error)[:100]})", AGAIN) from None


@contextmanager
def zip_members(path: Path) -> Iterator[Members]:
    """The members of a zip file. UserError, in one line, for one that is broken, cut off or encrypted."""
    with open_regular(path) as stream:
        yield Members(path, stream)
