"""Logs as other tools really wrote them: read, paired, decided and reported, and each tool's two forms alike."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from eval.logs.asked import starter
from eval.logs.opening import names_of, read_log
from eval.logs.rows import Log, metrics_in
from eval.logs.verb import main
from eval.logs.zip_members import zip_members
from eval.run.files import read_jsonl, read_metrics
from eval.run.records import Generation
from tests.log_rows import LOGS, Capture, gate, only, rows_of, write_rows, write_suite
from tests.run_builder import assert_one_line, call

REAL = {
    "lm-evaluation-harness": (LOGS / "lm_eval/base", LOGS / "lm_eval/candidate", "small_choice", "acc", 6),
    "one file of it": (
        next((LOGS / "lm_eval/base").glob("samples_small_words*")),
        next((LOGS / "lm_eval/candidate").glob("samples_small_words*")), "small_words", "exact_match,first_word", 6,
    ),
    "Inspect": (LOGS / "inspect/base", LOGS / "inspect/candidate", "small_questions", "includes", 6),
    "Inspect, JSON": (only(LOGS / "inspect/base-json"), only(LOGS / "inspect/candidate-json"), "small_questions",
                      "shape/short", 2),
    "promptfoo": (LOGS / "promptfoo/base.json", LOGS / "promptfoo/candidate.json", "promptfoo", "right", 5),
    "promptfoo, JSONL": (LOGS / "promptfoo/base.jsonl", LOGS / "promptfoo/candidate.jsonl", "promptfoo", "right", 5),
}  # fmt: skip


@pytest.mark.parametrize(("a", "b", "task", "metric", "n"), REAL.values(), ids=REAL)
def test_real_logs_get_a_verdict_and_a_report(
    a: Path, b: Path, task: str, metric: str, n: int, tmp_path: Path, capsys: Capture
) -> None:
    suite = write_suite(tmp_path / "suite.yaml", gate(task, metric, margin=0.9), max_invalid=0.5)
    arguments = [f"--a={a}", f"--b={b}", f"--suite={suite}", f"--out={tmp_path / 'out'}"]
    code, out, err = call(main, arguments, capsys)
    assert code in (0, 3) and not err, err
    metrics = read_metrics(tmp_path / "out/metrics.json")
    (compared,) = [row for row in metrics.comparisons if row.metric == metric]
    assert compared.n == n and compared.invalid == (1 if task == "promptfoo" else 0)
    assert metrics.logs and (metrics.logs.baseline.name, metrics.logs.candidate.name) == names_of(a, b)
    assert metrics.adapter_effect and not metrics.adapter_effect.proven
    assert any("not proven which bytes answered" in caution for caution in metrics.cautions)
    report = (tmp_path / "out/report.md").read_text()
    assert "A, baseline: " in report and "B, candidate: " in report and "NOTHING CHANGED" not in report
    asked = read_jsonl(tmp_path / "out/generations.jsonl", Generation)
    assert all(row.request and row.prompt_sha256 for row in asked) and any(row.text for row in asked)
    assert str(Path.cwd()) not in (tmp_path / "out/metrics.json").read_text()
    assert "A, the baseline:" in out and "B, the candidate:" in out


def test_both_forms_of_inspect_say_the_same(tmp_path: Path) -> None:
    """Its JSON is the header with the samples of the zip in it."""
    with zip_members(only(LOGS / "inspect/base")) as members:
        header = json.loads(members.read("header.json"))
        header["samples"] = [json.loads(members.read(name)) for name in members.names("samples/")]
    path = tmp_path / "log.json"
    path.write_text(json.dumps(header))
    one, two = read_log(path, "A", "x"), read_log(LOGS / "inspect/base", "A", "x")
    assert one.items == two.items and one.versions == two.versions and len(one.items) == 12


def test_both_forms_of_promptfoo_say_the_same(tmp_path: Path) -> None:
    rows = json.loads((LOGS / "promptfoo/base.json").read_text())["results"]["results"]
    one = read_log(write_rows(tmp_path / "log.jsonl", rows), "A", "x")
    assert one.items == read_log(LOGS / "promptfoo/base.json", "A", "x").items and len(one.items) == 6


def test_csv_and_jsonl_of_the_same_rows_say_the_same(tmp_path: Path) -> None:
    rows = rows_of(5, 9, cluster="a", task="t", prompt="What, exactly?\n", answer='"x"')
    rows.append({"id": "z", "metric": "acc", "value": None, "cluster": "", "task": "t", "prompt": "", "answer": ""})
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "log.csv").write_text(text.getvalue(), encoding="utf-8-sig")
    lines = write_rows(tmp_path / "log.jsonl", rows)
    assert read_log(tmp_path / "log.csv", "A", "x").items == read_log(lines, "A", "x").items


@pytest.mark.parametrize("form", ["lm_eval", "inspect", "promptfoo"])
def test_a_starter_suite_names_what_is_there_and_works(form: str, tmp_path: Path, capsys: Capture) -> None:
    sides = [LOGS / form / arm for arm in ("base", "candidate")]
    a, b = (side if side.is_dir() else side.with_suffix(".json") for side in sides)
    code, _, err = call(main, [f"--a={a}", f"--b={b}"], capsys)
    assert code == 2
    assert_one_line(err, "no suite says what must hold", "STARTER=FILE", "items: ")
    path = tmp_path / "starter.yaml"
    assert call(main, [f"--a={a}", f"--b={b}", f"--starter={path}"], capsys)[0] == 0
    code, _, err = call(main, [f"--a={a}", f"--b={b}", f"--starter={path}"], capsys)
    assert code == 2
    assert_one_line(err, "is there already")
    code, _, err = call(main, [f"--a={a}", f"--b={b}", f"--suite={path}", f"--out={tmp_path / 'out'}"], capsys)
    assert code in (0, 1, 3), err


def test_what_is_better_when_lower_gets_a_rate_in_the_starter() -> None:
    logs = [Log(letter, letter, "plain rows", {}, read_log(LOGS / "lm_eval/base", "A", "x").items) for letter in "AB"]
    logs[0].higher["small_words", "exact_match"] = False
    gates = yaml.safe_load(starter(logs[0], logs[1]))["gates"]
    rules = {gate["metric"]: gate["rule"] for gate in gates}
    assert rules == {"acc": "noninferiority", "acc_norm": "noninferiority", "exact_match,strict": "max_rate",
                     "exact_match,first_word": "max_rate"}  # fmt: skip


def test_the_harness_says_which_way_is_better(tmp_path: Path, capsys: Capture) -> None:
    suite = write_suite(tmp_path / "suite.yaml", gate("small_choice", "acc", "max_rate"))
    a, b = LOGS / "lm_eval/base", LOGS / "lm_eval/candidate"
    code, _, err = call(main, [f"--a={a}", f"--b={b}", f"--suite={suite}"], capsys)
    assert code == 2
    assert_one_line(err, "asks for lower values", "higher acc of small_choice is better")


def test_every_metric_of_a_log_is_seen_in_the_order_of_its_items() -> None:
    log = read_log(LOGS / "inspect/base", "A", "base")
    assert metrics_in(log.items) == ["includes", "shape/words", "shape/short"]
    assert {item.repeat for item in log.items} == {0, 1}
