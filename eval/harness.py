"""Base and adapter as two arms of one loaded model, generating through lm-evaluation-harness.

Base and adapter come from **one load** of the base, the adapter being switched off for the baseline arm; batches
are fixed in advance, so that a killed run resumes with the same batches and so the same answers; every answer is
kept with its token count and how it ended. With eval/lm_tasks.py, the only file that imports lm-eval and torch.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.environment import silence_libraries

silence_libraries()

import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from eval.config import Suite  # noqa: E402
from eval.errors import UserError  # noqa: E402
from eval.lm_tasks import LoadedTask, Sample  # noqa: E402
from eval.records import BASELINE, CANDIDATE, AdapterEffect, Generation  # noqa: E402

PROBE_PROMPTS = 8
transformers.utils.logging.disable_progress_bar()


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
    # PEFT freezes the base. torch then multiplies the last position's (non-contiguous) state with the output matrix
    # row by row, copying the matrix for each: 10 s more to start a batch of 64. Nothing is trained here.
    lm.model.requires_grad_(True)
    return Model(lm=lm, adapted=lm.model, adapter=adapter)


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
            for arm in (BASELINE, CANDIDATE):
                with model.arm(arm):
                    logits[arm] = model.lm.model(input_ids=tokens, attention_mask=mask).logits[0, -1].float()
        moved = float((logits[CANDIDATE] - logits[BASELINE]).abs().max())
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


def plan_batches(tasks: list[LoadedTask], lm: Any, batch_size: int) -> list[list[Sample]]:
    """Samples in batches of similar length, longest first, as lm-eval itself would batch them.

    Fixed by the data alone: padding changes the last bits of a logit, so equal batches give equal answers.
    """
    alike: dict[str, list[Sample]] = {}
    for task in tasks:
        for sample in task.samples:
            first = sample.instances[0]
            settings = str(first.args[1]) if first.request_type == "generate_until" else ""
            alike.setdefault(first.request_type + settings, []).append(sample)

    def longest_first(sample: Sample) -> tuple[int, str]:
        prompt = str(sample.instances[0].args[0])
        return -len(lm.tok_encode(prompt)), prompt

    batches = []
    for samples in alike.values():
        ordered = sorted(samples, key=longest_first)
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
