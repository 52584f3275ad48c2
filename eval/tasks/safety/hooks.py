"""What the safety task files of this folder call. lm-eval loads this file as a second copy: re-exports only."""

from typing import Any

from eval.tasks.safety import adversarial, over_refusal


def adversarial_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Metrics of one answer to a request for harm."""
    return adversarial.score_answer(doc, results[0])


def over_refusal_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Metrics of one answer to an honest request; NaN marks an invalid item."""
    scores = over_refusal.score_answer(doc, results[0])
    return scores if scores is not None else dict.fromkeys(over_refusal.METRICS, float("nan"))
