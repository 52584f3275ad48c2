"""Two arms of one loaded model, generating through lm-evaluation-harness.

Both arms come from **one load** of the base: the candidate's adapter is switched off for the baseline arm, or exchanged
for the baseline's own; batches are fixed in advance, so that a killed run resumes with the same batches and so the
same answers; every answer is kept with its token count and how it ended. With eval/lm_tasks.py, the only file that
imports lm-eval and torch.
"""

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.environment import silence_libraries

silence_libraries()

import peft  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from eval.adapter_check import check_adapter, check_tokenizer  # noqa: E402
from eval.config import Suite  # noqa: E402
from eval.errors import UserError  # noqa: E402
from eval.hub_client import use_bounded_client  # noqa: E402
from eval.lm_tasks import LoadedTask, Sample  # noqa: E402
from eval.provenance import json_sha256  # noqa: E402
from eval.records import BASELINE, CANDIDATE, Generation  # noqa: E402
from eval.results import AdapterEffect  # noqa: E402

PROBE_PROMPTS = 8
transformers.utils.logging.disable_progress_bar()


@dataclass
class Model:
    """Both arms on one loaded base. `adapted` is None when neither has an adapter."""

    lm: "RecordingHF"
    adapted: Any | None
    adapter: Path | None
    baseline: Path | None = None
    seed: int = 0

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[None]:
        """Inside, the model computes as this arm does."""
        if self.adapted is None:
            yield
        elif (self.baseline if name == BASELINE else self.adapter) is None:
            with self.adapted.disable_adapter():
                yield
        else:
            self.adapted.set_adapter(BASELINE if name == BASELINE else CANDIDATE)
            yield


@dataclass
class _Batch:
    tokens: list[int] = field(default_factory=list)
    lengths_reached: list[bool] = field(default_factory=list)


class RecordingHF(HFLM):
    """lm-eval's transformers model, keeping the token counts that its interface drops."""

    last: _Batch
    commit: str | None = None  # of a base that came from the Hub

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **generation_kwargs: Any) -> Any:
        output = super()._model_generate(context, max_length, stop, **generation_kwargs)
        room = max_length - context.shape[1]
        self.last = _Batch()
        for row in output[:, context.shape[1] :].tolist():
            ended = row.index(self.eot_token_id) + 1 if self.eot_token_id in row else len(row)
            self.last.tokens.append(ended)
            self.last.lengths_reached.append(ended == room and self.eot_token_id not in row)
        return output


def load_model(
    suite: Suite,
    base_model: str,
    revision: str | None,
    adapter: Path | None,
    baseline: Path | None = None,
    lm: "RecordingHF | None" = None,
) -> Model:
    """Load the base once and the adapters on top of it. UserError when they do not belong together.

    `adapter` is the candidate's, `baseline` that of the other arm; None is the base itself. `lm` is this base when an
    earlier comparison has loaded it.
    """
    use_bounded_client()
    folders = [folder for folder in (adapter, baseline) if folder is not None]
    for folder in folders:
        check_adapter(folder, base_model)  # before the base is loaded, which may take minutes
    if folders:
        with tempfile.TemporaryDirectory() as saved, _readable(base_model):
            transformers.AutoTokenizer.from_pretrained(base_model, revision=revision).save_pretrained(saved)
            for folder in folders:
                check_tokenizer(folder, Path(saved))
    lm = load_base(suite, base_model, revision) if lm is None else lm
    return put_adapters(lm, suite.seed, adapter, baseline)


def load_base(suite: Suite, base_model: str, revision: str | None) -> "RecordingHF":
    """The base model and its tokenizer. UserError when it is not there or cannot be loaded."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available() and not (Path(base_model) / "config.json").is_file():
        raise UserError(f"base model {base_model} is not a local folder and this machine has no GPU: `make model`?")
    torch.manual_seed(suite.seed)
    with _readable(base_model):
        lm = RecordingHF(
            pretrained=base_model,
            revision=revision or "main",
            dtype=suite.backend.dtype,
            batch_size=suite.backend.batch_size,
            device=device,
        )
    lm.commit = getattr(lm.model.config, "_commit_hash", None)
    lm.model.eval()
    return lm


def put_adapters(lm: "RecordingHF", seed: int, adapter: Path | None, baseline: Path | None) -> Model:
    """The arms of one comparison on a loaded base; adapters of an earlier one are taken off first."""
    if isinstance(lm.model, peft.PeftModel):
        lm._model = lm.model.unload()
    for name, folder in ((CANDIDATE, adapter), (BASELINE, baseline)):
        if folder is None:
            continue
        with _readable(f"adapter {folder}"):
            if isinstance(lm.model, peft.PeftModel):
                lm.model.load_adapter(str(folder), adapter_name=name)
            else:
                lm._model = peft.PeftModel.from_pretrained(lm.model, str(folder), adapter_name=name)
    lm.model.eval()
    if adapter is None and baseline is None:
        return Model(lm, None, None, seed=seed)
    # PEFT freezes the base. torch then multiplies the last position's (non-contiguous) state with the output matrix
    # row by row, copying the matrix for each: 10 s more to start a batch of 64. Nothing is trained here.
    lm.model.requires_grad_(True)
    model = Model(lm, lm.model, adapter, baseline, seed)
    if baseline is not None:
        on_disk, loaded, _ = tensors_in_model(model, BASELINE, baseline)
        if loaded != on_disk:
            raise UserError(
                f"{baseline}: only {loaded} of {on_disk} tensors of the baseline's adapter are in the model"
            )
    return model


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    """A library that cannot read `what` says so in one line, as a UserError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise UserError(f"cannot load {what}: {first_line}") from error


def tensors_in_model(model: Model, arm: str, adapter: Path) -> tuple[int, int, int]:
    """Tensors of an adapter's file; how many are in the model with equal values; how many updates B are not zero."""
    on_disk = safetensors.torch.load_file(adapter / "adapter_model.safetensors")
    in_model = peft.get_peft_model_state_dict(model.adapted, adapter_name=arm, save_embedding_layers=False)
    loaded = sum(
        name in in_model and torch.equal(in_model[name].float().cpu(), tensor.to(in_model[name].dtype).float())
        for name, tensor in on_disk.items()
    )
    return len(on_disk), loaded, sum(bool(tensor.any()) for name, tensor in on_disk.items() if "lora_B" in name)


def adapter_effect(model: Model, tasks: list[LoadedTask]) -> AdapterEffect | None:
    """Prove that the candidate's tensors are in the model and move its logits away from the baseline's.

    `answers_changed` is filled in later, when both arms have answered. None when the candidate is the base itself.
    """
    if model.adapted is None or model.adapter is None:
        return None
    on_disk, loaded, nonzero = tensors_in_model(model, CANDIDATE, model.adapter)
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
        tensors=on_disk,
        tensors_loaded=loaded,
        nonzero_updates=nonzero,
        probe_prompts=len(prompts),
        max_logit_change=change,
        answers_changed=0,
        samples=0,
    )


def device_facts(model: Model) -> dict[str, Any]:
    """What of this machine decides the last bits of a logit."""
    facts: dict[str, Any] = {"device": str(model.lm.device), "dtype": str(next(model.lm.model.parameters()).dtype)}
    if model.lm.device.type == "cuda":
        return facts | {"name": torch.cuda.get_device_name()}
    return facts | {"name": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}


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
    # Tasks that sample draw the same numbers whether the batches before were made now, earlier or not at all.
    torch.manual_seed(int(json_sha256([model.seed, *(sample.prompt_sha256 for sample in batch)])[:15], 16))
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
