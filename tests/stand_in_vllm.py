"""A program named `vllm` that takes the flags we give it, as strictly as vLLM's own parser, and serves our test server.

    program = install(folder, "serves")        the path of an executable; or one that "fails", or "has no effect"

It starts a process of its own, as vLLM does for its engine, and writes into `folder/started.json` what it was given.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.answering_server import LIKELY, Answering

ROOT = Path(__file__).parent.parent


def install(folder: Path, way: str) -> Path:
    """Write the program, which behaves in one of the ways above. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "vllm"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.stand_in_vllm import main\nmain({way!r}, {str(folder)!r})\n"
    )
    program.chmod(0o755)
    return program


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    parser.add_argument("command", choices=("serve",))
    parser.add_argument("model_tag")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float", "float16", "float32", "half"))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--generation-config")
    parser.add_argument("--revision")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--tensor-parallel-size", type=int)
    parser.add_argument("--enforce-eager", action="store_true")
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-loras", type=int)
    parser.add_argument("--max-lora-rank", type=int, choices=(1, 8, 16, 32, 64, 128, 256, 320, 512))
    parser.add_argument("--lora-modules", nargs="+", default=[])
    return parser.parse_args()


def main(way: str, folder: str) -> None:
    given = arguments()
    adapters = dict(module.split("=", 1) for module in given.lora_modules)
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    facts = {
        "pids": [os.getpid(), engine.pid],
        "arguments": vars(given),
        "digests": {arm: digests(Path(path)) for arm, path in adapters.items()},
    }
    (Path(folder) / "started.json").write_text(json.dumps(facts))
    if way == "fails":
        print("INFO loading\nValueError: LoRA rank 4 is more than the card has\x1b[0m", flush=True)
        sys.exit(3)
    if way == "has no effect":
        LIKELY["candidate"] = LIKELY["base"]
    names = [*given.served_model_name, *adapters]
    known = json.loads((Path(folder) / "answers.json").read_text()) if (Path(folder) / "answers.json").is_file() else {}
    models = {name: known.get(name, {}) for name in names}
    server = Answering(models, key=os.environ["VLLM_API_KEY"], likelihoods=True, port=given.port)
    server.serve_forever()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
