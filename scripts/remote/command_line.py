"""Providers that are driven by their own program: dstack, SkyPilot and Modal, each with a file that it reads.

The files are made from those of configs/remote/, whose comments say what is filled in. Prices are not asked for:
--price is the most that may be paid in an hour, and the file says so where it can. Each keeps the time limit of its own
file; boot.sh keeps it inside too.

    python -m scripts.remote.command_line FOLDER       writes an example of each file, for configs/remote/check.py
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import get_token

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from scripts.remote.provider import PREFIX, RUN_PACKED, Machine, NoMachine, Offer, Order, State, Unsure, packed_env

FILES = ROOT / "configs" / "remote"
SECONDS = 1800.0  # SkyPilot's launch waits for the machine
LOG_SECONDS = 30.0
Row = tuple[str, str, str]  # id, name and state, as the program shows them


@dataclass(frozen=True)
class Tool:
    """One program. `file`: what it reads; the others: how it is called, with the job's name or its file."""

    name: str
    program: str
    default_gpu: str
    queue_seconds: int
    file: Callable[[Order, float], str]
    start: Callable[[str, str], list[str]]
    listed: list[str]
    rows: Callable[[Any], list[Row]]
    states: dict[str, State]
    logs: Callable[[str], list[str]]
    stop: Callable[[str], list[str]]


def dstack_file(order: Order, price: float) -> str:
    task = yaml.safe_load(read_text(FILES / "dstack.yaml"))
    task |= {"name": order.name, "image": order.image, "max_duration": order.seconds, "max_price": price}
    task["env"] = {**packed_env(order), **{name: f"${{{{ secrets.{name} }}}}" for name in order.secrets}}
    task["commands"] = [RUN_PACKED]
    task["resources"]["gpu"] = f"{order.gpu}:{order.count}"
    return yaml.safe_dump(task, sort_keys=False)


def sky_file(order: Order, price: float) -> str:
    task = yaml.safe_load(read_text(FILES / "skypilot.yaml"))
    task |= {"name": order.name, "run": RUN_PACKED, "envs": packed_env(order), "secrets": dict.fromkeys(order.secrets)}
    task["resources"] |= {"accelerators": f"{order.gpu}:{order.count}", "max_hourly_cost": price}
    task["resources"]["image_id"] = f"docker:{order.image}"
    return yaml.safe_dump(task, sort_keys=False)


def modal_file(order: Order, price: float) -> str:
    """What configs/remote/modal_app.py reads."""
    asked = {"name": order.name, "image": order.image, "gpu": f"{order.gpu}:{order.count}", "seconds": order.seconds}
    return json.dumps({**asked, "script": order.script, "env": order.env, "secrets": list(order.secrets)})


TOOLS = {
    "modal": Tool(
        "modal", "modal", "A10", 1800, modal_file,
        lambda name, file: ["modal", "run", "--detach", "--quiet", str(FILES / "modal_app.py")],
        ["modal", "app", "list", "--json"],
        lambda found: [(row["App ID"], row["Description"], row["State"]) for row in found],
        {"ephemeral": "running", "ephemeral (detached)": "running", "initializing...": "starting"},
        lambda machine: ["modal", "app", "logs", machine],
        lambda machine: ["modal", "app", "stop", machine],
    ),
    "dstack": Tool(
        "dstack", "dstack", "24GB", 1800, dstack_file,
        lambda name, file: ["dstack", "apply", "--yes", "--detach", "--file", file],
        ["dstack", "ps", "--all", "--json"],
        lambda found: [(run["run_spec"]["run_name"],) * 2 + (run["status"],) for run in found["runs"]],
        {"pending": "starting", "submitted": "starting", "provisioning": "starting", "running": "running",
         "terminating": "running"},
        lambda name: ["dstack", "logs", name],
        lambda name: ["dstack", "stop", "--yes", name],
    ),
    "skypilot": Tool(
        "skypilot", "sky", "L4", 0, sky_file,
        lambda name, file: ["sky", "launch", "--yes", "--detach-run", "--down", "--idle-minutes-to-autostop", "1",
                            "--cluster", name, "--secret", "HF_TOKEN", file],
        ["sky", "status", "--refresh", "--output", "json"],
        lambda found: [(row["name"], row["name"], row["status"]) for row in found],
        {"INIT": "starting", "UP": "running", "AUTOSTOPPING": "running"},
        lambda name: ["sky", "logs", "--no-follow", name],
        lambda name: ["sky", "down", "--yes", name],
    ),
}  # fmt: skip


