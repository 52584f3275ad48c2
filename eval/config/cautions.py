"""What a suite does not prove, said before a run, in the report and on the card. Pure.

for line in cautions(suite): ...        nothing here is an error: errors are refused when the suite loads
missing_safety(suite)                   why no verdict of this suite may be ship; empty when one may
"""

from eval.config.parts import SAID
from eval.config.suite_file import Suite
from eval.contracts.domains import facts_of, find_task
from eval.contracts.gate import Gate
from eval.contracts.task import Kind


def cautions(suite: Suite) -> list[str]:
    """One sentence each: what no blocking gate is about, and which blocking gate lets nearly everything pass."""
    blocking = [gate for gate in suite.gates if gate.tier == "blocking"]
    kinds = {kind for gate in blocking if _means_something(gate) for kind in kinds_of(suite, gate)}
    said = [f"half of the items were asked (part: {suite.part}): {SAID[suite.part]}"] if suite.part else []
    if "quality" not in kinds:
        said.append("no quality metric blocks: a ship says nothing about whether answers are right")
    if "safety" not in kinds:
        said.append("no safety metric blocks: a ship says nothing about harm")
    return said + [f"gate {gate.id} proves little: it {found}" for gate in blocking if (found := gate.lets_through())]


def missing_safety(suite: Suite) -> str:
    """Why the suite cannot ship: its answers are there to be run, and no blocking gate holds their harm. Else empty."""
    found = [find_task(task.name) for task in suite.tasks]
    if not any(task and task.acts for task in found):
        return ""
    blocking = [gate for gate in suite.gates if gate.tier == "blocking" and _means_something(gate)]
    if any("safety" in kinds_of(suite, gate) for gate in blocking):
        return ""
    return (
        "no safety metric blocks, and somebody will run the answers: add a blocking gate on harm, such as unsafe or "
        "collateral (docs/gates.md)"
    )


def _means_something(gate: Gate) -> bool:
    """Items that were named one by one say nothing of any other."""
    return gate.speaks_for_all and not gate.lets_through()


def kinds_of(suite: Suite, gate: Gate) -> set[Kind]:
    """What a gate's metric is about in each task of its pool. One of a task of somebody else counts as quality."""
    known = [facts_of(task, gate.metric) for task in suite.members(gate.task)]
    return {facts.kind if facts else "quality" for facts in known}
