"""A run's merged model as llama.cpp serves it: converted, quantised, compared in its prompts, and started on loopback.

    tools = found_tools()                          UserError with the command that installs them
    convert(tools, merged, target)                 16-bit GGUF
    quantise(tools, source, target, "q4_k_m")
    check_prompts(tools, target, candidate)        UserError unless llama.cpp asks the model the same tokens as hf
    with llama_server(tools, target, name, start_s) as options: ...       options of backend `beside`

All of it is llama.cpp's own code and its Python package's (`make gguf-tools`), run in processes of their own with an
environment of their own: their server reads settings from it (HOST, PORT, MODEL, SEED), which are names of ours too.
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.quota import cores
from eval.run.candidate import Candidate
from eval.run.files import read_json

VERSION = "0.3.36"  # of llama-cpp-python, and so of the llama.cpp inside it
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
TOOLS = ROOT / ".cache" / "gguf-tools"
MADE = "made.json"  # what the tools were made of; written last
QUANTS = ("f16", "q8_0", "q4_k_m")
SIDE = Path(__file__).with_name("llama_side.py")
KEY = "SERVE_CHECK_KEY"  # variable of the random key, in this process and below it
CONTEXT = 4096  # tokens of prompt and answer together
LONGEST = 6 * 3600  # seconds for a conversion
SYSTEM, ASKED = "system", "user"
# What tokenizers and templates differ in: digits, runs of spaces, lines, letters of two to four bytes, quotes.
CHATS = [
    [{"role": ASKED, "content": "Find files over 1024 MB in /var/log,  newest first"}],
    [{"role": ASKED, "content": 'naïve 日本語 🙂 1234567 \t it\'s\n\n  `a|b` -exec {} \\; "q"'}],
]


@dataclass(frozen=True)
class Tools:
    """llama.cpp's converter, and a Python with its package."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def converter(self) -> Path:
        return self.folder / "source" / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"


def found_tools(folder: Path | None = None) -> Tools:
    """What `make gguf-tools` made. UserError when it did not, or made another version."""
    folder = folder or TOOLS
    tools = Tools(folder)
    whole = (folder / MADE).is_file() and tools.python.is_file() and tools.converter.is_file()
    if not whole or read_json(folder / MADE).get("version") != VERSION:
        raise UserError(f"FORM=gguf needs llama.cpp {VERSION}'s tools, which are not here: run `make gguf-tools` once")
    return tools


def convert(tools: Tools, model: Path, target: Path) -> None:
    """A merged model's folder as a 16-bit GGUF file. UserError for a model that llama.cpp does not know."""
    file = model / "tokenizer.json"
    splits = ["gpt-2"] if file.is_file() and splits_as_gpt2(read_json(file)) else []
    run_tool([sys.executable, str(SIDE), "convert", str(tools.converter), str(model), str(target), *splits], "convert")


def splits_as_gpt2(tokenizer: Any) -> bool:
    """Whether a tokenizer.json splits texts by GPT-2's expression alone, into bytes."""
    before, kind = tokenizer.get("pre_tokenizer") or {}, tokenizer["model"]["type"]
    plain = before.get("use_regex", True) and not before.get("add_prefix_space", False)
    return kind == "BPE" and before.get("type") == "ByteLevel" and bool(plain)


def quantise(tools: Tools, source: Path, target: Path, quant: str) -> None:
    """A 16-bit GGUF file, quantised."""
    run_tool([str(tools.python), str(SIDE), "quantise", str(source), str(target), quant], "quantise")


def check_prompts(tools: Tools, file: Path, candidate: Candidate) -> None:
    """UserError unless llama.cpp asks the model the same tokens for a chat as we do, and ends at the same tokens."""
    from eval.model.endpoint.templates import TokenizerTemplate

    template = TokenizerTemplate.of(candidate.base_model, candidate.revision, candidate.template_arguments)
    said = run_tool([str(tools.python), str(SIDE), "read", str(file)], "read", json.dumps(CHATS))
    theirs = json.loads(said.strip().splitlines()[-1])
    for chat, tokens in zip(CHATS, theirs["prompts"], strict=True):
        ours = template.tokenizer(template.apply_chat_template(chat), add_special_tokens=False).input_ids
        if ours != tokens:
            at = next((n for n, pair in enumerate(zip(ours, tokens, strict=False)) if pair[0] != pair[1]), None)
            place = f"differ at token {at}" if at is not None else f"are {len(tokens)} tokens, and ours {len(ours)}"
            raise UserError(
                f"{file.name}: llama.cpp's prompts {place}: its chat template or tokenizer is another than the base's, "
                "so that it would answer other questions: serve the model as you do, and use FORM=endpoint"
            )
    ends = template.end_tokens()
    if missing := sorted(set(ends) - set(theirs["ends"])):
        raise UserError(f"{file.name}: llama.cpp does not end an answer at token {missing[0]}, as the base does")


@contextlib.contextmanager
def llama_server(tools: Tools, file: Path, name: str, start_s: float = 600) -> Iterator[dict[str, Any]]:
    """llama-cpp-python's server with this model, on loopback, with a random key; the options that `beside` needs."""
    from eval.model.endpoint.vllm_server import Started

    port, key = port_of(f"{file}"), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="llama-") as private:
        command = server_command(tools, file, name, port)
        started = Started(command, clean_environment() | {"API_KEY": key}, Path(private) / "log")
        os.environ[KEY] = key
        try:
            started.wait_until(partial(is_ready, port, key), start_s)
            yield {
                "base_url": f"http://127.0.0.1:{port}/v1", "candidate": name, "key_env": KEY, "concurrency": 1,
                "timeout_s": 600,
                "candidate_body": {"repeat_penalty": 1.0},  # its server's own is 1.1, which greedy is not
            }  # fmt: skip
        finally:
            started.stop()
            del os.environ[KEY]


def server_command(tools: Tools, file: Path, name: str, port: int) -> list[str]:
    """The command line of llama-cpp-python's server. It answers one at a time; a later request ends none."""
    threads = str(cores())
    given = {
        "model": str(file), "model_alias": name, "host": "127.0.0.1", "port": str(port), "n_ctx": str(CONTEXT),
        "n_threads": threads, "n_threads_batch": threads, "interrupt_requests": "false", "verbose": "false",
    }  # fmt: skip
    return [str(tools.python), "-m", "llama_cpp.server", *(word for key in given for word in (f"--{key}", given[key]))]


def clean_environment() -> dict[str, str]:
    """What llama.cpp's processes get of ours."""
    kept = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
    return {"LANG": "C.UTF-8", **{name: os.environ[name] for name in kept if name in os.environ}}


def run_tool(command: list[str], doing: str, given: str = "") -> str:
    """Standard output of one of llama.cpp's tools. UserError with its last words."""
    done = subprocess.run(
        command, env=clean_environment(), input=given, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"llama.cpp could not {doing} the model ({done.returncode}): {lines[-1][:300]}")
    return done.stdout


def port_of(text: str) -> int:
    """A free port of this machine, the same for the same text where it can be: a check goes on where it was killed."""
    from eval.model.endpoint.vllm_server import free_port

    port = 20_000 + int(hashlib.sha256(text.encode()).hexdigest(), 16) % 12_000
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    return port


def is_ready(port: int, key: str) -> bool:
    """Whether the server lists its model."""
    try:
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/models", headers=headers, timeout=2.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200
