"""What machine, which packages, which commit: the part of a run's provenance that asks the machine.

Names and versions only. No environment variable is read here, so none can leak into environment.json.
"""

import logging
import os
import platform
import re
import subprocess
import warnings
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from eval.provenance import text_sha256

ROOT = Path(__file__).resolve().parent.parent
NOISY = ("torchao", "torch.utils._pytree", "lm_eval", "lm-eval", "transformers", "datasets", "peft", "accelerate")
HEADLINE_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "axolotl",
    "lm_eval",
    "datasets",
    "tokenizers",
    "accelerate",
)


def silence_libraries() -> None:
    """Keep progress bars and start-up chatter of libraries off the terminal. Call before importing them."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def capture_environment() -> dict[str, Any]:
    """Everything for environment.json: git, Python, packages, machine."""
    return {
        "git": git_state(),
        "python": platform.python_version(),
        "machine": machine(),
        "packages": packages(),
    }


def headline_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers."""
    installed = packages()
    return {name: installed[name] for name in HEADLINE_PACKAGES if name in installed}


def packages() -> dict[str, str]:
    """Version by name of every installed distribution, sorted."""
    found = {str(dist.metadata["Name"]): dist.version for dist in distributions() if dist.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def machine() -> dict[str, Any]:
    """CPU, cores, memory in GB, operating system and GPU (from the driver's own tool; null when absent)."""
    cpu = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    system = re.search(r'PRETTY_NAME="(.+)"', _read("/etc/os-release"))
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "os": system.group(1) if system else platform.platform(),
        "kernel": platform.release(),
        "gpu": _run("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader") or None,
    }


def git_state() -> dict[str, Any]:
    """Commit, whether the tree differs from it, and a digest of the difference; nulls outside a checkout."""
    commit = _run("git", "rev-parse", "HEAD") or None
    changes = _run("git", "status", "--porcelain") if commit else ""
    difference = _run("git", "diff", "HEAD") if changes else ""
    return {
        "commit": commit,
        "dirty": bool(changes) if commit else None,
        "diff_sha256": text_sha256(changes + difference) if changes else None,
    }


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.is_file() else ""


def _run(*command: str) -> str:
    """Output of a command, stripped; empty when the tool is missing or fails (an absent GPU is no error)."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
