"""Logs that somebody broke, or built to hurt: each ends in one line, in bounded time and memory."""

import json
import os
import random
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from eval.common.errors import UserError
from eval.logs import documents, opening, zip_members
from eval.logs.opening import read_log
from eval.logs.rows import LONGEST_NAME, name_of
from eval.logs.verb import main
from eval.run.files import read_metrics
from tests.log_rows import LOGS, Capture, compare, only, refused, rows_of, write_rows
from tests.run_builder import call


def patched(content: bytes, place: int, value: bytes) -> bytes:
    return content[:place] + value + content[place + len(value) :]


EVAL = only(LOGS / "inspect/base").read_bytes()
JSON = only(LOGS / "inspect/base-json").read_bytes()
ROW = b'{"id": 1, "metric": "m", "value": 1}\n'
BROKEN: dict[str, tuple[str, bytes]] = {
    "empty": ("x.jsonl", b""),
    "blank": ("x.json", b" \n"),
    "no log": ("x.json", b'{"a": 1}'),
    "a list": ("x.json", b"[1, 2]"),
    "text": ("x.csv", b"hello\nworld\n"),
    "NUL": ("x.jsonl", b"\0" * 4096),
    "UTF-16": ("x.jsonl", json.dumps(rows_of(1, 1)[0]).encode("utf-16")),
    "Latin-1 later": ("x.jsonl", ROW + b'{"id": "\xe9", "metric": "m", "value": 1}\n'),
    "cut off": ("x.jsonl", ROW + b'{"id": 2, "met'),
    "a document, cut off": ("x.json", JSON[: len(JSON) // 2]),
    "deep": ("x.json", b"{\n" + b'"a": ' + b"[" * 200_000),
    "deep line": ("x.jsonl", ROW + b"[" * 200_000 + b"\n"),
    "deep first line": ("x.jsonl", b'{"a":' * 100_000 + b"\n"),
    "long number": ("x.json", b'{"eval": ' + b"9" * 5000 + b"\n}"),
    "long line": ("x.jsonl", ROW + b'"' + b"x" * (1 << 21) + b'"\n'),
    "zip, cut off": ("x.eval", EVAL[:-500]),
    "zip, its beginning": ("x.eval", EVAL[:100]),
    "zip, bytes changed": ("x.eval", patched(EVAL, len(EVAL) // 3, b"\xff" * 200)),
    "a row too short": ("x.csv", b"id,metric,value\nq,acc\n"),
    "a quote that never ends": ("x.csv", b'id,metric,value\nq,acc,"1\n'),
    "a huge cell": ("x.csv", b"id,metric,value\nq,acc," + b"1" * 300_000 + b"\n"),
}


@pytest.mark.parametrize(("name", "content"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_ends_in_one_line(name: str, content: bytes, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        refused([f"--a={path}", f"--b={LOGS / 'inspect/base'}"], capsys, name)


HEADER = json.dumps({"status": "success", "eval": {"task": "t"}}).encode()


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@contextmanager
def memory_grows_by_at_most(megabytes: int) -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < megabytes << 10, f"{grown >> 10} MB"


def test_a_member_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", HEADER)
        with archive.open("samples/1.json", "w", force_zip64=True) as member:
            for _ in range(120):
                member.write(b" " * (1 << 20))
    assert path.stat().st_size < 1 << 20
    with memory_grows_by_at_most(300), pytest.raises(UserError, match="unpacks to more than 67,108,864 bytes"):
        read_log(path, "A", "x")


def as_zstd(path: Path, packed: bytes, size: int) -> Path:
    """A zip whose second member is already compressed with zstd, as Inspect writes them."""
    content = zipped(path, {"header.json": HEADER, "samples/1": packed}, zipfile.ZIP_STORED).read_bytes()
    directory = content.rindex(b"PK\x01\x02")
    content = patched(content, directory + 10, (93).to_bytes(2, "little"))
    path.write_bytes(patched(content, directory + 24, size.to_bytes(4, "little")))
    return path


def test_nor_is_one_of_zstd_nor_many_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_zstd(tmp_path / "x.eval", zstandard.compress(b" " * (100 << 20)), 100 << 20)
    with memory_grows_by_at_most(300), pytest.raises(UserError, match="unpacks to more than 67,108,864 bytes"):
        read_log(path, "A", "x")
    monkeypatch.setattr(zip_members, "LARGEST_TOTAL", 1000)
    sample = b'{"id": 1, "scores": {}}' + b" " * 90
    path = zipped(tmp_path / "y.eval", {"header.json": HEADER} | {f"samples/{i}": sample for i in range(20)})
    with pytest.raises(UserError, match="unpacks to more than"):
        read_log(path, "A", "x")


def test_a_directory_of_any_size_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "x.eval", {"header.json": HEADER} | {f"samples/{i}": b"" for i in range(100)})
    monkeypatch.setattr(zip_members, "LARGEST_DIRECTORY", 1000)
    with pytest.raises(UserError, match="its directory is too large"):
        read_log(path, "A", "x")


def test_other_compression_and_encryption_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.eval", {"header.json": HEADER}, zipfile.ZIP_BZIP2)
    with pytest.raises(UserError, match="method 12, which no log is"):
        read_log(path, "A", "x")
    content = zipped(path, {"header.json": HEADER}).read_bytes()
    for place in (6, content.rindex(b"PK\x01\x02") + 8):  # the flags of a member, in both places
        content = patched(content, place, b"\x01")
    path.write_bytes(content)
    with pytest.raises(UserError, match="encrypted"):
        read_log(path, "A", "x")
    with pytest.raises(UserError, match=r"no header.json: a log of an evaluation that did not end"):
        read_log(zipped(path, {"../../etc/x": b""}), "A", "x")


def test_any_byte_of_a_log_may_be_wrong(tmp_path: Path) -> None:
    """Changed at random: read as something else or refused in one line, and never an exception that nobody foresaw."""
    draw = random.Random(7)
    sources = {
        "log.eval": EVAL,
        "log.json": JSON,
        "log.jsonl": (LOGS / "promptfoo/base.jsonl").read_bytes(),
        "log.csv": b"id,metric,value\nq,acc,1\nr,acc,0\n",
    }
    refusals = 0
    for name in [*sources] * 60:
        content = sources[name]
        for _ in range(draw.choice((1, 3, 30))):
            content = patched(content, draw.randrange(len(content)), draw.randbytes(draw.choice((1, 4))))
        (tmp_path / name).write_bytes(content[: draw.choice((len(content), draw.randrange(len(content))))])
        try:
            read_log(tmp_path / name, "A", "x")
        except UserError as error:
            assert "\n" not in str(error)
            refusals += 1
    assert 100 < refusals < 240


WRONG_KINDS = [None, 3, [[]], {"a": {}}]


@pytest.mark.parametrize("name", ["promptfoo/base.jsonl", "lm_eval/base/samples", "inspect/base-json/"])
def test_any_field_may_hold_anything(name: str, tmp_path: Path) -> None:
    """Each field of a row, and of what stands in it, in turn: read or refused."""
    path = min(LOGS.glob(f"{name}*"))
    document = json.loads(path.read_text()) if path.suffix == ".json" else None
    row = document["samples"][0] if document else json.loads(path.read_text().splitlines()[0])
    inner = [(key, own) for key in row if isinstance(row[key], dict) for own in row[key]]
    for keys in [*((key,) for key in row), *inner]:
        for value in WRONG_KINDS:
            changed = {key: dict(held) if isinstance(held, dict) else held for key, held in row.items()}
            (changed if len(keys) == 1 else changed[keys[0]])[keys[-1]] = value
            written = tmp_path / path.name
            written.write_text(json.dumps({**document, "samples": [changed]} if document else changed) + "\n")
            try:
                read_log(written, "A", "x")
            except UserError as error:
                assert "\n" not in str(error)


def test_names_and_texts_of_somebody_else_are_short_and_printable(tmp_path: Path, capsys: Capture) -> None:
    long = "x" * 5000
    names = [long, long + "y", "\ud800", "\0\x1b[31m", "<script>alert(1)</script>", "| a |", "../../etc"]
    assert len({name_of(name) for name in names}) == len(names)
    assert all(len(name_of(name)) <= LONGEST_NAME for name in names)
    text = "</pre><script>" + "x" * 50_000
    rows = [
        rows_of(38) + [{"id": name, "metric": "acc", "value": value, "answer": text} for name in names]
        for value in (1, 0)
    ]
    assert call(main, compare(tmp_path, *rows), capsys)[0] in (0, 1, 3)
    page = (tmp_path / "out/report.html").read_text()
    assert "<script>alert" not in page and "</pre><script>" not in page and "&lt;script&gt;alert" in page
    assert (tmp_path / "out/generations.jsonl").stat().st_size < 300_000
    assert read_metrics(tmp_path / "out/metrics.json").comparisons[0].n == 47


def test_sizes_and_numbers_of_files_have_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in "ab":
        write_rows(logs / f"{name}.jsonl", rows_of(3))
    monkeypatch.setattr(documents, "MOST_ROWS", 2)
    (tmp_path / "log.csv").write_text("id,metric,value\n" + "".join(f"{i},acc,1\n" for i in range(3)))
    for path in (logs / "a.jsonl", tmp_path / "log.csv", LOGS / "promptfoo/base.jsonl", LOGS / "lm_eval/base"):
        refused([f"--a={path}", f"--b={LOGS}"], capsys, "more than 2 rows")
    monkeypatch.setattr(documents, "LARGEST_DOCUMENT", 100)
    refused([f"--a={only(LOGS / 'inspect/base-json')}", f"--b={LOGS}"], capsys, "larger than 100 bytes")
    monkeypatch.setattr(opening, "LARGEST_ARM", 100)
    refused([f"--a={logs}", f"--b={LOGS}"], capsys, "at most 100 are read")
    monkeypatch.setattr(opening, "MOST_FILES", 1)
    refused([f"--a={logs}", f"--b={LOGS}"], capsys, "more than 1 files that end in .eval")
    monkeypatch.setattr(opening, "MOST_ENTRIES", 1)
    refused([f"--a={logs}", f"--b={LOGS}"], capsys, "holds more than 1 files")


def test_a_pipe_or_a_loop_of_links_is_not_waited_for(tmp_path: Path, capsys: Capture) -> None:
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    pipe.mkdir()
    os.mkfifo(pipe / "log.jsonl")
    refused([f"--a={pipe}", f"--b={LOGS}"], capsys, "is a named pipe")
    loop.mkdir()
    (loop / "again").symlink_to(loop)
    refused([f"--a={loop}", f"--b={LOGS}"], capsys, "no files that end in")


def test_an_arm_is_of_one_kind_and_holds_each_task_once(tmp_path: Path, capsys: Capture) -> None:
    write_rows(tmp_path / "a.jsonl", rows_of(3))
    (tmp_path / "b.eval").write_bytes(EVAL)
    refused([f"--a={tmp_path}", f"--b={LOGS}"], capsys, "it is of Inspect, and others of A", "of plain rows")
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "c.eval").write_bytes(EVAL)
    refused([f"--a={tmp_path}", f"--b={LOGS}"], capsys, "task small_questions is in b.eval and c.eval")
