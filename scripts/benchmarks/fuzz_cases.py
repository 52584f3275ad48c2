"""The cases of `make fuzz-inputs`: a command, a fresh small run, and one thing wrong. Same seed, same cases."""

import gc
import importlib
import io
import json
import random as randoms
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from eval.common.errors import UserError
from eval.common.places import ROOT
from scripts.benchmarks.bad_inputs import WORDS, damage, replace_file
from scripts.benchmarks.fuzz_commands import COMMANDS
from scripts.benchmarks.small_inputs import build_small_answers, build_small_job, build_small_rows
from scripts.benchmarks.small_run import build_small_logs, build_small_run, copy_run


@dataclass(frozen=True)
class Case:
    """One command with one thing wrong; `place` is where it runs."""

    number: int
    command: str
    wrong: str
    words: tuple[str, ...]
    place: str = ""


@dataclass
class Bench:
    """The good inputs, and where cases are made."""

    folder: Path
    modules: dict[str, ModuleType] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the small runs and import every command."""
        build_small_run(self.folder / "good" / "run")
        other = copy_run(self.folder / "good" / "run", self.folder / "good" / "other")
        state = json.loads((other / "run.json").read_text())
        (other / "run.json").write_text(json.dumps(state | {"run": "other", "created": "2025-02-01T00:00:00+00:00"}))
        more = self.folder / "good"
        (more / "commands.jsonl").write_text('{"command": "ls -l"}\n{"command": "rm -rf /"}\n')
        case = {"request": "list", "gold": "ls", "candidate": "ls -a", "fixture": "home"}
        (more / "cases.jsonl").write_text(f"{json.dumps(case)}\n{json.dumps(case)}\n")
        (more / "wandb" / "offline-run-1").mkdir(parents=True)
        (more / "wandb" / "offline-run-1" / "securecli.json").write_text('{"run": "run", "part": "train"}\n')
        (more / "run" / "key").write_text("no key\n")
        shutil.copytree(ROOT / "data" / "retention", more / "retention")
        build_small_logs(more / "logs")
        build_small_answers(copy_run(more / "run", more / "answered"))
        build_small_rows(more)
        build_small_job(more / "jobs")
        for command in COMMANDS.values():
            self.modules[command.module] = importlib.import_module(command.module)
        self.modules["scripts.training.lint_recipe"].lint_recipe(more / "run" / "recipe.yaml")  # imports Axolotl
        stop_before_models(self.folder)
        self.expand()
        gc.collect()
        gc.freeze()  # a collection in a fork would copy every page of what was imported

    def expand(self) -> None:
        """An expansion that has ended, to be continued."""
        words = [word.format(case=self.folder / "good") for word in COMMANDS["expand"].words]
        with redirect_stdout(io.StringIO()):
            self.modules[COMMANDS["expand"].module].main(words)

    def cases(self, count: int, seed: int, only: set[str]) -> Iterator[tuple[Case, Path]]:
        """Every case, in its folder; the same ones for the same seed. Heavy commands get a third."""
        names = [name for name in COMMANDS if not only or name in only]
        light = [name for name in names if not COMMANDS[name].heavy]
        order = [*light, *names, *light]
        for number in range(count):
            random = randoms.Random(f"{seed}/{number}")
            name = order[number % len(order)]
            folder = self.folder / "cases" / str(number)
            shutil.copytree(self.folder / "good", folder)
            yield make_case(random, number, name, folder), folder
            for inner in [folder, *folder.rglob("*")]:
                if inner.is_dir() and not inner.is_symlink():
                    inner.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)


def stopped(*_: Any, **__: Any) -> NoReturn:
    raise UserError("the case ends here: no model is loaded, nothing is trained, no sandbox is opened")


def stop_before_models(folder: Path) -> None:
    """Put an end where a command would take minutes, the network or another process."""
    for module, names in {
        "eval.suite": ("evaluate", "generate", "open_sandbox"),
        "eval.sandbox": ("open_sandbox",),
        "eval.sandbox.__main__": ("open_sandbox",),
        "scripts.benchmarks.collateral": ("judge_run",),
        "scripts.noise_floor": ("measure_backend",),
        "scripts.demo_publish": ("serve",),
        "scripts.training.train": ("start_run", "launch_worker"),
        "scripts.repeat": ("train",),
        "scripts.sweep": ("trained_or_why",),
        "scripts.replay": ("answered",),
        "scripts.quantize": ("make",),
        "scripts.serve_check": ("form_of",),
        "scripts.data.pipeline": ("open_sandbox",),
        "scripts.teachers.merge": ("open_sandbox",),
        "scripts.remote.asked": ("open_provider",),
        "scripts.remote.starting": ("committed", "carry_on"),
    }.items():
        for name in names:
            setattr(importlib.import_module(module), name, stopped)
    sys.modules["scripts.publishing.hub_upload"].connect = lambda: None  # type: ignore[attr-defined]
    sys.modules["scripts.damage_check"].subprocess = SimpleNamespace(run=stopped)  # type: ignore[attr-defined]
    sys.modules["scripts.track"].log_to = lambda *_: "ok"  # type: ignore[attr-defined]
    sys.modules["scripts.demo_publish"].STATE = folder / "demo-publish"  # type: ignore[attr-defined]
    if "eval.common.error_log" in sys.modules:
        sys.modules["eval.common.error_log"].FOLDER = folder / "errors"  # type: ignore[attr-defined]


PLACES = ("ASCII terminal", "stdout is full", "stdout is closed", "no file may grow", "read-only", "no home", "a token")


def make_case(random: randoms.Random, number: int, name: str, folder: Path) -> Case:
    """Damage something of the case's folder, or its words; returns what the case is."""
    command = COMMANDS[name]
    words = [word.format(run=folder / "run", case=folder) for word in command.words]
    way = random.random()
    place = random.choice(PLACES) if way > 0.88 else ""
    if place and random.random() < 0.5:
        return Case(number, name, "nothing", tuple(words), place)
    if way < 0.1 or not command.files:
        spot = random.choice([n for n, word in enumerate(words) if not word.startswith("--")] or [-1])
        kind = random.choice(list(WORDS))
        word = WORDS[kind].replace("\0", "")
        words = [*words[:spot], word, *words[spot + 1 :]] if spot >= 0 else [word]
        return Case(number, name, f"word: {kind}", tuple(words), place)
    file = random.choice(command.files)
    path = (folder / "run" / file).resolve()
    if way < 0.25:
        kind = replace_file(random, path)
        return Case(
            number, name, f"{Path(file).name}: {kind}", tuple(words), "nobody" if kind == "unreadable" else place
        )
    kind, content = damage(random, path.read_bytes(), path.suffix)
    path.write_bytes(content)
    return Case(number, name, f"{Path(file).name}: {kind}", tuple(words), place)
