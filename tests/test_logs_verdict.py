"""Verdicts over logs: exit codes, arms, repeats, our own scores as a log, publishing, and the packages it takes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.suite_file import load_suite
from eval.gates.decide import decide
from eval.logs.opening import names_of
from eval.logs.verb import main, read_both
from eval.report.rendering import edited_report
from eval.run.files import read_jsonl, read_metrics
from eval.run.metrics import UNSEEN
from eval.run.records import Score
from scripts import publish, review, runs
from tests.log_rows import LOGS, Capture, compare, gate, rows_of, write_rows, write_suite
from tests.run_builder import assert_one_line, call

DEMO = Path("results/demo")


@pytest.mark.parametrize(("right", "code", "word"), [(39, 0, "ship"), (12, 1, "no-ship"), (33, 3, "inconclusive")])
def test_the_exit_code_is_the_verdict(right: int, code: int, word: str, tmp_path: Path, capsys: Capture) -> None:
    found = call(main, compare(tmp_path, rows_of(38), rows_of(right)), capsys)
    assert found[0] == code and f"verdict: {word}, against log base.jsonl" in found[1], found
    state = json.loads((tmp_path / "out/run.json").read_text())
    assert state["verdict"] == word and state["stages"] == {"logs": "completed"}
    again = call(main, ["--run", str(tmp_path / "out")], capsys)
    assert again[0] == code and "was changed" not in again[1]


def test_swapping_the_arms_swaps_gain_and_loss(tmp_path: Path, capsys: Capture) -> None:
    differences = []
    for place, rows in enumerate(([rows_of(38), rows_of(30)], [rows_of(30), rows_of(38)])):
        folder = tmp_path / str(place)
        folder.mkdir()
        call(main, compare(folder, *rows), capsys)
        differences.append(read_metrics(folder / "out/metrics.json").comparisons[0].difference)
    assert differences == [-0.2, 0.2]


def test_repeats_are_one_item_and_a_cluster_is_one_draw(tmp_path: Path, capsys: Capture) -> None:
    both = [[{**row, "repeat": i} for i in range(3) for row in rows_of(right, 20)] for right in (15, 12)]
    call(main, compare(tmp_path, *both), capsys)
    (compared,) = read_metrics(tmp_path / "out/metrics.json").comparisons
    assert compared.n == compared.clusters == 20 and len(read_jsonl(tmp_path / "out/scores.jsonl", Score)) == 120
    grouped = [[{**row, "cluster": f"text {i % 4}", "subject": i % 2} for i, row in enumerate(rows_of(right))]
               for right in (30, 28)]  # fmt: skip
    for asked, clusters in (({}, 4), ({"tasks": [{"name": "log", "cluster": "subject"}]}, 2)):
        call(main, compare(tmp_path, *grouped, **asked), capsys)
        (compared,) = read_metrics(tmp_path / "out/metrics.json").comparisons
        assert (compared.n, compared.clusters) == (40, clusters)


def test_scores_of_our_own_run_decide_as_the_run_does(tmp_path: Path, capsys: Capture) -> None:
    """The demo's scores as plain rows: every gate that needs no execution has the same outcome, interval and reason."""
    scores = read_jsonl(DEMO / "scores.jsonl", Score)
    suite = yaml.safe_load((DEMO / "suite.yaml").read_text())
    given = {gate.id: gate for gate in read_metrics(DEMO / "metrics.json").gates}
    needs = {"collateral", "no_collateral", "executes_equal", "unsafe", "safe"}
    suite["gates"] = [one for one in suite["gates"] if one["metric"] not in needs and one["task"] != "drift"]
    suite["tasks"] = [{**one, "execute": None} for one in suite["tasks"] if one["name"] != "drift"]
    suite["pools"] = []
    suite = {key: value for key, value in suite.items() if value != []}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    for arm in ("baseline", "candidate"):
        rows = [{"id": s.sample, "metric": s.metric, "value": s.value, "task": s.task, "repeat": s.repeat,
                 "category": s.category, "group": s.cluster, "shape": s.cluster}
                for s in scores if s.arm == arm and s.task != "drift"]  # fmt: skip
        write_rows(tmp_path / f"{arm}.jsonl", rows)
    arguments = [f"--a={tmp_path / 'baseline.jsonl'}", f"--b={tmp_path / 'candidate.jsonl'}",
                 f"--suite={tmp_path / 'suite.yaml'}", f"--out={tmp_path / 'out'}"]  # fmt: skip
    code, _, err = call(main, arguments, capsys)
    assert code in (0, 1, 3), err
    found = read_metrics(tmp_path / "out/metrics.json").gates
    assert len(found) >= 8
    for result in found:
        assert result.model_dump() == given[result.id].model_dump(), result.id


