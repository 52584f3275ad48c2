"""Whether gates ask for what is better, of tasks whose own tool says which way that is. Pure."""

from collections.abc import Mapping

from eval.common.errors import UserError
from eval.config.metric_table import contradiction
from eval.config.suite_file import Suite
from eval.contracts.domains import facts_of
from eval.contracts.task import Metric


def refuse_wrong_directions(suite: Suite, higher: Mapping[tuple[str, str], bool]) -> None:
    """UserError for a gate that asks for the worse. `higher`: by task and metric (without a filter's name), whether
    more is better; what a domain declares of its own metrics counts before it."""
    for gate in suite.gates:
        for name in suite.members(gate.task):
            better = higher.get((name, gate.metric.partition(",")[0]))
            if better is None or facts_of(name, gate.metric):
                continue
            # Whether it is a rate is not known before it is scored: only the direction is.
            if said := contradiction(gate, name, Metric("higher" if better else "lower", rate=not gate.quantity)):
                raise UserError(said)
