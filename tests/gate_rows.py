"""Suites, score rows and answers for tests of what is decided from them: one task t, one metric m, numbered items.

decide(suite(gate_by("superiority", min_gain=0.05)), scores(counted(40, 2, 58)), EFFECT)
"""

from collections.abc import Iterable, Sequence
from typing import Any

from eval.config.suite_file import Suite
from eval.run.metrics import AdapterEffect
from eval.run.records import BASELINE, CANDIDATE, Generation, Score

EFFECT = AdapterEffect(
    tensors=4, tensors_loaded=4, nonzero_updates=2, probe_prompts=2, max_logit_change=1.5, answers_changed=9, samples=10
)
Pair = tuple[float | None, float | None]  # what baseline and candidate scored on one item; None is invalid


def gate_by(rule: str, id: str = "g", metric: str = "m", **settings: Any) -> dict[str, Any]:
    """A gate on task t, as a suite file has it."""
    return {"id": id, "task": "t", "metric": metric, "rule": rule, **settings}


def suite(*gates: dict[str, Any], **changes: Any) -> Suite:
    """A suite of these gates; `changes` are other fields of a suite file."""
    fields = {"name": "s", "description": "d", "tasks": [{"name": "t"}], "gates": list(gates)}
    return Suite.model_validate(fields | changes)


def counted(wins: int, losses: int, same: int, invalid: int = 0) -> list[Pair]:
    """That many items won, lost, right in both arms, and invalid in the baseline."""
    return [(0.0, 1.0)] * wins + [(1.0, 0.0)] * losses + [(1.0, 1.0)] * same + [(None, 1.0)] * invalid


def scores(
    pairs: Iterable[Pair], task: str = "t", metric: str = "m", per_cluster: int = 1, categories: Sequence[str] = ()
) -> list[Score]:
    """Both arms' score of each item, item by item; the items' categories in their order."""
    return [
        Score(
            arm=arm,
            task=task,
            sample=str(number),
            repeat=0,
            metric=metric,
            value=value,
            status="invalid" if value is None else "scored",
            reason="broken" if value is None else "",
            cluster=str(number // per_cluster),
            category=categories[number] if categories else None,
        )
        for number, pair in enumerate(pairs)
        for arm, value in zip((BASELINE, CANDIDATE), pair, strict=True)
    ]


def generations(n: int) -> list[Generation]:
    """Both arms' answer to each of n items, arm by arm."""
    return [
        Generation(
            arm=arm,
            task="t",
            sample=str(number),
            repeat=0,
            request="r",
            prompt_sha256=f"prompt {number}",
            text="ls",
            tokens=1,
            finish="stop",
            seconds=0.0,
        )
        for arm in (BASELINE, CANDIDATE)
        for number in range(n)
    ]
