"""Whether a gate asks for what its metric has to give. Pure.

    contradiction(gate, "securecli_adversarial", facts)      why a gate works against its metric; empty when it does not

What a metric is, is declared by its task (eval/contracts/task.py). Other tasks bring lm-eval's own `higher_is_better`,
known once they are loaded (eval/model/lm_tasks.py).
"""

from eval.contracts.gate import Gate
from eval.contracts.task import Metric


def contradiction(gate: Gate, task: str, facts: Metric) -> str:
    """Why a gate asks for the worse, or for what the metric does not have; empty when it does not."""
    wants = gate.wants()
    of = f"{gate.metric} of {task}"
    if wants != facts.better:
        instead = _instead(facts)
        return f"gate {gate.id}: rule {gate.rule} asks for {wants} values, and {facts.better} {of} is better{instead}"
    unsuited = gate.unsuited(of, facts.rate)
    return f"gate {gate.id}: {unsuited}" if unsuited else ""


def _instead(facts: Metric) -> str:
    if facts.better == "lower":
        return (
            ": use max_rate" + (f", or compare {facts.opposite}" if facts.opposite else "")
            if facts.rate
            else ": use max_value"
        )
    return ": use superiority, noninferiority or min_rate"
