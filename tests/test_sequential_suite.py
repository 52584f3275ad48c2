"""Sequential evaluation: chunks in the committed order, an end as soon as every blocking gate is decided."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.config.suite_file import load_suite
from eval.contracts.backend import Arms
from eval.gates.comparisons import pair_scores
from eval.gates.decide import decide, in_order
from eval.run.files import read_json, read_jsonl, read_metrics
from eval.run.metrics import Metrics
from eval.run.records import Generation, Item, Judgement, Score
from eval.statistics.sequential import orders_of, random_place
from scripts.publishing.run_rows import read_rows
from scripts.publishing.verify_scores import check_items
from tests.test_suite import TOKENS, evaluate, make_run, make_suite

KNOWN, UNSEEN = "securecli_nl2bash_known", "securecli_nl2bash_unseen"
LIMIT, BATCH = 24, 6
# The tiny model writes no command: a rate of 0 is soon known to be below .5, a difference of 0 never above 0.
DECIDABLE = {"id": "rare", "task": KNOWN, "metric": "flagged", "rule": "max_rate", "limit": 0.5}
UNDECIDABLE = {"id": "gain", "task": UNSEEN, "metric": "exact_match", "rule": "superiority", "min_gain": 0.0}


def sequential_suite(path: Path, *gates: dict[str, Any], execute: bool = False) -> Path:
    executed = {"execute": "plain"} if execute else {}
    short: dict[str, Any] = {"limit": LIMIT, "max_new_tokens": TOKENS}
    tasks = [{"name": KNOWN, "cluster": "shape", **short, **executed}, {"name": UNSEEN, **short}]
    return make_suite(path, batch_size=BATCH, mode="sequential", tasks=tasks, gates=list(gates))


def items(clusters: list[int]) -> list[Any]:
    return [SimpleNamespace(id=f"s{number}", cluster=f"c{cluster}") for number, cluster in enumerate(clusters)]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40), st.lists(st.integers(0, 4), max_size=20), st.integers(1, 9)
)
@pytest.mark.slow
@settings(max_examples=60, deadline=None)
def test_chunks_hold_every_item_once_and_whole_clusters(first: list[int], second: list[int], size: int) -> None:
    from eval.looks import in_random_order, next_chunk

    tasks = {"a": items(first), "b": items(second)}
    waiting: Any = {name: in_random_order(samples, "7") for name, samples in tasks.items()}
    seen: dict[str, list[Any]] = {"a": [], "b": []}
    while any(waiting.values()):
        chunk = next_chunk(waiting, size)
        assert any(chunk.values())
        for name, samples in chunk.items():
            assert not {s.cluster for s in samples} & {s.cluster for s in seen[name]}, "a cluster was split"
            seen[name] += samples
    for name, samples in tasks.items():
        assert seen[name] == sorted(samples, key=lambda s: (random_place("7", s.cluster), s.id))


def test_a_chunk_is_shared_in_proportion() -> None:
    from eval.looks import in_random_order, next_chunk

    waiting: Any = {
        "a": in_random_order(items(list(range(60))), "1"),
        "b": in_random_order(items(list(range(30))), "1"),
    }
    assert {name: len(samples) for name, samples in next_chunk(waiting, 12).items()} == {"a": 8, "b": 4}


class Killed(BaseException):
    """As SIGKILL would: nothing of the program handles it."""


@pytest.fixture(scope="module")
def decided(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sequential evaluation, executed too, which needed a part of its items."""
    folder = tmp_path_factory.mktemp("sequential")
    run = make_run(folder / "run", tiny_model, tiny_adapter)
    with pytest.MonkeyPatch.context() as patch:
        assert (
            evaluate(patch, "--config", sequential_suite(folder / "s.yaml", DECIDABLE, execute=True), "--run", run) == 0
        )
    return run


@pytest.mark.usefixtures("made_up_runs")
@pytest.mark.slow
def test_it_ends_when_every_blocking_gate_is_decided(decided: Path) -> None:
    metrics = read_metrics(decided / "metrics.json")
    scores = read_jsonl(decided / "scores.jsonl", Score)
    check_items(load_suite(decided / "suite.yaml"), metrics, scores, decided)  # publishing derives all of it again
    use = metrics.sequential
    assert use is not None and use.stopped == "decided" and use.looks > 0
    assert use.planned == {KNOWN: LIMIT, UNSEEN: LIMIT}
    assert 0 < use.used[KNOWN] < LIMIT and 0 < use.used[UNSEEN] < LIMIT and use.share_saved > 0
    assert {task.name: task.samples for task in metrics.tasks} == use.used
    assert metrics.verdict == "ship" and metrics.gates[0].outcome == "pass"


