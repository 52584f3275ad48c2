"""Two arms of one loaded model, generating through lm-evaluation-harness.

Both arms come from **one load** of the base: the candidate's adapter is switched off for the baseline arm, or exchanged
for the baseline's own; batches are fixed in advance, so that a killed run resumes with the same batches and so the
same answers; every answer is kept with its token count and how it ended.
"""

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402
import transformers  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.common.hub_client import use_bounded_client  # noqa: E402
from eval.common.memory import enough_memory, smaller_batch  # noqa: E402
from eval.config.suite_file import Suite  # noqa: E402
from eval.config.template_arguments import for_templates  # noqa: E402
from eval.model.adapters_on_base import Loaded, check_copies, exact_copy, put_on, readable  # noqa: E402
from eval.model.answer_cache import base_identity, file_states  # noqa: E402
from eval.model.base_proof import BaseMoved, BaseProof  # noqa: E402
from eval.model.generation_settings import ignored_settings, neutral_config, settings_of  # noqa: E402
from eval.model.lm_tasks import LoadedTask, Sample  # noqa: E402
from eval.model.recording_hf import RecordingHF  # noqa: E402
from eval.run.candidate import check_base  # noqa: E402
from eval.run.digests import json_sha256, settings_sha256  # noqa: E402
from eval.run.metrics import AdapterEffect  # noqa: E402
from eval.run.records import BASELINE, CANDIDATE, Generation  # noqa: E402

PROBE_PROMPTS = 8
transformers.utils.logging.disable_progress_bar()


@dataclass
class Model:
    """Both arms on one loaded base. `adapted` is None when neither has an adapter."""

    lm: RecordingHF
    adapted: Any | None = None
    adapters: dict[str, Loaded] = field(default_factory=dict)  # by arm
    seed: int = 0

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[None]:
        """Inside, the model computes as this arm does."""
        if self.adapted is not None and name in self.adapters:
            self.adapted.set_adapter(name)
            yield
        else:
            with self.base_alone():
                yield

    @contextlib.contextmanager
    def base_alone(self) -> Iterator[None]:
        """Inside, the model computes as the base does."""
        if self.adapted is None:
            yield
        else:
            with self.adapted.disable_adapter():
                yield

    def prove_base(self, thoroughly: bool = False) -> None:
        """BaseMoved unless the base is what was loaded: by the logits of a few tokens, `thoroughly` by every tensor."""
        if self.adapted is None:
            return
        with self.base_alone():
            said = self.lm.proof.tensors_moved(self.lm.model) if thoroughly else ""
            said = said or self.lm.proof.logits_moved(self.lm.model)
        if said:
            names = " and ".join(str(loaded.shown) for loaded in self.adapters.values())
            raise BaseMoved(
                f"{names}: the base that both arms share was changed, so that no answer counts: {said}; train a plain "
                "LoRA, without `peft_init_lora_weights` and without biases"
            )

    def made_by(self, arm: str) -> dict[str, str | None]:
        """The fields of a Generation that say what answered."""
        return {
            "adapter_sha256": self.adapters[arm].sha256 if arm in self.adapters else None,
            "base_tensors_sha256": self.lm.proof.sha256,
            "settings_sha256": settings_sha256(settings_of(self.lm)),
        }