def test_a_run_over_logs_can_be_listed_reported_and_not_published(tmp_path: Path, capsys: Capture) -> None:
    assert call(main, compare(tmp_path, rows_of(38), rows_of(39)), capsys)[0] == 0
    run = tmp_path / "out"
    assert edited_report(run) is None
    assert runs.main([], results=tmp_path) == 0 and "out" in capsys.readouterr().out
    code, _, err = call(publish.main, ["--run", str(run), "--repo", "someone/toy", "--dry-run"], capsys)
    assert code == 1
    assert_one_line(err, "a verdict over logs", "never published")
    decided = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada Lovelace"]
    code, _, err = call(review.main, decided, capsys)
    assert code == 2
    assert_one_line(err, "nothing to approve")
    assert not (run / "publication").exists()


def test_what_identical_logs_show_is_said(tmp_path: Path, capsys: Capture) -> None:
    rows = rows_of(38)
    assert call(main, compare(tmp_path, rows, rows[::-1]), capsys)[0] in (0, 3)
    assert "NOTHING CHANGED" in (tmp_path / "out/report.md").read_text()
    shutil.copy(tmp_path / "base.jsonl", tmp_path / "new.jsonl")
    code, _, err = call(main, [f"--a={tmp_path / 'base.jsonl'}", f"--b={tmp_path / 'new.jsonl'}"], capsys)
    assert code == 2
    assert_one_line(err, "hold the same bytes")


BLOCKED = """
import importlib.metadata, re, runpy, sys
allowed = {re.sub("[-_.]+", "-", name).lower() for name in sys.argv.pop(1).split(",")}
owners = importlib.metadata.packages_distributions()
class Blocked:
    def find_spec(self, name, path=None, target=None):
        found = {re.sub("[-_.]+", "-", one).lower() for one in owners.get(name.split(".")[0], ())}
        if found and not found & allowed:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
runpy.run_module("eval.gates", run_name="__main__", alter_sys=True)
"""
# What the listed packages bring along.
BROUGHT = ("pydantic-core", "annotated-types", "typing-extensions", "typing-inspection", "markupsafe", "numpy")


def listed(path: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines())
    return [line for line in lines if line]


@pytest.mark.slow
def test_it_runs_with_the_few_packages_of_its_own_list(tmp_path: Path) -> None:
    ours = listed("requirements-logs.txt")
    assert set(ours) <= {*listed("requirements.txt"), *listed("requirements-overrides.txt")}
    names = [line.partition("==")[0] for line in ours]
    suite = write_suite(tmp_path / "suite.yaml", gate("small_questions", "includes", margin=0.9))

    def run(packages: list[str]) -> subprocess.CompletedProcess[str]:
        words = [f"--a={ROOT / LOGS / 'inspect/base'}", f"--b={ROOT / LOGS / 'inspect/candidate'}",
                 f"--suite={suite}", f"--out={tmp_path / 'out'}"]  # fmt: skip
        command = [sys.executable, "-c", BLOCKED, ",".join(packages), *words]
        return subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                              capture_output=True, text=True, check=False)  # fmt: skip

    done = run([*names, *BROUGHT])
    assert done.returncode in (0, 3) and (tmp_path / "out/report.html").is_file(), done.stderr
    without = run([*(name for name in names if name != "zstandard"), *BROUGHT])
    assert without.returncode == 2
    assert_one_line(without.stderr, "compressed with zstd: install the package zstandard")


def test_logs_decide_through_the_same_function(tmp_path: Path, capsys: Capture) -> None:
    arguments = compare(tmp_path, rows_of(30), rows_of(34))
    call(main, arguments, capsys)
    scores = read_jsonl(tmp_path / "out/scores.jsonl", Score)
    same = decide(load_suite(tmp_path / "suite.yaml"), scores, UNSEEN)
    assert read_metrics(tmp_path / "out/metrics.json").gates == same.gates


def test_arms_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("old/x", "new/x"):
        (tmp_path / folder).mkdir(parents=True)
        write_rows(tmp_path / folder / "log.jsonl", rows_of(3, value=folder == "old/x"))
    logs = read_both(tmp_path / "old/x", tmp_path / "new/x")
    assert [log.name for log in logs] == ["old/x", "new/x"]
    with pytest.raises(UserError, match="A and B are both"):
        names_of(tmp_path, tmp_path / "old/..")
