"""The only file that imports lm-evaluation-harness and torch: tasks in, answers out.

lm-eval supplies the tasks (ours in eval/tasks, or any benchmark it ships), the prompts, the model class
and the per-sample metrics. What is ours: base and adapter come from **one load** of the base, the adapter
being switched off for the baseline arm; batches are fixed in advance, so that a killed run resumes with
the same batches and so the same answers; every answer is kept with its token count and how it ended.
"""

import contextlib
import io
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
logging.getLogger("torchao").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")

import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.task import Task as LmTask  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager, get_task_dict  # noqa: E402

from eval.config import ROOT, Suite, Task  # noqa: E402
from eval.errors import UserError  # noqa: E402
from eval.provenance import file_sha256, json_sha256  # noqa: E402
from eval.records import BASELINE, AdapterEffect, Generation, Score, TaskSummary, finite  # noqa: E402

TASKS_FOLDER = ROOT / "eval" / "tasks"
PROBE_PROMPTS = 8
for noisy in ("lm_eval", "lm-eval", "transformers", "datasets", "peft", "accelerate"):
    logging.getLogger(noisy).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Sample:
    """One item of one task, with the lm-eval requests (prompts) it needs."""

    task: str
    id: str
    request: str
    gold: str
    cluster: str
    doc: dict[str, Any]
    instances: tuple[Instance, ...]

    @property
    def prompt_sha256(self) -> str:
        return json_sha256([[str(part) for part in instance.args] for instance in self.instances])


@dataclass(frozen=True)
class LoadedTask:
    """A task of the suite with its samples built for one model's chat template."""

    name: str
    task: LmTask
    samples: tuple[Sample, ...]
    dataset: str
    dataset_sha256: str


@dataclass
class Model:
    """Base and adapter from one load. `adapted` is None when the candidate is the base itself."""

    lm: "RecordingHF"
    adapted: Any | None
    adapter: Path | None

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[None]:
        """Inside, the model computes as this arm does."""
        if name == BASELINE and self.adapted is not None:
            with self.adapted.disable_adapter():
                yield
        else:
            yield


@dataclass
class _Batch:
    tokens: list[int] = field(default_factory=list)
    lengths_reached: list[bool] = field(default_factory=list)


class RecordingHF(HFLM):
    """lm-eval's transformers model, keeping the token counts that its interface drops."""

    last: _Batch

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **generation_kwargs: Any) -> Any:
        output = super()._model_generate(context, max_length, stop, **generation_kwargs)
        room = max_length - context.shape[1]
        self.last = _Batch()
        for row in output[:, context.shape[1] :].tolist():
            ended = row.index(self.eot_token_id) + 1 if self.eot_token_id in row else len(row)
            self.last.tokens.append(ended)
            self.last.lengths_reached.append(ended == room and self.eot_token_id not in row)
        return output


