"""The backend `vllm`: starts vLLM with the base and the run's adapter on it, and asks it as an endpoint.

    backend: {kind: vllm, dtype: bfloat16, batch_size: 256, options: {concurrency: 256}}

What it knows: the digest of the adapter's bytes that vLLM was given (a copy that nobody else writes), and by asking,
that the two arms do not compute the same. What vLLM loaded of those bytes, and what the base below is, it cannot see:
it claims no proof of the base, and its verdicts are shown, never published.

docs/backends.md says what of this was run against vLLM and what was not.
"""

import os
import secrets
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, Say
from eval.contracts.numerics import chosen, number_type
from eval.model.adapters_on_base import WEIGHTS, Copy, check_copies, exact_copy
from eval.model.endpoint.answers import PATHS, first_choice
from eval.model.endpoint.connection import Malformed, Server
from eval.model.endpoint.likelihoods import number
from eval.model.endpoint.meeting import Asked, found_on, limits_of
from eval.model.endpoint.options import read_options
from eval.model.endpoint.serving import Endpoint, Template, tokenizer_template
from eval.model.endpoint.vllm_command import BASE_NAME, VllmOptions, command_line, served_rank
from eval.model.endpoint.vllm_server import Started, free_port
from eval.run.metrics import AdapterEffect
from eval.run.records import BASELINE, CANDIDATE

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask

PROBE_PROMPTS = 8
TOP = 20  # log-probabilities of a place that vLLM gives at most, unless it is told otherwise


class Vllm(Endpoint):
    """Both arms on a vLLM that was started here."""

    name = "vllm"

    def __init__(
        self,
        started: Started,
        server: Server,
        asked: Mapping[str, Asked],
        options: VllmOptions,
        template: Template,
        arguments: Mapping[str, Any],
        seed: int,
        copies: Mapping[str, Copy],
    ) -> None:
        super().__init__(server, asked, options, "completions", template, arguments, seed)
        self.started, self.copies = started, dict(copies)
        self.capabilities |= {"proof_of_effect"}

    def made_by(self, arm: str) -> dict[str, str | None]:
        given = self.copies.get(arm)
        return super().made_by(arm) | {"adapter_sha256": given.sha256 if given else None}

    def effect(self, tasks: "Sequence[LoadedTask]") -> AdapterEffect | None:
        """By asking: the next token's log-probabilities after a few prompts differ between the arms by more than the
        baseline's own do when it is asked twice. Of the tensors in vLLM nothing is seen, and none is counted."""
        if CANDIDATE not in self.copies:
            return None
        prompts = [str(sample.instances[0].args[0]) for task in tasks for sample in task.samples][:PROBE_PROMPTS]
        moved = noise = 0.0
        for prompt in prompts:
            base, candidate, again = (self.next_token(arm, prompt) for arm in (BASELINE, CANDIDATE, BASELINE))
            moved, noise = max(moved, change(base, candidate)), max(noise, change(base, again))
        acts = moved > noise
        return AdapterEffect(
            tensors=0 if acts else tensors_of(self.copies[CANDIDATE]),
            tensors_loaded=0,
            nonzero_updates=0,
            probe_prompts=len(prompts),
            max_logit_change=moved if acts else 0.0,
            answers_changed=0,
            samples=0,
            proven=False,
        )

    def next_token(self, arm: str, prompt: str) -> dict[str, float]:
        """Log-probabilities of the likeliest next tokens, by token."""
        body = {
            "model": self.asked[arm].model, "prompt": self.template.prompt(prompt), "max_tokens": 1,
            "temperature": 0.0, "seed": self.seed, "logprobs": TOP,
        }  # fmt: skip
        return self.server.ask(PATHS["completions"], body, f"{arm}, a probe of its effect", top_logprobs)

    def let_go(self) -> None:
        """End the server."""
        self.server.close()
        self.started.stop()


def top_logprobs(value: Any) -> dict[str, float]:
    """The first place's log-probabilities of a response. Malformed where there are none."""
    found = first_choice(value).get("logprobs")
    places = found.get("top_logprobs") if isinstance(found, dict) else None
    if not isinstance(places, list) or not places or not isinstance(places[0], dict) or not places[0]:
        raise Malformed("its answer has no log-probabilities of the next token")
    return {token: number(logprob) for token, logprob in places[0].items()}


def change(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Largest change of a log-probability, in nats, over the tokens that both name. Where they have none in common, the
    larger of the two best."""
    both = one.keys() & other.keys()
    if not both:
        return max(abs(max(one.values())), abs(max(other.values())))
    return max(abs(one[token] - other[token]) for token in both)


def tensors_of(copy: Copy) -> int:
    """How many tensors an adapter's file has."""
    from safetensors import safe_open

    with safe_open(copy.folder / WEIGHTS, framework="pt") as file:
        return len(file.keys())


def is_healthy(port: int) -> bool:
    """Whether the server on this port of ours says that it is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def stopped(started: Started, private: "tempfile.TemporaryDirectory[str]") -> None:
    """End the server, then remove what it read."""
    started.stop()
    private.cleanup()


def load(settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print) -> Vllm:
    """Start vLLM and wait until it answers. UserError, before that, for an adapter that it cannot serve."""
    options = read_options(settings, VllmOptions)
    if arms.model is not None:
        raise UserError("backend vllm serves adapters on their base, no whole model beside it: use backend hf")
    numerics = chosen(settings.load, arms.trained)
    if numerics.settings:
        raise UserError(
            f"backend vllm serves its base not quantised, and this one is loaded in {numerics.form}: judge it with "
            "`load: bf16`, which is another base, or use backend hf"
        )
    if isinstance(reuse, Vllm):
        reuse.let_go()
    shown = {arm: folder for arm, folder in ((CANDIDATE, arms.candidate), (BASELINE, arms.baseline)) if folder}
    private = tempfile.TemporaryDirectory(prefix="vllm-")  # as long as the server, which reads the copies
    place = Path(private.name)
    copies = {arm: exact_copy(folder, place / arm) for arm, folder in shown.items()}
    check_copies(copies.values(), arms.base_model, arms.revision)
    rank = max([served_rank(copy.folder, copy.shown) for copy in copies.values()], default=1)
    template = tokenizer_template(arms.base_model, arms, arms.revision)
    dtype = number_type(settings.dtype, numerics)
    port, key = free_port(), secrets.token_hex(16)
    adapters = {arm: copy.folder for arm, copy in copies.items()}
    command = command_line(options, arms.base_model, arms.revision, adapters, rank, dtype, seed, port)
    say(f"starting {' '.join(command[:3])} on port {port}; its log: {place / 'log'}")
    environment = os.environ | {"VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    started = Started(command, environment, place / "log")
    started.wait_until(partial(is_healthy, port), options.start_s)
    server = Server(f"http://127.0.0.1:{port}/v1", key, limits_of(options))
    asked = found_on(server, {arm: Asked(arm if arm in copies else BASE_NAME) for arm in (BASELINE, CANDIDATE)})
    backend = Vllm(started, server, asked, options, template, arms.template_arguments, seed, copies)
    weakref.finalize(backend, stopped, started, private)  # also when Python ends
    backend.find_likelihoods(say)
    return backend
