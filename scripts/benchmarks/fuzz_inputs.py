"""Bad inputs to every command that reads something: whatever is wrong, it ends in time, in one line, with a code.

    python -m scripts.benchmarks.fuzz_inputs [--inputs 1000] [--seed 1] [--only NAME,...] [--show]

A case is a command, a fresh small run, and one thing wrong: a file's content, what stands in its place, a word of the
command line, or the place where it runs (a terminal that knows ASCII only, a full disk, a user who may not write).
Good is: exit code 0, 2, 3, or 1 with an answer; no traceback; one line of error; within SECONDS and MEMORY. The command
runs in a fork of this process, which has imported everything once. No model is loaded, nothing is trained and no
sandbox opened: where that would begin the case ends. Exit 1 when a case is not good.
"""

import argparse
import gc
import importlib
import io
import json
import os
import random as randoms
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from scripts.benchmarks.bad_inputs import WORDS, damage, replace_file
from scripts.benchmarks.small_run import build_small_logs, build_small_run, copy_run

SECONDS = 20.0
MEMORY_MB = 1500  # beyond what the process had before
NOBODY = 65534
CODES = (0, 2, 3)
ANSWERS = ("no-ship", "block", "refused", "error: ")  # what an exit code 1 stands beside; `error:` is a Refused then
BROKEN_PIPE = 141  # as a shell reports SIGPIPE
LONGEST_OUTPUT = 4 << 20


@dataclass(frozen=True)
class Command:
    """A command: its module, the words after it (run folders by name in braces), and the files it reads."""

    module: str
    words: tuple[str, ...]
    files: tuple[str, ...]
    heavy: bool = False  # a second or more each: fewer of them


