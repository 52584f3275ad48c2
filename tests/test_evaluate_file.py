"""Any model or adapter on any file: answers and how many are right; resumed, refused in one line, the same twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.run.files import read_json
from eval.run.partial_log import PartialLog
from scripts import evaluate_file
from tests.run_builder import assert_one_line, call

pytestmark = pytest.mark.slow
ROWS: list[dict[str, Any]] = [
    {"prompt": "list the files", "completion": "ls"},
    {"question": "where am I?", "answer": "pwd"},
    {"messages": [{"role": "system", "content": "Bash."}, {"role": "user", "content": "who?"},
                  {"role": "assistant", "content": "whoami"}]},
]  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def command(model: Path, rows: Path, out: Path, *more: str) -> list[str]:
    """The command line as the guide for students has it."""
    named = ["--model-path", str(model), "--test-file", str(rows), "--output", str(out)]
    return [*named, "--max-tokens", "8", *more]


def test_the_command_of_the_guide_works_as_written(
    tiny_model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "out.json"
    code, said, err = call(evaluate_file.main, command(tiny_model, rows, out, "--temperature", "0.7"), capsys)
    assert (code, err) == (0, "") and "0.0 % of 3 answers are the expected text (0.0 to 70.8 at 95 %)" in said
    first = read_json(out)
    assert first["summary"]["n"] == 3 and first["summary"]["temperature"] == 0.7
    assert [row["expected"] for row in first["results"]] == ["ls", "pwd", "whoami"]
    assert all(row["tokens"] <= 8 for row in first["results"])
    call(evaluate_file.main, command(tiny_model, rows, out, "--temperature", "0.7"), capsys)
    assert read_json(out) == first, "the same seed draws the same answers"
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.json"], "nothing is left beside it"


def test_an_adapter_is_put_on_its_base_and_lines_have_a_summary(
    tiny_model: Path, tiny_adapter: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_base, of_adapter = tmp_path / "base.jsonl", tmp_path / "adapter.jsonl"
    assert call(evaluate_file.main, command(tiny_model, rows, of_base), capsys)[0] == 0
    assert call(evaluate_file.main, command(tiny_adapter, rows, of_adapter, "--base", str(tiny_model)), capsys)[0] == 0
    texts = [[json.loads(line)["answer"] for line in path.read_text().splitlines()] for path in (of_base, of_adapter)]
    assert texts[0] != texts[1] and len(texts[0]) == 3
    assert read_json(tmp_path / "adapter.summary.json")["n"] == 3


def test_what_was_answered_before_a_kill_is_not_asked_again(
    tiny_model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eval.model.hf import Model

    answer, add, asked = Model.answer, PartialLog.add, []

    def killed(log: Any, made: Any) -> None:
        add(log, made)
        raise KeyboardInterrupt

    monkeypatch.setattr(PartialLog, "add", killed)
    line = command(tiny_model, rows, tmp_path / "out.json", "--batch-size", "1")
    with pytest.raises(KeyboardInterrupt):
        evaluate_file.main(line)
    monkeypatch.setattr(PartialLog, "add", add)
    monkeypatch.setattr(Model, "answer", lambda self, arm, batch: asked.append(len(batch)) or answer(self, arm, batch))
    assert call(evaluate_file.main, line, capsys)[0] == 0 and asked == [1, 1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "no answer"}, "rows.jsonl: line 4: "),
        ({"prompt": {"a": 1}, "completion": "x"}, "rows.jsonl: line 4: "),
    ],
)
def test_a_row_that_is_no_request_with_an_answer_is_one_line_before_the_model_is_loaded(
    row: dict[str, Any], said: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(evaluate_file, "loaded", lambda *_: pytest.fail("the model was loaded"))
    rows.write_text(rows.read_text() + json.dumps(row) + "\n")
    code, _, err = call(evaluate_file.main, command(tmp_path, rows, tmp_path / "out.json"), capsys)
    assert code == 2
    assert_one_line(err, said)


def test_numbers_out_of_range_are_one_line(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(evaluate_file.main, command(tmp_path, rows, tmp_path / "o", "--temperature", "-1"), capsys)
    assert code == 2
    assert_one_line(err, "--temperature is -1.0: 0 to 10")
