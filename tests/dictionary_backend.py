"""A backend that looks answers up in a dictionary: what the contract asks for, and nothing else. No torch.

    backend:
      kind: dictionary
      options: {answers: FILE}      JSON: {arm: {request: answer}}; what is not in it is answered with nothing

`load` proves nothing, as what talks to a server cannot. `load_claiming` says that it proves everything: a package can
lie, and publishing has to ask for consent. Tests install this file as a package, with both as entry points.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import PROOFS, Arms, Backend, Say
from eval.run.digests import file_sha256, settings_sha256
from eval.run.metrics import AdapterEffect, GenerationSettings
from eval.run.records import CANDIDATE, Generation

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask, Sample


def one_by_one(answer: Callable[[str, list[Any]], list[Generation]]) -> Any:
    """`answer_many` of a backend that can only `answer`."""
    return lambda arm, batches: enumerate(answer(arm, batch) for batch in batches)


class Dictionary(Backend):
    """Answers by arm and request."""

    name = "dictionary"

    def __init__(self, answers: Mapping[str, Mapping[str, str]]) -> None:
        self.answers = answers

    def facts(self) -> dict[str, Any]:
        return {"device": "none", "dtype": "none"}

    def settings(self) -> GenerationSettings:
        return GenerationSettings(
            end_tokens=[], pad_token=None, decoding={}, ignored={}, template_arguments={}, template_date=None
        )

    def answer(self, arm: str, batch: "Sequence[Sample]") -> list[Generation]:
        return [
            Generation(
                arm=arm,
                task=sample.task,
                sample=sample.id,
                repeat=sample.repeat,
                request=sample.request,
                prompt_sha256=sample.prompt_sha256,
                text=self.answers[arm].get(sample.request, ""),
                tokens=None,
                finish="stop",
                seconds=0.0,
                **self.made_by(arm),
            )
            for sample in batch
        ]


class Claiming(Dictionary):
    """The same, with the claim that the adapter answered."""

    name = "claiming"
    capabilities = PROOFS

    def __init__(self, answers: Mapping[str, Mapping[str, str]], arms: Arms) -> None:
        super().__init__(answers)
        self.arms = arms

    def made_by(self, arm: str) -> dict[str, str | None]:
        adapter = self.arms.candidate if arm == CANDIDATE else self.arms.baseline
        return {
            "adapter_sha256": file_sha256(adapter.parent / "adapter.sha256") if adapter else None,
            "base_tensors_sha256": hashlib.sha256(self.arms.base_model.encode()).hexdigest(),
            "settings_sha256": settings_sha256(self.settings()),
        }

    def effect(self, tasks: "Sequence[LoadedTask]") -> AdapterEffect | None:
        return AdapterEffect(
            tensors=2, tensors_loaded=2, nonzero_updates=1, probe_prompts=1, max_logit_change=1.0, answers_changed=0,
            samples=0,
        )  # fmt: skip


def load(
    settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print
) -> Dictionary:
    return Dictionary(read(settings))


def load_claiming(
    settings: BackendSettings, arms: Arms, seed: int, reuse: Backend | None = None, say: Say = print
) -> Dictionary:
    return Claiming(read(settings), arms)


def read(settings: BackendSettings) -> dict[str, dict[str, str]]:
    """The file of answers. UserError when the suite names none, or it is no JSON."""
    try:
        found: dict[str, dict[str, str]] = json.loads(Path(str(settings.options["answers"])).read_text())
    except KeyError:
        raise UserError("backend dictionary: options: answers is missing: name a JSON file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"backend dictionary: options: answers: {error}") from None
    return found
