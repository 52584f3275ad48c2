"""One machine of Modal: `modal run --detach`, with what to do in the file that SECURECLI_FILE names.

The time limit is Modal's own. HF_TOKEN is Modal's secret of this name (`modal secret create HF_TOKEN HF_TOKEN=...`).
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import modal

NOTHING = {"name": "sct-none", "image": "python:3.12-bookworm", "gpu": None, "seconds": 600, "secrets": []}
# The module is imported on the machine again, where the file is not: what starts there comes as arguments.
asked: dict[str, Any] = json.loads(Path(os.environ["SECURECLI_FILE"]).read_text()) if modal.is_local() else NOTHING

app = modal.App(asked["name"])
image = modal.Image.from_registry(asked["image"], add_python=None)


@app.function(
    image=image,
    gpu=asked["gpu"],
    timeout=asked["seconds"],
    secrets=[modal.Secret.from_name(name) for name in asked["secrets"]],
    max_containers=1,
    retries=0,
)
def machine(script: str, env: dict[str, str]) -> int:
    """boot.sh, with the job's variables; its exit code."""
    return subprocess.run(["bash", "-c", script], env={**os.environ, **env}, check=False).returncode


@app.local_entrypoint()
def main() -> None:
    """Start it and go: with --detach it runs on."""
    machine.spawn(asked["script"], asked["env"])
