"""How far the candidate moved from the baseline where nobody asked it to: mean KL divergence on neutral prompts.

    tasks:
      - {name: drift, limit: 60}                                              # a suite asks for it like for a task
    gates:
      - {id: drift, task: drift, metric: kl, rule: max_value, limit: 0.5}     # nats

The prompts of `drift` are those of data/retention/neutral.jsonl; a task of another domain that `reads` logits brings
its own. Rows with `messages` stand in the model's chat template with a written reply, others alone. The backend
measures (capability `logits`; eval/model/drift.py says how `hf` does).

The baseline has a value too: its KL with itself, from one pass before the candidate's and one after. It is 0 where
the machine computes the same twice and switching the arms leaves nothing behind; otherwise it is the noise.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from eval.run.environment import silence_libraries

silence_libraries()

from lm_eval.api.instance import Instance  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.common.reading import read_bytes  # noqa: E402
from eval.config.suite_file import Suite, Task  # noqa: E402
from eval.contracts import task as contract  # noqa: E402
from eval.contracts.backend import Backend, ChatTemplate, Say  # noqa: E402
from eval.contracts.domains import data_of, find_task, reads_logits  # noqa: E402
from eval.model.answer_cache import BUG  # noqa: E402
from eval.model.lm_tasks import LoadedTask, Sample  # noqa: E402
from eval.run.digests import files_sha256  # noqa: E402
from eval.run.records import BASELINE, CANDIDATE, Generation, Place, Score, finite  # noqa: E402

if TYPE_CHECKING:
    from eval.run.partial_log import PartialLog


def load_prompts(suite: Suite, template: ChatTemplate) -> list[LoadedTask]:
    """The neutral prompts of a suite that asks for drift, empty for another. UserError for bad rows."""
    return [_load(suite, spec, template) for spec in suite.tasks if reads_logits(spec.name)]


def _load(suite: Suite, spec: Task, template: ChatTemplate) -> LoadedTask:
    if spec.execute or spec.cluster:
        raise UserError(f"task {spec.name} has no answers to execute and no clusters: remove `execute` and `cluster`")
    if spec.chat and not template.can_chat:
        raise UserError(f"task {spec.name}: this model has no chat template: set `chat: false` on the task")
    own, path = find_task(spec.name), data_of(spec.name)
    if own is None or own.data is None or path is None or len(own.metrics) != 1:
        raise UserError(f"task {spec.name} reads logits: its domain has to give it `data`, a file, and one metric")
    rows = own.rows(read_bytes(path))[: spec.limit]
    for number, row in enumerate(rows, start=1):
        if row.get("text") is None and row.get("messages") is None:
            raise UserError(f"{path} row {number}: a row needs text or messages; build it with `make data`")
    samples = tuple(_sample(own, row, template if spec.chat else None) for row in rows if suite.asks(row["id"]))
    return LoadedTask(spec.name, None, samples, own.data, files_sha256([path]))


def _sample(own: contract.Task, row: dict[str, Any], template: ChatTemplate | None) -> Sample:
    messages, plain = row.get("messages"), own.request(row)
    rendered = template.apply_chat_template(messages, add_generation_prompt=False) if messages and template else plain
    return Sample(
        task=own.name,
        id=row["id"],
        request=plain,
        gold="",
        cluster=row["id"],
        category=contract.category_of(row),
        doc=row,
        instances=(Instance(request_type="drift", doc=row, arguments=(rendered,), idx=0),),
    )


def measure_prompts(backend: Backend, tasks: Iterable[LoadedTask], log: "PartialLog[Generation]", say: Say) -> None:
    """Every prompt measured in both arms. Batches that are whole in `log` are not measured again, others added."""
    for task in tasks:
        batches = backend.plan_drift(task.samples)
        for number, batch in enumerate(batches, start=1):
            places = [(arm, task.name, prompt.sample.id, 0) for arm in (BASELINE, CANDIDATE) for prompt in batch]
            if not all(place in log.rows for place in places):
                started = time.monotonic()
                rows = backend.measure_drift(batch)
                if sorted(row.place for row in rows) != sorted(places):
                    raise UserError(f"the backend measured other prompts than the {len(batch)} it was given: {BUG}")
                log.add(rows)
                spent = time.monotonic() - started
                say(f"{task.name}: batch {number}/{len(batches)}, {len(batch)} prompts in {spent:.1f} s")


def drift_scores(tasks: Iterable[LoadedTask], measured: Mapping[Place, Generation]) -> list[Score]:
    """The score of every measured prompt in both arms."""
    return [
        score_of(measured[arm, task.name, sample.id, 0], sample)
        for task in tasks
        for arm in (BASELINE, CANDIDATE)
        for sample in task.samples
    ]


def score_of(row: Generation, sample: Sample) -> Score:
    """The value of one measured prompt, with the places that moved most as its reason. Invalid without a number."""
    own = find_task(row.task)
    assert own is not None, "it was loaded as a task that reads logits"
    found = json.loads(row.text)
    ((metric, measured),) = own.measure(sample.doc, row.text).items()
    value = finite(measured)
    if value is None:
        why = "the logits are not finite" if found["positions"] else "no position of its own"
    else:
        why = "; ".join(f"{kl:.3g} nats after `{context}`" for context, kl in found["most"] if kl > 0)
    return Score.of(row, metric, value, why, sample)
