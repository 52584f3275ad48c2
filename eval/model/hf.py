"""The backend `hf`: both arms on one loaded base, through transformers, PEFT and lm-evaluation-harness.

    model = load(suite.backend, Arms(base, revision, candidate=adapter), seed=42)       a Backend with every capability

Both arms come from **one load** of the base: the candidate's adapter is switched off for the baseline arm, or exchanged
for the baseline's own; batches are fixed in advance, so that a killed run resumes with the same batches and so the
same answers; every answer is kept with its token count and how it ended.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402
import transformers  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.common.hub_client import use_bounded_client  # noqa: E402
from eval.config.suite_file import BackendSettings  # noqa: E402
from eval.config.template_arguments import for_templates  # noqa: E402
from eval.contracts.backend import Arms, Backend, Capability, Positioned, Say  # noqa: E402
from eval.contracts.numerics import Numerics, chosen, number_type  # noqa: E402
from eval.model import drift  # noqa: E402
from eval.model.adapters_on_base import Loaded, check_copies, exact_copy, put_on, readable, taken_off  # noqa: E402
from eval.model.answer_gaps import answer_gaps  # noqa: E402
from eval.model.base_proof import BaseProof  # noqa: E402
from eval.model.effect import adapter_effect  # noqa: E402
from eval.model.generating import generate, plan_batches  # noqa: E402
from eval.model.generation_settings import ignored_settings, neutral_config, settings_of  # noqa: E402
from eval.model.lm_tasks import LoadedTask, Sample  # noqa: E402
from eval.model.recording_hf import RecordingHF  # noqa: E402
from eval.model.task_rules import check_lengths  # noqa: E402
from eval.model.two_arms import TwoArms  # noqa: E402
from eval.model.two_models import Both, TwoModels, compared  # noqa: E402
from eval.model.workers import Work, Workers, loaded_as  # noqa: E402
from eval.run.base_files import at_revision, base_identity, file_states  # noqa: E402
from eval.run.candidate import check_base  # noqa: E402
from eval.run.digests import json_sha256  # noqa: E402
from eval.run.metrics import AdapterEffect, GenerationSettings  # noqa: E402
from eval.run.records import BASELINE, CANDIDATE, Generation  # noqa: E402

transformers.utils.logging.disable_progress_bar()
THREADS = torch.get_num_threads()  # of all workers together


@dataclass
class Model(TwoArms, Backend):
    """Both arms of a loaded model, as a backend."""

    name = "hf"
    capabilities = frozenset(get_args(Capability))
    workers: Workers | None = None

    @property
    def template(self) -> RecordingHF:  # type: ignore[override]
        return self.lm

    @property
    def identity(self) -> Any:  # type: ignore[override]
        return self.lm.identity

    def facts(self) -> dict[str, Any]:
        return device_facts(self.lm) | self.lm.numerics.record()

    def settings(self) -> GenerationSettings:
        return settings_of(self.lm)

    def plan(self, tasks: Sequence[LoadedTask], batch_size: int) -> list[list[Sample]]:
        return plan_batches(tasks, self.lm, batch_size)

    def answer(self, arm: str, batch: Sequence[Sample]) -> list[Generation]:
        return generate(self, arm, batch)

    def answer_many(self, arm: str, batches: Sequence[Sequence[Sample]]) -> Iterator[tuple[int, list[Generation]]]:
        if self.workers is None or len(batches) < 2:
            yield from super().answer_many(arm, batches)
        else:
            yield from self.workers.answer(arm, batches, partial(self.answer, arm), loaded_as(self))

    def prove_base(self, thoroughly: bool = False) -> None:
        super().prove_base(thoroughly)
        self.prove_workers(thoroughly)

    def prove_workers(self, thoroughly: bool) -> None:
        if thoroughly and self.workers is not None:
            self.workers.prove()

    def check_lengths(self, tasks: Sequence[LoadedTask]) -> None:
        check_lengths(tasks, self.lm)

    def effect(self, tasks: Sequence[LoadedTask]) -> AdapterEffect | None:
        return adapter_effect(self, tasks)

    def plan_drift(self, samples: Sequence[Sample]) -> list[list[drift.Encoded]]:
        return drift.plan(drift.encode(samples, self.lm), len(self.lm.tokenizer))

    def measure_drift(self, batch: Sequence[Positioned]) -> list[Generation]:
        return drift.measure(self, [prompt for prompt in batch if isinstance(prompt, drift.Encoded)])

    def gaps(self, arm: str, pairs: Sequence[tuple[Sample, Generation]]) -> list[float]:
        return answer_gaps(self, arm, pairs)


class WholeModels(TwoModels, Model):
    """The same with two models in place of one base."""

    def prove_base(self, thoroughly: bool = False) -> None:
        TwoModels.prove_base(self, thoroughly)
        self.prove_workers(thoroughly)


def load(settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print) -> Model:
    """Load the base once and the adapters on top of it, as eval/contracts/backend.py has it; other workers when they
    are first needed."""
    use_bounded_client()
    if settings.options:
        raise UserError(f"backend hf has no options: remove {', '.join(sorted(settings.options))}")
    workers = workers_for(settings, reuse, say)
    if arms.model is not None:
        model: Model = load_whole(settings, arms, seed, reuse)
    else:
        model = load_adapters(settings, arms, seed, reuse, say)
    if workers is not None:
        workers.work = Work(settings, arms, seed)
        model.workers = workers
    return model


def workers_for(settings: BackendSettings, reuse: Backend | None, say: Say) -> Workers | None:
    """Those of before where they are as many; None where this process answers alone. Threads of a CPU are shared out.

    UserError for more than there are GPUs.
    """
    gpus = visible_gpus()
    count = settings.workers if settings.workers != "auto" else max(1, len(gpus))
    if gpus and count > len(gpus):
        raise UserError(f"workers: {count}, and {len(gpus)} visible GPUs: each takes one, so set `workers: auto`")
    threads = max(1, THREADS // count)
    torch.set_num_threads(threads)
    if len(gpus) > count:
        say(f"{count} of {len(gpus)} GPUs, as `workers` of the suite's backend has it")
    if isinstance(reuse, Model) and reuse.workers is not None:
        if reuse.workers.count == count:
            return reuse.workers
        reuse.workers.close()
    return Workers(count, threads, gpus, say) if count > 1 else None


def visible_gpus() -> list[str]:
    """How CUDA_VISIBLE_DEVICES names each GPU that torch sees; empty on a CPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or list(map(str, range(count))))[:count]


