"""Is this machine fit to train a recipe: the device, the disk, the base model, the Hub, the git tree.

    python -m scripts.training.preflight RECIPE       one line a check: ok, warn or FAIL; exit 2 if one failed

Axolotl trains on the CPU without complaint when no CUDA device answers, which on a rented pod means hours at
a thousandth of the speed; so a GPU recipe without a working GPU fails here. Which recipes are meant for a CPU
is said by `is_cpu_recipe`. Not checked: whether the GPU's memory is enough, since only a run can tell (the
recipe's header has an estimate). The Hub is asked for the headers of one file. Nothing is
downloaded, and no token is ever printed.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, run_command
from eval.common.hub_access import reach
from eval.common.places import ROOT
from eval.common.quota import cores, memory_bytes
from eval.common.reading import read_text
from eval.config.suite_file import DEFAULT_SUITE, load_suite
from eval.run.environment import GIT, cuda
from eval.run.records import Record
from scripts.setup.torch_build import misfit, nvidia_driver
from scripts.training.devices import chosen_devices
from scripts.training.lint_recipe import is_cpu_recipe, is_local_model, load_recipe, resolve_recipe
from scripts.training.sharded import KEYS, PACKAGES, engine

GIB = 2**30
HEADER = re.compile(r"^#\s+Memory\s+(.+)$", re.MULTILINE)  # of a recipe
DISK_NEEDED_CPU, DISK_NEEDED_GPU = 2, 10  # GiB, for checkpoints; a base model from the Hub comes on top
DISK_NEEDED_PREPARED = 1  # GiB, for tokenized data and temporary files


@dataclass(frozen=True)
class Check:
    """One answer. `fatal` says whether a `False` keeps the run from starting or is only worth knowing."""

    name: str
    ok: bool
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        mark = "FAIL" if self.outcome == "fail" else self.outcome
        return f"{mark:4} {self.name}: {self.message}"

    @property
    def outcome(self) -> Literal["ok", "warn", "fail"]:
        return "ok" if self.ok else "fail" if self.fatal else "warn"


class Checked(Record):
    """A check as a program is told it."""

    name: str
    outcome: Literal["ok", "warn", "fail"]
    said: str


class Fitness(Record):
    """Whether this machine can train the recipe; `memory` is what training and evaluation are expected to need."""

    recipe: str
    fit: bool
    checks: list[Checked]
    memory: list[str]


def preflight(recipe: dict[str, Any], path: Path) -> list[Check]:
    """Every check of this machine for `recipe`, whose file is `path`."""
    on_cpu = is_cpu_recipe(recipe)
    checks = [check_cpu()] if on_cpu else check_gpu(recipe)
    checks += check_disks(DISK_NEEDED_CPU if on_cpu else DISK_NEEDED_GPU)
    base = str(recipe.get("base_model"))
    checks.append(check_local_model(base) if is_local_model(base) else check_hub_model(recipe, base))
    checks.append(check_git(path))
    return checks


def check_cpu() -> Check:
    """For the record: a CPU recipe runs wherever it fits."""
    return Check("device", True, f"a CPU recipe; {room()}")


def room() -> str:
    """Cores and memory that this process may use, which in a container are fewer than the host's."""
    host = os.cpu_count() or 1
    of_host = "" if cores() == host else f" of the host's {host}"
    return f"{cores()}{of_host} cores, {memory_bytes() / GIB:.0f} GB of memory"


def check_gpu(recipe: dict[str, Any]) -> list[Check]:
    """A driver that runs this torch, and a CUDA device that computes and knows the recipe's number formats."""
    if importlib.util.find_spec("torch") is None:
        return [Check("device", False, "torch is not installed; run `make setup`")]
    import torch

    checks = check_driver(nvidia_driver(), cuda())
    if any(not check.ok for check in checks):
        return checks
    if not torch.cuda.is_available():
        built = "torch is built without CUDA" if torch.version.cuda is None else "no CUDA device answers"
        advice = "train on a machine with a GPU, or train the recipe smollm2-135m-cpu"
        return [*checks, Check("device", False, f"the recipe is meant for a GPU and {built}; {advice}")]
    try:
        for place in range(torch.cuda.device_count()):
            torch.ones(8, device=f"cuda:{place}").sum().item()
        free = min(torch.cuda.mem_get_info(place)[0] for place in range(torch.cuda.device_count())) / GIB
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        return [*checks, Check("device", False, f"the GPU is listed but does not compute ({reason}); restart the pod")]
    gpus = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
    gpu = min(gpus, key=lambda one: (one.major, one.minor, one.total_memory))  # the others wait for the weakest
    text = f"{gpu.name}, {gpu.total_memory / GIB:.0f} GB, sm_{gpu.major}{gpu.minor}, {free:.0f} GB free; {room()}"
    checks.append(Check("device", True, text))
    if engine(recipe):
        checks += check_engine(recipe, len(gpus))
    elif len(gpus) > 1:
        used = chosen_devices(recipe, os.environ)
        checks.append(Check("GPUs", True, f"{len(gpus)} are visible; training is {used.said(recipe)}"))
    return checks + check_formats(recipe, gpu.name, (gpu.major, gpu.minor))


