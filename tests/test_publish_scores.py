"""Publishing against edited evidence: a file that contradicts the files beside it, or the data, is refused.

Each case forges everything that follows the edit: decided again, counted again, approved by an honest person who sees a
ship. Only the contradiction itself is left, and the real command has to find it.
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.execution.collateral import METRICS as COLLATERAL
from eval.execution.collateral import NONE
from eval.run.digests import json_sha256
from eval.run.files import read_jsonl, read_metrics
from eval.run.records import CANDIDATE, Score
from eval.tasks.nl2bash import hooks as lm_eval_hooks
from eval.tasks.safety import hooks as safety_hooks
from scripts.loopback_hub.faults import Hub
from scripts.publishing.run_rows import read_rows
from scripts.publishing.verify_items import check_rows
from scripts.publishing.verify_run import read_suite
from tests.hub_server import Capture, approve, hub, publish_run
from tests.own_run import ADVERSARIAL, KNOWN, RETENTION, build_own_run, rejudge
from tests.own_tasks import own_task
from tests.run_builder import assert_one_line, edit_json

__all__ = ["hub"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
Change = Callable[[Path], Any]
Lines = list[dict[str, Any]]


@functools.cache
def template() -> Path:
    return build_own_run(Path(tempfile.mkdtemp(prefix="publish-scores-")))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a run of verdict ship that was not reviewed yet."""
    return shutil.copytree(template(), tmp_path / "results" / "toy")


@dataclass(frozen=True)
class Forgery:
    name: str
    change: Change
    words: tuple[str, ...]
    again: bool = True  # decide and count again


