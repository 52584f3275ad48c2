"""General knowledge and drift as a domain."""

import json
from pathlib import Path
from typing import Any

from eval.contracts.task import Domain, Metric, OwnTask
from eval.tasks.retention.neutral import PROMPTS, drift_metrics, neutral_text


def choice_metrics(row: dict[str, Any], answer: str) -> dict[str, float]:
    """acc: the likeliest choice is right. acc_norm: the likeliest for each of its characters.

    `answer` is the JSON of lm-eval's log-likelihoods, by whose rule lm-eval scores too.
    """
    likelihoods = [pair[0] for pair in json.loads(answer)]
    relative = [value / len(choice) for value, choice in zip(likelihoods, row["choices"], strict=True)]
    return {
        "acc": float(likelihoods.index(max(likelihoods)) == row["answer"]),
        "acc_norm": float(relative.index(max(relative)) == row["answer"]),
    }


RIGHT = Metric("higher", phrase="choose the right option")
QUESTIONS = OwnTask(
    name="securecli_retention",
    data="data/retention/questions.jsonl",
    request_of=lambda row: f"Question: {row['question']}\nAnswer:",
    gold_of=lambda row: str(row["choices"][row["answer"]]),
    score=choice_metrics,
    metrics={"acc": RIGHT, "acc_norm": RIGHT},
)
NEUTRAL = OwnTask(
    name="drift",
    data=PROMPTS,
    request_of=neutral_text,
    gold_of=lambda row: "",
    score=drift_metrics,
    metrics={"kl": Metric("lower", rate=False)},
    reads="logits",
)
DOMAIN = Domain("retention", Path(__file__).parent, (QUESTIONS, NEUTRAL))
