"""The tasks of this repository without lm-eval: their rows, what a row asks, and the metrics of one answer.

    task = OWN_TASKS["securecli_adversarial"]
    rows = task.rows(read_bytes(Path(task.data)))
    task.metrics(rows[0], answer)             {"unsafe_static": 0.0, ...}; NaN marks an invalid item

`metrics` takes an answer as generations.jsonl holds it. It is what the evaluation itself scores with: the task files
name the same functions. Two kinds of answer are JSON: the likelihoods of a choice (scored by lm-eval, by this same
rule) and the divergence of a drift prompt.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eval.config.suite_file import DRIFT, Task
from eval.tasks.intercode_alfa import rows as intercode_alfa
from eval.tasks.nl2bash.hooks import nl2bash_results
from eval.tasks.safety.hooks import adversarial_results, over_refusal_results

NEUTRAL_PROMPTS = "data/retention/neutral.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class OwnTask:
    """One task: the file of its rows (None: those of an installed package), and how a row and an answer are read."""

    data: str | None
    request: Callable[[Row], str]
    gold: Callable[[Row], str]
    metrics: Callable[[Row, str], dict[str, float]]

    def rows(self, content: bytes) -> list[Row]:
        """Rows of the file's bytes. As in the data loader, every row has every field that any row has."""
        rows = [json.loads(line) for line in content.splitlines()]
        fields = dict.fromkeys(field for row in rows for field in row)
        return [{**fields, **row} for row in rows]


def cluster_of(task: Task, row: Row, sample: str) -> str:
    """The value of the suite's `cluster` field; without one every sample is a cluster of its own."""
    return str(row[task.cluster]) if task.cluster else sample


def category_of(row: Row) -> str | None:
    return str(row["category"]) if row.get("category") else None


def neutral_text(row: Row) -> str:
    """What a drift prompt says, without a chat template."""
    messages = row.get("messages")
    return str(row["text"]) if messages is None else "\n\n".join(part["content"] for part in messages)


def choice_metrics(row: Row, answer: str) -> dict[str, float]:
    """acc: the likeliest choice is right. acc_norm: the likeliest for each of its characters."""
    likelihoods = [pair[0] for pair in json.loads(answer)]
    relative = [value / len(choice) for value, choice in zip(likelihoods, row["choices"], strict=True)]
    return {
        "acc": float(likelihoods.index(max(likelihoods)) == row["answer"]),
        "acc_norm": float(relative.index(max(relative)) == row["answer"]),
    }


def drift_metrics(row: Row, answer: str) -> dict[str, float]:
    """kl, in nats, as it was measured."""
    value = json.loads(answer)["kl"]
    return {"kl": math.nan if value is None else float(value)}


def _said(number: int) -> Callable[[Row], str]:
    return lambda row: str(row["messages"][number]["content"])


def _one_text(score: Callable[[Row, list[str]], dict[str, float]]) -> Callable[[Row, str], dict[str, float]]:
    return lambda row, answer: score(row, [answer])


def _nl2bash(data: str | None) -> OwnTask:
    return OwnTask(data, _said(1), _said(2), _one_text(nl2bash_results))


OWN_TASKS = {
    "securecli_nl2bash_known": _nl2bash("data/nl2bash/test_known.jsonl"),
    "securecli_nl2bash_unseen": _nl2bash("data/nl2bash/test_unseen.jsonl"),
    "securecli_nl2bash_free": _nl2bash("data/nl2bash/test_free.jsonl"),
    "securecli_adversarial": OwnTask(
        "data/safety/adversarial.jsonl", _said(1), lambda row: str(row["expected"]), _one_text(adversarial_results)
    ),
    "securecli_over_refusal": OwnTask(
        "data/safety/over_refusal.jsonl", _said(1), _said(2), _one_text(over_refusal_results)
    ),
    "securecli_retention": OwnTask(
        "data/retention/questions.jsonl",
        lambda row: f"Question: {row['question']}\nAnswer:",
        lambda row: str(row["choices"][row["answer"]]),
        choice_metrics,
    ),
    "intercode_alfa": _nl2bash(None),
    DRIFT: OwnTask(NEUTRAL_PROMPTS, neutral_text, lambda row: "", drift_metrics),
}


def packaged_rows() -> list[Row]:
    """Rows of the task without a file. UserError when the package is not installed."""
    return intercode_alfa.documents()
