"""Rows checked line by line, and proposals that are fit by the same rules; the file itself is never touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.teachers import validate
from tests.run_builder import call

TOKEN = "ghp_" + "a1B2" * 9


def fit(number: int) -> dict[str, str]:
    return {"request": f"List folder {number}.", "answer": f"ls folder-{number}"}


# What a line holds, why it is not fit, and the answer that is proposed (None: it is left out).
LINES: list[tuple[str, str, str | None]] = [
    ("{'request': 'Show one', 'answer': 'ls one'}", "read: not JSON", "ls one"),
    ('{"request": "Show two", "answer": "ls two",}', "read: not JSON", "ls two"),
    ('Here: {"request": "Show three", "answer": "ls three"}', "read: not JSON", "ls three"),
    ('{"request": "Show four", "ans', "read: not JSON", None),
    ("[1]", "read: a list, not a mapping", None),
    ('{"foo": 1}', "shape: securecli_nl2bash_known finds no `messages`", None),
    (json.dumps({"request": "Show the five", "answer": "```bash\nls five\n```"}), "check: command_only", "ls five"),
    (json.dumps({"request": "Show the six", "answer": "Run `ls six` there."}), "check: command_only", "ls six"),
    (json.dumps({"request": "Show the seven", "answer": " "}), "empty: its answer is empty", None),
    (json.dumps({"request": "Count words", "answer": "wc 'x"}), "check: command_only has no value", None),
    (json.dumps({"request": f"Push with {TOKEN}", "answer": "git push"}), "secret: holds a credential", None),
    (json.dumps({"request": "Make room", "answer": "rm -rf /"}), "danger: flagged", None),
    (json.dumps(fit(1)), "duplicate: asks and answers what an earlier row does (line 1)", None),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    good = [json.dumps(fit(number)) for number in range(1, 4)]
    path.write_text("\n".join([*good, *(line for line, _, _ in LINES)]) + "\n")
    return path


def given(file: Path, *more: str) -> list[str]:
    return ["--file", str(file), "--domain", "nl2bash", *more]


def test_each_line_that_is_not_fit_is_named_with_its_reason(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_bytes()
    assert validate.main(given(file)) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(LINES) + 1 and said[-1].startswith("validate: 3 rows are fit")
    for number, (line, (_, reason, _)) in enumerate(zip(said, LINES, strict=False), start=4):
        assert line.startswith(f"mine.jsonl: line {number}: {reason}"), line
    assert TOKEN not in "".join(said)
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == ["mine.jsonl"]


def test_what_is_proposed_is_fit_and_in_a_new_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_bytes()
    assert call(validate.main, given(file, "--repair"), capsys)[0] == 1
    assert file.read_bytes() == before
    repaired = file.with_name("mine.repaired.jsonl")
    rows = [json.loads(line) for line in repaired.read_text().splitlines()]
    assert [row["answer"] for row in rows] == [
        *(f"ls folder-{number}" for number in (1, 2, 3)), *(answer for _, _, answer in LINES if answer),
    ]  # fmt: skip
    repairs: list[dict[str, Any]] = [
        json.loads(line) for line in file.with_name("mine.repairs.jsonl").read_text().splitlines()
    ]
    assert [one["number"] for one in repairs] == list(range(4, 4 + len(LINES)))
    assert [one["kept"] for one in repairs] == [answer is not None for _, _, answer in LINES]
    assert TOKEN not in repaired.read_text() + json.dumps(repairs)
    assert validate.main(given(repaired)) == 0, "what is proposed passes"
    capsys.readouterr()
    code, _, err = call(validate.main, given(file, "--repair"), capsys)
    assert code == 2 and "is there already" in err, "proposals that somebody may have edited are not written over"


def test_rows_of_no_domain_are_checked_for_form_and_credentials(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(fit(number)) + "\n" for number in range(4)))
    assert validate.main(["--file", str(path)]) == 0
    path.write_text(path.read_text() + json.dumps({"request": "x", "answer": TOKEN}) + "\n")
    assert validate.main(["--file", str(path)]) == 1


def test_a_file_without_rows_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    for name, words in (("empty.jsonl", "has no rows"), ("none.jsonl", "is not there")):
        code, _, err = call(validate.main, given(tmp_path / name), capsys)
        assert code == 2 and words in err and err.count("\n") == 1
