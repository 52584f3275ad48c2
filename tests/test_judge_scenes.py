"""What gold and request say about a fixture, and the copies made from it."""

import json
import os
from pathlib import Path

import pytest

from eval.bash.parsing import normalise
from eval.judge.file_contents import altered, chooser
from eval.judge.hints import Hints, missing_operands, read_hints
from eval.judge.perturb import both, filled_in, new_contents, new_tree, with_operands
from eval.sandbox.execution import Execution
from eval.sandbox.fixtures import ICALFA
from eval.tasks.intercode_alfa.rows import dataset, documents, load_rows
from scripts.benchmarks.near_misses import near_misses, top_level_stages


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small fixture tree: texts, a table, JSON, a script, a protected file."""
    top = tmp_path / "top"
    for name, text in {
        "srv/notes.txt": "alpha\nbeta\nbeta\ngamma 12\n",
        "srv/table.csv": "name,count\na,1\nb,2\n",
        "srv/data.json": '{"size": 3, "items": ["x", "y"]}\n',
        "srv/run.sh": "#!/bin/sh\necho hello\n",
        "srv/deep/one.log": "error 1\nok\n",
        "srv/deep/keep.txt": "keep\n",
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (top / "srv/notes.txt").chmod(0o444)
    return top


def snapshot(top: Path) -> dict[str, tuple[int, float, bytes]]:
    return {
        str(path.relative_to(top)): (path.lstat().st_mode, path.lstat().st_mtime, path.read_bytes())
        for path in sorted(top.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_hints_of_a_gold() -> None:
    gold = "find /srv -type f -name '*.log' -size +2k -mtime -7 -exec grep -l 'error 5' {} +"
    hints = read_hints(gold, 'list logs of "/srv" holding "error 5"')
    assert hints.globs == ("*.log",) and hints.sizes == (2048,) and hints.ages == (7.0,) and hints.types == ("f",)
    assert "error" in hints.words and "/srv" in hints.mentioned


def test_only_contents_change_and_kinds_stay(tree: Path) -> None:
    before = snapshot(tree)
    new_contents(Hints(words=("alpha",)), "1")(tree)
    after = snapshot(tree)
    assert before.keys() == after.keys()
    assert all(before[name][:2] == after[name][:2] and before[name][2] != after[name][2] for name in before)
    assert json.loads(after["srv/data.json"][2]).keys() == {"size", "items"}
    assert {line.count(b",") for line in after["srv/table.csv"][2].splitlines()} == {1}
    assert after["srv/run.sh"][2].startswith(b"#!/bin/sh\n")


def test_a_new_tree_keeps_what_is_named(tree: Path) -> None:
    hints = read_hints("find /srv -name '*.log'", "find logs; keep /srv/notes.txt and /srv/table.csv and keep.txt")
    new_tree(hints, "1", "/", "find /srv -name '*.log'")(tree)
    after = snapshot(tree)
    assert {"srv/notes.txt", "srv/table.csv", "srv/deep/keep.txt"} <= after.keys()
    assert sum(name.endswith(".log") for name in after) > 1
    assert len({modified for _, modified, _ in after.values()}) > 3


def test_copies_are_deterministic(tree: Path, tmp_path: Path) -> None:
    import shutil

    twin = tmp_path / "twin"
    shutil.copytree(tree, twin)
    hints = read_hints("grep -rn 'beta' /srv | head -n 9", "")
    for top in (tree, twin):
        both(new_tree(hints, "1", "/", "grep -rn beta /srv"), new_contents(hints, "1"))(top)
    assert snapshot(tree) == snapshot(twin)


def test_a_text_grows_past_the_numbers_of_the_gold() -> None:
    text = altered("a\nb\n", ".txt", read_hints("head -n 40 f", ""), chooser("1", "f"))
    assert len(text.splitlines()) > 40


@pytest.mark.parametrize("glob", ["*.txt", "text[2-4]*", "file?.log", "*FooBar*"])
def test_a_filled_glob_matches(glob: str) -> None:
    import fnmatch

    assert fnmatch.fnmatchcase(filled_in(glob, chooser("1", glob)), glob)


@pytest.mark.parametrize(
    ("stderr", "gold", "expected"),
    [
        ("chmod: cannot access '/srv/x.txt': No such file or directory", "chmod 444 /srv/x.txt", {"/srv/x.txt": False}),
        ("find: ‘/opt/lantern’: No such file or directory", "find /opt/lantern -type f", {"/opt/lantern": True}),
        ("cat: a.csv: No such file or directory", "cat a.csv", {"a.csv": False}),
        ("find: './proc/12': No such file or directory", "find .", {}),
    ],
)
def test_missing_operands_come_from_the_messages(stderr: str, gold: str, expected: dict[str, bool]) -> None:
    run = Execution(1, b"", stderr.encode(), (), (), 0.0, "made up")
    assert missing_operands(run, "", gold, "/") == expected


def test_operands_are_created_as_what_they_are_called(tree: Path) -> None:
    import tarfile

    kinds = {"pack.tar.gz": "file", "~/logs": "folder", "/srv/new/none": "empty", "a.json": "file"}
    with_operands(kinds, Hints(), "/srv", "/home/user")(tree)
    with tarfile.open(tree / "srv/pack.tar.gz") as archive:
        assert len(archive.getnames()) == 2
    assert any((tree / "home/user/logs").iterdir()) and not any((tree / "srv/new/none").iterdir())
    assert json.loads((tree / "srv/a.json").read_text())


def test_near_misses_are_many_and_none_is_its_gold() -> None:
    rows = load_rows()
    misses = near_misses(rows)
    assert misses == near_misses(rows)
    assert sum(miss.kind != "presentation" for miss in misses) >= 500
    assert all(normalise(miss.candidate) != normalise(miss.gold) for miss in misses)
    assert {miss.kind for miss in misses} == {"number", "path", "flag", "filter", "tool", "presentation"}


def test_stages_are_split_outside_quotes_only() -> None:
    assert top_level_stages("a '|' | b $(c | d) || e | f") == ["a '|' ", " b $(c | d) || e ", " f"]


def test_the_lm_eval_task_names_a_fixture_for_every_row() -> None:
    docs = dataset(version=1.0)["test"]
    assert [str(doc) for doc in docs] == [str(row) for row in documents()]  # publishing knows their digest
    assert len(docs) == 300 and {doc["fixture"] for doc in docs} == set(ICALFA)
    assert all(doc["messages"][2]["content"] == row.gold for doc, row in zip(docs, load_rows(), strict=True))