def load_model(suite: Suite, base_model: str, revision: str | None, adapter: Path | None) -> Model:
    """Load the base once and the adapter on top of it. UserError when the two do not belong together."""
    if adapter is not None:
        check_adapter(adapter, base_model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available() and not (Path(base_model) / "config.json").is_file():
        raise UserError(f"base model {base_model} is not a local folder and this machine has no GPU: `make model`?")
    torch.manual_seed(suite.seed)
    try:
        lm = RecordingHF(
            pretrained=base_model,
            revision=revision or "main",
            dtype=suite.backend.dtype,
            batch_size=suite.backend.batch_size,
            device=device,
            peft=str(adapter) if adapter else None,
        )
    except (OSError, RuntimeError, ValueError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise UserError(f"cannot load {base_model} with adapter {adapter}: {first_line}") from error
    lm.model.eval()
    if adapter is None:
        return Model(lm=lm, adapted=None, adapter=None)
    # lm-eval generates with the base's own class, whose layers now carry the adapter. PEFT's wrapper computes the
    # logits of every prompt position, not only the last: five times slower to start a batch, the same answers.
    adapted = lm.model
    lm._model = adapted.get_base_model()
    return Model(lm=lm, adapted=adapted, adapter=adapter)


def check_adapter(adapter: Path, base_model: str) -> None:
    """UserError unless the folder holds a safetensors LoRA adapter trained on this base."""
    config_file, weights = adapter / "adapter_config.json", adapter / "adapter_model.safetensors"
    for path in (config_file, weights):
        if not path.is_file():
            raise UserError(f"{path} is missing: is {adapter} an adapter? train again with `make train`")
    trained_on = json.loads(config_file.read_text()).get("base_model_name_or_path")
    if Path(str(trained_on)).name != Path(base_model).name:
        raise UserError(f"{adapter} was trained on {trained_on}, not on {base_model}: use the run's own adapter")


def adapter_effect(model: Model, tasks: list[LoadedTask]) -> AdapterEffect | None:
    """Prove that the file's tensors are in the model and that they move its logits on a few prompts.

    `answers_changed` is filled in later, when both arms have answered. None without an adapter.
    """
    if model.adapted is None or model.adapter is None:
        return None
    on_disk = safetensors.torch.load_file(model.adapter / "adapter_model.safetensors")
    in_model = {name.replace(".default.", "."): tensor for name, tensor in model.adapted.state_dict().items()}
    loaded = sum(
        name in in_model and torch.equal(in_model[name].float().cpu(), tensor.to(in_model[name].dtype).float())
        for name, tensor in on_disk.items()
    )
    nonzero = sum(bool(tensor.any()) for name, tensor in on_disk.items() if "lora_B" in name)
    prompts = [str(sample.instances[0].args[0]) for task in tasks for sample in task.samples][:PROBE_PROMPTS]
    change = 0.0
    for prompt in prompts:
        tokens, mask = model.lm.tok_batch_encode([prompt])
        tokens, mask = tokens.to(model.lm.device), mask.to(model.lm.device)
        with torch.no_grad():
            logits = {}
            for arm in (BASELINE, "candidate"):
                with model.arm(arm):
                    logits[arm] = model.lm.model(input_ids=tokens, attention_mask=mask).logits[0, -1].float()
        moved = float((logits["candidate"] - logits[BASELINE]).abs().max())
        if not math.isfinite(moved):
            raise UserError(f"{model.adapter}: the adapter makes the model compute NaN or infinity: train again")
        change = max(change, moved)
    return AdapterEffect(
        tensors=len(on_disk),
        tensors_loaded=loaded,
        nonzero_updates=nonzero,
        probe_prompts=len(prompts),
        max_logit_change=change,
        answers_changed=0,
        samples=0,
    )


def load_tasks(suite: Suite, lm: Any) -> list[LoadedTask]:
    """Build every sample of every task for this model's chat template.

    `lm` needs `apply_chat_template` and `tokenizer_name` only. UserError for an unknown or empty task.
    """
    # Indexing everything lm-eval ships takes 12 s: only when a suite asks for something that is not ours.
    manager = TaskManager(include_path=str(TASKS_FOLDER), include_defaults=False)
    if any(task.name not in manager.all_tasks for task in suite.tasks):
        manager = TaskManager(include_path=str(TASKS_FOLDER))
    return [_load_task(task, manager, lm) for task in suite.tasks]


def _load_task(spec: Task, manager: TaskManager, lm: Any) -> LoadedTask:
    if spec.name not in manager.all_tasks:
        ours = ", ".join(sorted(path.stem for path in TASKS_FOLDER.glob("*.yaml")))
        raise UserError(f"task {spec.name} is unknown to lm-eval and to eval/tasks (ours: {ours}); is its YAML valid?")
    try:
        found = get_task_dict([spec.name], manager)
    except Exception as error:  # lm-eval raises what the data loader raises
        raise UserError(f"task {spec.name} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    task = found.get(spec.name)
    if not isinstance(task, LmTask):
        raise UserError(f"{spec.name} is a group: list its tasks one by one, so that each has its own gate")
    with io.StringIO() as quiet, contextlib.redirect_stderr(quiet):  # its own progress bar
        task.build_all_requests(
            limit=spec.limit,
            apply_chat_template=spec.chat,
            chat_template=lm.apply_chat_template if spec.chat else None,
            tokenizer_name=lm.tokenizer_name,
        )
    by_doc: dict[int, list[Instance]] = {}
    for instance in task.instances:
        by_doc.setdefault(instance.doc_id, []).append(instance)
    if not by_doc:
        raise UserError(f"task {spec.name} has no samples: check its data file")
    samples = []
    for doc_id, instances in by_doc.items():
        doc = dict(instances[0].doc)
        if spec.cluster is not None and spec.cluster not in doc:
            raise UserError(f"task {spec.name}: samples have no field {spec.cluster} to cluster by")
        sample_id = str(doc.get("id", doc_id))
        samples.append(
            Sample(
                task=spec.name,
                id=sample_id,
                request=str(task.doc_to_text(doc)),
                gold=_gold(task, doc),
                cluster=str(doc[spec.cluster]) if spec.cluster else sample_id,
                doc=doc,
                instances=tuple(instances),
            )
        )
    duplicates = len(samples) - len({sample.id for sample in samples})
    if duplicates:
        raise UserError(f"task {spec.name}: {duplicates} samples share an id with another")
    dataset, digest = _dataset(task)
    return LoadedTask(spec.name, task, tuple(samples), dataset, digest)


def _gold(task: LmTask, doc: dict[str, Any]) -> str:
    target = task.doc_to_target(doc)
    if isinstance(target, int) and task.config.doc_to_choice is not None:
        return str(task.doc_to_choice(doc)[target])
    return str(target)


def _dataset(task: LmTask) -> tuple[str, str]:
    """Name and digest of a task's data: of the local files' bytes, else of the rows."""
    files = (task.config.dataset_kwargs or {}).get("data_files")
    paths = sorted(str(path) for path in (files.values() if isinstance(files, dict) else [files] if files else []))
    if paths and all(Path(path).is_file() for path in paths):
        return ", ".join(paths), json_sha256([file_sha256(Path(path)) for path in paths])
    return str(task.config.dataset_path), json_sha256([str(doc) for doc in task.eval_docs])


def plan_batches(tasks: list[LoadedTask], lm: Any, batch_size: int) -> list[list[Sample]]:
    """Samples in batches of similar length, longest first, as lm-eval itself would batch them.

    Fixed by the data alone: padding changes the last bits of a logit, so equal batches give equal answers.
    """
    by_kind: dict[str, list[Sample]] = {}
    for task in tasks:
        for sample in task.samples:
            by_kind.setdefault(sample.instances[0].request_type + str(sample.instances[0].args[1:2]), []).append(sample)
    batches = []
    for kind in sorted(by_kind, key=lambda kind: kind.startswith("loglikelihood")):
        ordered = sorted(
            by_kind[kind],
            key=lambda sample: (-len(lm.tok_encode(str(sample.instances[0].args[0]))), sample.instances[0].args[0]),
        )
        batches += [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    return batches


def generate(model: Model, arm: str, batch: list[Sample]) -> list[Generation]:
    """Answers of one arm to one batch, in the batch's order."""
    started = time.monotonic()
    kind = batch[0].instances[0].request_type
    requests = [instance for sample in batch for instance in sample.instances]
    with model.arm(arm), torch.no_grad():
        responses = getattr(model.lm, kind)(requests, disable_tqdm=True)
    seconds = (time.monotonic() - started) / len(batch)
    if kind == "generate_until":
        # lm-eval answers in input order but computes longest first, a stable order: map token counts back.
        computed = sorted(
            range(len(batch)), key=lambda i: (-len(model.lm.tok_encode(requests[i].args[0])), requests[i].args[0])
        )
        position = {sample: place for place, sample in enumerate(computed)}
    generations, taken = [], 0
    for index, sample in enumerate(batch):
        own = responses[taken : taken + len(sample.instances)]
        taken += len(sample.instances)
        if kind == "generate_until":
            text = own[0]
            tokens: int | None = model.lm.last.tokens[position[index]]
            cut = model.lm.last.lengths_reached[position[index]]
        else:
            text, tokens, cut = json.dumps(own), None, False
        generations.append(
            Generation(
                arm=arm,
                task=sample.task,
                sample=sample.id,
                repeat=0,
                request=sample.request,
                prompt_sha256=sample.prompt_sha256,
                text=text,
                tokens=tokens,
                finish="length" if cut else "stop",
                seconds=round(seconds, 6),
            )
        )
    return generations


def score(tasks: list[LoadedTask], generations: list[Generation]) -> list[Score]:
    """Every metric of every generation, through the task's own lm-eval scoring; one line a metric."""
    answers = {(answer.arm, answer.task, answer.sample): answer for answer in generations}
    arms = sorted({answer.arm for answer in generations})
    scores = []
    for task in tasks:
        for arm in arms:
            for sample in task.samples:
                scores += _score_sample(task, sample, answers[arm, task.name, sample.id])
    return scores


def _score_sample(task: LoadedTask, sample: Sample, answer: Generation) -> list[Score]:
    kind = sample.instances[0].request_type
    responses = [answer.text] if kind == "generate_until" else [tuple(pair) for pair in json.loads(answer.text)]
    for instance, response in zip(sample.instances, responses, strict=True):
        instance.resps, instance.filtered_resps = [response], {}
    task.task._instances = list(sample.instances)
    task.task.apply_filters()
    rows = []
    for name in sample.instances[0].filtered_resps:
        filtered = [instance.filtered_resps[name] for instance in sample.instances]
        for metric, value in task.task.process_results(sample.doc, filtered).items():
            if not isinstance(value, (bool, int, float)):
                continue  # corpus metrics (BLEU, perplexity) carry tuples: they have no per-item value to pair
            number = finite(float(value))
            rows.append(
                Score(
                    arm=answer.arm,
                    task=task.name,
                    sample=sample.id,
                    repeat=answer.repeat,
                    metric=metric if name == "none" else f"{metric},{name}",
                    value=number,
                    status="invalid" if number is None else "scored",
                    reason="the scorer had no answer: is the gold valid?" if number is None else "",
                    cluster=sample.cluster,
                )
            )
    if not rows:
        raise UserError(f"task {task.name} has no per-sample metric: only corpus-level ones cannot be compared paired")
    return rows


def summarise(task: LoadedTask, metrics: list[str]) -> TaskSummary:
    """The task as it ran, with digests of its data and of the exact prompts."""
    return TaskSummary(
        name=task.name,
        samples=len(task.samples),
        metrics=metrics,
        dataset=task.dataset,
        dataset_sha256=task.dataset_sha256,
        samples_sha256=json_sha256([[sample.id, sample.prompt_sha256, sample.gold] for sample in task.samples]),
        clusters=len({sample.cluster for sample in task.samples}),
    )
