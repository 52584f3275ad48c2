"""Which build of torch fits this machine: the one its NVIDIA driver knows, or the one for CPUs.

    install("torch==2.13.0", Path(".venv/bin"))

The torch of the package index is a CUDA 13 build of several GB, which needs driver 580 or newer; many rented hosts have
570, and a machine without a GPU needs none of it. PyTorch keeps the other builds on an index of its own, which uv knows
(`--torch-backend`): by the driver it takes the newest that is there. UV_TORCH_BACKEND=cu126 names one. Nothing outside
the standard library is imported: this runs before there is a torch.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from eval.common.errors import UserError

# Oldest driver for any build of a CUDA major version, by NVIDIA's rules of minor-version compatibility.
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# Of the pinned torch the oldest build is for CUDA 12; uv takes none of those below this driver (seen with 0.13.9).
OLDEST_FOR_ANY = (525, 60, 13)


def nvidia_driver() -> str | None:
    """Version of the driver, such as 570.124.06, of a GPU that this machine or container may use; None without."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"\d+(\.\d+)+", done.stdout.strip())
    return found.group() if found and done.returncode == 0 else None


def too_old(driver: str | None) -> str | None:
    """Why no build of the pinned torch runs under this driver; None when one does, or when there is no GPU."""
    if driver is None or tuple(map(int, driver.split("."))) >= OLDEST_FOR_ANY:
        return None
    oldest = ".".join(map(str, OLDEST_FOR_ANY))
    return (
        f"NVIDIA driver {driver} is too old: the pinned torch has builds for CUDA 12 and 13, which need {oldest} or "
        "newer; update it, or rent a host with CUDA 12.8 or newer (docs/runpod.md)"
    )


def misfit(driver: str | None, cuda: str | None) -> str | None:
    """Why torch, built for that CUDA version (None: for CPUs), cannot use a GPU under that driver; None when it can."""
    if driver is None:
        return None
    if cuda is None:
        return f"torch is built without CUDA, and here is a GPU with driver {driver}"
    needed = OLDEST_DRIVER.get(int(cuda.split(".")[0]))
    if needed is not None and int(driver.split(".")[0]) < needed:
        return f"torch is built for CUDA {cuda}, which needs driver {needed} or newer, and here is {driver}"
    return None


def install(pinned: str, binaries: Path) -> None:
    """Install `torch==VERSION` into the environment with these binaries (pip and uv), in the build that fits.

    UserError when there is none, or when only one could be had that cannot use the GPU.
    """
    driver, named = nvidia_driver(), os.environ.get("UV_TORCH_BACKEND")
    backend = named or ("auto" if driver else "cpu")
    if f"torch=={cuda_version(binaries)[0]}" == pinned and not named and not misfit(driver, cuda_version(binaries)[1]):
        return
    print(f"setup: {pinned}, {f'for NVIDIA driver {driver}' if driver else 'for CPUs (no GPU answers)'}", flush=True)
    uv = [str(binaries / "uv"), "pip", "install", "--quiet", "--python", str(binaries / "python")]
    command = [*uv, "--reinstall-package", "torch", "--torch-backend", backend, pinned]
    done = subprocess.run(command, capture_output=True, text=True, env={"UV_HTTP_RETRIES": "2"} | os.environ)
    if done.returncode != 0:
        why = reason(done.stderr)
        if named:
            advice = "`env -u UV_TORCH_BACKEND make setup` lets the driver choose (an image may have set it)"
            raise UserError(f"no {pinned} for UV_TORCH_BACKEND={named}: {why}; {advice}")
        print(f"setup: PyTorch's index of builds gave none ({why}); pip looks where it is configured to, and may bring")
        print("setup: the CUDA build, several GB more", flush=True)
        pip = [str(binaries / "pip"), "install", "--quiet", "--disable-pip-version-check", pinned]
        if subprocess.run(pip).returncode != 0:
            raise UserError(f"{pinned} could not be installed: pip's lines above say why")
    if not named and (problem := misfit(driver, cuda_version(binaries)[1])):
        raise UserError(f"{problem}: name a build that fits, as UV_TORCH_BACKEND=cu126, or rent a host with another")


def cuda_version(binaries: Path) -> tuple[str | None, str | None]:
    """Version of the installed torch without its local part, and the CUDA it was built for; None without one."""
    for file in binaries.parent.glob("lib/python3.*/site-packages/torch/version.py"):
        text = file.read_text(encoding="utf-8")
        version = re.search(r"^__version__ = '([\w.]+)", text, re.MULTILINE)
        cuda = re.search(r"^cuda\b[^=]*=\s*'([\d.]+)'", text, re.MULTILINE)
        return version and version.group(1), cuda and cuda.group(1)
    return None, None


def reason(said: str) -> str:
    """The most telling line of what uv said: the last cause, else the first line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no reason given"]
    causes = [line.split(":", 1)[1].strip() for line in lines if line.lower().startswith(("cause:", "caused by:"))]
    return (causes[-1:] or [lines[0].removeprefix("error: ")])[0][:200]
