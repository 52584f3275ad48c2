"""Generate here, judge there: the same bytes as in one go, no sandbox for the one half and no model for the other."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from eval.common.errors import Refused
from eval.config.suite_file import load_suite
from eval.gates.decide import EXIT_CODES
from eval.run.answered import answered
from eval.run.files import read_json, read_jsonl, read_metrics, write_json
from eval.run.generated import GENERATED, JUDGED_ON
from eval.run.records import Score
from scripts.publishing.verify_claims import commit_notes, judged_on
from scripts.publishing.verify_scores import check_decision, check_items
from tests import preloaded
from tests.conftest import make_adapter
from tests.test_suite import BATCH, KILLED, TOKENS, evaluate, make_run, make_suite

pytestmark = pytest.mark.slow
KNOWN, HARM = "securecli_nl2bash_known", "securecli_adversarial"
# The judging half as the runbook starts it, which says in the end whether torch was imported.
JUDGE = """
import atexit, sys
atexit.register(lambda: print("torch:", "torch" in sys.modules))
from eval.common.errors import run_command
from eval.suite import main
run_command(main)
"""
SAME = ("scores.jsonl", "executions.jsonl", "observations.jsonl", "samples.jsonl")


def executing_suite(path: Path, **changes: Any) -> Path:
    """Answers executed and watched, likelihoods and drift: each kind of item in a few."""
    tasks = [
        {"name": KNOWN, "limit": 8, "cluster": "shape", "execute": "plain", "max_new_tokens": TOKENS},
        {"name": HARM, "limit": BATCH, "execute": "canary", "max_new_tokens": TOKENS},
        {"name": "securecli_retention", "limit": BATCH, "chat": False},
        {"name": "drift", "limit": BATCH},
    ]
    return make_suite(path, tasks=tasks, **changes)


def refuse(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("no sandbox is opened where answers are generated")


@pytest.fixture(scope="module")
def base(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(tiny_model, tmp_path_factory.mktemp("bases") / "base")


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(base, tmp_path_factory.mktemp("adapters") / "tiny", scale=1.0)


@pytest.fixture(scope="module")
def in_one_go(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    run = make_run(folder / "run", base, adapter)
    with pytest.MonkeyPatch.context() as patch:
        assert evaluate(patch, "--config", executing_suite(folder / "s.yaml"), "--run", run) in EXIT_CODES.values()
    return run


def generate(run: Path, suite: Path) -> Path:
    """What a machine without a sandbox leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.suite.open_sandbox", refuse)
        patch.setattr("eval.sandbox.pool.Sandbox.__init__", refuse)
        assert evaluate(patch, "--generate", "--config", suite, "--run", run) == 0
    return run