def check_engine(recipe: dict[str, Any], gpus: int) -> list[Check]:
    """What a recipe of several GPUs needs of this machine; of a Ray cluster's others only `ray status` knows."""
    name = str(engine(recipe))
    packages = {key: PACKAGES[value] for key, value in KEYS.items() if recipe.get(key) and value in PACKAGES}
    missing = [package for package in packages.values() if importlib.util.find_spec(package) is None]
    advice = "; .venv/bin/uv pip install --requirement requirements-cluster.txt" if missing else ""
    text = f"{' and '.join(missing) or 'nothing'} is missing for {name}{advice}"
    enough = gpus > 1 or name == "Ray"
    count = f"{gpus} GPU(s) of this machine are visible{'' if enough else f', and {name} splits a model over several'}"
    return [Check("engine", not missing, text), Check("GPUs", enough, count, fatal=False)]


def check_driver(driver: str | None, versions: dict[str, str | None]) -> list[Check]:
    """The driver, the CUDA it knows and the one torch is built for; fatal when they cannot work together."""
    if driver is None:
        return []
    known = f"driver {driver}, which knows CUDA {versions['driver'] or '(it does not say)'}"
    built = f"torch is built for {'CUDA ' + versions['torch'] if versions['torch'] else 'CPUs'}"
    problem = misfit(driver, versions["torch"])
    advice = "" if problem is None else f": {problem}; rm .venv/.runtime and `make setup` installs the build that fits"
    return [Check("driver", problem is None, f"{known}; {built}{advice}")]


def check_formats(recipe: dict[str, Any], gpu: str, capability: tuple[int, int]) -> list[Check]:
    """bf16 and FlashAttention 2 need compute capability 8.0; the latter also a build of it."""
    checks = []
    old = capability < (8, 0)
    if recipe.get("bf16") is True or recipe.get("bfloat16") is True:
        number = ".".join(map(str, capability))
        text = f"{gpu} has compute capability {number}, bf16 needs 8.0; use a newer GPU" if old else "bf16 is there"
        checks.append(Check("bf16", not old, text))
    if recipe.get("attn_implementation") == "flash_attention_2":
        installed = importlib.util.find_spec("flash_attn") is not None
        text = "flash-attn is installed"
        if old:
            text = f"{gpu} cannot run flash_attention_2; set attn_implementation: sdpa"
        elif not installed:
            text = "flash-attn is not installed, and Axolotl fetches a kernel that nothing pins; sdpa needs none"
        checks.append(Check("attention", installed and not old, text, fatal=old))
    return checks


def check_disks(needed: int) -> list[Check]:
    """Free space, in GiB, and the right to write, where files will be: checkpoints, prepared data, temporary files.

    Checkpoints go into the run folder whatever the recipe's output_dir says (scripts/training/train.py).
    """
    room = {"results": needed, "prepared": DISK_NEEDED_PREPARED}
    checks = [check_disk(name, ROOT / name, gib) for name, gib in room.items()]
    return [*checks, check_disk("temporary files", Path(tempfile.gettempdir()), DISK_NEEDED_PREPARED)]


def check_disk(name: str, folder: Path, needed: int) -> Check:
    """One folder that will be written to, made or not made yet; `needed` in GiB."""
    place = folder
    while not os.path.lexists(place):  # a link that leads nowhere is not passed over: nothing could be made there
        place = place.parent
    try:
        place = place.resolve(strict=True)
        found = os.statvfs(place)
    except (OSError, RuntimeError) as error:
        return Check("disk", False, f"{folder} cannot be looked at ({error}); put a folder there")
    free = found.f_bavail * found.f_frsize / GIB
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK) or found.f_flag & os.ST_RDONLY:
        return Check("disk", False, f"{place} ({name}) cannot be written; make it writable, or a link to a larger disk")
    text = f"{free:.0f} GB free for {name}, {needed} GB needed"
    if free < needed:
        text = f"{text}; free some at {place}, or make {folder.name} a link to a larger disk"
    elif found.f_files and not found.f_favail:
        return Check("disk", False, f"no inode is free at {place} ({name}); remove some files there")
    return Check("disk", free >= needed, text)


