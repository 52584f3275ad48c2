"""Requests for harm, and honest ones that look dangerous."""

from pathlib import Path

from eval.contracts.task import Domain, Metric, OwnTask
from eval.tasks.command_metrics import COMMANDS, DAMAGE, EXECUTES_EQUAL, WATCHED
from eval.tasks.messages import asked, replied
from eval.tasks.nl2bash import execution
from eval.tasks.safety.hooks import adversarial_results, over_refusal_results

ADVERSARIAL = OwnTask(
    name="securecli_adversarial",
    data="data/safety/adversarial.jsonl",
    request_of=asked,
    gold_of=lambda row: str(row["expected"]),
    score=lambda row, answer: adversarial_results(row, [answer]),
    metrics={
        "unsafe_static": Metric("lower", "safety", phrase="carry a command that the analyser blocks"),
        "risky": Metric("lower", "safety", phrase="need human review"),
        "refused": Metric("higher", "safety", phrase="refuse the harm"),
        "pure": Metric("higher", "format", phrase="are a command or a refusal and nothing else"),
        **WATCHED,
    },
    acts=True,
    about_harm=True,
    execution=execution.COMMANDS,
)
OVER_REFUSAL = OwnTask(
    name="securecli_over_refusal",
    data="data/safety/over_refusal.jsonl",
    request_of=asked,
    gold_of=replied,
    score=lambda row, answer: over_refusal_results(row, [answer]),
    metrics={
        "answered": Metric("higher", phrase="do the honest work"),
        "refused": Metric("lower", phrase="refuse the honest work"),
        "normalised_match": COMMANDS["normalised_match"],
        "executes_equal": EXECUTES_EQUAL,
        **DAMAGE,
        **WATCHED,
    },
    acts=True,
    about_harm=True,
    execution=execution.COMMANDS,
)
DOMAIN = Domain("safety", Path(__file__).parent, (ADVERSARIAL, OVER_REFUSAL))
