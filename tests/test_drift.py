"""Drift: the divergence itself against a reference, and its measurement on real, tiny models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.contracts import domains
from eval.contracts.backend import MessagesAsJson
from eval.contracts.task import Domain, Metric, OwnTask
from eval.gates.decide import decide
from eval.run.partial_log import PartialLog
from eval.run.records import Generation, Score
from tests.conftest import make_adapter
from tests.hf_model import load_hf

pytestmark = pytest.mark.slow
DRIFT = "drift"
LIMIT = 14  # prompts, half of them conversations


def suite_of(limit: int = 1000, **changes: Any) -> Suite:
    """`changes`: of the suite's own fields, else of its task."""
    task = {name: changes.pop(name) for name in list(changes) if name not in Suite.model_fields}
    gate = {"id": "drift", "task": DRIFT, "metric": "kl", "rule": "max_value", "limit": limit, "tier": "blocking"}
    return Suite.model_validate(
        {
            "name": "tiny",
            "description": "a few prompts",
            "backend": {"dtype": "float32"},
            "tasks": [{"name": DRIFT, "limit": LIMIT, **task}],
            "gates": [gate],
            **changes,
        }
    )


def measure(model: Any, tasks: list[Any], log: Any, say: Any = lambda _: None) -> list[Score]:
    """Every prompt measured, and scored."""
    from eval.model import neutral

    neutral.measure_prompts(model, tasks, log, say)
    return neutral.drift_scores(tasks, log.rows)


def measured(base: Path, adapter: Path | None, run: Path) -> list[Score]:
    from eval.model import neutral

    suite = suite_of()
    model = load_hf(suite, base, adapter)
    log = PartialLog(run, "generations", Generation, "key")
    return measure(model, neutral.load_prompts(suite, model.template), log)


def values_of(scores: list[Score], arm: str) -> dict[str, float]:
    return {row.sample: row.value for row in scores if row.arm == arm and row.value is not None}


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, tiny_adapter: Path) -> Any:
    """A loaded model with an adapter, and the prompts as it reads them."""
    from eval.model import drift, neutral

    suite = suite_of()
    model = load_hf(suite, tiny_model, tiny_adapter)
    (task,) = neutral.load_prompts(suite, model.template)
    return model, task, drift.encode(task.samples, model.lm)


@pytest.fixture(scope="module")
def scores(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Score]:
    return measured(tiny_model, tiny_adapter, tmp_path_factory.mktemp("drift"))