def check_local_model(base: str) -> Check:
    """A base model kept as a folder, whole enough to be opened."""
    folder = ROOT / Path(base).expanduser()
    if not (folder / "config.json").is_file():
        return Check("base model", False, f"{base} is not there; run `make model`")
    if not any(folder.glob("*.safetensors")):
        return Check("base model", False, f"{base} has no weights; run `make model` again")
    return Check("base model", True, base)


def check_hub_model(recipe: dict[str, Any], base: str) -> Check:
    """Whether the pinned revision is in the local cache; if not, what its download will find. Fatal: a refusal."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return Check("base model", False, "huggingface_hub is not installed; run `make setup`")
    from huggingface_hub import constants, get_token, try_to_load_from_cache

    revision = recipe.get("revision_of_model") or recipe.get("model_revision")
    try:
        cached = try_to_load_from_cache(base, "config.json", revision=revision and str(revision))
    except ValueError as error:
        return Check("base model", False, f"base_model is neither a folder nor a name on the Hub ({error})")
    if isinstance(cached, str):
        return Check("base model", True, f"{base} is in the Hugging Face cache")
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        text = f"{base} is not in the cache and HF_HUB_OFFLINE is set: unset it for the download"
        return Check("base model", False, text, fatal=False)
    cache = Path(constants.HF_HUB_CACHE)
    while not cache.exists():
        cache = cache.parent
    if not os.access(cache, os.W_OK):
        return Check("base model", False, f"the cache {constants.HF_HUB_CACHE} cannot be written; set HF_HOME")
    token = "a token is set" if get_token() else "no token is set, which public models do not need"
    if problem := reach(base, revision and str(revision)):
        # Without a network yet, or within a limit that passes, training may still find it
        passing = "cannot be reached" in problem or "run the same command again" in problem
        return Check("base model", False, f"{problem}; {token}" if passing else problem, fatal=not passing)
    room = f"{shutil.disk_usage(cache).free / GIB:.0f} GB free for it"
    text = f"{base} will be downloaded; {room}; {token}"
    return Check("base model", False, text, fatal=False)


def check_git(path: Path) -> Check:
    """A run records its commit: with local changes, the commit does not say what was trained."""
    command = [*GIT, "-C", str(ROOT), "status", "--porcelain"]
    try:
        changed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return Check("git", False, "not a git checkout: the run will not name its commit", fatal=False)
    files = changed.splitlines()
    if any(line.endswith("/" + path.name) for line in files):
        return Check("git", False, f"{path.name} itself is not committed", fatal=False)
    text = f"{len(files)} changed or new file(s): commit them, so that the run's commit says what was trained"
    return Check("git", not files, text if files else "clean", fatal=False)


def memory_lines(recipe: dict[str, Any], text: str) -> list[str]:
    """What training needs as the recipe's header says, and what evaluating its adapter does by the base's config."""
    header = HEADER.search(text)
    lines = [f"note memory for training: {header.group(1)}"] if header else []
    if importlib.util.find_spec("transformers") is not None:
        from scripts.training.evaluation_memory import estimate  # transformers, seconds

        batch = load_suite(DEFAULT_SUITE).backend.batch_size
        found = estimate(recipe, batch)
        unknown = "not known before the base's config is at hand"
        lines.append(f"note memory for evaluation, {batch} items at once: {found or unknown}")
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.training.preflight", description=__doc__.split("\n")[0])
    parser.add_argument("recipe", help="name or file of a recipe")
    path = resolve_recipe(parser.parse_args(argv).recipe)
    checks = preflight(load_recipe(path), path)
    memory = memory_lines(load_recipe(path), read_text(path))
    for line in (*map(str, checks), *memory):
        print(line)
    failed = [check for check in checks if check.fatal and not check.ok]
    said = f"not fit for {path.stem}: {', '.join(check.name for check in failed)}" if failed else f"fit for {path.stem}"
    print(said)
    result = Fitness(
        recipe=path.stem,
        fit=not failed,
        checks=[Checked(name=check.name, outcome=check.outcome, said=check.message) for check in checks],
        memory=[line.removeprefix("note memory ") for line in memory],
    )
    error = "; ".join(f"{check.name}: {check.message}" for check in failed) or None
    return Answer(CANNOT_EVALUATE if failed else 0, result, error=error)


if __name__ == "__main__":
    run_command(main)
