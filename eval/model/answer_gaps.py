"""How likely are recorded answers under a model? One forward pass tells, token by token, where decoding takes many.

    gaps = answer_gaps(model, arm, [(sample, answer), ...])      nats; 0 where the model itself would have said it

A greedy answer is the likeliest token at each place. Padding and another machine move the last bits of a logit, so that
a token may be second by a hair; one that nobody generated is usually far from the best at some place.
"""

import math
from collections.abc import Sequence

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402

from eval.model.generation_settings import token_ids  # noqa: E402
from eval.model.lm_tasks import Sample  # noqa: E402
from eval.model.task_rules import most_tokens, stop_strings  # noqa: E402
from eval.model.two_arms import TwoArms  # noqa: E402
from eval.run.records import Generation  # noqa: E402

TOGETHER = 8  # answers of one forward pass: logits of every position are held
Pair = tuple[Sample, Generation]


def answer_gaps(model: TwoArms, arm: str, pairs: Sequence[Pair]) -> list[float]:
    """For each answer the largest shortfall of one of its tokens, its end included, below the likeliest token, in nats.

    Infinite where the answer stops at the length limit and is shorter than it.
    """
    ordered = sorted(range(len(pairs)), key=lambda place: len(str(pairs[place][0].instances[0].args[0])))
    gaps: dict[int, float] = {}
    for start in range(0, len(ordered), TOGETHER):
        places = ordered[start : start + TOGETHER]
        gaps |= zip(places, _gaps(model, arm, [pairs[place] for place in places]), strict=True)
    return [gaps[place] for place in range(len(pairs))]


def _gaps(model: TwoArms, arm: str, pairs: Sequence[Pair]) -> list[float]:
    lm = model.lm
    prompts, answers = [], []
    for sample, answer in pairs:
        room = lm.max_length - most_tokens(sample)
        prompts.append(lm.tok_encode(str(sample.instances[0].args[0]))[-room:])
        answers.append(lm.tokenizer.encode(answer.text, add_special_tokens=False))
    whole = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(map(len, whole))
    # Padded on the right: no position can see what comes after it.
    tokens = torch.tensor([row + [lm.eot_token_id] * (width - len(row)) for row in whole])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole])
    with model.arm(arm), torch.no_grad():
        logits = model.lm.model(input_ids=tokens.to(lm.device), attention_mask=mask.to(lm.device)).logits
    found = []
    for number, (sample, answer) in enumerate(pairs):
        first, count = len(prompts[number]) - 1, len(answers[number])
        own = logits[number, first : first + count + 1].float().cpu()
        best = own.max(dim=-1).values
        said = own[torch.arange(count), torch.tensor(answers[number], dtype=torch.long)]
        gap = float((best[:count] - said).max()) if count else 0.0
        found.append(max(gap, _end_gap(model, sample, answer, count, own[-1])))
    return found


def _end_gap(model: TwoArms, sample: Sample, answer: Generation, count: int, logits: torch.Tensor) -> float:
    """How far the end of an answer is from the likeliest continuation, from the logits behind its last token."""
    if answer.finish == "length":
        return 0.0 if count >= most_tokens(sample) else math.inf
    following = model.lm.tokenizer.decode([int(logits.argmax())])
    if any(following.startswith(stop) or stop.startswith(following) for stop in stop_strings(sample)):
        return 0.0
    ends = token_ids(model.lm.model.generation_config.eos_token_id)
    return float(logits.max() - logits[ends].max()) if ends else math.inf
