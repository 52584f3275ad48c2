"""Does the candidate's adapter act? Its tensors are in the model, and move the logits away from the baseline's."""

import math
from collections.abc import Sequence

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.model.lm_tasks import LoadedTask  # noqa: E402
from eval.model.two_arms import TwoArms  # noqa: E402
from eval.run.metrics import AdapterEffect  # noqa: E402
from eval.run.records import BASELINE, CANDIDATE  # noqa: E402

PROBE_PROMPTS = 8


def adapter_effect(model: TwoArms, tasks: Sequence[LoadedTask]) -> AdapterEffect | None:
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
