"""`python -m eval.gates`: decide again from a run's saved scores, or decide over two logs that somebody else made.

    python -m eval.gates --a BASELINE --b CANDIDATE --suite FILE [--out FOLDER]     two logs (docs/logs.md)
    python -m eval.gates --a BASELINE --b CANDIDATE --starter FILE                  a suite to begin with
    python -m eval.gates --run RUN [--suite FILE]                                   a run of ours, in words
    python -m eval.gates --scores FILE --suite FILE                                 its scores alone, as JSON

No model, no torch, no sandbox. Exit codes: 0 ship, 1 no-ship, 2 could not decide, 3 inconclusive.
"""

import argparse
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import SHIP, UserError
from eval.common.reading import read_bytes
from eval.config.suite_file import Suite, load_suite, resolve_suite
from eval.gates import decide
from eval.gates.self_checks import self_checks
from eval.logs.asked import check_directions, refuse_unfit, starter, without_suite
from eval.logs.opening import names_of, read_log
from eval.logs.pairing import Paired, pair
from eval.logs.record import effect_in, folder_for, record
from eval.logs.rows import Log, metrics_in
from eval.run.decided import Decided, reports_of
from eval.run.files import write_text
from eval.run.folder import RESULTS
from eval.run.metrics import AdapterEffect, Metrics, SelfCheck
from eval.summary import say_verdict

NOISE = "noise floor"


def read_both(a: Path, b: Path) -> tuple[Log, Log]:
    """Both logs, A the baseline's. UserError when one cannot be read, or both are the same."""
    names = names_of(a, b)
    logs = read_log(a, "A", names[0]), read_log(b, "B", names[1])
    for log, arm in zip(logs, ("baseline: ", "candidate:"), strict=True):
        say(f"{log.letter}, the {arm} {log.name} ({log.format}; {'; '.join(tasks_of(log)[:6])})")
    if sorted(logs[0].files.values()) == sorted(logs[1].files.values()):
        raise UserError(f"{logs[0].said} and {logs[1].said} hold the same bytes: A is the baseline's log, B the other")
    return logs


def tasks_of(log: Log) -> list[str]:
    """`name, 24 items, 2 metrics` of each task."""
    return [
        f"{name}, {len({item.id for item in items})} items, {len(metrics_in(items))} metrics"
        for name, items in log.tasks().items()
    ]


def judge(logs: tuple[Log, Log], path: Path, out: Path | None = None, results: Path = RESULTS) -> tuple[Path, Metrics]:
    """The verdict of a suite over two logs, with its run folder. UserError, in one line, where they do not fit."""
    suite, text = load_suite(path), read_bytes(path)
    refuse_unfit(suite)
    paired = pair(suite, *logs)
    check_directions(suite, *logs)
    for what in paired.ignored[:10]:
        say(f"left out, no gate is about it: {what}")
    effect = effect_in(paired)
    checks = checks_of(suite, paired, effect)
    found = decide.decide(suite, paired.scores, effect)
    run = folder_for(out, results, suite)
    return run, record(run, suite, text, logs, paired, found, effect, checks)


def checks_of(suite: Suite, paired: Paired, effect: AdapterEffect) -> list[SelfCheck]:
    """What every evaluation checks of itself; where the logs do not say what was asked, that it is not known."""
    # Logs have no backend whose noise somebody could have measured.
    checks = [one for one in self_checks(suite, paired.generations, paired.scores, effect) if one.name != NOISE]
    if paired.known:
        return checks
    said = "the logs do not say what was asked: items are paired by their ids alone"
    unknown = SelfCheck(name="comparable arms", ok=False, said=said)
    return [unknown if check.name == unknown.name else check for check in checks]


def write_starter(logs: tuple[Log, Log], path: Path) -> None:
    """A suite to begin with. UserError when something is there already."""
    if path.exists():
        raise UserError(f"{path} is there already: name a new file for the starter suite")
    write_text(path, starter(*logs))
    say(f"{path}: read it, choose its margins, then name it with SUITE= (--suite)")


def say(message: str) -> None:
    print(f"gate: {message}", flush=True)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.gates", description=(__doc__ or "").split("\n")[0])
    source = decide.add_arguments(parser)
    source.add_argument("--a", metavar="BASELINE", help="log of the baseline, file or folder: what B is compared with")
    parser.add_argument("--b", metavar="CANDIDATE", help="log of the candidate, which ships or does not; needs --a")
    parser.add_argument("--out", type=Path, help="folder for the verdict and its report (default: new, in results/)")
    parser.add_argument("--starter", type=Path, metavar="FILE", help="write a suite to begin with from the two logs")
    arguments = parser.parse_args(argv)
    if arguments.a is None and (arguments.b is not None or arguments.out or arguments.starter):
        raise UserError("--b, --out and --starter go with --a: A= is the baseline's log, B= the candidate's")
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if arguments.a is None:
        return decide.decide_again(arguments)
    if not arguments.a or not arguments.b:
        raise UserError("two logs are compared: A= (--a) is the baseline's, B= (--b) the candidate's; give both")
    logs = read_both(Path(arguments.a), Path(arguments.b))
    if arguments.starter:
        write_starter(logs, arguments.starter)
        return Answer(SHIP, files=[arguments.starter])
    if not arguments.suite:
        raise without_suite(*logs)
    run, metrics = judge(logs, resolve_suite(arguments.suite), arguments.out)
    for gate in (gate for gate in metrics.gates if gate.tier == "advisory"):
        print(f"{gate.outcome:<13}{gate.tier:<10}{gate.id}: {gate.reason}")
    say_verdict(run, metrics)
    return Answer(
        decide.EXIT_CODES[metrics.verdict], Decided.of(metrics), verdict=metrics.verdict, files=reports_of(run)
    )