@pytest.fixture(scope="module")
def generated(in_one_go: Path, base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An answered run, whose base is gone afterwards."""
    folder = tmp_path_factory.mktemp("generate")
    run = generate(make_run(folder / "run", base, adapter), executing_suite(folder / "s.yaml"))
    shutil.rmtree(base)
    return run


def copied(run: Path, folder: Path) -> Path:
    """The run on another machine: without the adapter, whose digest is enough to judge."""
    copy = shutil.copytree(run, folder / run.name)
    shutil.rmtree(copy / "adapter")
    return copy


@pytest.fixture(scope="module")
def judged(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copied(generated, tmp_path_factory.mktemp("judge"))
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, "--judge", "--run", run], capture_output=True, text=True, check=False
    )
    assert done.returncode in EXIT_CODES.values(), done.stderr
    assert done.stdout.splitlines()[-1] == "torch: False"
    return run


def test_generating_leaves_answers_and_no_verdict(generated: Path) -> None:
    names = {path.name for path in generated.iterdir()}
    assert GENERATED in names and not names & {"scores.jsonl", "metrics.json", "report.md", "executions.jsonl"}
    assert not list(generated.glob("*.partial*"))
    assert read_json(generated / "run.json")["stages"]["eval"] == "generated"


def test_both_halves_give_the_bytes_of_one_evaluation(in_one_go: Path, judged: Path) -> None:
    for name in SAME:
        assert (judged / name).read_bytes() == (in_one_go / name).read_bytes(), name
    one, other = (read_json(run / "metrics.json") for run in (in_one_go, judged))
    here = other["provenance"].pop("judged")
    assert here == {name: read_json(judged / JUDGED_ON)[name] for name in ("git", "machine")}
    for metrics in (one, other):
        metrics["costs"] = {name: value for name, value in metrics["costs"].items() if "seconds" not in name}
        del metrics["provenance"]["git"]  # somebody may be editing the tree meanwhile
    assert json.dumps(one) == json.dumps(other), "every field is the same, and in the same place"
    assert read_json(judged / "run.json")["stages"]["eval"] == "completed"


@pytest.mark.usefixtures("made_up_runs")
def test_publishing_derives_a_judged_run_again_and_holds_the_judging_machine_against_its_file(
    judged: Path, tmp_path: Path
) -> None:
    suite, metrics = load_suite(judged / "suite.yaml"), read_metrics(judged / "metrics.json")
    scores = read_jsonl(judged / "scores.jsonl", Score)
    check_decision(suite, metrics, scores, judged)
    check_items(suite, metrics, scores, judged)
    assert judged_on(judged) == metrics.provenance["judged"]
    elsewhere = metrics.provenance | {"judged": {"git": {"commit": "0" * 40, "dirty": True}, "machine": {}}}
    notes = commit_notes(metrics.model_copy(update={"provenance": elsewhere}))
    assert len([note for note in notes if "code judged" in note or "that judged" in note]) == 2
    write_json(tmp_path / JUDGED_ON, read_json(judged / JUDGED_ON) | {"git": {"commit": None}})
    assert judged_on(tmp_path) != metrics.provenance["judged"]


def judge(monkeypatch: pytest.MonkeyPatch, run: Path, *arguments: str | Path) -> int:
    return evaluate(monkeypatch, "--judge", "--run", run, *arguments)


def test_judging_twice_gives_the_same_bytes(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (*SAME, "metrics.json", "report.md", "report.html", "generations.jsonl")
    before = {name: (judged / name).read_bytes() for name in names}
    # The same machine and commit, though somebody may be editing the tree meanwhile.
    here = read_json(judged / JUDGED_ON)
    monkeypatch.setattr("eval.suite.capture_environment", lambda: here)
    assert judge(monkeypatch, judged) in EXIT_CODES.values()
    assert {name: (judged / name).read_bytes() for name in names} == before


def another_row(run: Path) -> None:
    text = (run / "generations.jsonl").read_text()
    (run / "generations.jsonl").write_text(text.replace('"tokens":', '"tokens": ', 1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / GENERATED).unlink(), "make generate RUN=run` where the model is"),
        (another_row, "generations.jsonl is not what `make generate` left"),
        (lambda run: (run / "samples.jsonl").unlink(), "samples.jsonl is missing"),
        (lambda run: (run / "adapter.sha256").write_text("0" * 64 + "  x\n"), "adapter.sha256 is not what"),
        (lambda run: (run / GENERATED).write_text("{}"), "generated.json: run: Field required"),
    ],
)
def test_what_was_not_generated_whole_is_not_judged(
    damage: Callable[[Path], Any], said: str, generated: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = copied(generated, tmp_path)
    damage(run)
    assert judge(monkeypatch, run) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert said in line
    assert not (run / "metrics.json").exists()


def test_another_suite_and_other_data_are_refused(
    generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(generated, tmp_path)
    assert judge(monkeypatch, run, "--config", executing_suite(tmp_path / "other.yaml", seed=7)) == 2
    assert "run answered another suite than" in capsys.readouterr().err
    from eval.model import lm_tasks

    tasks = shutil.copytree("eval/tasks", tmp_path / "tasks")
    rows = [json.loads(line) for line in Path("data/nl2bash/test_known.jsonl").read_text().splitlines()]
    rows[3]["unused"] = "changed"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = tasks / "nl2bash" / f"{KNOWN}.yaml"
    known.write_text(known.read_text().replace("data/nl2bash/test_known.jsonl", str(tmp_path / "rows.jsonl")))
    monkeypatch.setattr(lm_tasks, "TASKS_FOLDER", tasks)
    assert judge(monkeypatch, run) == 2
    assert f"error: task {KNOWN}: the rows of" in capsys.readouterr().err
    assert judge(monkeypatch, run, "--baseline", "base") == 2
    assert "--judge takes no --baseline" in capsys.readouterr().err


def test_a_killed_generation_continues_and_is_not_judged_before(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    command = ["--generate", "--config", make_suite(tmp_path / "s.yaml", 2 * BATCH), "--run", run, "--no-cache"]
    killed = preloaded.run([sys.executable, "-c", KILLED, *command])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = (run / "generations.partial.jsonl").read_text().splitlines()[1:]
    assert judge(monkeypatch, run) == 2 and GENERATED in capsys.readouterr().err
    generate(run, tmp_path / "s.yaml")
    after = (run / "generations.jsonl").read_text().splitlines()
    assert kept and set(kept) <= set(after), "finished answers were made again"
    assert answered(run, tmp_path / "s.yaml")[0].adapter_sha256


@pytest.mark.usefixtures("made_up_runs")
def test_a_sequential_suite_is_answered_whole_and_judged_in_one_look(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intervals that hold at any number of looks hold at one of all items: what more looks decide, it decides too."""
    from tests.test_sequential_suite import DECIDABLE, LIMIT, UNSEEN, sequential_suite

    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    generate(run, sequential_suite(tmp_path / "s.yaml", DECIDABLE))
    assert judge(monkeypatch, run) == 0
    metrics = read_metrics(run / "metrics.json")
    use, scores = metrics.sequential, read_jsonl(run / "scores.jsonl", Score)
    assert use is not None and (use.looks, use.stopped) == (1, "decided")
    assert use.used == use.planned == {KNOWN: LIMIT, UNSEEN: LIMIT}
    assert metrics.gates[0].interval and metrics.gates[0].interval.method == "betting, anytime-valid"
    check_items(load_suite(run / "suite.yaml"), metrics, scores, run)
    spot_plans_whole_batches(run, tiny_model)


def spot_plans_whole_batches(run: Path, base: Path) -> None:
    """Publishing asks such a run's batches again as they were asked, and not in looks."""
    from eval.contracts.backend import Arms
    from scripts.publishing.run_rows import read_rows
    from scripts.publishing.spot_model import ModelSpot

    suite, metrics = load_suite(run / "suite.yaml"), read_metrics(run / "metrics.json")
    rows = read_rows(suite, read_jsonl(run / "scores.jsonl", Score), run)
    spot = ModelSpot.load(suite, metrics, rows, Arms(str(base), candidate=run / "adapter"))
    batches = [batch for planned in spot.planned.values() for batch in planned]
    assert batches and all(len(batch) == suite.backend.batch_size for batch in batches)
    batch = min(spot.planned)
    spot.check_batch(batch)
    assert spot.generated
    row = spot.rows.by_place["candidate", *batch, 0]
    spot.rows.by_place["candidate", *batch, 0] = row.model_copy(update={"text": row.text + "!"})
    with pytest.raises(Refused):
        spot.check_batch(batch)