def lines(name: str, change: Callable[[Lines], Any]) -> Change:
    """Change the rows of a file; what `change` returns, if anything, takes their place."""

    def apply(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        changed = change(rows)
        rows = rows if changed is None else changed
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    return apply


def update(name: str, where: dict[str, Any], **values: Any) -> Change:
    """Set fields of every row that has the given ones. At least one row changes."""

    def change(rows: Lines) -> None:
        chosen = [row for row in rows if where.items() <= row.items()]
        assert chosen and any(row | values != row for row in chosen)
        for row in chosen:
            row.update(values)

    return lines(name, change)


def drop(name: str, **where: Any) -> Change:
    return lines(name, lambda rows: [row for row in rows if not where.items() <= row.items()])


def twice(name: str, **values: Any) -> Change:
    """A second row of the last item, which says something better."""
    return lines(name, lambda rows: rows.append(rows[-1] | values))


def several(*changes: Change) -> Change:
    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def metrics(change: Callable[[Any], Any]) -> Change:
    return lambda folder: edit_json(folder / "metrics.json", lambda value: change(value) and None)


def task(number: int, **values: Any) -> Change:
    return metrics(lambda value: value["tasks"][number].update(values))


def sample(name: str, number: int) -> str:
    """The id of an item of a task: every fifth is one at which the candidate errs."""
    rows = own_task(name).rows(Path(str(own_task(name).data)).read_bytes())
    return str(rows[number]["id"])


def own(name: str, number: int, arm: str | None = CANDIDATE) -> dict[str, Any]:
    return {"task": name, "sample": sample(name, number)} | ({"arm": arm} if arm else {})


BAD, FINE, WRONG = own(ADVERSARIAL, 0), own(ADVERSARIAL, 1), own(KNOWN, 5)
WRONG_ITEM = own(KNOWN, 5, arm=None)
HARMLESS = [update("scores", BAD | {"metric": metric}, value=float(metric == "safe")) for metric in ("safe", "unsafe")]
SEEN = "observed-secret: a token of the canary machine"
NOT_RUN = {"rule": "not_for_execution", "verdict": "unsupported"}
NOTHING = NONE.model_dump()
DAMAGE = NOTHING | {"damaged": [{"what": "removed", "path": "/home/user/a", "on": "given"}], "damaged_paths": 1}
DID = {"exit": 0, "stdout": "", "stderr": "", "changes": ["- /home/user/a"], "limits_hit": []}
EVERYWHERE = ("scores", "generations", "samples", "executions")

FORGERIES = [
    # What was seen on the canary machine
    Forgery("unsafe answers scored safe", several(*HARMLESS), ("of destructive-01", "observations.jsonl says")),
    Forgery("harm observed, scores left", update("observations", FINE, dynamic="block", findings=[SEEN]),
            ("observations.jsonl says",)),
    Forgery("harm observed, called harmless", update("observations", FINE, findings=[SEEN]),
            ("dynamic is not what its findings say",)),
    Forgery("harm observed under another name", update("observations", FINE, findings=["great: x"]), ("no rule",)),
    Forgery("observations deleted", lambda f: (f / "observations.jsonl").unlink(), ("observations.jsonl is missing",)),
    Forgery("one observation deleted", drop("observations", **BAD), ("observations.jsonl", "is missing")),
    Forgery("observed harmless, and scored", several(*HARMLESS, update("observations", BAD, static="allow")),
            ("not what its answer carries",)),
    Forgery("commands left out", several(*HARMLESS, update("observations", BAD, static="none", commands=[])),
            ("not what its answer carries",)),
    Forgery("observed twice", twice("observations", static="allow"), ("observations.jsonl", "twice")),
    # Clusters
    Forgery("clusters undone in the scores", lines("scores", lambda rows: [row.update(cluster=row["sample"]) for row in
            rows] and None), ("another cluster",)),
    Forgery("category changed in the scores", update("scores", WRONG_ITEM, category="other"), ("another cluster",)),
    Forgery("clusters undone everywhere", several(*(lines(name, lambda rows: [row.update(cluster=row["sample"]) for row
            in rows] and None) for name in ("scores", "samples"))), ("is not what the data says",)),
    # Items
    Forgery("losing item dropped everywhere", several(*(drop(name, **WRONG_ITEM) for name in EVERYWHERE)),
            ("60 items", "the 61")),
    Forgery("gold made the answer", update("samples", WRONG_ITEM, gold="ls"), ("is not what the data says",)),
    Forgery("request changed", several(*(update(name, WRONG_ITEM, request="x") for name in ("samples", "generations"))),
            ("is not what the data says",)),
    Forgery("request changed in the answers", update("generations", WRONG, request="x"), ("another request",)),
    Forgery("an item asked twice", twice("samples"), ("samples.jsonl", "twice")),
    Forgery("an answer that nobody asked for", twice("generations", sample="x"), ("x was not asked",), again=False),
    Forgery("answered twice", twice("generations", text="{}"), ("generations.jsonl", "twice")),
    # Metrics of the text
    Forgery("command_only", update("scores", WRONG | {"metric": "command_only"}, value=1.0),
            ("command_only", "generations.jsonl says")),
    Forgery("refused", update("scores", BAD | {"metric": "refused"}, value=1.0), ("refused", "generations.jsonl says")),
    Forgery("acc of likelihoods", update("scores", {"task": RETENTION, "metric": "acc", "arm": CANDIDATE, "value": 0.0},
            value=1.0), ("acc", "generations.jsonl says")),
    Forgery("drift", update("scores", {"metric": "kl", "arm": CANDIDATE}, value=0.0), ("kl", "generations.jsonl says")),
    Forgery("marked invalid", update("scores", WRONG | {"metric": "syntax_valid"}, value=None, status="invalid"),
            ("syntax_valid", "generations.jsonl says")),
    Forgery("likelihoods cut off", update("generations", {"task": RETENTION}, text="[[-1.0, false]]"),
            ("is not an answer to",)),
    Forgery("a divergence that is no number", update("generations", {"task": "drift"}, text='{"kl": "small"}'),
            ("is not an answer to",)),
    Forgery("an answer without a bottom", update("generations", {"task": "drift"}, text="[" * 99999),
            ("is not an answer to",)),
    Forgery("a metric left out", drop("scores", task=KNOWN, metric="flagged"), ("lacks its flagged",)),
    Forgery("a metric invented", lines("scores", lambda rows: rows + [row | {"metric": "great", "value": 1.0} for row in
            rows if row["task"] == RETENTION and row["metric"] == "acc"]), ("no file gives its great",)),
    # Executions
    Forgery("reject scored 1", update("scores", WRONG | {"metric": "executes_equal"}, value=1.0),
            ("executes_equal", "executions.jsonl says")),
    Forgery("reject called not for execution", several(update("executions", WRONG_ITEM, **NOT_RUN),
            drop("scores", **WRONG_ITEM, metric="executes_equal")), ("it can be executed",)),
    Forgery("not for execution, with a verdict", update("executions", {"arm": CANDIDATE, "rule": "not_for_execution"},
            verdict="accept"), ("a verdict without an execution",)),
    Forgery("executed twice", twice("executions", verdict="accept"), ("executions.jsonl", "twice")),
    Forgery("an execution deleted", several(drop("executions", **WRONG_ITEM), drop("scores", **WRONG_ITEM,
            metric="executes_equal")), ("executions.jsonl", "is missing")),
    Forgery("executions deleted", lambda f: (f / "executions.jsonl").unlink(), ("executions.jsonl is missing",)),
    Forgery("accepted as the same text", several(update("executions", WRONG, rule="same_text", verdict="accept"),
            update("scores", WRONG | {"metric": "executes_equal"}, value=1.0)), ("same_text is not what",)),
    Forgery("another command executed", several(update("executions", WRONG, command="ls", verdict="accept"), update(
            "scores", WRONG | {"metric": "executes_equal"}, value=1.0)), ("not the command of its answer",)),
    # Collateral damage
    Forgery("damage scored 0", update("executions", WRONG, collateral=DAMAGE),
            ("collateral", "executions.jsonl says")),
    Forgery("damage not looked for in either arm", several(update("executions", WRONG_ITEM, collateral=None), *(drop(
            "scores", **WRONG_ITEM, metric=metric) for metric in COLLATERAL)), ("not what its sample can show",)),
    Forgery("a removal that is seen, and no damage", update("executions", WRONG, answer=DID, gold=DID | {
            "changes": []}), ("removed /home/user/a", "does not say so")),
    Forgery("damage without a command", update("executions", own(KNOWN, 6), collateral=DAMAGE),
            ("without running",)),
    Forgery("a score of damage left out", drop("scores", **WRONG_ITEM, metric="collateral"), ("lacks",)),
    Forgery("damage unknown, scored 0", update("executions", WRONG, collateral=NOTHING | {"unknown": "broken"}),
            ("executions.jsonl says",)),
    # Counts and claims of metrics.json
    Forgery("more samples", task(0, samples=6000), ("samples of",), again=False),
    Forgery("more clusters", task(0, clusters=6000), ("clusters of",), again=False),
    Forgery("executed counts", task(0, executed={"candidate": {"accept": 9999}}), ("executed of",), again=False),
    Forgery("watched counts", task(1, watched={}), ("watched of",), again=False),
    Forgery("another dataset", task(0, dataset="data/nl2bash/test_free.jsonl"), ("measured elsewhere",), again=False),
    Forgery("another dataset digest", task(0, dataset_sha256="c" * 64), ("other bytes",), again=False),
    Forgery("another task's digest", metrics(lambda m: m["tasks"][0].update(dataset_sha256=m["tasks"][1][
            "dataset_sha256"]) or True), ("other bytes",), again=False),
    Forgery("a task more", metrics(lambda m: m["tasks"].append(m["tasks"][0] | {"name": "intercode_alfa",
            "samples_sha256": json_sha256([])}) or True), ("tasks are not those of the suite",), again=False),
    Forgery("a task twice", metrics(lambda m: m["tasks"].append(m["tasks"][0]) or True),
            ("tasks are not those of the suite",), again=False),
    Forgery("looks of a fixed suite", metrics(lambda m: m.update(sequential={"looks": 1, "used": {}, "planned": {},
            "stopped": "decided"}) or True), ("sequential",), again=False),
    Forgery("changed answers counted otherwise", metrics(lambda m: m["adapter_effect"].update(answers_changed=1) or
            True), ("adapter_effect",), again=False),
    Forgery("an exploration removed", metrics(lambda m: m.update(explorations=[]) or True), ("explorations",),
            again=False),
    Forgery("power removed", metrics(lambda m: m.update(power_observed=[]) or True), ("power_observed",), again=False),
    # Self-checks
    Forgery("a self-check that failed", metrics(lambda m: m["self_checks"][1].update(ok=False, said="arms differ") or
            True), ("comparable arms",), again=False),
    Forgery("self-checks left out", metrics(lambda m: m.update(self_checks=[]) or True), ("self-check",), again=False),
    Forgery("a self-check invented", metrics(lambda m: m["self_checks"].append({"name": "audit", "ok": True,
            "said": "fine"}) or True), ("audit",), again=False),
    # The baseline
    Forgery("no mapping", metrics(lambda m: m["provenance"].update(baseline=["base"]) or True),
            ("provenance.baseline",), again=False),
    Forgery("no commit", metrics(lambda m: m["provenance"].update(git="x") or True),
            ("another commit",), again=False),
    Forgery("base with an adapter", metrics(lambda m: m["provenance"]["baseline"].update(adapter_sha256="d" * 64) or
            True), ("provenance.baseline",), again=False),
    Forgery("another baseline measured", metrics(lambda m: m["provenance"]["baseline"].update(name="run:weak") or True),
            ("provenance.baseline",), again=False),
]  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_a_contradiction_is_refused(forgery: Forgery, run: Path, hub: Hub, capsys: Capture) -> None:
    forgery.change(run)
    if forgery.again:
        rejudge(run)
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert code == 1, err
    assert_one_line(err, *forgery.words)
    assert hub.log == []


def test_there_are_no_two_of_a_name() -> None:
    assert len({forgery.name for forgery in FORGERIES}) == len(FORGERIES)


def test_the_run_itself_is_published(run: Path, hub: Hub, capsys: Capture) -> None:
    assert read_metrics(run / "metrics.json").verdict == "ship"
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert code == 0, err


# The seam: what publishing derives is what the evaluation measures


class _Loader(yaml.SafeLoader):
    """lm-eval's task files: a function is its name."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_every_task_file_is_known_to_publishing() -> None:
    folder = Path("eval/tasks")
    paths = sorted(folder.rglob("*.yaml"))
    assert len(paths) == 8
    for path in paths:
        spec = yaml.load(path.read_text(), _Loader)
        if "group" in spec:
            continue
        if "include" in spec:
            spec = yaml.load((path.parent / spec["include"]).read_text(), _Loader) | spec
        own = own_task(spec["task"])
        assert (spec.get("dataset_kwargs") or {"data_files": {"test": None}})["data_files"]["test"] == own.data
        if function := spec.get("process_results"):
            module, name = function.split(".")
            assert module == "hooks"
            hooks = safety_hooks if path.parent.name == "safety" else lm_eval_hooks
            row = (own.rows(Path(own.data).read_bytes()) if own.data else own_task("intercode_alfa").rows(b""))[0]
            assert own.measure(row, "ls -l") == getattr(hooks, name)(row, ["ls -l"])
        else:
            assert spec["output_type"] == "multiple_choice"


def test_every_score_of_the_committed_run_is_derived_again() -> None:
    """lm-eval's own numbers, likelihoods included, from real answers."""
    folder = Path("results/demo")
    suite, found = read_suite(folder)
    check_rows(suite, found, read_rows(suite, read_jsonl(folder / "scores.jsonl", Score), folder))
