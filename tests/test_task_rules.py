"""What a task file may ask for is decided when the suite loads; how an answer ended is what the answer itself says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.contracts.numerics import AS_IT_IS
from eval.model.task_rules import check_aggregations, check_lengths, check_requests, tried_metrics
from eval.run.records import Generation
from tests.hf_model import load_hf

HOOKS = """
def sometimes(doc, results):
    found = {"length": float(len(results[0]))}
    if "e" in results[0]:
        found["with_e"] = 1.0
    return found

def never(doc, results):
    return {"corpus": (results[0], doc["a"])}

def nothing_for_some(doc, results):
    return {} if doc["id"] == "q1" else {"short": float(len(results[0]) < 5)}

def fails(doc, results):
    return {"first": float(ord(results[0][0]))}
"""
ITEMS = [{"id": f"q{n}", "q": text, "a": "x"} for n, text in enumerate(["list files", "who am I", "free memory here"])]


@pytest.fixture
def write_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a task file of a user's own beside its hooks and data; lm-eval finds it."""
    from eval.model import lm_tasks

    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "own_hooks.py").write_text(HOOKS)
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    monkeypatch.setattr(lm_tasks, "TASKS_FOLDER", folder)

    def write(hook: str, metric: str = "length", **changes: Any) -> Suite:
        task = {
            "task": "own", "dataset_path": "json", "test_split": "test",
            "dataset_kwargs": {"data_files": {"test": str(tmp_path / "q.jsonl")}},
            "output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": 12},
            "metric_list": [{"metric": "length", "aggregation": "mean", "higher_is_better": True}],
        } | changes  # fmt: skip
        (folder / "own.yaml").write_text(f"process_results: !function own_hooks.{hook}\n" + yaml.safe_dump(task))
        gate = {"id": "g", "task": "own", "metric": metric, "rule": "superiority", "min_gain": 0.1}
        return Suite.model_validate({
            "name": "own", "description": "d", "backend": {"dtype": "float32", "batch_size": 3},
            "tasks": [{"name": "own", "chat": False}], "gates": [gate],
        })  # fmt: skip

    return write


class Template:
    tokenizer_name = "none"


def loaded(suite: Suite) -> Any:
    from eval.model import lm_tasks

    (task,) = lm_tasks.load_tasks(suite, Template())
    return task


