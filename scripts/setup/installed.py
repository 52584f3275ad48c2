"""What `make setup` has installed, and whether it can use the GPU that is here: `make setup JSON=1`.

    python -m scripts.setup.installed

Nothing is imported that takes seconds: versions come from the packages' own files, the driver from nvidia-smi.
"""

import platform
from importlib.metadata import PackageNotFoundError, version

from eval.common.answer import Answer
from eval.common.errors import run_command
from eval.run.environment import torch_cuda
from eval.run.records import Record
from scripts.setup.torch_build import misfit, nvidia_driver

NAMES = ("torch", "axolotl", "lm_eval", "trackio", "wandb", "mlflow-skinny", "tensorboard")


class Installed(Record):
    """The environment of this checkout. Without a driver there is no GPU: only CPU recipes are trained here."""

    python: str
    packages: dict[str, str | None]
    torch_cuda: str | None
    gpu_driver: str | None
    gpu_problem: str | None


def installed() -> Installed:
    """What is in .venv, and on this machine."""
    driver, cuda = nvidia_driver(), torch_cuda()
    return Installed(
        python=platform.python_version(),
        packages={name: version_of(name) for name in NAMES},
        torch_cuda=cuda,
        gpu_driver=driver,
        gpu_problem=misfit(driver, cuda),
    )


def version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> int:
    found = installed()
    gpu = f"NVIDIA driver {found.gpu_driver}" if found.gpu_driver else "no GPU answers"
    print(f"setup: .venv is up to date: Python {found.python}, torch {found.packages['torch']}; {gpu}")
    return Answer(0, found)


if __name__ == "__main__":
    run_command(main, "setup")
