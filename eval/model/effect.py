"""Does the candidate's adapter act? Its tensors are in the model, and move the logits away from the baseline's."""

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
    logits = {arm: last_logits(model, arm, prompts) for arm in (BASELINE, CANDIDATE)}
    moved = (logits[CANDIDATE] - logits[BASELINE]).abs().amax(dim=-1)
    if not bool(moved.isfinite().all()):
        raise UserError(f"{loaded.shown}: the adapter makes the model compute NaN or infinity: train again")
    return AdapterEffect(
        tensors=loaded.tensors,
        tensors_loaded=loaded.tensors_loaded,
        nonzero_updates=loaded.nonzero_updates,
        probe_prompts=len(prompts),
        max_logit_change=float(moved.max()) if prompts else 0.0,
        answers_changed=0,
        samples=0,
    )


def last_logits(model: TwoArms, arm: str, prompts: Sequence[str]) -> torch.Tensor:
    """Logits of what comes next after each prompt, on the CPU: (prompts, vocabulary)."""
    found = []
    with model.arm(arm), torch.no_grad():
        for prompt in prompts:
            tokens, mask = (part.to(model.lm.device) for part in model.lm.tok_batch_encode([prompt]))
            found.append(model.lm.model(input_ids=tokens, attention_mask=mask).logits[0, -1].float().cpu())
    return torch.stack(found) if found else torch.empty(0, 0)