def said(task: Any, text: str) -> list[Generation]:
    return [
        Generation(arm=arm, task="own", sample=sample.id, repeat=0, request="", prompt_sha256="", text=text if
                   arm == "candidate" else "say", tokens=1, finish="stop", seconds=0)
        for arm in ("baseline", "candidate") for sample in task.samples
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "changes", "message"),
    [
        ("sometimes", {"repeats": 3}, "repeats: 3"),
        ("sometimes", {"output_type": "loglikelihood_rolling"}, "output_type: loglikelihood_rolling"),
        ("sometimes", {"generation_kwargs": {"until": [""]}}, "until"),
        ("sometimes", {"generation_kwargs": {"stop_strings": ["\n"]}}, "stop_strings is not supported"),
        ("sometimes", {"generation_kwargs": {"max_gen_toks": 0}}, "max_gen_toks: 0"),
        ("sometimes", {"generation_kwargs": {"temperature": -1}}, "temperature: -1"),
        ("sometimes", {"metric_list": [{"metric": "length", "aggregation": "median", "higher_is_better": True}]},
         "aggregated by median"),
        ("never", {}, "corpus has no value for a single item"),
        ("fails", {}, "fails on an empty answer .item 1.: IndexError"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_or_compared_is_refused_with_its_key_at_once(
    hook: str, changes: dict[str, Any], message: str, write_task: Any
) -> None:
    with pytest.raises(UserError, match=f"task own: .*{message}"):
        loaded(write_task(hook, **changes))


@pytest.mark.slow
def test_a_gate_on_what_no_answer_is_scored_by_is_refused_before_any_answer(write_task: Any) -> None:
    """Else it ends an evaluation that was paid for."""
    from eval.loading import what_is_asked

    def asked(metric: str) -> None:
        lengths: list[Any] = []
        backend = SimpleNamespace(
            name="b", capabilities={"likelihoods"}, template=Template(), check_lengths=lengths.append
        )
        what_is_asked(SimpleNamespace(suite=write_task("sometimes", metric)), backend)  # type: ignore[arg-type]
        assert lengths

    asked("length")
    for metric in ("nonsense", "nonsense@5", "length@1", "length@05", "length,strict", "Length", "executes_equal"):
        with pytest.raises(UserError, match=f"gate g: task own has no metric {metric}: it has .*length"):
            asked(metric)


@pytest.mark.slow
def test_an_item_without_a_metric_is_invalid_for_it_in_either_arm(write_task: Any) -> None:
    from eval.model import lm_tasks

    task = loaded(write_task("sometimes"))
    rows = lm_tasks.score([task], said(task, "see"))
    found = {(row.arm, row.metric): (row.value, row.status) for row in rows}
    assert len(rows) == 2 * 2 * len(ITEMS)
    assert found["candidate", "with_e"] == (1.0, "scored") and found["baseline", "with_e"] == (None, "invalid")


@pytest.mark.slow
def test_an_item_that_is_never_scored_is_invalid_and_ends_nothing(write_task: Any) -> None:
    from eval.model import lm_tasks

    task = loaded(write_task("nothing_for_some"))
    rows = lm_tasks.score([task], said(task, "see"))
    assert {(row.sample, row.status) for row in rows} == {("q0", "scored"), ("q1", "invalid"), ("q2", "scored")}


@pytest.mark.slow
def test_a_stop_string_ends_an_answer_whatever_its_neighbours_do(write_task: Any, tiny_model: Path) -> None:
    suite = write_task("sometimes")
    model = load_hf(suite, tiny_model)
    batch = list(loaded(suite).samples)
    free = model.answer("baseline", batch)
    assert {row.finish for row in free} == {"length"} and {row.tokens for row in free} == {12}
    stop = next(
        word for size in (3, 4, 5, 6) for start in range(1, len(free[0].text) - size)
        if (word := free[0].text[start : start + size]).isascii() and not any(word in row.text for row in free[1:])
    )  # fmt: skip
    suite = write_task("sometimes", generation_kwargs={"until": [stop], "do_sample": False, "max_gen_toks": 12})
    stopped, *others = model.answer("baseline", list(loaded(suite).samples))
    assert stopped.finish == "stop" and stopped.text == free[0].text.split(stop)[0]
    assert stopped.tokens is not None and 0 < stopped.tokens <= 12
    kept = model.lm.tok_encode(free[0].text)
    assert stop in model.lm.tok_decode(kept[: stopped.tokens + 1]) or stopped.tokens == 12
    assert [(row.text, row.tokens, row.finish) for row in others] == [
        (row.text, row.tokens, row.finish) for row in free[1:]
    ]


@pytest.mark.slow
def test_a_row_ends_at_its_first_end_token_or_with_the_token_that_completes_a_stop_string(tiny_model: Path) -> None:
    from eval.model import hf

    suite = Suite.model_validate({
        "name": "s", "description": "d", "tasks": [{"name": "t"}],
        "gates": [{"id": "g", "task": "t", "metric": "m", "rule": "superiority", "min_gain": 0.1}],
    })  # fmt: skip
    lm = hf.load_base(suite.backend, str(tiny_model), None, suite.seed, AS_IT_IS)
    row = lm.tok_encode("cut at the second word and go on")
    place = next(n for n in range(len(row)) if " the" in lm.tok_decode(row[:n]))
    end = lm.tokenizer.eos_token_id
    assert lm._end(row, []) == (len(row), False)
    assert lm._end(row, [" the"]) == (place, True)
    assert lm._end(row, [" nowhere"]) == (len(row), False)
    assert lm._end([*row[:2], end, *row], [" the"]) == (3, True)
    assert lm._end([*row, end, end, end], []) == (len(row) + 1, True)
    assert lm._end([*row, end], [" the"]) == (place, True)


def test_a_prompt_that_does_not_fit_is_told_before_anything_is_generated() -> None:
    lm = SimpleNamespace(tok_encode=list, max_length=20, max_gen_toks=10)

    def task(kind: str, *arguments: Any) -> Any:
        return [SimpleNamespace(name="t", samples=[SimpleNamespace(id="s1", instances=[
            SimpleNamespace(request_type=kind, args=arguments)])])]  # fmt: skip

    check_lengths(task("generate_until", "a" * 10, {}), lm)
    check_lengths(task("generate_until", "a" * 15, {"max_new_tokens": 5}), lm)
    check_lengths(task("loglikelihood", "a" * 15, "b" * 5), lm)
    for arguments in (
        ("generate_until", "a" * 11, {}),
        ("generate_until", "a" * 15, {"max_gen_toks": 6}),
        ("loglikelihood", "a" * 15, "b" * 6),
    ):
        with pytest.raises(UserError, match=r"task t: s1 has 1[15] tokens"):
            check_lengths(task(*arguments), lm)


def test_requests_of_several_kinds_or_several_texts_are_refused() -> None:
    task = SimpleNamespace(config=SimpleNamespace(repeats=1))
    text, choice = (SimpleNamespace(request_type=kind, args=("p", {})) for kind in ("generate_until", "loglikelihood"))
    check_requests("t", task, {0: [text], 1: [text]})
    check_requests("t", task, {0: [choice, choice]})
    for requests in ([text, choice], [text, text]):
        with pytest.raises(UserError, match="task t: "):
            check_requests("t", task, {0: [choice], 1: requests})


def test_a_mean_by_any_name_is_a_mean() -> None:
    def nanmean() -> None: ...

    check_aggregations("t", SimpleNamespace(aggregation=lambda: {"m": nanmean}), ["m", "m,strict", "another"])


def test_metrics_are_found_by_trying_the_scorer() -> None:
    assert tried_metrics("t", ["x"], lambda _, answer: {"n": len(answer), "pair": (1, 2)}) == {"n"}
    assert tried_metrics("t", ["x"], lambda _, answer: {}) == set()