@pytest.mark.slow
def test_publishing_plans_the_batches_of_each_look_again(decided: Path, tiny_model: Path) -> None:
    """An answer comes out the same only in its own batch; the rows of one share its seconds."""
    from scripts.publishing.spot_model import ModelSpot

    suite, metrics = load_suite(decided / "suite.yaml"), read_metrics(decided / "metrics.json")
    rows = read_rows(suite, read_jsonl(decided / "scores.jsonl", Score), decided)
    arms = Arms(str(tiny_model), candidate=rows.folder / "adapter")
    spot = ModelSpot.load(suite, metrics, rows, arms)
    batches: dict[tuple[str, float], set[tuple[str, str]]] = {}
    for row in rows.generations:
        batches.setdefault((row.arm, row.seconds), set()).add((row.task, row.sample))
    assert len(batches) > 2
    for batch in batches.values():
        for item in batch:
            (planned,) = spot.planned[item]
            assert {(sample.task, sample.id) for sample in planned} == batch
    spot.check_drawn(list(rows.by_item)[:6])
    for _, batch in sorted(batches.items())[:2]:
        spot.check_batch(min(batch))
    assert spot.same_machine and spot.generated


@pytest.mark.slow
def test_both_arms_answered_the_first_items_of_the_committed_order(decided: Path) -> None:
    from eval.model import lm_tasks

    suite = load_suite(decided / "suite.yaml")
    planned = lm_tasks.load_tasks(suite, SimpleNamespace(apply_chat_template=lambda *a, **k: "", tokenizer_name="none"))
    orders = orders_of(planned, read_metrics(decided / "metrics.json").provenance["adapter_sha256"])
    rows = read_jsonl(decided / "generations.jsonl", Generation)
    for task in planned:
        order = sorted(task.samples, key=lambda s: (random_place(orders[task.name], s.cluster), s.id))
        for arm in ("baseline", "candidate"):
            asked = {row.sample for row in rows if (row.arm, row.task) == (arm, task.name)}
            assert asked == {sample.id for sample in order[: len(asked)]}
    assert {(i.task, i.sample) for i in read_jsonl(decided / "samples.jsonl", Item)} == {
        (r.task, r.sample) for r in rows
    }


@pytest.mark.slow
def test_the_verdict_follows_again_from_the_files(decided: Path) -> None:
    metrics = read_metrics(decided / "metrics.json")
    suite = load_suite(decided / "suite.yaml")
    scores = read_jsonl(decided / "scores.jsonl", Score)
    orders = orders_of(metrics.tasks, metrics.provenance["adapter_sha256"])
    again = decide(suite, scores, metrics.adapter_effect, orders=orders)
    assert (again.verdict, again.gates, again.comparisons) == (metrics.verdict, metrics.gates, metrics.comparisons)
    shuffled = decide(suite, scores[::-1], metrics.adapter_effect, orders=orders)
    assert shuffled.gates == again.gates, "the order is that of data and adapter, not that of the file"
    first = pair_scores((row for row in scores if (row.task, row.metric) == (KNOWN, "flagged")), orders[KNOWN])
    assert first.samples == in_order(suite, first).samples, "scores.jsonl is in the order of the looks"


@pytest.mark.slow
def test_every_answer_that_was_asked_is_executed_once(decided: Path) -> None:
    executed = read_jsonl(decided / "executions.jsonl", Judgement)
    places = [(row.arm, row.sample) for row in executed]
    known = [row for row in read_jsonl(decided / "generations.jsonl", Generation) if row.task == KNOWN]
    assert places == [(row.arm, row.sample) for row in known]
    counted = read_json(decided / "metrics.json")["tasks"][0]["executed"]
    assert sum(counted["candidate"].values()) == len(known) / 2
    assert not list(decided.glob("*.partial*")) and not (decided / "looks").exists()


@pytest.mark.slow
def test_a_killed_sequential_evaluation_continues_to_the_same_end(
    decided: Path, tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval import suite as story
    from eval.common import errors

    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    command = ("--config", decided.parent / "s.yaml", "--run", run)
    looks = Metrics.model_validate(read_json(decided / "metrics.json")).sequential
    assert looks is not None and looks.looks >= 2

    def say(message: str) -> None:
        if message.startswith("look 2") or (
            message.startswith("candidate: batch") and (run / "looks" / "002").exists()
        ):
            raise Killed

    def die(error: BaseException) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(story, "say", say)
        patch.setattr(errors, "report", die)
        with pytest.raises(Killed):
            evaluate(patch, *command)
    kept = (run / "generations.partial.jsonl").read_text().splitlines()[1:]
    assert kept and not (run / "metrics.json").exists()

    assert evaluate(monkeypatch, *command) == 0
    assert (run / "scores.jsonl").read_bytes() == (decided / "scores.jsonl").read_bytes()
    assert (run / "executions.jsonl").read_bytes() == (decided / "executions.jsonl").read_bytes()
    after = (run / "generations.jsonl").read_text().splitlines()
    assert all(line in after for line in kept), "finished answers were made again"
    assert read_metrics(run / "metrics.json").sequential == looks


@pytest.mark.slow
def test_an_open_gate_uses_its_items_up_while_a_decided_task_rests(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    suite = sequential_suite(tmp_path / "s.yaml", DECIDABLE, UNDECIDABLE)
    assert evaluate(monkeypatch, "--config", suite, "--run", run) == 3
    use = read_metrics(run / "metrics.json").sequential
    assert use is not None and use.stopped == "out of items"
    assert use.used[UNSEEN] == LIMIT and use.used[KNOWN] < LIMIT
