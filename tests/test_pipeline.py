"""`make data CONFIG=`: every row that goes in comes out on one side or with a reason, in bytes that repeat."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from scripts.data import pipeline
from scripts.data.alike import alike, letters
from scripts.data.filters import groups, near
from scripts.data.kept_findings import Findings
from scripts.data.pipeline_config import load_config
from scripts.data.sources import Example
from scripts.training.leakage import alfa_rows

SECRET = "ghp_" + "a1B2" * 9
ALFA = max((row["messages"][1]["content"] for row in alfa_rows()), key=len)
# request, command, the stage that leaves the row out and the start of its reason; none where it stays
ROWS = [
    ("print the name of this machine", "hostname", "", ""),
    ("Print the name of  this machine.", "hostname;", "duplicate", "asks and answers what an earlier row does"),
    ("show the three largest log files of last night", "ls -S *.log | head -n 3", "", ""),
    ("show the three largest log files of last nights", "ls -S *.log | head -n 3", "near", "nearly asks and answers"),
    ("show the three largest log files of last nights", "ls -S *.log | tail -n 3", "", ""),
    ("which logs are the biggest three from yesterday evening", "ls -S *.log | head -n 3", "", ""),
    ("count the lines of a script", "wc -l 'script.sh", "syntax", "its command is not valid Bash"),
    ("store this token in a file called secret", f"echo {SECRET} > secret", "secret", "holds a credential"),
    ("write to somebody", "mail -s hello maria.keller@posteo.de", "personal", "holds an e-mail address"),
    ("write to nobody", "mail -s hello someone@example.com", "", ""),
    ("list what she keeps", "ls /home/mkeller/letters", "personal", "holds the name of a home folder"),
    ("list what a user keeps", "ls /home/user/letters", "", ""),
    ("ring the office", "echo 555-867-5309", "personal", "holds a telephone number"),
    ("overwrite the first disk with zeros", "dd if=/dev/zero of=/dev/sda", "danger", "its command is dangerous"),
    ("put a new file system on the second disk", "mkfs.ext4 /dev/sdb1", "danger", "its command is dangerous"),
    (ALFA, "true", "test", "asks what intercode_alfa asks"),
    (f"please {ALFA}: do it now, as I asked you twice this morning and once last night", "true", "test", ""),
    ("  ", "ls", "empty", "its request is empty"),
    ("open the manual of tar", "$ man tar", "", ""),
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one test set, and rows of two people."""
    (tmp_path / "data/nl2bash").mkdir(parents=True)
    turns = [{"role": "user", "content": "sort names.txt by its second column, please"}]
    (tmp_path / "data/nl2bash/test_free.jsonl").write_text(json.dumps({"id": "free-1", "messages": turns}) + "\n")
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs/all.nl").write_text("".join(f"{asked}\n" for asked, *_ in ROWS))
    (tmp_path / "pairs/all.cm").write_text("".join(f"{command}\n" for _, command, *_ in ROWS))
    return tmp_path


def config(root: Path, **changed: Any) -> Path:
    value = {
        "name": "mine",
        "sources": [{"name": "theirs", "kind": "pairs", "path": "pairs", "licence": "MIT"}],
        "danger": {"rules": ["disk-tool"]},
        "split": {"share": 0.2},
    }
    (root / "mine.yaml").write_text(yaml.safe_dump(value | changed))
    return root / "mine.yaml"


def made(root: Path, **changed: Any) -> pipeline.Dataset:
    return pipeline.run(config(root, **changed), None, root / "out", root)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_row_is_on_one_side_or_has_a_stage_and_a_reason(root: Path) -> None:
    made(root)
    rejects = {row["row"]: row for row in rows_of(root / "out/rejects.jsonl")}
    kept = rows_of(root / "out/train.jsonl") + rows_of(root / "out/validation.jsonl")
    for number, (asked, _, stage, reason) in enumerate(ROWS, start=1):
        found = rejects.get(f"theirs:{number}", {"stage": "", "reason": ""})
        assert (found["stage"], found["reason"][: len(reason)]) == (stage, reason), asked
    assert len(kept) + len(rejects) == len(ROWS)
    assert "man tar" in {row["messages"][2]["content"] for row in kept}
    assert SECRET not in "".join(path.read_text() for path in (root / "out").iterdir())


