"""Rows of one's own: near-duplicates stay on one side; what is written where, and never over somebody else's."""

import json
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from scripts.data import own_rows, own_split
from scripts.data.alike import alike, letters
from scripts.data.dataset_facts import describe_data
from scripts.data.own_split import SIMILAR, drawn_for_test, near_duplicates
from tests.test_own_rows import PAIRS, SQL, jsonl, made, rows_of, sql

__all__ = ["sql"]


def many(count: int) -> list[dict[str, str]]:
    """Rows in families of near-duplicates, a letter or a number apart."""
    words = ["copy the picture", "rename the folder", "compress the archive", "delete the mailbox", "show the calendar"]
    subjects = ["of last summer", "with the invoices", "that my brother sent", "for the committee", "on the old disk"]
    families = [f"{word} {subject} and tell me when it is done" for word in words for subject in subjects]
    return [{"prompt": f"{families[n % 25]} {n // 25}", "completion": f"echo {n}"} for n in range(count)]


def test_near_duplicates_stay_on_one_side_and_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    result = made(tmp_path, many(300), share=0.2)
    assert (result.clusters, result.largest) == (25, 12)
    assert (len(result.train), len(result.test)) == (240, 60)
    train, test = ({row["cluster"] for row in rows} for rows in (result.train, result.test))
    assert not train & test
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    made(tmp_path, many(300), share=0.2)  # and what was written here may be written again
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    made(tmp_path, many(200), share=0.2)
    assert len(rows_of(tmp_path / "out/train.jsonl")) == 160


def test_no_test_request_is_nearly_a_trained_one(tmp_path: Path) -> None:
    """Held against all pairs, without the hashes that find candidates."""
    rows = many(120) + [{"prompt": q, "completion": a} for q, a in PAIRS]
    result = made(tmp_path, rows, share=0.3)
    train, test = ([letters(row["messages"][1]["content"]) for row in rows] for rows in (result.train, result.test))
    assert train and test and not any(alike(one, two, SIMILAR) for one in train for two in test)


def test_a_request_of_a_megabyte_takes_no_gigabyte() -> None:
    assert near_duplicates(["ab" * 500_000, "reboot", "ab" * 500_001]) == [0, 1, 0]
    assert len(letters("".join(map(str, range(100_000))))) < 10_001


def test_many_forms_of_one_sentence_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(own_split, "alike", lambda *given: compared.append(1) or alike(*given))
    assert set(
        near_duplicates([f"find files in the folder projects larger than {n} megabytes" for n in range(999)])
    ) == {0}
    assert len(compared) < 5 * 999


def test_equal_requests_are_one_cluster_whatever_their_case() -> None:
    assert near_duplicates(["List files", "list  FILES.", "reboot", "a", "a"]) == [0, 0, 2, 3, 3]


@pytest.mark.parametrize(("roots", "expected"), [([0, 1], 1), ([0, 0, 0, 3], 1), ([0, 0], 0), ([0, 0, 2, 2], 2)])
def test_both_sides_have_rows_where_there_are_two_clusters(roots: list[int], expected: int) -> None:
    names = [str(place) for place in range(len(roots))]
    assert len(drawn_for_test(roots, names, 0.2)) == expected
    assert all(
        len({place in drawn_for_test(roots, names, 0.5) for place, top in enumerate(roots) if top == root}) == 1
        for root in roots
    )


def test_ids_are_the_rows_own_where_they_tell_rows_apart(tmp_path: Path) -> None:
    ids = ["one", 2, "same", "same", None]
    rows = [{"id": own, "prompt": q, "completion": a} for own, (q, a) in zip(ids, PAIRS, strict=True)]
    result = made(tmp_path, rows)
    found = [row["id"] for row in [*result.train, *result.test]]
    assert len(set(found)) == 5 and {"one", "2"} <= set(found) and "same" not in found


def test_the_manifest_says_what_was_made_of_what_and_training_reads_it(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "mine.jsonl", [*({"prompt": q, "completion": a} for q, a in PAIRS), "broken"])
    own_rows.run(file, "nl2bash", None, 0.4, "MIT", root=tmp_path)
    out = tmp_path / "data/own/mine"
    manifest = json.loads((out / "MANIFEST.json").read_text())
    assert manifest["inputs"] == [{"path": "mine.jsonl", "sha256": file_sha256(file)}]
    assert {one["path"]: one["sha256"] for one in manifest["files"]} == {
        name: file_sha256(out / name) for name in ("train.jsonl", "test.jsonl", "rejects.jsonl")
    }
    assert manifest["stages"][0] == {"stage": "read", "kept": 5, "rejected": 1}
    assert manifest["split"]["test"] == 0.4 and manifest["split"]["seed"] == 1
    [row] = describe_data({"datasets": [{"path": "data/own/mine/train.jsonl"}]}, tmp_path)
    assert (row["rows"], row["licence"], row["cleaning"]) == (3, "MIT", {"read": 1})


def test_rows_for_a_domain_of_ones_own_go_to_its_folder(
    tmp_path: Path, sql: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path / "mine.jsonl", [{"question": q, "sql": a, "database": "shop"} for q, a in SQL])
    own_rows.run(file, str(sql), None, 0.4, None, root=tmp_path / "root")
    written = {"MANIFEST.json", "rejects.jsonl", "test.jsonl", "train.jsonl"}
    assert {path.name for path in sql.iterdir()} >= written and not (tmp_path / "root").exists()
    assert "no licence is stated" in capsys.readouterr().out


def test_a_file_that_was_not_written_here_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows = [{"prompt": q, "completion": a} for q, a in PAIRS]
    (tmp_path / "out/train.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match="was not written by `make data FILE=`, or was changed since"):
        made(tmp_path, rows)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train.jsonl"]
    (tmp_path / "out/train.jsonl").unlink()
    made(tmp_path, rows)
    with (tmp_path / "out/test.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(UserError, match=r"test\.jsonl was not written .* or was changed since"):
        made(tmp_path, rows[:4])
    (tmp_path / "out/MANIFEST.json").write_text("{}")
    with pytest.raises(UserError, match=r"MANIFEST\.json is not one of"):
        made(tmp_path, rows)


def test_the_file_itself_is_never_written_over(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "train.jsonl", [{"prompt": q, "completion": a} for q, a in PAIRS])
    before = file.read_bytes()
    with pytest.raises(UserError, match="would be written over"):
        own_rows.run(file, "nl2bash", tmp_path, 0.4, None, root=tmp_path)
    assert file.read_bytes() == before
    made(tmp_path, [{"prompt": q, "completion": a} for q, a in PAIRS])
    with pytest.raises(UserError, match="would be written over"):  # though it was written here
        own_rows.run(tmp_path / "out/train.jsonl", "nl2bash", tmp_path / "out", 0.4, None, root=tmp_path)


def test_what_is_written_by_default_is_ignored_by_git() -> None:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    assert f"/{own_rows.OWN}/" in lines and "/domains/" in lines