class CommandLine:
    """A provider behind a program."""

    default_image = "python:3.12-bookworm"
    ends_itself = "exit"

    def __init__(self, tool: Tool, price: float | None) -> None:
        # Modal comes with Axolotl: its program is beside this Python, which need not be on the path.
        self.path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
        if shutil.which(tool.program, path=self.path) is None:
            raise UserError(f"{tool.name}: its program {tool.program} is not here: install and log in as its pages say")
        self.tool, self.price = tool, price
        self.name, self.default_gpu, self.queue_seconds = tool.name, tool.default_gpu, tool.queue_seconds

    def offer(self, gpu: str, count: int) -> Offer:
        if self.price is None:
            raise NoMachine(f"{self.name} is not asked for prices: give --price, the most to pay for an hour (PRICE=)")
        return Offer(gpu, count, self.price, f"{count} {gpu}, at most")

    def start(self, order: Order) -> str:
        assert self.price is not None
        folder = ROOT / "outputs" / "remote" / order.name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.yaml"
        file.write_text(self.tool.file(order, self.price))
        code, out = self._run(self.tool.start(order.name, str(file)), SECONDS, SECURECLI_FILE=str(file))
        if code:
            raise Unsure(f"{self.tool.program} ended with {code} ({last_line(out)})")
        return order.name

    def machines(self) -> list[Machine]:
        code, out = self._run(self.tool.listed, 120.0)
        if code:
            raise Unsure(f"{self.tool.program} cannot list ({last_line(out)})")
        try:
            rows = self.tool.rows(json.loads(out))
        except (ValueError, LookupError, TypeError):
            raise Unsure(f"what {self.tool.program} lists has another form") from None
        ours = [row for row in rows if str(row[1]).startswith(PREFIX)]
        return [self._machine(*row) for row in ours]

    def _machine(self, identity: str, name: str, state: str) -> Machine:
        known = self.tool.states.get(state, "ended")
        billed = known != "ended" or (self.name == "skypilot")  # a stopped cluster bills its disk
        return Machine(identity, name, known, billed, state)

    def lines(self, machine: Machine, cursor: str) -> tuple[list[str], str]:
        _, out = self._run(self.tool.logs(machine.id), LOG_SECONDS)
        lines, seen = out.splitlines(), int(cursor or 0)
        return lines[seen:], str(max(seen, len(lines)))

    def stop(self, machine: Machine) -> None:
        code, out = self._run(self.tool.stop(machine.id), 600.0)
        if code:
            raise Unsure(f"{self.tool.program} does not end {machine.name} ({last_line(out)})")

    def _run(self, command: list[str], seconds: float, **more: str) -> tuple[int, str]:
        """Exit code and output; what it said up to then where it does not end in time."""
        env = {**os.environ, "PATH": self.path, "HF_TOKEN": get_token() or "", **more}
        program = shutil.which(command[0], path=self.path) or command[0]
        try:
            done = subprocess.run(
                [program, *command[1:]], capture_output=True, text=True, errors="replace", timeout=seconds, env=env,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            said = late.stdout or b""
            return 124, said.decode(errors="replace") if isinstance(said, bytes) else said
        except OSError as error:
            raise Unsure(f"{command[0]} does not start ({error.strerror})") from None
        return done.returncode, done.stdout + (done.stderr if done.returncode else "")


def last_line(text: str) -> str:
    """The end of what a program said, on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (
        "".join(letter if letter.isprintable() else "?" for letter in lines[-1])[:200] if lines else "it said nothing"
    )


def example(folder: Path) -> None:
    """One file of each program, as a job would get it."""
    order = Order("sct-example", "python:3.12-bookworm", "echo $HOME", {"SECURECLI_SECONDS": "7200"}, ("HF_TOKEN",),
                  "L4", 1, 7200)  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, tool in TOOLS.items():
        (folder / f"{name}.yaml").write_text(tool.file(order, 1.0))


def main() -> int:
    if len(sys.argv) != 2:
        raise UserError("name one folder for the examples: python -m scripts.remote.command_line FOLDER")
    example(Path(sys.argv[1]))
    return 0


def open_tool(name: str, price: float | None) -> CommandLine:
    return CommandLine(TOOLS[name], price)


if __name__ == "__main__":
    run_command(main)