RUN_FILES = ("run.json", "train.json", "metrics.json", "scores.jsonl", "suite.yaml", "recipe.yaml", "data.json")
ADAPTER = (
    "adapter.sha256",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "adapter/tokenizer.json",
)
COMMANDS = {
    "gate": Command("eval.gates.decide", ("--run", "{run}"),
                    ("metrics.json", "scores.jsonl", "suite.yaml", "run.json")),
    "gates": Command("eval.gates.decide", ("--suite", "{run}/suite.yaml", "--scores", "{run}/scores.jsonl"),
                     ("scores.jsonl", "suite.yaml")),
    "logs": Command("eval.logs.verb", (
        "--a", "{case}/logs/a", "--b", "{case}/logs/b", "--suite", "{case}/logs/s.yaml", "--out={case}/out"),
        ("../logs/a/x.eval", "../logs/b/x.eval", "../logs/s.yaml")),
    "logs-starter": Command("eval.logs.verb", (
        "--a", "{case}/logs/a.jsonl", "--b", "{case}/logs/b.jsonl", "--starter={case}/s.yaml"),
        ("../logs/a.jsonl", "../logs/b.jsonl")),
    "report": Command("eval.report.rendering", ("--run", "{run}"), (*RUN_FILES, "generations.jsonl", "samples.jsonl")),
    "export": Command("scripts.export", ("--run", "{run}"), ("metrics.json", "scores.jsonl", "train.json")),
    "track": Command("scripts.track", ("--run", "{run}", "--to", "mlflow"),
                     (*RUN_FILES, "environment.json", "report.md")),
    "sync": Command("scripts.track", ("--sync", "--folder", "{case}"), ("../wandb/offline-run-1/securecli.json",)),
    "bless": Command("scripts.bless", ("--run", "{run}"), (*RUN_FILES, *ADAPTER)),
    "review": Command("scripts.review", ("--run", "{run}"), ("metrics.json", "review.json", "run.json")),
    "approve": Command("scripts.review", ("--run", "{run}", "--decision", "approve", "--reviewer", "Ada"),
                       (*RUN_FILES, *ADAPTER, "report.md")),
    "sign": Command("scripts.review", (
        "--run", "{run}", "--decision", "approve", "--reviewer", "Ada", "--sign", "--key", "{run}/key"), ("key",)),
    "publish": Command("scripts.publish", ("--run", "{run}", "--repo", "someone/model", "--dry-run"),
                       (*RUN_FILES, *ADAPTER, "review.json", "environment.json", "report.md", "samples.jsonl")),
    "demo-publish": Command("scripts.demo_publish", ("--run", "{run}", "--reviewer", "Ada"), (*RUN_FILES, *ADAPTER)),
    "runs": Command("scripts.runs", (), ("run.json", "metrics.json", "../other/metrics.json", "../other/run.json")),
    "compare": Command("scripts.runs", ("compare", "{run}", "{case}/other"),
                       ("run.json", "metrics.json", "scores.jsonl", "../other/scores.jsonl", "generations.jsonl")),
    "eval": Command("eval.suite", ("--run", "{run}", "--config", "{run}/suite.yaml", "--no-cache"),
                    ("run.json", "train.json", "recipe.yaml", "suite.yaml", *ADAPTER)),
    "noise-floor": Command("scripts.noise_floor", ("--suite", "{run}/suite.yaml"), ("suite.yaml",)),
    "damage-check": Command("scripts.damage_check", ("--run", "{run}", "--suite", "{run}/suite.yaml"), ADAPTER),
    "bench-collateral": Command("scripts.benchmarks.collateral", ("--run", "{run}"),
                                (*RUN_FILES, "generations.jsonl", "samples.jsonl")),
    "lint": Command("scripts.training.lint_recipe", ("{run}/recipe.yaml",), ("recipe.yaml",), heavy=True),
    "preflight": Command("scripts.training.preflight", ("{run}/recipe.yaml",), ("recipe.yaml",)),
    "train": Command("scripts.training.train", ("{run}/recipe.yaml",), ("recipe.yaml",), heavy=True),
    "check": Command("scripts.check", ("ls -l",), ()),
    "risk": Command("eval.risk.__main__", ("--jsonl", "{case}/commands.jsonl"), ("../commands.jsonl",)),
    "judge": Command("eval.judge.__main__", ("--jsonl", "{case}/cases.jsonl"), ("../cases.jsonl",)),
    "sandbox": Command("eval.sandbox.__main__", ("--fixture", "{case}", "--", "ls"), ()),
    "secrets": Command("eval.run.secret_patterns", ("{run}/recipe.yaml",), ("recipe.yaml",)),
    "build-data": Command("scripts.data.build_retention", ("--data", "{case}/retention"),
                          ("../retention/questions.yaml", "../retention/neutral.yaml"), heavy=True),
    "fuzz-risk": Command("scripts.benchmarks.fuzz_risk", ("--inputs", "5", "--nl2bash", "{case}/nl2bash"),
                         ("../nl2bash/all.cm",), heavy=True),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One command with one thing wrong; `place` is where it runs."""

    number: int
    command: str
    wrong: str
    words: tuple[str, ...]
    place: str = ""


@dataclass
class Outcome:
    """What a case ended with; `bad` says what is not as it should be, empty when all is."""

    case: Case
    code: int
    seconds: float
    bad: str
    said: str = ""


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
        (more / "nl2bash").mkdir()
        (more / "nl2bash" / "all.cm").write_text("ls -l\nfind . -name x\n")
        (more / "wandb" / "offline-run-1").mkdir(parents=True)
        (more / "wandb" / "offline-run-1" / "securecli.json").write_text('{"run": "run", "part": "train"}\n')
        (more / "run" / "key").write_text("no key\n")
        shutil.copytree(ROOT / "data" / "retention", more / "retention")
        build_small_logs(more / "logs")
        for command in COMMANDS.values():
            self.modules[command.module] = importlib.import_module(command.module)
        self.modules["scripts.training.lint_recipe"].lint_recipe(more / "run" / "recipe.yaml")  # imports Axolotl
        stop_before_models(self.folder)
        gc.collect()
        gc.freeze()  # a collection in a fork would copy every page of what was imported

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
        "eval.suite": ("evaluate", "open_sandbox"),
        "eval.sandbox": ("open_sandbox",),
        "eval.sandbox.__main__": ("open_sandbox",),
        "scripts.benchmarks.collateral": ("judge_run",),
        "scripts.noise_floor": ("measure_backend",),
        "scripts.demo_publish": ("serve",),
        "scripts.training.train": ("start_run", "launch_worker"),
    }.items():
        for name in names:
            setattr(sys.modules[module], name, stopped)
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


def run_case(case: Case, folder: Path, modules: dict[str, ModuleType]) -> Outcome:
    """Run one case in a fork, wait for it at most SECONDS, and look at what it left."""
    out, err = folder.with_suffix(".out"), folder.with_suffix(".err")
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            become(case, folder, out, err)
            start(modules[COMMANDS[case.command].module], case, folder)
        finally:
            os._exit(99)
    before = resident_mb()
    code, late = None, False
    while code is None:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() - started > SECONDS:
            late = True
            os.killpg(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            code = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.003)
    seconds = time.monotonic() - started
    said, printed = (_tail(path) for path in (err, out))
    for path in (out, err):
        path.unlink(missing_ok=True)
    memory = usage.ru_maxrss / 1024 - before
    return Outcome(case, code, seconds, judge(case, code, said, printed, late, memory), said[-2000:])


def judge(case: Case, code: int, said: str, printed: str, late: bool, memory: float) -> str:
    """What is wrong with how a case ended."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if late:
        return "no end"
    if "Traceback" in said + printed:
        return f"traceback, exit {code}"
    if memory > MEMORY_MB:
        return "memory"
    if code == 1 and ("unforeseen" in said or not any(word in said + printed for word in ANSWERS)):
        return "exit 1 without an answer"
    if code not in (*CODES, 1) and (code, case.place) != (BROKEN_PIPE, "stdout is closed"):
        return f"exit {code}"
    if len(errors) > 1:
        return "several lines of error"
    if code == 2 and not said and not printed and case.place != "no file may grow":  # stderr is a file here
        return "nothing said"
    return ""


def become(case: Case, folder: Path, out: Path, err: Path) -> None:
    """Make this process one that runs the case: its own group, output to files, its place, limits."""
    os.setsid()
    target = {"stdout is full": "/dev/full"}.get(case.place, str(out))
    sys.stdout = open_text(target, "ascii" if case.place == "ASCII terminal" else "utf-8")
    sys.stderr = open_text(str(err), "ascii" if case.place == "ASCII terminal" else "utf-8")
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    if case.place == "stdout is closed":
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + (6 << 30), space + (6 << 30)))
    os.environ["HF_HUB_OFFLINE"] = "1"
    if case.place == "no home":
        os.environ.pop("HOME", None)
    if case.place == "a token":
        os.environ["HF_TOKEN"] = "hf_caf\u00e9"
    if case.place == "no file may grow":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if case.place in ("read-only", "nobody") and os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)


