"""The contract of a backend: what one gets that does the least, and what none may do."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.contracts.backend import Arms, Backend, BringsArms, MessagesAsJson
from eval.contracts.plugins import find
from eval.model.answer_cache import Answers
from eval.model.backends import GENERATING, MEASURING, NEED_RUNS, OURS, SERVERS, code_of, effect_of, proves
from eval.run.metrics import UNSEEN
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, Generation
from tests.dictionary_backend import Claiming, Dictionary, one_by_one
from tests.run_builder import generation

NOTHING: Any = {"baseline": {}, "candidate": {}}


def sample(number: int, kind: str = "generate_until") -> Any:
    return SimpleNamespace(
        task="t", id=f"s{number}", request=f"request s{number}", kind=kind, prompt_sha256=f"{number}",
        repeat=0,
        instances=[SimpleNamespace(request_type=kind)],
    )  # fmt: skip


def test_the_plan_of_one_that_plans_nothing_holds_every_sample_once_and_one_kind_a_batch() -> None:
    samples = [sample(n, "loglikelihood" if n % 3 == 0 else "generate_until") for n in range(20)]
    tasks: Any = [SimpleNamespace(samples=samples[:9]), SimpleNamespace(samples=samples[9:])]
    batches = Dictionary(NOTHING).plan(tasks, 4)
    assert sorted(id(s) for batch in batches for s in batch) == sorted(map(id, samples))
    assert all(0 < len(batch) <= 4 and len({s.kind for s in batch}) == 1 for batch in batches)
    assert batches == Dictionary(NOTHING).plan(tasks, 4)


@pytest.mark.parametrize(
    "ask",
    [
        lambda backend: backend.effect([]),
        lambda backend: backend.plan_drift([]),
        lambda backend: backend.measure_drift([]),
        lambda backend: backend.gaps(BASELINE, []),
    ],
)
def test_what_a_backend_lacks_is_one_line_with_its_name(ask: Callable[[Backend], Any]) -> None:
    with pytest.raises(UserError, match=r"^backend dictionary [a-z ]+$"):
        ask(Dictionary(NOTHING))


def test_messages_come_back_from_a_template_that_only_passes_them_on() -> None:
    messages = [{"role": "user", "content": 'Größe?\n"x"'}]
    assert json.loads(MessagesAsJson().apply_chat_template(messages)) == messages and MessagesAsJson().can_chat


def test_an_effect_is_proven_with_both_proofs_alone() -> None:
    class OnlyEffect(Claiming):
        capabilities = frozenset({"proof_of_effect"})

    arms = Arms("base", candidate=Path("adapter"))
    assert proves(Claiming(NOTHING, arms)) and not proves(OnlyEffect(NOTHING, arms)) and not proves(Dictionary(NOTHING))
    whole, half = (effect_of(kind(NOTHING, arms), [], True) for kind in (Claiming, OnlyEffect))
    assert whole is not None and whole.proven and half is not None and not half.proven and half.tensors == 2
    assert effect_of(Dictionary(NOTHING), [], True) is UNSEEN
    assert effect_of(Dictionary(NOTHING), [], False) is None, "the base itself"
    assert not UNSEEN.is_denied and not UNSEEN.took_effect
    for proven in (True, False):
        assert whole.model_copy(update={"proven": proven, "max_logit_change": 0.0}).is_denied
    assert UNSEEN.model_copy(update={"proven": True}).is_denied, "old files have no `proven`"


@pytest.mark.parametrize("wrong", ["one is missing", "another order", "the other arm", "twice"])
def test_answers_to_something_else_are_not_taken(wrong: str, tmp_path: Path) -> None:
    def answer(arm: str, batch: Sequence[Any]) -> list[Generation]:
        rows = [generation(arm, each.task, each.id) for each in batch]
        return {
            "one is missing": rows[1:],
            "another order": rows[::-1],
            "the other arm": [row.model_copy(update={"arm": "candidate"}) for row in rows],
            "twice": [rows[0], *rows],
        }[wrong]

    log = PartialLog(tmp_path, "generations", Generation, "key")
    answers = Answers(log, one_by_one(answer), {BASELINE: "maker"}, None, lambda _: None)
    with pytest.raises(UserError, match="other answers than the 2 it was asked for: a mistake of the backend"):
        answers.answer([[sample(0), sample(1)]])
    assert not log.rows


@pytest.mark.parametrize(
    ("numbers", "said"), [((0, 0), "other answers than"), ((1, 2), "other answers than"), ((1,), "left 1 of 2 batches")]
)
def test_every_batch_is_answered_once(numbers: tuple[int, ...], said: str, tmp_path: Path) -> None:
    def answer_many(arm: str, batches: Sequence[Any]) -> Iterator[tuple[int, list[Generation]]]:
        for number in numbers:
            yield number, [generation(arm, each.task, each.id) for each in batches[number % 2]]

    log = PartialLog(tmp_path, "generations", Generation, "key")
    answers = Answers(log, answer_many, {BASELINE: "maker"}, None, lambda _: None)
    with pytest.raises(UserError, match=said):
        answers.answer([[sample(0)], [sample(1)]])
    assert len(log.rows) == 1, "what came before is kept"


def test_what_decides_an_answer_of_ours_is_named_file_by_file() -> None:
    """A new file of eval/model is either named as deciding an answer or a divergence, or known to decide none."""
    deciding_none = {
        "__init__.py", "endpoint/__init__.py", "adapter_check.py", "answer_cache.py", "answer_gaps.py", "backends.py",
        "effect.py", "lm_tasks.py", "plain_tasks.py", "recorded.py", "task_rules.py",
    }  # fmt: skip
    named = {*MEASURING, *(name for own in GENERATING.values() for name in own)}
    assert OURS.keys() == GENERATING.keys() == {"hf", *SERVERS} and not named & deciding_none
    found = {str(path.relative_to("eval/model")) for path in Path("eval/model").rglob("*.py")}
    assert named <= found <= named | deciding_none
    assert len(code_of("hf")) == len(GENERATING["hf"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", OURS)
def test_which_of_ours_bring_their_arms_is_known_without_importing_them(kind: str) -> None:
    assert isinstance(find("backends", kind, OURS), BringsArms) == (kind not in NEED_RUNS)
