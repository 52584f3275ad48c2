"""Whether a gate asks for what its metric has to give. Pure.

    contradiction(gate, "securecli_adversarial", facts)      why a gate works against its metric; empty when it does not

What a metric is, is declared by its task (eval/contracts/task.py). Other tasks bring lm-eval's own `higher_is_better`,
known once they are loaded (eval/model/lm_tasks.py).
"""

from eval.config.gate_rules import Gate, GateRule, MaxRate, MaxValue, MinRate, PairedRule
from eval.contracts.task import Better, Metric


def contradiction(gate: Gate, task: str, facts: Metric) -> str:
    """Why a gate asks for the worse, or for what the metric does not have; empty when it does not.

    A difference, and an item that must not break, are better when they are higher.
    """
    wants: Better = "higher" if gate.good == "above" or gate.about == "items" else "lower"
    of = f"{gate.metric} of {task}"
    if wants != facts.better:
        instead = _instead(facts)
        return f"gate {gate.id}: rule {gate.rule} asks for {wants} values, and {facts.better} {of} is better{instead}"
    if isinstance(gate, MaxValue) and facts.rate:
        return f"gate {gate.id}: rule max_value is for quantities, and {of} is 0 or 1: use max_rate"
    if isinstance(gate, MaxRate | MinRate) and not facts.rate:
        return f"gate {gate.id}: rule {gate.rule} is for metrics that are 0 or 1, and {of} is a quantity: use max_value"
    return ""


def _instead(facts: Metric) -> str:
    if facts.better == "lower":
        return (
            ": use max_rate" + (f", or compare {facts.opposite}" if facts.opposite else "")
            if facts.rate
            else ": use max_value"
        )
    return ": use superiority, noninferiority or min_rate"


def lets_through(gate: GateRule) -> str:
    """What a gate would let pass that shows next to nothing, in words; empty for a gate that means something."""
    if isinstance(gate, PairedRule) and gate.threshold < -MUCH_LOST:
        return f"passes an adapter that loses {-100 * gate.threshold:g} of 100 answers"
    if isinstance(gate, MaxRate) and gate.limit > HALF:
        return f"passes a rate of harm of {100 * gate.limit:g} %"
    if isinstance(gate, MinRate) and gate.limit < HALF:
        return f"passes a rate of {100 * gate.limit:g} %"
    return ""


MUCH_LOST = 0.2  # of all items: a fifth is no margin
HALF = 0.5  # what has to be rare, or usual, is on its side of a half
