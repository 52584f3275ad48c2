"""What machine, which packages, which commit: the part of a run's provenance that asks the machine.

    write_json(run / "environment.json", capture_environment())

Names and versions only. Of environment variables it says which of a few that change results are set; no value of one
is read, so none can leak into environment.json.
"""

import functools
import logging
import os
import platform
import re
import subprocess
import warnings
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from eval.common.places import ROOT
from eval.common.quota import cores
from eval.run.digests import file_sha256, text_sha256

NOISY = (
    "torchao",
    "torch.utils._pytree",
    "lm_eval",
    "lm-eval",
    "transformers",
    "datasets",
    "peft",
    "accelerate",
    "bitsandbytes",
)
# Set or not, they change what is computed, where, or where models come from.
KNOWN_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "GLIBC_TUNABLES",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "LD_PRELOAD",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TOKENIZERS_PARALLELISM",
)
# Vector units that decide which kernels run, and so the last bits of a result.
CPU_FEATURES = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "asimd", "bf16", "sve")
GIT = ("git", "--no-optional-locks")  # only looking: the index is not written, and nobody who commits has to wait
INPUTS = ("data", "configs")  # folders that decide what is trained and asked
IMAGE_FILE = Path("/etc/container-image")  # an image may name itself there: `name@sha256:digest`
PODMAN_FILE = Path("/run/.containerenv")
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
    """Keep progress bars and start-up chatter of libraries off the terminal. Call before importing them.

    In a container with a quota their threads are as many as it allows, not as many as the host has cores.
    """
    if (allowed := cores()) < len(os.sched_getaffinity(0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(allowed))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def capture_environment() -> dict[str, Any]:
    """Everything for environment.json: git, Python, packages, machine, GPUs, CUDA, container."""
    return {
        "schema_version": 1,
        "git": git_state(),
        "python": platform.python_version(),
        "machine": machine(),
        "cpu_features": cpu_features(),
        "gpus": gpus(),
        "cuda": cuda(),
        "container": container(),
        "variables_set": [name for name in KNOWN_VARIABLES if name in os.environ],
        "packages": packages(),
    }


def headline_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers."""
    installed = packages()
    return {name: installed[name] for name in HEADLINE_PACKAGES if name in installed}


@functools.cache  # five times an evaluation otherwise, and reading 300 distributions takes 0.3 s
def packages() -> dict[str, str]:
    """Version by name of every installed distribution, sorted."""
    described = [dist.metadata for dist in distributions()]
    found = {str(metadata["Name"]): str(metadata["Version"]) for metadata in described if metadata["Name"]}
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


def cpu_features() -> list[str]:
    """Vector units of the CPU that this module knows by name."""
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)", _read("/proc/cpuinfo"), re.MULTILINE)
    present = set(flags.group(1).split()) if flags else set()
    return [name for name in CPU_FEATURES if name in present]


def gpus() -> list[dict[str, Any]]:
    """Name, memory in MiB, driver and compute capability of each GPU that the driver's tool lists."""
    fields = ("name", "memory_mib", "driver", "compute_capability")
    query = "--query-gpu=name,memory.total,driver_version,compute_cap"
    rows = _run("nvidia-smi", query, "--format=csv,noheader,nounits").splitlines()
    found = [dict(zip(fields, map(str.strip, row.split(",")), strict=False)) for row in rows]
    return [{**row, "memory_mib": int(row["memory_mib"])} for row in found if row.get("memory_mib", "").isdigit()]


def cuda() -> dict[str, str | None]:
    """CUDA version that the driver supports, and the one torch was built for; nulls without."""
    driver = re.search(r"CUDA (?:UMD )?Version\s*:\s*([\d.]+)", _run("nvidia-smi", "-q"))
    return {"driver": driver.group(1) if driver else None, "torch": torch_cuda()}


def torch_cuda() -> str | None:
    """CUDA version torch was built for, from its own version file: importing torch takes seconds."""
    for found in distributions(name="torch"):
        built = re.search(
            r"^cuda\b[^=]*=\s*'([\d.]+)'", _read(str(found.locate_file("torch/version.py"))), re.MULTILINE
        )
        return built.group(1) if built else None
    return None


def container() -> dict[str, Any] | None:
    """Whether this is a container and of which image, as far as that can be known from inside; null outside one."""
    named = _read(str(IMAGE_FILE)).strip()
    podman = dict(re.findall(r'^(\w+)="([^"]*)"', _read(str(PODMAN_FILE)), re.MULTILINE))
    kind = "podman" if PODMAN_FILE.is_file() else "docker" if Path("/.dockerenv").exists() else None
    if not (kind or named):
        return None
    image, _, digest = (named or podman.get("image", "")).partition("@")
    return {"kind": kind, "image": image or None, "digest": digest or podman.get("imageid") or None}


def git_state(root: Path = ROOT) -> dict[str, Any]:
    """Commit, whether the tree differs from it, and a digest of the difference; nulls outside a checkout.

    The digest covers changed files by their difference and new files, that git does not ignore, by their content.
    """
    commit = _run(*GIT, "rev-parse", "HEAD", folder=root) or None
    changes = _run(*GIT, "status", "--porcelain", folder=root) if commit else ""
    difference = ""
    if changes:
        difference = _run(*GIT, "diff", "HEAD", folder=root)
        listed = _run(*GIT, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", folder=root)
        new = [root / name for name in listed.split("\0") if name]
        difference += "".join(file_sha256(path) for path in new if path.is_file())
    return {
        "commit": commit,
        "dirty": bool(changes) if commit else None,
        "diff_sha256": text_sha256(changes + difference) if changes else None,
    }


def uncommitted_inputs(root: Path = ROOT) -> list[str]:
    """Files that data, recipes and suites come from and that HEAD has otherwise, or not at all; at most 10, by name."""
    changes = _run(*GIT, "status", "--porcelain", "--untracked-files=all", "-z", "--", *INPUTS, folder=root)
    listed = (re.fullmatch(r"\s*[A-Z?]{1,2} (.+)", entry) for entry in changes.split("\0"))
    return sorted(found[1] for found in listed if found)[:10]


def _read(path: str) -> str:
    file = Path(path)
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    except OSError:
        return ""


def _run(*command: str, folder: Path = ROOT) -> str:
    """Output of a command, stripped; empty when the tool is missing or fails (an absent GPU is no error)."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
