"""What the task files of this folder call. lm-eval loads this file as a second copy: re-exports only."""

from typing import Any

from eval.bash.answers import flagged
from eval.bash.parsing import METRICS, score_sample


def nl2bash_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Metrics of one sample; NaN marks an invalid one, which is recorded as such."""
    scores = score_sample(doc["messages"][-1]["content"], results[0])
    if scores is None:
        return dict.fromkeys((*METRICS, "flagged"), float("nan"))
    return {**scores, "flagged": float(flagged(results[0]))}
