"""Load a published adapter or model as a reader of its card would, in a process of its own, and let it answer once.

    loaded = load_back(snapshot, lines, request, tensors, cache, endpoint, token)

The lines that run are those of the downloaded card, with the tag replaced by the commit it will name. Then every
tensor of the downloaded files is looked up in the loaded model, the logits must be finite, with an adapter differ from
the base's, and the beginning of one request is answered greedily.

Not protected against: a base model that changed its answers under the same commit; what other libraries load.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from huggingface_hub import constants
from pydantic import Field, ValidationError

from eval.adapters.file_names import WEIGHTS as ADAPTER_WEIGHTS
from eval.common.errors import Refused, UserError
from eval.config.template_arguments import TEMPLATE_DATE
from eval.run.records import Record

TIMEOUT_SECONDS = 3600  # a base of several GB is downloaded and, without a GPU, answers slowly
LARGEST_FILE = 60 << 30  # bytes; a base has its weights in files of 50 GB at most
KEPT_OUTPUT = 1 << 20  # bytes
LONGEST_REQUEST = 1000  # characters; logits of every position are held, and a longer text proves no more
LAST_LINE = "loaded: "
SILENCED = ("PYTHONPATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE")
# Run after the card's lines, which define model and tokenizer, and template_arguments where a template has any.
HEAD = """
import json, sys
from datetime import datetime
import torch
from safetensors.torch import load_file
files, request, day = json.load(sys.stdin)
model.eval()
"""
# A file may hold tensors that are not on PEFT's list of an adapter's own: every key is looked up in the whole model.
ADAPTER_STATE = """
from peft import get_peft_model_state_dict
state = {**model.state_dict(), **get_peft_model_state_dict(model, save_embedding_layers=False)}
"""
MODEL_STATE = """
state = model.state_dict()
"""
ASK = """
found = 0
for file in files:
    sent = load_file(file)
    found += sum(name in state and torch.equal(state[name].cpu(), sent[name].to(state[name].dtype)) for name in sent)
text = request
if tokenizer.chat_template:
    chat = [{"role": "user", "content": request}]
    given = {**globals().get("template_arguments", {}), "strftime_now": datetime.fromisoformat(day).strftime}
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False, **given)
inputs = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template).to(model.device)
with torch.no_grad():
    logits = model(**inputs).logits.float()
"""
ADAPTER_LOGITS = """
    with model.disable_adapter():
        before = model(**inputs).logits.float()
    moved = (logits - before).abs().max().item()
"""
MODEL_LOGITS = """
    moved = None if bool(logits.isfinite().all()) else float("nan")
"""
ANSWER = """
    tokens = model.generate(**inputs, max_new_tokens=16, do_sample=False)[0][inputs["input_ids"].shape[1]:]
