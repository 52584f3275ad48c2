"""Backends by name: ours, and where an installed package's are found. No torch: what is named here is loaded by name.

backend = load_backend(suite, arms, reuse, say)       both arms, by the backend that the suite names
refuse_lacking(backend, suite, tasks)                 before an answer is paid for: can it do what the suite asks?
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eval.common.errors import UserError
from eval.common.memory import enough_memory
from eval.common.places import ROOT
from eval.config.suite_file import Suite
from eval.contracts.backend import PROOFS, Arms, Backend, BringsArms, Load, Say
from eval.contracts.domains import reads_logits
from eval.contracts.plugins import Table, find, origin
from eval.run.digests import file_sha256
from eval.run.metrics import UNSEEN, AdapterEffect

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask

OURS: Table = {
    "hf": "eval.model.hf:load",
    "endpoint": "eval.model.endpoint.serving:load",
    "vllm": "eval.model.endpoint.vllm_backend:load",
    "beside": "eval.model.beside:load",
}
SERVERS = ("endpoint", "vllm", "beside")  # of ours: what answers there, nobody can prove
NEED_RUNS = ("hf", "vllm")  # of ours: nothing is imported to see that they bring no arms
SERVED = (
    "endpoint/serving.py", "endpoint/answers.py", "endpoint/likelihoods.py", "endpoint/templates.py",
    "endpoint/options.py", "endpoint/meeting.py", "endpoint/connection.py", "generation_settings.py",
)  # fmt: skip
LOADED_HERE = (
    "hf.py", "two_arms.py", "two_models.py", "generating.py", "recording_hf.py", "generation_settings.py",
    "adapters_on_base.py", "base_proof.py", "unpacked.py", "workers.py", "worker.py",
)  # fmt: skip
# What of our code decides an answer, by backend. Of a package's backend all of the package does.
GENERATING = {
    "hf": LOADED_HERE,
    "endpoint": SERVED,
    "vllm": (*SERVED, "endpoint/vllm_backend.py", "endpoint/vllm_command.py", "endpoint/vllm_server.py"),
    "beside": (*LOADED_HERE, *SERVED, "beside.py"),
}  # fmt: skip
MEASURING = ("neutral.py", "drift.py")  # what of our code decides a divergence


@enough_memory("loading the model", "it needs a GPU or a machine with more memory; configs/train/README.md has sizes")
def load_backend(suite: Suite, arms: Arms, reuse: Backend | None = None, say: Say = print) -> Backend:
    """Both arms, by the suite's backend. `reuse`: one that it loaded before. UserError when there is no such backend,
    or what it loads does not belong together."""
    load: Load = find("backends", suite.backend.kind, OURS)
    return load(suite.backend, arms, suite.seed, reuse, say)


def base_brought(suite: Suite) -> str | None:
    """The name of the base where the suite's backend brings both arms; None where it needs the adapter of a run.

    UserError when there is no such backend, or its options are wrong.
    """
    if suite.backend.kind in NEED_RUNS:
        return None
    load = find("backends", suite.backend.kind, OURS)
    return load.base_of(suite.backend) if isinstance(load, BringsArms) else None


def code_of(kind: str) -> Any:
    """What of a backend's code decides an answer: digests of our files, or of the package that offers it (None where
    it does not list its files)."""
    if kind not in OURS:
        return origin("backends", kind, OURS).sha256
    return [file_sha256(ROOT / "eval" / "model" / name) for name in GENERATING[kind]]


def refuse_lacking(backend: Backend, suite: Suite, tasks: "Sequence[LoadedTask]") -> None:
    """UserError for a task that the backend cannot answer."""
    for task in tasks:
        if "likelihoods" not in backend.capabilities and any(s.kind != "generate_until" for s in task.samples):
            raise UserError(
                f"task {task.name} asks for likelihoods, and backend {backend.name} gives none: take it out of suite "
                f"{suite.name}, or use another backend"
            )


def refuse_drift_without_logits(backend: Backend, suite: Suite) -> None:
    """UserError for a suite that measures drift where there are no logits."""
    for task in suite.tasks:
        if "logits" not in backend.capabilities and reads_logits(task.name):
            raise UserError(
                f"task {task.name} needs logits, and backend {backend.name} gives none: take it out of suite "
                f"{suite.name}, or use another backend"
            )


def proves(backend: Backend) -> bool:
    """Whether it is known which bytes answered."""
    return backend.capabilities >= PROOFS


def effect_of(backend: Backend, tasks: "Sequence[LoadedTask]", has_candidate: bool) -> AdapterEffect | None:
    """The proof that the candidate's adapter acts, `answers_changed` still to be counted; None for the base against
    itself. Of a backend that cannot look, one that says so."""
    if not has_candidate:
        return None
    if "proof_of_effect" not in backend.capabilities:
        return UNSEEN
    found = backend.effect(tasks)
    return found and found.model_copy(update={"proven": found.proven and proves(backend)})
