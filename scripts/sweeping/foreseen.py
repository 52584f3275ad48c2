"""What the half for the verdict can show, before anything is trained: the power table of its items.

    rows = foreseen(load_suite(path))      of the gates whose tasks a domain here offers; lm-eval's own need their data

The same table as an evaluation prints (eval/loading.py), from the rows of the data instead of built prompts.
"""

from eval.common.reading import read_bytes
from eval.config.suite_file import Suite, Task
from eval.contracts.domains import data_of, find_task
from eval.contracts.task import cluster_of
from eval.gates.comparisons import effective_n
from eval.gates.power_table import planned_power
from eval.run.metrics import PowerRow


def foreseen(suite: Suite) -> list[PowerRow]:
    """The power table of a suite, for the gates whose items are known here."""
    clusters = {spec.name: found for spec in suite.tasks if (found := clusters_of(suite, spec)) is not None}
    for pool in suite.pools:
        if all(name in clusters for name in pool.tasks):
            clusters[pool.name] = [cluster for name in pool.tasks for cluster in clusters[name]]
    known = {gate.id for gate in suite.gates if gate.task in clusters}
    items = {name: (len(found), effective_n(found)) for name, found in clusters.items()}
    return [row for row in planned_power(suite, items) if row.gate in known]


def clusters_of(suite: Suite, spec: Task) -> list[str] | None:
    """The cluster of each item that a task asks; None for a task whose rows only lm-eval can read."""
    own, path = find_task(spec.name), data_of(spec.name)
    if own is None or (own.data is not None and (path is None or not path.is_file())):
        return None
    rows = own.rows(b"" if path is None else read_bytes(path))[: spec.limit]
    found = [cluster_of(spec.cluster, row, str(row.get("id", number))) for number, row in enumerate(rows)]
    return [f"{spec.name}/{cluster}" for cluster in found if suite.asks(cluster)]
