"""Answers of one arm to one batch through lm-eval's own model class, and the batches that samples are asked in."""

import json
import time
from collections.abc import Sequence

from eval.run.environment import silence_libraries

silence_libraries()

import torch  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.common.memory import enough_memory, is_out_of_memory  # noqa: E402
from eval.model.lm_tasks import LoadedTask, Sample  # noqa: E402
from eval.model.recording_hf import RecordingHF  # noqa: E402
from eval.model.two_arms import TwoArms  # noqa: E402
from eval.run.digests import json_sha256  # noqa: E402
from eval.run.records import Generation  # noqa: E402

NO_SMALLER = "it takes a GPU or a machine with more memory, or the base in fewer bits (`load: 4bit` of the backend)"


def plan_batches(tasks: Sequence[LoadedTask], lm: RecordingHF, batch_size: int) -> list[list[Sample]]:
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


def generate(model: TwoArms, arm: str, batch: Sequence[Sample]) -> list[Generation]:
    """Answers of one arm to one batch, in the batch's order; in parts from when memory did not suffice for more.

    Parts are padded less, so that an answer may differ in its last bits from that of a whole batch, as it may between
    two machines. UserError when memory does not suffice for one item.
    """
    if len(batch) > model.lm.fits:
        parts = range(0, len(batch), model.lm.fits)
        return [made for start in parts for made in generate(model, arm, batch[start : start + model.lm.fits])]
    try:
        return _at_once(model, arm, batch)
    except UserError as error:
        if len(batch) == 1 or not is_out_of_memory(error):
            raise
    model.lm.fits = (len(batch) + 1) // 2
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    print(f"eval: memory does not suffice for {len(batch)} items at once: {model.lm.fits} from now on", flush=True)
    return generate(model, arm, batch)


def _at_once(model: TwoArms, arm: str, batch: Sequence[Sample]) -> list[Generation]:
    started = time.monotonic()
    kind = batch[0].instances[0].request_type
    requests = [instance for sample in batch for instance in sample.instances]
    # Drawn answers follow from the batch alone, whether those before it were made now, earlier or not at all. Both arms
    # draw by the same numbers: an adapter that changes nothing changes no answer.
    asked = [[sample.prompt_sha256, sample.repeat] for sample in batch]
    torch.manual_seed(int(json_sha256([model.seed, *asked])[:15], 16))
    memory = enough_memory(f"{arm} answers {len(batch)} items at once", NO_SMALLER)
    with memory, model.arm(arm), torch.no_grad():
        lm = model.lm
        responses = getattr(lm, kind)(requests, disable_tqdm=True)
    seconds = (time.monotonic() - started) / len(batch)
    model.prove_base()  # before anybody keeps an answer
    if kind == "generate_until":
        # lm-eval answers in input order but computes longest first, a stable order: map token counts back.
        computed = sorted(
            range(len(batch)), key=lambda i: (-len(lm.tok_encode(requests[i].args[0])), requests[i].args[0])
        )
        position = {sample: place for place, sample in enumerate(computed)}
    generations, taken, made_by = [], 0, model.made_by(arm)
    for index, sample in enumerate(batch):
        own = responses[taken : taken + len(sample.instances)]
        taken += len(sample.instances)
        if kind == "generate_until":
            text = own[0]
            tokens: int | None = lm.last.tokens[position[index]]
            cut = lm.last.lengths_reached[position[index]]
        else:
            text, tokens, cut = json.dumps(own), None, False
        generations.append(
            Generation.to(
                sample,
                arm=arm,
                text=text,
                tokens=tokens,
                finish="length" if cut else "stop",
                seconds=round(seconds, 6),
                **made_by,
            )
        )
    return generations
