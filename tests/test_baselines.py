"""Another run's adapter as the baseline arm, and several runs in one go."""

from pathlib import Path
from typing import Any

import pytest

from eval.record import baseline_of_suite
from eval.run.files import read_json, read_jsonl, read_metrics
from eval.run.records import Generation
from tests.conftest import make_adapter
from tests.test_suite import evaluate, make_run, make_suite, nan_weights

LIMIT, BATCH = 8, 4


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs with different adapters on one base, each evaluated against the base, in one go."""
    folder = tmp_path_factory.mktemp("runs")
    old = make_run(folder / "old", tiny_model, make_adapter(tiny_model, folder / "adapter", scale=0.5))
    new = make_run(folder / "new", tiny_model, tiny_adapter)
    with pytest.MonkeyPatch.context() as patch:
        loads = count_loads(patch)
        suite = make_suite(folder / "s.yaml", LIMIT, BATCH)
        evaluate(patch, "--config", suite, "--run", old, "--run", new, "--cache", folder / "answers")
        assert len(loads) == 1, "the base was loaded again"
    return old, new


def count_loads(patch: pytest.MonkeyPatch) -> list[str]:
    from eval.model import hf

    loads: list[str] = []
    load = hf.load_base

    def counted(settings: Any, base_model: str, *rest: Any) -> Any:
        loads.append(base_model)
        return load(settings, base_model, *rest)

    patch.setattr(hf, "load_base", counted)
    return loads


def texts(run: Path, arm: str) -> dict[str, str]:
    return {row.sample: row.text for row in read_jsonl(run / "generations.jsonl", Generation) if row.arm == arm}


@pytest.mark.slow
def test_the_baseline_arm_is_the_other_runs_adapter(
    runs: tuple[Path, Path], tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each arm of two adapters on one base answers as it does alone; nothing is taken from a cache."""
    old, alone = runs
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    suite = make_suite(tmp_path / "s.yaml", LIMIT, BATCH, baseline=f"run:{old}")
    evaluate(monkeypatch, "--config", suite, "--run", run)
    assert texts(run, "baseline") == texts(old, "candidate")
    assert texts(run, "candidate") == texts(alone, "candidate")
    assert len({tuple(texts(*of).values()) for of in ((run, "baseline"), (run, "candidate"), (old, "baseline"))}) == 3
    metrics = read_metrics(run / "metrics.json")
    assert metrics.baseline == "run:old" and metrics.adapter_effect is not None and metrics.adapter_effect.took_effect
    assert metrics.provenance["baseline"]["adapter_sha256"] == read_metrics(old / "metrics.json").provenance[
        "adapter_sha256"
    ]  # fmt: skip


@pytest.mark.slow
def test_the_same_weights_as_the_baseline_change_nothing(
    runs: tuple[Path, Path], tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the baseline's adapter cannot ship by being better than the base."""
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    (run / "adapter" / "README.md").write_text("the same weights\n")
    from eval.run.digests import write_manifest

    write_manifest(run / "adapter", run / "adapter.sha256")
    gate = {"id": "g", "task": "securecli_nl2bash_known", "metric": "flagged", "rule": "max_rate", "limit": 0.9}
    suite = make_suite(tmp_path / "s.yaml", LIMIT, BATCH, gates=[gate])
    assert evaluate(monkeypatch, "--config", suite, "--run", run, "--baseline", f"run:{runs[1]}") == 3
    metrics = read_metrics(run / "metrics.json")
    assert metrics.gates[0].outcome == "pass" and "nothing changed" in metrics.reasons[0]
    assert texts(run, "baseline") == texts(run, "candidate")


@pytest.mark.slow
def test_several_runs_share_the_baselines_answers(runs: tuple[Path, Path]) -> None:
    spent = [read_json(run / "metrics.json")["costs"] for run in runs]
    assert [cost["reused_baseline"] for cost in spent] == [0, LIMIT]
    assert [cost["reused_candidate"] for cost in spent] == [0, 0]
    assert texts(runs[0], "baseline") == texts(runs[1], "baseline")
    assert texts(runs[0], "candidate") != texts(runs[1], "candidate")


@pytest.mark.slow
def test_an_adapter_after_another_answers_as_on_a_fresh_base(
    runs: tuple[Path, Path], tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two runs in one go has the very scores of an evaluation of its own."""
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    evaluate(monkeypatch, "--config", make_suite(tmp_path / "s.yaml", LIMIT, BATCH), "--run", run)
    assert (run / "scores.jsonl").read_bytes() == (runs[1] / "scores.jsonl").read_bytes()
    mine, theirs = (read_metrics(folder / "metrics.json").adapter_effect for folder in (run, runs[1]))
    assert mine == theirs


@pytest.mark.slow
def test_one_bad_run_of_several_costs_only_itself(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    broken, good = (make_run(tmp_path / name, tiny_model, tiny_adapter) for name in ("broken", "good"))
    nan_weights(broken)
    suite = make_suite(tmp_path / "s.yaml", BATCH, BATCH)
    assert evaluate(monkeypatch, "--config", suite, "--run", broken, "--run", good) == 2
    assert (good / "metrics.json").is_file() and not (broken / "metrics.json").exists()
    said = capsys.readouterr()
    assert [line for line in said.err.splitlines() if line.startswith("error: broken: ")]
    table = said.out[said.out.rindex("\nrun ") :].splitlines()
    assert "not evaluated" in table[2] and table[3].split()[0] == "good"


@pytest.mark.parametrize(
    ("asked", "was", "agrees"),
    [
        ("base", "base", True),
        ("base", "run:old", False),
        ("run:old", "run:old", True),
        ("run:results/old", "run:old", True),
        ("run:old", "base", False),
        ("run:old", "run:older", False),
        ("blessed", "blessed, run:old", True),
        ("blessed", "run:old", False),
        ("blessed", "base", False),
    ],
)
def test_a_baseline_by_command_line_is_not_the_suites(
    asked: str, was: str, agrees: bool, tmp_path: Path
) -> None:  # fmt: skip
    from eval.config.suite_file import load_suite
    from tests.run_builder import build_run

    metrics = read_metrics(build_run(tmp_path) / "metrics.json").model_copy(update={"baseline": was})
    assert baseline_of_suite(load_suite(make_suite(tmp_path / "s.yaml", baseline=asked)), metrics) is agrees