answer = tokenizer.decode(tokens, skip_special_tokens=True)
print("loaded: " + json.dumps({"tensors": found, "logit_change": moved, "request": request, "answer": answer}))
"""
CHECKS = HEAD + ADAPTER_STATE + ASK + ADAPTER_LOGITS + ANSWER
MODEL_CHECKS = HEAD + MODEL_STATE + ASK + MODEL_LOGITS + ANSWER


class Loaded(Record):
    """What loading it back showed."""

    tensors: int = Field(description="of the downloaded file, found with equal values in the loaded model")
    logit_change: float | None = Field(
        description="largest absolute difference to the base's next-token logits; null for a whole model"
    )
    request: str
    answer: str


def card_lines(card: str) -> str:
    """The Python of the card's first code block. Refused when it has none."""
    found = re.search(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    if not found:
        raise Refused("the card has no Python that loads the adapter")
    return found[1]


def load_back(
    snapshot: Path, lines: str, request: str, tensors: int, cache: Path, endpoint: str, token: str | None
) -> Loaded:
    """Run `lines`, then the checks. `cache` holds the download and gets the base, unless the base is cached already.

    Raises Refused when the adapter does not load, loads in part or changes nothing; UserError when it takes too long.
    """
    adapter = snapshot / ADAPTER_WEIGHTS
    whole = not adapter.is_file()
    if not whole:
        share_base(cache, endpoint, lines)
    environment = {name: value for name, value in os.environ.items() if name not in SILENCED}
    environment |= {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": endpoint, "TOKENIZERS_PARALLELISM": "false"}
    if token:
        environment["HF_TOKEN"] = token
    command = [sys.executable, "-I", "-c", lines + (MODEL_CHECKS if whole else CHECKS)]
    # On stdin, as an argument may not hold a NUL; half a surrogate pair could be neither tokenized nor recorded.
    request = request[:LONGEST_REQUEST].encode(errors="replace").decode()
    files = sorted(map(str, snapshot.glob("*.safetensors"))) if whole else [str(adapter)]
    given = json.dumps([files, request, TEMPLATE_DATE.isoformat()])
    with tempfile.TemporaryDirectory() as empty:  # a folder here named like the base would be taken for it
        code, printed, errors = run_bounded(command, empty, environment, given)
    said = [line for line in printed.splitlines() if line.startswith(LAST_LINE)]
    if code or not said:
        reason = ([line for line in errors.splitlines() if line.strip()] or ["it said nothing"])[-1]
        raise Refused(f"what was uploaded does not load by the lines of its card: {reason.strip()[:300]}")
    try:
        loaded = Loaded.model_validate(json.loads(said[-1].removeprefix(LAST_LINE)))
    except (ValidationError, json.JSONDecodeError):
        raise Refused("what was uploaded loads, and computes no finite numbers") from None
    if loaded.tensors != tensors or (not whole and not loaded.logit_change):
        moved = "" if whole else f", logits move by {loaded.logit_change or 0:g}"
        raise Refused(
            f"what was uploaded loads without effect: {loaded.tensors} of {tensors} tensors are in the model{moved}"
        )
    return loaded


def run_bounded(command: list[str], folder: str, environment: dict[str, str], given: str) -> tuple[int, str, str]:
    """Exit code and the last of what a process printed to stdout and stderr.

    It is killed after TIMEOUT_SECONDS (UserError), and no file it writes is larger than LARGEST_FILE: what answers to
    the base's download may never end.
    """
    ends = {"stdout": b"", "stderr": b""}

    def drain(name: str, stream: IO[bytes]) -> None:
        while piece := stream.read1(1 << 16):  # type: ignore[attr-defined]
            ends[name] = (ends[name] + piece)[-KEPT_OUTPUT:]

    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE)),
    )
    assert process.stdin and process.stdout and process.stderr
    readers = [threading.Thread(target=drain, args=pair, daemon=True) for pair in
               (("stdout", process.stdout), ("stderr", process.stderr))]  # fmt: skip
    for reader in readers:
        reader.start()
    with suppress(BrokenPipeError), process.stdin as stream:
        stream.write(given.encode())
    try:
        code = process.wait(TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"loading it back took over {TIMEOUT_SECONDS} s: publish again where it fits") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # helpers it started would hold its output open
        process.wait()
    for reader in readers:
        reader.join(5)
    printed, errors = (ends[name].decode(errors="replace") for name in ("stdout", "stderr"))
    return code, printed, errors


def share_base(cache: Path, endpoint: str, lines: str) -> None:
    """Let the base come from, and go to, this machine's own cache; never that of another endpoint's models."""
    base = re.search(r'AutoModelForCausalLM\.from_pretrained\("([\w.-]+/[\w.-]+)"', lines)
    if base and endpoint == "https://huggingface.co":
        own = Path(constants.HF_HUB_CACHE) / f"models--{base[1].replace('/', '--')}"
        own.mkdir(parents=True, exist_ok=True)
        (cache / own.name).symlink_to(own, target_is_directory=True)
