"""On which devices a recipe is trained: one process on the CPU, or one on each GPU that is visible.

    devices = chosen_devices(recipe, os.environ, asked=None)    UserError when `GPUS=` asks for what is not there
    devices.said(recipe)    -> "on 2 GPUs (0, 1), one process each: effective batch 4 x 2 x 2 = 16 rows, ..."

All visible GPUs are used, as Axolotl's own launcher does; CUDA_VISIBLE_DEVICES and `GPUS=1` name fewer. Each holds the
whole model, and a step learns from as many rows more: what was measured on one GPU was measured with a smaller batch.
A process never sees two GPUs: it would split the layers over them (Axolotl's device_map), or use torch's DataParallel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.common.errors import UserError
from scripts.training.lint_recipe import is_cpu_recipe
from scripts.training.recipe_rules import number


@dataclass(frozen=True)
class Devices:
    """`gpus` as CUDA_VISIBLE_DEVICES names them (none: the CPU), and how many processes train."""

    gpus: tuple[str, ...] = ()
    processes: int = 1

    @property
    def visible(self) -> str:
        """CUDA_VISIBLE_DEVICES of the processes; empty hides every GPU."""
        return ",".join(self.gpus)

    def said(self, recipe: dict[str, Any]) -> str:
        """The devices, and for several what they make of the recipe's batch."""
        if self.processes == 1:
            return f"on GPU {self.visible}" if self.gpus else "on the CPU"
        micro, accumulated = (
            int(number(recipe.get(key)) or 1) for key in ("micro_batch_size", "gradient_accumulation_steps")
        )
        alone = micro * accumulated
        where = f"{self.processes} GPUs ({', '.join(self.gpus)})" if self.gpus else f"{self.processes} CPU processes"
        return (
            f"on {where}, one process each: effective batch {micro} x {accumulated} x {self.processes} = "
            f"{alone * self.processes} rows a step, not {alone}; GPUS=1 keeps {alone}"
        )


def chosen_devices(recipe: dict[str, Any], environment: Mapping[str, str], asked: int | None = None) -> Devices:
    """The CPU for a CPU recipe; else the first `asked` of the visible GPUs, or all. UserError when there are fewer."""
    if is_cpu_recipe(recipe):
        if asked:
            raise UserError(
                f"GPUS={asked}: the recipe is meant for a CPU (bf16, fp16 and tf32 are false); leave it out"
            )
        return Devices()
    gpus = visible_gpus(environment)
    if asked is not None and gpus and not 1 <= asked <= len(gpus):  # without any, preflight says why
        named = environment.get("CUDA_VISIBLE_DEVICES")
        limit = "" if named is None else f" by CUDA_VISIBLE_DEVICES={named}"
        raise UserError(f"GPUS={asked}: {len(gpus)} GPU(s) are visible{limit}; set 1 to {len(gpus)}, or leave it out")
    used = gpus[: asked or len(gpus)]
    return Devices(tuple(used), max(1, len(used)))


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs a process would see, by the names that CUDA_VISIBLE_DEVICES has for them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        import torch

        return [str(place) for place in range(torch.cuda.device_count())]
    gpus: list[str] = []
    for name in (part.strip() for part in named.split(",")):
        if not name or name == "-1":  # CUDA ignores what follows a name that is none
            break
        gpus.append(name)
    return gpus


def same_number(run: str, begun: int, now: int) -> None:
    """A step of two processes learns from twice the rows: a run goes on with as many as it began with. UserError."""
    if begun != now:
        raise UserError(
            f"{run} was begun with {begun} process(es), and this machine would continue it with {now}, another "
            f"training: set GPUS={begun} where there are as many GPUs, or remove results/{run} to begin anew"
        )