def test_rows_for_a_test_are_drawn_first_and_say_whether_they_are_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What validation had alone goes to the test, and validation takes of the rest; a kill loses no run command."""
    box = SimpleNamespace(identity="bubblewrap-debian-1")
    monkeypatch.setattr(pipeline, "open_sandbox", lambda: nullcontext(box))
    made(root, split={"share": 0.3})
    before = {row["id"] for row in rows_of(root / "out/validation.jsonl")}
    asked: list[str] = []

    def not_executed(rows: Sequence[Example], _: Any) -> Iterator[str]:
        for row in rows:
            asked.append(row.id)
            if len(asked) == 2:
                raise KeyboardInterrupt
            yield "needs a variable" if row.gold == "hostname" else ""

    monkeypatch.setattr(pipeline, "not_executed", not_executed)
    monkeypatch.setattr(pipeline, "GOLD_STEP", 1)
    for _ in range(2):
        with suppress(KeyboardInterrupt):
            dataset = made(root, split={"share": 0.2, "test": 0.3})
    tests = rows_of(root / "out/test.jsonl")
    assert {row["id"] for row in tests} == before and sorted({*asked}) == sorted(before)
    assert len(asked) == len(before) + 1  # the one that was killed is asked again
    assert not before & {row.id for row in (*dataset.train, *dataset.validation)} and dataset.validation
    assert all(row["cluster"] and row["category"] == "theirs" for row in tests)
    held = json.loads((root / "out/data.json").read_text())["test"]
    assert held["rows"] == len(tests) and held["executed"] == sum("not_executed" not in row for row in tests)
    assert f"{held['rows']} to test with" in (root / "out/card.md").read_text()
    box.identity = "bubblewrap-debian-2"  # whose commands may do other things
    asked[:] = [""] * 2
    made(root, split={"share": 0.2, "test": 0.3})
    assert sorted(asked[2:]) == sorted(before)
    made(root, split={"share": 0.2})
    assert not (root / "out/test.jsonl").exists()  # some of its rows are trained now


def test_the_same_inputs_give_the_same_bytes_and_data_json_says_what_was_made_of_what(root: Path) -> None:
    dataset = made(root)
    before = {path.name: path.read_bytes() for path in (root / "out").iterdir()}
    made(root)
    assert {path.name: path.read_bytes() for path in (root / "out").iterdir()} == before
    facts = json.loads(before["data.json"])
    assert {one["path"]: one["sha256"] for one in facts["files"]} == {
        name: file_sha256(root / "out" / name) for name in ("train.jsonl", "validation.jsonl", "rejects.jsonl")
    }
    assert facts["licence"] == "MIT" and facts["sources"][0]["rows"] == len(ROWS)
    assert facts["sources"][0]["sha256"]["all.cm"] == file_sha256(root / "pairs/all.cm")
    assert {"data/nl2bash/test_free.jsonl", "intercode_alfa"} <= facts["compared_with"].keys()
    left_out = sum(one["rejected"] for one in facts["stages"])
    assert left_out == sum(one["rows"] for one in facts["rejected"]) == len(dataset.rejects)
    assert str(root) not in before["data.json"].decode() + before["MANIFEST.json"].decode()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("Sort names.txt by its second column, please!", "asks what"),
        ("sort names.txt by its second columns, please", "nearly asks what"),
        ("sort wine/prices.csv by its second column, please", "but for the names in it asks what"),
    ],
)
def test_a_row_of_a_test_is_found_in_each_of_its_forms(root: Path, asked: str, reason: str) -> None:
    (root / "mine.jsonl").write_text("".join(json.dumps({"nl": q, "bash": "ls"}) + "\n" for q in (asked, "go home")))
    dataset = made(root, sources=[{"name": "own", "kind": "file", "path": "mine.jsonl"}], split={"share": 0})
    [reject] = dataset.rejects
    assert reject.stage == "test" and reject.reason == f"{reason} data/nl2bash/test_free.jsonl asks"


def test_a_source_has_no_more_than_its_share_and_its_answers_may_be_prose(root: Path) -> None:
    said = [{"instruction": f"Tell me about the moon, part {n * 7919}", "output": f"It is ({n}"} for n in range(40)]
    (root / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    general = {"name": "talk", "kind": "file", "path": "general.jsonl", "commands": False, "share": 0.25}
    theirs = {"name": "theirs", "kind": "pairs", "path": "pairs"}
    dataset = made(root, sources=[theirs, general], similar=1)
    of = Counter(row.source for row in (*dataset.train, *dataset.validation))
    assert of["talk"] == round(of["theirs"] / 3)
    assert all(len(json.loads(row.written())["messages"]) == 2 + row.commands for row in dataset.train)
    assert json.loads((root / "out/data.json").read_text())["licence"] is None


def test_after_a_kill_a_stage_continues_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed within `danger`, the second run asks the analyser about the rest only, and writes the same bytes."""
    from scripts.data import stages

    made(root)
    expected = (root / "out/train.jsonl").read_bytes()
    for file in (root / ".cache/data").rglob("*-danger.jsonl"):
        problems = Findings(file).take(len(ROWS))
        Findings(file).keep(problems[:4])
    asked = []
    real = stages.analyse
    monkeypatch.setattr(stages, "analyse", lambda command: asked.append(command) or real(command))
    made(root)
    assert (root / "out/train.jsonl").read_bytes() == expected
    assert len(asked) == len(problems) - 4


