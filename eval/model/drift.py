"""The divergence itself, on a loaded model: logits of both arms at the same positions, and KL between them.

    batches = plan(encode(samples, lm), len(lm.tokenizer))
    rows = measure(arms, batch)             both arms' rows of one batch

Per prompt: the mean over its positions of KL(baseline || candidate) between the two next-token distributions, in nats,
from float32 log-softmax (Kullback & Leibler, Ann. Math. Stat. 22 (1951) 79-86). Positions whose whole context is the
same in every prompt (a template's opening) say nothing about a prompt and are left out.

Both arms read the prompts in the same batches of the one loaded model. Nothing is generated.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402

from eval.common.memory import enough_memory  # noqa: E402
from eval.model.lm_tasks import Sample  # noqa: E402
from eval.model.recording_hf import RecordingHF  # noqa: E402
from eval.model.two_arms import TwoArms  # noqa: E402
from eval.run.records import BASELINE, CANDIDATE, Generation  # noqa: E402

BATCH_LOGITS = 1 << 27  # of one batch and arm: 0.25 GiB in bfloat16, three of which are alive at once
CHUNK_LOGITS = 1 << 22  # of one step of the divergence, in float32: 16 MiB, about six of which are alive at once
SHOWN = 3  # places of a prompt that are named, those that moved most
CONTEXT = 6  # tokens before such a place that are shown


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model reads it. Positions from `start` on count, up to the one that predicts the last token."""

    sample: Sample
    tokens: list[int]
    start: int

    @property
    def positions(self) -> int:
        return max(0, len(self.tokens) - 1 - self.start)


def encode(samples: Sequence[Sample], lm: RecordingHF) -> list[Encoded]:
    """Tokens of every prompt, passages after the token that lm-eval puts before a text; `start` by category."""
    tokens = {}
    for sample in samples:
        own = lm.tok_encode(str(sample.instances[0].args[0]))
        tokens[sample.id] = own if own[:1] == [lm.prefix_token_id] else [lm.prefix_token_id, *own]
    groups: dict[str | None, list[list[int]]] = {}
    for sample in samples:
        groups.setdefault(sample.category, []).append(tokens[sample.id])
    starts = {category: shared_length(group) for category, group in groups.items()}
    return [Encoded(sample, tokens[sample.id], starts[sample.category]) for sample in samples]


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Number of leading tokens that all prompts share; 0 for one prompt, which has nothing to share with."""
    if len(prompts) < 2:
        return 0
    length = 0
    for together in zip(*prompts, strict=False):
        if len(set(together)) > 1:
            break
        length += 1
    return length


def plan(prompts: Sequence[Encoded], vocabulary: int) -> list[list[Encoded]]:
    """Batches of similar length, longest first, none with more than BATCH_LOGITS logits unless it is one prompt.

    Fixed by the data and the vocabulary alone, so that the same values come out again.
    """
    batches: list[list[Encoded]] = []
    for prompt in sorted(prompts, key=lambda prompt: (-len(prompt.tokens), prompt.sample.id)):
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0].tokens) * vocabulary <= BATCH_LOGITS:
            batches[-1].append(prompt)
        else:
            batches.append([prompt])
    return batches


@enough_memory("measuring drift", "use a GPU or a machine with more memory, or remove the task from the suite")
def measure(model: TwoArms, batch: Sequence[Encoded]) -> list[Generation]:
    """Both arms' rows of one batch: `text` is the JSON of {kl, positions, most: [[context, nats], ...]}."""
    started = time.monotonic()
    with torch.no_grad():
        base = own_logits(model, BASELINE, batch)
        moved = divergences(base, own_logits(model, CANDIDATE, batch))
        again = divergences(base, own_logits(model, BASELINE, batch))
    seconds = round((time.monotonic() - started) / (2 * len(batch)), 6)
    rows = []
    model.prove_base()
    for arm, values in ((BASELINE, again), (CANDIDATE, moved)):
        made_by = model.made_by(arm)
        parts = torch.split(values, [prompt.positions for prompt in batch])
        for prompt, part in zip(batch, parts, strict=True):
            rows.append(
                Generation.to(
                    prompt.sample,
                    arm=arm,
                    text=json.dumps(described(prompt, part.tolist(), model.lm), ensure_ascii=False),
                    tokens=None,
                    finish="stop",
                    seconds=seconds,
                    **made_by,
                )
            )
    return rows


def own_logits(model: TwoArms, arm: str, batch: Sequence[Encoded]) -> torch.Tensor:
    """Logits of one arm at the positions that count, prompts one after the other: (positions, vocabulary)."""
    width = max(len(prompt.tokens) for prompt in batch)
    # Padded on the right: no position can see what comes after it.
    padding = model.lm.eot_token_id
    tokens = torch.tensor([prompt.tokens + [padding] * (width - len(prompt.tokens)) for prompt in batch])
    places = torch.arange(width)
    ends = torch.tensor([[len(prompt.tokens)] for prompt in batch])
    starts = torch.tensor([[prompt.start] for prompt in batch])
    counted = (places >= starts) & (places < ends - 1)
    device = model.lm.device
    with model.arm(arm):
        logits = model.lm.model(input_ids=tokens.to(device), attention_mask=(places < ends).long().to(device)).logits
    return logits[counted.to(logits.device)]


def divergences(base: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(base || other) in nats of each row of logits, on the CPU: (rows,).

    Float32 log-probabilities round at about 1e-6, and so does the result; equal rows give exactly 0.
    """
    rows = max(1, CHUNK_LOGITS // base.shape[-1])
    found = []
    for start in range(0, len(base), rows):
        p = torch.log_softmax(base[start : start + rows].float(), dim=-1)
        q = torch.log_softmax(other[start : start + rows].float(), dim=-1)
        q.sub_(p).neg_()
        found.append(p.exp_().mul_(q).sum(dim=-1).cpu())
    # Rounding can leave a tiny negative sum; NaN stays NaN.
    return torch.cat(found).clamp(min=0.0) if found else torch.empty(0)


def described(prompt: Encoded, values: list[float], lm: RecordingHF) -> dict[str, Any]:
    """The mean over the prompt's positions, and the SHOWN positions that moved most with the text before them."""
    mean = math.fsum(values) / len(values) if values else math.nan
    if not math.isfinite(mean):
        return {"kl": None, "positions": len(values), "most": []}
    most = sorted(range(len(values)), key=lambda place: (-values[place], place))[:SHOWN]
    shown = []
    for place in most:
        end = prompt.start + place + 1
        context = lm.tokenizer.decode(prompt.tokens[max(0, end - CONTEXT) : end])
        shown.append([" ".join(context.split()), round(values[place], 6)])
    return {"kl": round(mean, 9), "positions": len(values), "most": shown}