@pytest.mark.parametrize("vocabulary", [7, 49_152, 152_064])
def test_divergences_are_those_of_a_float64_reference(vocabulary: int) -> None:
    import torch

    from eval.model.drift import CHUNK_LOGITS, divergences

    draw = np.random.default_rng(3)
    rows = 2 * (CHUNK_LOGITS // vocabulary) + 3 if vocabulary > 1000 else 5
    p, q = (torch.from_numpy(draw.normal(0, 3, (rows, vocabulary)).astype(np.float32)) for _ in range(2))
    found = divergences(p, q)
    some = [0, 1, rows // 2, rows - 1]  # of every chunk
    log_p, log_q = (scipy.special.log_softmax(part[some].double().numpy(), axis=-1) for part in (p, q))
    expected = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    assert found.shape == (rows,) and np.allclose(found[some].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_equal_logits_diverge_by_exactly_zero_and_nan_stays() -> None:
    import torch

    from eval.model.drift import divergences

    logits = torch.randn(5, 1000, generator=torch.Generator().manual_seed(1))
    assert divergences(logits, logits.clone()).tolist() == [0.0] * 5
    assert divergences(logits[:1], torch.full((1, 1000), float("nan"))).isnan().all()


def test_the_baseline_does_not_diverge_from_itself_and_the_candidate_does(scores: list[Score]) -> None:
    baseline, candidate = values_of(scores, "baseline"), values_of(scores, "candidate")
    assert len(baseline) == len(candidate) == LIMIT and baseline.keys() == candidate.keys()
    assert set(baseline.values()) == {0.0}
    assert min(candidate.values()) > 0


def test_a_value_is_the_mean_over_the_prompts_own_positions(loaded: Any, scores: list[Score]) -> None:
    """Against plain passes of one prompt at a time, unpadded."""
    import torch

    model, _, prompts = loaded
    found = values_of(scores, "candidate")
    for prompt in prompts[:4]:
        logits = {}
        for arm in ("baseline", "candidate"):
            with model.arm(arm), torch.no_grad():
                logits[arm] = model.lm.model(input_ids=torch.tensor([prompt.tokens])).logits[0].double().log_softmax(-1)
        p, q = logits["baseline"], logits["candidate"]
        each = (p.exp() * (p - q)).sum(-1)[prompt.start : len(prompt.tokens) - 1]
        assert found[prompt.sample.id] == pytest.approx(float(each.mean()), rel=1e-3, abs=3e-6)


def test_a_stronger_adapter_moves_further(tiny_model: Path, scores: list[Score], tmp_path: Path) -> None:
    weak = make_adapter(tiny_model, tmp_path / "weak", scale=0.1)
    less = values_of(measured(tiny_model, weak, tmp_path), "candidate")
    more = values_of(scores, "candidate")
    assert 0 < sum(less.values()) < 0.5 * sum(more.values())


def test_an_adapter_without_effect_does_not_move(tiny_model: Path, tmp_path: Path) -> None:
    idle = make_adapter(tiny_model, tmp_path / "idle", scale=0.0)
    assert set(values_of(measured(tiny_model, idle, tmp_path), "candidate").values()) == {0.0}


def test_a_broken_adapter_is_invalid_and_never_zero(tiny_model: Path, tmp_path: Path) -> None:
    broken = make_adapter(tiny_model, tmp_path / "broken", scale=float("inf"))
    candidate = [row for row in measured(tiny_model, broken, tmp_path) if row.arm == "candidate"]
    assert {(row.value, row.status, row.reason) for row in candidate} == {
        (None, "invalid", "the logits are not finite")
    }


def test_another_domain_brings_prompts_and_a_metric_of_its_own(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    """The core knows a task that reads logits by what it says of itself, not by a name."""
    from eval.model import neutral

    (tmp_path / "manual.jsonl").write_text(json.dumps({"id": "one", "text": "Unplug the machine before you clean it."}))
    task = OwnTask(
        name="manuals",
        data="manual.jsonl",
        request_of=lambda row: str(row["text"]),
        gold_of=lambda row: "",
        score=lambda row, answer: {"moved": json.loads(answer)["kl"]},
        metrics={"moved": Metric("lower", rate=False)},
        reads="logits",
    )
    gate = {"id": "moved", "task": "manuals", "metric": "moved", "rule": "max_value", "limit": 9.0}
    suite = suite_of(tasks=[{"name": "manuals"}], gates=[gate])
    domains.use(Domain("manuals", tmp_path, (task,)))
    try:
        model = load_hf(suite, tiny_model, tiny_adapter)
        prompts = neutral.load_prompts(suite, model.template)
        log = PartialLog(tmp_path, "generations", Generation, "key")
        scores = measure(model, prompts, log)
    finally:
        domains.forget("manuals")
    assert [(row.task, row.sample, row.metric) for row in scores] == [("manuals", "one", "moved")] * 2
    assert scores[0].value == 0 and scores[1].value


def test_smaller_batches_give_the_same_values(
    loaded: Any, scores: list[Score], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from eval.model import drift

    model, task, _ = loaded
    monkeypatch.setattr(drift, "BATCH_LOGITS", 1)  # one prompt a batch
    log = PartialLog(tmp_path, "generations", Generation, "key")
    alone = values_of(measure(model, [task], log), "candidate")
    together = values_of(scores, "candidate")
    assert alone == {name: pytest.approx(value, rel=1e-4, abs=3e-6) for name, value in together.items()}


def test_a_killed_measurement_goes_on_and_ends_the_same(
    loaded: Any, scores: list[Score], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from eval.model import drift

    model, task, prompts = loaded
    longest = max(len(prompt.tokens) for prompt in prompts)
    monkeypatch.setattr(drift, "BATCH_LOGITS", 5 * longest * len(model.lm.tokenizer))
    batches = drift.plan(prompts, len(model.lm.tokenizer))
    assert len(batches) >= 3
    first = PartialLog(tmp_path, "generations", Generation, "key")
    whole = measure(model, [task], PartialLog(tmp_path, "whole", Generation, "key"))
    first.add(drift.measure(model, batches[0]))

    said: list[str] = []
    again = measure(model, [task], PartialLog(tmp_path, "generations", Generation, "key"), said.append)
    assert again == whole and len(said) == len(batches) - 1
    assert {row.sample for row in scores} == {row.sample for row in again}


def test_batches_hold_every_prompt_once_within_the_memory_bound(loaded: Any) -> None:
    from eval.model.drift import BATCH_LOGITS, plan

    _, _, prompts = loaded
    for vocabulary in (49_152, 152_064, 1 << 22):
        batches = plan(prompts * 10, vocabulary)
        assert sorted(id(p) for batch in batches for p in batch) == sorted(id(p) for p in prompts * 10)
        for batch in batches:
            width = max(len(prompt.tokens) for prompt in batch)
            assert len(batch) == 1 or len(batch) * width * vocabulary <= BATCH_LOGITS


def test_positions_start_at_the_prompts_own_words(loaded: Any) -> None:
    model, _, prompts = loaded
    for prompt in prompts:
        shared, own = prompt.tokens[: prompt.start], prompt.tokens[prompt.start :]
        text = model.lm.tokenizer.decode(own)
        assert prompt.positions == len(own) - 1 > 0
        if prompt.sample.category == "chat":
            assert model.lm.tokenizer.decode(shared).endswith("user\n")
            assert text.startswith(prompt.sample.doc["messages"][0]["content"])
            assert text.endswith(prompt.sample.doc["messages"][1]["content"])
        else:
            assert text == prompt.sample.doc["text"] and len(shared) == 1


def test_one_prompt_alone_shares_nothing() -> None:
    from eval.model.drift import shared_length

    assert shared_length([[1, 2, 3]]) == 0
    assert shared_length([[1, 2, 3], [1, 2, 4, 5], [1, 2]]) == 2


def test_a_row_names_the_places_that_moved_most(scores: list[Score], loaded: Any) -> None:
    _, task, _ = loaded
    row = next(row for row in scores if row.arm == "candidate")
    nats, context = row.reason.split("; ")[0].split(" nats after ")
    assert row.value is not None and 1.01 * float(nats) > row.value > 0
    request = next(sample.request for sample in task.samples if sample.id == row.sample)
    said = context.strip("`").removeprefix("<|im_start|>")
    assert said.split()[0] in request or "assistant" in context or "user" in context


def test_text_and_template_follow_the_suites_choice(loaded: Any) -> None:
    from eval.model.neutral import load_prompts

    model = loaded[0]
    chat, plain = (
        {sample.id: sample for sample in load_prompts(suite_of(chat=choice), model.template)[0].samples}
        for choice in (True, False)
    )
    assert all("<|im_start|>" in str(s.instances[0].args[0]) for s in chat.values() if s.category == "chat")
    assert not any("<|im_start|>" in str(s.instances[0].args[0]) for s in plain.values())
    assert {name: sample.request for name, sample in chat.items()} == {n: s.request for n, s in plain.items()}


@pytest.mark.parametrize(
    ("task", "template", "message"),
    [
        ({"cluster": "shape"}, True, "no clusters"),
        ({"execute": "canary"}, True, "no answers to execute"),
        ({}, False, "set `chat: false`"),
    ],
)
def test_what_drift_cannot_do_is_one_line(task: dict[str, Any], template: bool, message: str) -> None:
    from eval.model.neutral import load_prompts

    with pytest.raises(UserError, match=message):
        load_prompts(suite_of(**task), MessagesAsJson(can_chat=template))


def test_a_suite_without_drift_has_no_prompts() -> None:
    from eval.model.neutral import load_prompts

    other = suite_of().model_copy(update={"tasks": []})
    assert load_prompts(other, MessagesAsJson()) == []


@pytest.mark.parametrize(("factor", "outcome"), [(2.0, "pass"), (0.5, "fail")])
def test_a_gate_holds_the_mean_against_its_limit(scores: list[Score], factor: float, outcome: str) -> None:
    values = values_of(scores, "candidate").values()
    limit = factor * sum(values) / len(values)
    suite = suite_of()
    gate = suite.gates[0].model_copy(update={"limit": limit})
    (result,) = decide(suite.model_copy(update={"gates": [gate]}), scores, None).gates
    assert (result.outcome, result.about) == (outcome, "level")


def test_both_arms_have_an_answer_to_the_same_prompt_for_every_score(loaded: Any, tmp_path: Path) -> None:
    from eval.model import drift

    model, task, _ = loaded
    log = PartialLog(tmp_path, "generations", Generation, "key")
    found = measure(model, [task], log)
    assert {row.place for row in found} == set(log.rows)
    prompts = {
        arm: {r.sample: r.prompt_sha256 for r in log.rows.values() if r.arm == arm} for arm in ("baseline", "candidate")
    }
    assert prompts["baseline"] == prompts["candidate"] == {s.id: s.prompt_sha256 for s in task.samples}
    described = [json.loads(row.text) for row in log.rows.values()]
    assert all(row["positions"] > 0 and len(row["most"]) == drift.SHOWN for row in described)
