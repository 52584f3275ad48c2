"""Logs that do not fit each other or a suite: one line that says what, where and which items."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.logs.opening import read_log
from eval.logs.rows import Log
from eval.logs.verb import main
from eval.run.files import read_jsonl, read_metrics
from eval.run.records import Score
from tests.log_rows import LOGS, Capture, Row, compare, gate, only, refused, rows_of, write_rows, write_suite
from tests.run_builder import call

Rows = list[Row]
Change = Callable[[Rows], object]


def set_all(**fields: object) -> Change:
    return lambda rows: [row.update(fields) for row in rows]


# What is done to a candidate's rows, and what the error has to say.
UNFIT: dict[str, tuple[Change, list[str]]] = {
    "an item is missing": (lambda rows: rows.pop(3), ["1 of 40 items of log are in A (base.jsonl) only: q3"]),
    "several are": (lambda rows: rows.__delitem__(slice(0, 5)), ["5 of 40", "q0, q1, q2 and 2 more"]),
    "an item is new": (lambda rows: rows.append({**rows[0], "id": "new"}), ["in B (new.jsonl) only: new"]),
    "an item is there twice": (lambda rows: rows.append(rows[0]), ["q0 has acc twice", "column `repeat`"]),
    "a repeat is missing": (lambda rows: rows.append({**rows[0], "repeat": 1}), ["only: q0 (repeat 1)"]),
    "a prompt differs": (set_all(prompt="y"), ["40 of 40 items of log were asked otherwise", "q0, q1, q2 and 37 more"]),
    "the metric is missing": (set_all(metric="f1"), ["B (new.jsonl) has no metric acc of task log: it has f1"]),
    "the metric is missing once": (lambda rows: rows[7].update(metric="f1"), ["item q7 has it in A (base.jsonl) only"]),
    "the task is another": (set_all(task="t"), ["B (new.jsonl) has no task log: it has t"]),
    "a value is a text": (lambda rows: rows[2].update(value="good"), ["q2 of B", "the text 'good' where a number"]),
    "a value is a list": (lambda rows: rows[2].update(value=[1]), ["q2 of B", "a list where a number"]),
    "a value is not there": (lambda rows: rows[2].pop("value"), ["new.jsonl:3: no value"]),
    "an id is null": (lambda rows: rows[2].update(id=None), ["new.jsonl:3: no id"]),
    "a repeat is negative": (lambda rows: rows[2].update(repeat=-1), ["repeat is '-1'"]),
    "an item is in two groups": (
        lambda rows: rows.append({**rows[0], "metric": "f1", "cluster": "y"}) or rows[0].update(cluster="x"),
        ["new.jsonl:41: log/q0 is in two of cluster"],
    ),
    "clusters differ": (set_all(cluster="x"), ["item q0 is in cluster q0 in A and x in B"]),
}


@pytest.mark.parametrize(("change", "words"), UNFIT.values(), ids=UNFIT)
def test_logs_that_do_not_fit_are_refused_by_name(
    change: Change, words: list[str], tmp_path: Path, capsys: Capture
) -> None:
    base, new = rows_of(38, prompt="x"), rows_of(37, prompt="x")
    change(new)
    refused(compare(tmp_path, base, new), capsys, *words)
    assert not (tmp_path / "out").exists(), "nothing is left of a verdict that could not be made"


ASKED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "execution": ({"tasks": [{"name": "log", "execute": "plain"}]}, ["`execute: plain`", "logs cannot give it"]),
    "drift": ({"tasks": [{"name": "log"}, {"name": "drift"}]}, ["task drift", "logits"]),
    "looks": ({"mode": "sequential"}, ["sequential", "mode: fixed"]),
    "another baseline": ({"baseline": "blessed"}, ["of logs A is the baseline"]),
    "fewer items": ({"tasks": [{"name": "log", "limit": 5}]}, ["`limit: 5`"]),
    "a field nobody has": ({"tasks": [{"name": "log", "cluster": "author"}]}, ["has no field author to group by"]),
    "a task nobody has": ({"tasks": [{"name": "log"}, {"name": "t"}]}, ["A (base.jsonl) has no task t: it has log"]),
}  # fmt: skip


@pytest.mark.parametrize(("suite", "words"), ASKED.values(), ids=ASKED)
def test_what_logs_cannot_give_is_refused(
    suite: dict[str, Any], words: list[str], tmp_path: Path, capsys: Capture
) -> None:
    refused(compare(tmp_path, rows_of(38), rows_of(37), **suite), capsys, *words)


def test_a_value_that_is_no_number_is_invalid_and_never_zero(tmp_path: Path, capsys: Capture) -> None:
    new = rows_of(38)
    for place, value in enumerate((float("nan"), None, float("inf"), 1e300, 10**400)):
        new[place]["value"] = value
    assert call(main, compare(tmp_path, rows_of(38), new), capsys)[0] == 3
    (compared,) = read_metrics(tmp_path / "out/metrics.json").comparisons
    assert (compared.n, compared.invalid) == (35, 5)
    assert {s.reason for s in read_jsonl(tmp_path / "out/scores.jsonl", Score) if s.value is None} == {
        "no number in the log"
    }


def test_a_column_about_rows_groups_no_items(tmp_path: Path, capsys: Capture) -> None:
    arms = [[{**row, "judge": "x"} for row in rows_of(38)] + [{**row, "metric": "f1", "judge": "y"} for row in
            rows_of(right)] for right in (38, 37)]  # fmt: skip
    assert call(main, compare(tmp_path, *arms), capsys)[0] == 0
    grouped = {"tasks": [{"name": "log", "cluster": "judge"}]}
    refused(compare(tmp_path, *arms, **grouped), capsys, "item q0 has no field judge to group by")


def test_metrics_that_no_gate_is_about_are_left_out_and_named(tmp_path: Path, capsys: Capture) -> None:
    base, new = rows_of(38), rows_of(37)
    for rows in (base, new):
        rows += [{"id": "q1", "metric": "text", "value": "a"}, {"id": "q9", "metric": "seen", "value": 1, "task": "t"}]
    code, out, _ = call(main, compare(tmp_path, base, new), capsys)
    assert code == 0 and "metric text of log (item q1 of A (base.jsonl) has the text 'a'" in out and "task t" in out
    assert [row.metric for row in read_metrics(tmp_path / "out/metrics.json").comparisons] == ["acc"]


def test_two_arms_are_needed_and_two_tools_are_too_many(tmp_path: Path, capsys: Capture) -> None:
    a, b = LOGS / "inspect/base", LOGS / "promptfoo/base.json"
    refused([f"--a={a}"], capsys, "A= (--a) is the baseline's, B= (--b) the candidate's; give both")
    refused([f"--b={a}", "--run=demo"], capsys, "go with --a")
    refused([f"--a={a}", f"--b={a}"], capsys, "A and B are both")
    refused([f"--a={a}", f"--b={tmp_path / 'none'}"], capsys, "there is no such file or folder")
    suite = write_suite(tmp_path / "suite.yaml", gate("promptfoo", "right"))
    refused([f"--a={a}", f"--b={b}", f"--suite={suite}"], capsys, "is of Inspect and B", "of promptfoo")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    refused(compare(tmp_path, rows_of(38), rows_of(37)), capsys, "holds something else")


def changed_copy(source: Path, folder: Path, change: Change) -> Path:
    """A log of JSON lines with its rows changed."""
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    change(rows)
    folder.mkdir()
    return write_rows(folder / source.name, rows)


HARNESS = next((LOGS / "lm_eval/base").glob("samples_small_words*"))


def test_the_harness_own_hashes_tell_other_prompts(tmp_path: Path) -> None:
    def read(change: Change, name: str) -> Log:
        return read_log(changed_copy(HARNESS, tmp_path / name, change), "A", "x")

    whole = read(lambda rows: None, "same").items
    for key in ("prompt_hash", "doc_hash", "target_hash"):
        other = read(set_all(**{key: "0" * 64}), key).items
        assert [a.question != b.question for a, b in zip(whole, other, strict=True)] == [True] * 6
    with pytest.raises(UserError, match="doc_id 0 is there twice for filter strict"):
        read(lambda rows: rows.append(rows[0]), "twice")
    with pytest.raises(UserError, match="doc_id 0 has two prompts"):
        read(lambda rows: rows[0].update(prompt_hash="x"), "two")
    old = read(lambda rows: [[row.pop(key) for key in ("metrics", "prompt_hash")] for row in rows], "old").items
    assert [item.values for item in old] == [item.values for item in whole], "versions that list no metrics"


def test_versions_of_a_task_have_to_agree(tmp_path: Path, capsys: Capture) -> None:
    sides = []
    for arm, version in (("base", 1.0), ("candidate", 2.0)):
        folder = tmp_path / arm
        folder.mkdir()
        for path in (LOGS / "lm_eval" / arm).iterdir():
            text = path.read_text()
            if path.suffix == ".json":
                value = json.loads(text)
                value["versions"]["small_choice"] = version
                text = json.dumps(value)
            (folder / path.name).write_text(text)
        sides.append(folder)
    suite = write_suite(tmp_path / "suite.yaml", gate("small_choice", "acc"))
    arguments = [f"--a={sides[0]}", f"--b={sides[1]}", f"--suite={suite}", f"--out={tmp_path / 'out'}"]
    refused(arguments, capsys, "task small_choice is of version 1.0 in A (base) and 2.0 in B (candidate)")


def inspect_log(folder: Path, change: Callable[[Row], object]) -> Path:
    value = json.loads(only(LOGS / "inspect/base-json").read_text())
    change(value)
    folder.mkdir(exist_ok=True)
    (folder / "log.json").write_text(json.dumps(value))
    return folder / "log.json"


def test_inspect_letters_errors_and_unfinished_logs(tmp_path: Path) -> None:
    def score(value: object) -> object:
        path = inspect_log(tmp_path / "x", lambda log: log["samples"][0]["scores"]["includes"].update(value=value))
        return read_log(path, "A", "x").items[0].values["includes"]

    said = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "0.25": 0.25, "NaN": None}
    assert {text: score(text) for text in said} == said and score(True) == 1.0 and score(None) is None
    failed = inspect_log(tmp_path / "x", lambda log: log["samples"][0].update(error={"message": "x"}))
    item = read_log(failed, "A", "x").items[0]
    assert item.failed == "it ended in an error" and not item.values
    for status in ("error", "cancelled", "started", None):
        path = inspect_log(tmp_path / "x", lambda log, status=status: log.update(status=status))
        with pytest.raises(UserError, match="ended with status"):
            read_log(path, "A", "x")


def test_an_item_that_failed_in_one_arm_is_invalid_in_every_metric(tmp_path: Path, capsys: Capture) -> None:
    a = inspect_log(tmp_path / "a", lambda log: None)
    b = inspect_log(tmp_path / "b", lambda log: log["samples"][0].update(error={"message": "x"}, scores={}))
    suite = write_suite(tmp_path / "suite.yaml", gate("small_questions", "includes"))
    assert call(main, [f"--a={a}", f"--b={b}", f"--suite={suite}", f"--out={tmp_path / 'out'}"], capsys)[0] == 3
    compared = read_metrics(tmp_path / "out/metrics.json").comparisons
    assert {row.metric for row in compared} == {"includes", "shape/words", "shape/short"}
    assert {row.invalid for row in compared} == {1}


def test_two_providers_are_two_arms(tmp_path: Path) -> None:
    path = changed_copy(LOGS / "promptfoo/base.jsonl", tmp_path / "x", lambda rows: rows[0].update(provider="other"))
    with pytest.raises(UserError, match=r"answers of 2 providers \(other, sums\)"):
        read_log(path, "A", "x")