def open_text(path: str, encoding: str) -> io.TextIOWrapper:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    return io.TextIOWrapper(os.fdopen(descriptor, "wb"), encoding=encoding, write_through=False)


def start(module: ModuleType, case: Case, folder: Path) -> NoReturn:
    """The command as its `python -m` would run it, results in the case's folder."""
    sys.argv = [f"python -m {module.__name__}", *case.words]
    for name, each in list(sys.modules.items()):
        if name.startswith(("eval.", "scripts.")) and getattr(each, "RESULTS", None) == ROOT / "results":
            each.RESULTS = folder  # type: ignore[attr-defined]
    main: Callable[[], Any] = module.main
    if case.command == "runs":
        main = lambda: module.main([], folder)  # noqa: E731  its folder is a default, bound when it was imported
    try:
        run_command(main)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:  # as Python itself ends
        traceback.print_exc()
        code = 1
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120 if stream is sys.stdout else code
    os._exit(code)


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LONGEST_OUTPUT))
        return stream.read().decode("utf-8", "replace")


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def fuzz(count: int, seed: int, only: set[str] | None = None) -> Iterator[Outcome]:
    """The outcome of every case, as they come."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        folder = Path(made).resolve()
        folder.chmod(0o755)
        bench = Bench(folder)
        bench.prepare()
        (folder / "cases").mkdir(mode=0o777)
        (folder / "cases").chmod(0o777)
        for case, where in bench.cases(count, seed, only or set()):
            yield run_case(case, where, bench.modules)
        gc.unfreeze()


def table(outcomes: list[Outcome]) -> dict[str, Any]:
    """Counts by command and by what was bad."""
    bad = [one for one in outcomes if one.bad]
    codes = Counter("unforeseen" if "unforeseen" in one.said else str(one.code) for one in outcomes)
    return {
        "inputs": len(outcomes),
        "commands": len({one.case.command for one in outcomes}),
        "exit codes": dict(sorted(codes.items())),
        "bad": len(bad),
        "bad by kind": dict(Counter(one.bad for one in bad).most_common()),
        "bad by command": dict(Counter(one.case.command for one in bad).most_common()),
        "slowest seconds": round(max(one.seconds for one in outcomes), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.fuzz_inputs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help=f"commands, with commas between: {', '.join(COMMANDS)}")
    parser.add_argument("--show", action="store_true", help="also print what ended as an unforeseen exception")
    given = parser.parse_args()
    outcomes = []
    for one in fuzz(given.inputs, given.seed, {name for name in given.only.split(",") if name}):
        outcomes.append(one)
        if one.bad or (given.show and "unforeseen" in one.said):
            last = (one.said.strip().splitlines() or [""])[-1][:300]
            print(
                f"{one.case.number}: {one.case.command}: {one.case.wrong} {one.case.place}: {one.bad}: {last}",
                flush=True,
            )
    print(json.dumps(table(outcomes), indent=1))
    return 1 if any(one.bad for one in outcomes) else 0


if __name__ == "__main__":
    run_command(main)