def load_adapters(settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None, say: Say) -> Model:
    """The base, once, and the adapters on top of it."""
    numerics = chosen(settings.load, arms.trained)
    dtype = number_type(settings.dtype, numerics)
    key = arms.base_model, arms.revision, dtype, settings.batch_size, numerics.form, dict(numerics.settings)
    lm = taken_over(reuse, key, say)
    shown = {arm: folder for arm, folder in ((CANDIDATE, arms.candidate), (BASELINE, arms.baseline)) if folder}
    with tempfile.TemporaryDirectory() as private:
        copies = {arm: exact_copy(folder, Path(private) / arm) for arm, folder in shown.items()}
        check_copies(copies.values(), arms.base_model, arms.revision)  # before the base, which may take minutes
        lm = lm or load_base(settings, arms.base_model, arms.revision, seed, numerics)
        lm.loaded_as = key
        lm.chat_template_args = for_templates(dict(arms.template_arguments))
        model = Model(lm, seed=seed)
        for arm, copy in copies.items():
            model.adapters[arm] = put_on(lm, arm, copy)
    lm.model.eval()
    if not shown:
        return model
    # PEFT freezes the base. torch then multiplies the last position's (non-contiguous) state with the output matrix
    # row by row, copying the matrix for each: 10 s more to start a batch of 64. Nothing is trained here.
    for parameter in lm.model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())  # quantised weights are no numbers
    model.adapted = lm.model
    model.prove_base(thoroughly=True)
    other = model.adapters.get(BASELINE)
    if other is not None and other.tensors_loaded != other.tensors:
        few = f"only {other.tensors_loaded} of {other.tensors}"
        raise UserError(f"{arms.baseline}: {few} tensors of the baseline's adapter are in the model")
    return model


