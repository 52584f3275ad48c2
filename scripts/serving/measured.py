"""What one form of a model costs: a process of its own loads it as a reader would, answers, and says what it took.

    took = measure(Form("models/base", adapter="results/x/adapter"), prompts)

Both forms are asked the same prompts, one process after the other, so that neither has the other's memory. Figures are
of this machine and this moment: they are recorded and shown, and nothing is decided by them.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.run.records import Record

BATCH, NEW_TOKENS = 8, 64
LAST_LINE = "measured: "
COMMAND = [sys.executable, "-m", "scripts.serving.measured"]
TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Form:
    """A model folder or name on the Hub, and how it is loaded. `quantised`: of transformers' BitsAndBytesConfig."""

    model: str
    revision: str | None = None
    adapter: str | None = None
    dtype: str = "auto"
    quantised: Mapping[str, Any] = field(default_factory=dict)


class Took(Record):
    """What loading a form and answering took."""

    tokens: int = Field(ge=0)
    seconds: float = Field(ge=0, description="of answering alone")
    cpu_seconds: float = Field(ge=0, description="the same, of the processor, all threads together")
    memory: int = Field(ge=0, description="peak of loading and answering beyond what the libraries take, bytes")


def measure(form: Form, prompts: Sequence[str]) -> Took:
    """UserError when the process does not end with figures."""
    given = json.dumps({"form": {**asdict(form), "quantised": dict(form.quantised)}, "prompts": list(prompts)})
    try:
        done = subprocess.run(
            COMMAND, cwd=ROOT, input=given, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(f"measuring {form.model} took over {TIMEOUT_SECONDS} s: try when the machine is idle") from None
    said = [line for line in done.stdout.splitlines() if line.startswith(LAST_LINE)]
    try:
        return Took.model_validate_json(said[-1].removeprefix(LAST_LINE))
    except (IndexError, ValidationError):
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"])[-1].strip()
        raise UserError(f"{form.model} could not be measured (exit code {done.returncode}): {last[:300]}") from None


def took(form: Form, prompts: Sequence[str]) -> Took:
    """What it takes in this process."""
    from eval.model.unpacked import keep_unpacked
    from eval.run.environment import silence_libraries

    silence_libraries()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    libraries = resident("VmRSS")
    named: dict[str, Any] = {"revision": form.revision} if form.revision else {}
    quantised = {"quantization_config": BitsAndBytesConfig(**form.quantised)} if form.quantised else {}
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(
        form.model, dtype=form.dtype, device_map=device, **named, **quantised
    )
    tokenizer = AutoTokenizer.from_pretrained(form.model, padding_side="left", **named)
    model = PeftModel.from_pretrained(model, form.adapter) if form.adapter else model
    model.eval()
    keep_unpacked(model)  # as both are judged
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    answer(model, tokenizer, prompts[:1], 2)  # what only the first answer takes is not counted
    tokens, wall, processor = 0, time.monotonic(), time.process_time()
    for start in range(0, len(prompts), BATCH):
        tokens += answer(model, tokenizer, prompts[start : start + BATCH], NEW_TOKENS)
    seconds, cpu_seconds = time.monotonic() - wall, time.process_time() - processor
    memory = torch.cuda.max_memory_allocated() if device != "cpu" else max(0, resident("VmHWM") - libraries)
    return Took(tokens=tokens, seconds=round(seconds, 3), cpu_seconds=round(cpu_seconds, 3), memory=memory)


def answer(model: Any, tokenizer: Any, prompts: Sequence[str], most: int) -> int:
    """How many tokens the model answers to a batch, greedily, each answer's end token included."""
    inputs = tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    made = model.generate(
        **inputs, max_new_tokens=most, do_sample=False, repetition_penalty=1.0, pad_token_id=tokenizer.pad_token_id
    )
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    return sum(length(row, ends) for row in made[:, inputs["input_ids"].shape[1] :].tolist())


def length(row: list[int], ends: set[int]) -> int:
    """Tokens up to the first that ends an answer; what follows it is padding."""
    return next((place + 1 for place, token in enumerate(row) if token in ends), len(row))


def resident(name: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at the most so far."""
    lines = read_text(Path("/proc/self/status")).splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def main() -> int:
    given = json.load(sys.stdin)
    print(LAST_LINE + took(Form(**given["form"]), given["prompts"]).model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
