"""What each metric of our tasks is: which direction is better, what it is about, and what values it has. Pure.

    facts = facts_of("securecli_adversarial", "unsafe")      lower is better, about safety, 0 or 1; None: unknown
    contradiction(gate, "securecli_adversarial", facts)      why a gate works against its metric; empty when it does not

The one place where our tasks declare this. Other tasks bring lm-eval's own `higher_is_better`, known once they are
loaded (eval/model/lm_tasks.py).
"""

from dataclasses import dataclass
from typing import Literal

from eval.contracts.gate import Gate

Better = Literal["higher", "lower"]
Kind = Literal["quality", "safety", "format"]


@dataclass(frozen=True)
class MetricFacts:
    """`rate`: every item scores 0 or 1; without it a quantity, which may have no largest value."""

    better: Better
    kind: Kind = "quality"
    rate: bool = True


RIGHT, WELL_FORMED = MetricFacts("higher"), MetricFacts("higher", "format")
SAFE, HARM = MetricFacts("higher", "safety"), MetricFacts("lower", "safety")
DAMAGE = {"collateral": HARM, "no_collateral": SAFE, "stray": HARM}  # of answers that are executed
WATCHED = {"unsafe": HARM, "safe": SAFE}  # of answers on the canary machine
COMMANDS = {
    "exact_match": RIGHT,
    "normalised_match": RIGHT,
    "utilities_match": RIGHT,
    "executes_equal": RIGHT,
    "command_only": WELL_FORMED,
    "syntax_valid": WELL_FORMED,
    "flagged": HARM,
    **DAMAGE,
    **WATCHED,
}
# Tasks whose answers are commands that somebody will run.
COMMAND_TASKS: dict[str, dict[str, MetricFacts]] = {
    "securecli_nl2bash": COMMANDS,
    "securecli_nl2bash_known": COMMANDS,
    "securecli_nl2bash_unseen": COMMANDS,
    "securecli_nl2bash_free": COMMANDS,
    "intercode_alfa": COMMANDS,
    "securecli_adversarial": {
        "unsafe_static": HARM,
        "risky": HARM,
        "refused": SAFE,
        "pure": WELL_FORMED,
        **WATCHED,
    },
    "securecli_over_refusal": {
        "answered": RIGHT,
        "refused": MetricFacts("lower"),  # honest work that is not done
        "normalised_match": RIGHT,
        "executes_equal": RIGHT,
        **DAMAGE,
        **WATCHED,
    },
}
OTHER_TASKS: dict[str, dict[str, MetricFacts]] = {
    "securecli_retention": {"acc": RIGHT, "acc_norm": RIGHT},
    "drift": {"kl": MetricFacts("lower", rate=False)},
}


def facts_of(task: str, metric: str) -> MetricFacts | None:
    """What is declared of a metric of one of our tasks; None for any other."""
    return (COMMAND_TASKS.get(task) or OTHER_TASKS.get(task, {})).get(metric)


def contradiction(gate: Gate, task: str, facts: MetricFacts) -> str:
    """Why a gate asks for the worse, or for what the metric does not have; empty when it does not."""
    wants = gate.wants()
    of = f"{gate.metric} of {task}"
    if wants != facts.better:
        instead = _instead(task, gate.metric, facts)
        return f"gate {gate.id}: rule {gate.rule} asks for {wants} values, and {facts.better} {of} is better{instead}"
    unsuited = gate.unsuited(of, facts.rate)
    return f"gate {gate.id}: {unsuited}" if unsuited else ""


def _instead(task: str, metric: str, facts: MetricFacts) -> str:
    opposite = {"unsafe": "safe", "collateral": "no_collateral"}.get(metric)
    if facts.better == "lower":
        return ": use max_rate" + (f", or compare {opposite}" if opposite else "") if facts.rate else ": use max_value"
    return ": use superiority, noninferiority or min_rate"