def test_findings_of_other_inputs_are_never_used(root: Path) -> None:
    made(root)
    (root / "pairs/all.cm").write_text((root / "pairs/all.cm").read_text().replace("hostname\n", "fdisk /dev/sda\n"))
    dataset = made(root)
    assert "theirs:1" in {reject.where for reject in dataset.rejects if reject.stage == "danger"}


@pytest.mark.parametrize("text", ["", "{", "[3, 4]", '2\n[9, "a", "b"]', "x\n", '1\n["a"]'])
def test_a_torn_file_of_findings_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "kept.jsonl").write_text(text)
    assert Findings(tmp_path / "kept.jsonl").take(5) == []


def example(request: str, gold: str) -> Example:
    return Example("a", 1, request, gold, "")


def test_rows_of_one_template_or_command_stay_on_one_side() -> None:
    rows = [
        example("count the lines of a/long.txt for me", "wc -l a/long.txt"),
        example("count the lines of 'quite another name' for me", "wc -l b"),
        example("how many users are there", "wc -l b"),
        example("reboot", "reboot"),
    ]
    assert groups(rows, "request") == [0, 0, 2, 3]
    assert groups(rows, "command") == [0, 0, 0, 3]


def test_near_compares_with_rows_that_are_kept_only() -> None:
    """A chain of small changes does not swallow its far end, nor another command anything."""
    words = "walk through every single folder below projects and print names of pictures changed during last holidays"
    chain = [" ".join(words.split()[n:]) for n in range(9)]
    found = [not reason for reason, _ in near([example(one, "ls") for one in chain], 0.85)]
    kept = [letters(one) for one, stays in zip(chain, found, strict=True) if stays]
    assert found[0] and not found[1] and 2 <= len(kept) < 6
    assert not any(alike(one, two, 0.85) for one in kept for two in kept if one is not two)
    assert all(not reason for reason, _ in near([example(one, f"ls {one[:9]!r}") for one in chain], 0.85))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sources": []}, "sources: List should have at least 1 item"),
        ({"sources": [{"name": "a", "kind": "hub", "path": "o/n", "revision": "main"}]}, "not pinned"),
        ({"danger": {"rules": ["fire"]}}, "there is no rule fire"),
        ({"sources": [{"name": "a", "kind": "grammar"}] * 2}, "two are called a"),
        ({"unknown": 1, "similar": 2}, "unknown: Extra inputs are not permitted"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_in_one_line(root: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(config(root, **changed))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [("NL2BASH", "NL2BASH= has to name a folder"), ("nowhere", "all.nl is missing"), ("short", "2 lines and all.cm 1")],
)
def test_a_source_that_is_not_there_is_said_in_one_line(root: Path, path: str, said: str) -> None:
    (root / "short").mkdir()
    (root / "short/all.nl").write_text("a\n")
    (root / "short/all.cm").write_text("ls")
    with pytest.raises(UserError, match=said):
        made(root, sources=[{"name": "theirs", "kind": "pairs", "path": path}])
    assert not (root / "out").exists()


@pytest.mark.slow
def test_a_hub_source_is_read_by_datasets_and_one_out_of_reach_is_one_line(root: Path) -> None:
    """A folder in place of the Hub: the library, its splits and columns are the real ones."""
    (root / "hub").mkdir()
    (root / "hub/train.csv").write_text("nl,bash,difficulty\nprint the name of this machine,hostname,1\n,ls,2\n")
    hub = {"name": "far", "kind": "hub", "path": str(root / "hub"), "revision": "a" * 40}
    dataset = made(root, sources=[hub | {"columns": {"request": "nl", "answer": "bash"}}], split={"share": 0})
    assert [row.gold for row in dataset.train] == ["hostname"]
    assert [reject.where for reject in dataset.rejects] == ["far:2"]
    assert json.loads((root / "out/data.json").read_text())["sources"][0]["revision"] == "a" * 40
    with pytest.raises(UserError, match="source far: ") as caught:
        made(root, sources=[hub | {"path": "someone/nowhere"}])
    assert "\n" not in str(caught.value)


def test_the_committed_configs_are_sound() -> None:
    for file in sorted((ROOT / "configs/data").glob("*.yaml")):
        assert load_config(file).name == file.stem


def test_files_that_were_not_written_here_stay(root: Path) -> None:
    (root / "out").mkdir()
    (root / "out/train.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match="was not written by `make data CONFIG=`"):
        made(root)
    assert (root / "out/train.jsonl").read_text() == "mine\n"