def load_whole(settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None) -> WholeModels:
    """The base, with the baseline's adapter on it where it has one, and a whole model, each loaded by itself."""
    if isinstance(reuse, Model) and not reuse.is_let_go:
        reuse.let_go()
    model, revision = at_revision(str(arms.model))
    as_trained, itself = chosen(settings.load, arms.trained), Numerics(dtype=arms.trained.dtype)
    numerics = {BASELINE: as_trained, CANDIDATE: chosen(settings.load, itself)}
    names: dict[str, str] = {BASELINE: arms.base_model, CANDIDATE: model}
    revisions = {BASELINE: arms.revision, CANDIDATE: revision}

    def loaded(arm: str) -> RecordingHF:
        lm = load_base(settings, names[arm], revisions[arm] or None, seed, numerics[arm])
        lm.chat_template_args = for_templates(dict(arms.template_arguments))
        if arm == BASELINE and arms.baseline is not None:
            with tempfile.TemporaryDirectory() as private:
                copy = exact_copy(arms.baseline, Path(private) / arm)
                check_copies([copy], arms.base_model, arms.revision)
                adapters[:] = [put_on(lm, arm, copy)]
            lm.model.eval()
        return lm

    adapters: list[Loaded] = []
    both = Both({arm: partial(loaded, arm) for arm in names})
    both.of(BASELINE)
    digest = json_sha256(both.of(CANDIDATE).identity)
    return WholeModels(both, compared(both, str(arms.model), digest), next(iter(adapters), None), seed)


def taken_over(reuse: Backend | None, key: tuple[Any, ...], say: Say) -> RecordingHF | None:
    """The base of an earlier comparison, its adapters taken off, where it is the same; else it is freed before the next
    one is loaded."""
    if not isinstance(reuse, Model) or reuse.is_let_go:
        return None
    if reuse.lm.loaded_as == key:
        if taken_off(reuse.lm):
            return reuse.lm
        say("the base is loaded again: not every tensor of it came back when the adapter was taken off")
    reuse.let_go()
    return None


def load_base(
    settings: BackendSettings, base_model: str, revision: str | None, seed: int, numerics: Numerics
) -> RecordingHF:
    """The base model and its tokenizer, with its proof. UserError when it is not there or cannot be loaded."""
    device = "cuda:0" if torch.cuda.is_available() else "cpu"  # layers are never split over several GPUs
    if not torch.cuda.is_available() and not (Path(base_model) / "config.json").is_file():
        raise UserError(f"base model {base_model} is not a local folder and this machine has no GPU: `make model`?")
    before = file_states(base_model)
    files = base_identity(base_model, revision, None)
    if isinstance(files, dict):
        check_base(Path(base_model), files)
    torch.manual_seed(seed)
    with readable(base_model):
        lm = RecordingHF(
            pretrained=base_model,
            revision=revision or "main",
            dtype=number_type(settings.dtype, numerics),
            batch_size=settings.batch_size,
            device=device,
            quantised=numerics.settings,
        )
    lm.numerics = numerics
    if file_states(base_model) != before:
        raise UserError(f"{base_model} changed while it was loaded: stop what writes there, then evaluate again")
    lm.identity = files or base_identity(base_model, revision, getattr(lm.model.config, "_commit_hash", None))
    lm.model.eval()
    lm.ignored = ignored_settings(lm.model.generation_config)
    lm.model.generation_config = neutral_config(lm.model.generation_config, lm.tokenizer)
    lm.proof = BaseProof.of(lm.model)
    return lm


def device_facts(lm: RecordingHF) -> dict[str, Any]:
    """What of this machine decides the last bits of a logit."""
    facts: dict[str, Any] = {"device": str(lm.device), "dtype": str(next(lm.model.parameters()).dtype)}
    if lm.device.type == "cuda":
        return facts | {"name": torch.cuda.get_device_name()}
    return facts | {"name": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