def load_model(
    suite: Suite,
    base_model: str,
    revision: str | None,
    adapter: Path | None,
    baseline: Path | None = None,
    lm: RecordingHF | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Model:
    """Load the base once and the adapters on top of it. UserError when they do not belong together.

    `adapter` is the candidate's, `baseline` that of the other arm; None is the base itself. `lm` is this base when an
    earlier comparison has loaded it and its adapters are `taken_off`. `arguments`: the recipe's, for chat templates.
    """
    use_bounded_client()
    shown = {arm: folder for arm, folder in ((CANDIDATE, adapter), (BASELINE, baseline)) if folder is not None}
    with tempfile.TemporaryDirectory() as private:
        copies = {arm: exact_copy(folder, Path(private) / arm) for arm, folder in shown.items()}
        check_copies(copies.values(), base_model, revision)  # before the base is loaded, which may take minutes
        lm = lm or load_base(suite, base_model, revision)
        lm.chat_template_args = for_templates(arguments or {})
        model = Model(lm, seed=suite.seed)
        for arm, copy in copies.items():
            model.adapters[arm] = put_on(lm, arm, copy)
    lm.model.eval()
    if not shown:
        return model
    # PEFT freezes the base. torch then multiplies the last position's (non-contiguous) state with the output matrix
    # row by row, copying the matrix for each: 10 s more to start a batch of 64. Nothing is trained here.
    lm.model.requires_grad_(True)
    model.adapted = lm.model
    model.prove_base(thoroughly=True)
    other = model.adapters.get(BASELINE)
    if other is not None and other.tensors_loaded != other.tensors:
        few = f"only {other.tensors_loaded} of {other.tensors}"
        raise UserError(f"{baseline}: {few} tensors of the baseline's adapter are in the model")
    return model


def which_device() -> str:
    """The first visible GPU, or the CPU. Layers are never split over several GPUs; where there are, it is said."""
    if not torch.cuda.is_available():
        return "cpu"
    if (count := torch.cuda.device_count()) > 1:
        print(f"evaluate: GPU 0 of {count}, and no other; CUDA_VISIBLE_DEVICES names another", flush=True)
    return "cuda:0"


def load_base(suite: Suite, base_model: str, revision: str | None) -> RecordingHF:
    """The base model and its tokenizer, with its proof. UserError when it is not there or cannot be loaded."""
    device = which_device()
    if not torch.cuda.is_available() and not (Path(base_model) / "config.json").is_file():
        raise UserError(f"base model {base_model} is not a local folder and this machine has no GPU: `make model`?")
    before = file_states(base_model)
    files = base_identity(base_model, revision, None)
    if isinstance(files, dict):
        check_base(Path(base_model), files)
    torch.manual_seed(suite.seed)
    with readable(base_model):
        lm = RecordingHF(
            pretrained=base_model,
            revision=revision or "main",
            dtype=suite.backend.dtype,
            batch_size=suite.backend.batch_size,
            device=device,
        )
    if file_states(base_model) != before:
        raise UserError(f"{base_model} changed while it was loaded: nobody else may write there; evaluate again")
    lm.identity = files or base_identity(base_model, revision, getattr(lm.model.config, "_commit_hash", None))
    lm.model.eval()
    lm.ignored = ignored_settings(lm.model.generation_config)
    lm.model.generation_config = neutral_config(lm.model.generation_config, lm.tokenizer)
    lm.proof = BaseProof.of(lm.model)
    return lm


def adapter_effect(model: Model, tasks: list[LoadedTask]) -> AdapterEffect | None:
    """Prove that the candidate's tensors are in the model and move its logits away from the baseline's.

    `answers_changed` is filled in later, when both arms have answered. None when the candidate is the base itself.
    """
    loaded = model.adapters.get(CANDIDATE)
    if loaded is None:
        return None
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
            raise UserError(f"{loaded.shown}: the adapter makes the model compute NaN or infinity: train again")
        change = max(change, moved)
    return AdapterEffect(
        tensors=loaded.tensors,
        tensors_loaded=loaded.tensors_loaded,
        nonzero_updates=loaded.nonzero_updates,
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
    memory = enough_memory(f"{arm} answers a batch of {len(batch)}", smaller_batch(model.lm.batch_size))
    with memory, model.arm(arm), torch.no_grad():
        responses = getattr(model.lm, kind)(requests, disable_tqdm=True)
    seconds = (time.monotonic() - started) / len(batch)
    model.prove_base()  # before anybody keeps an answer
    if kind == "generate_until":
        # lm-eval answers in input order but computes longest first, a stable order: map token counts back.
        computed = sorted(
            range(len(batch)), key=lambda i: (-len(model.lm.tok_encode(requests[i].args[0])), requests[i].args[0])
        )
        position = {sample: place for place, sample in enumerate(computed)}
    generations, taken, made_by = [], 0, model.made_by(arm)
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
                **made_by,
            )
        )
    return generations
