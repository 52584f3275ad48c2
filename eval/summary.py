"""What an evaluation says on the terminal when it is done: the verdict of a run, and several runs side by side."""

from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import CANNOT_EVALUATE, INCONCLUSIVE, NO_SHIP, SHIP, UserError
from eval.common.places import ROOT
from eval.gates.decide import EXIT_CODES
from eval.run.baselines import BASE
from eval.run.candidate import Candidate
from eval.run.decided import Answered, Decided, Evaluated, reports_of
from eval.run.earlier import said
from eval.run.metrics import Metrics

BEST_FIRST = (SHIP, INCONCLUSIVE, NO_SHIP, CANNOT_EVALUATE)


def say_results(candidates: list[Candidate], results: list[Metrics | UserError]) -> Answer:
    """Each verdict, several side by side; returns the worst exit code."""
    for candidate, result in zip(candidates, results, strict=True):
        if isinstance(result, Metrics):
            say_verdict(candidate.run, result)
    if len(candidates) > 1:
        say_table(candidates, results)
    codes = [EXIT_CODES[result.verdict] if isinstance(result, Metrics) else CANNOT_EVALUATE for result in results]
    return answer_of(max(codes, key=BEST_FIRST.index), candidates, results)


def answer_of(code: int, candidates: list[Candidate], results: list[Metrics | UserError]) -> Answer:
    """What a program is told: every verdict, and the reports; the one verdict when one run was asked for."""
    pairs = list(zip((candidate.run for candidate in candidates), results, strict=True))
    done = [(run, metrics) for run, metrics in pairs if isinstance(metrics, Metrics)]
    failed = {run.name: " ".join(str(error).split()) for run, error in pairs if isinstance(error, UserError)}
    result = Evaluated(runs=[Decided.of(metrics) for _, metrics in done], failed=failed)
    verdict = done[0][1].verdict if len(pairs) == 1 and done else None
    files = [path for run, _ in done for path in reports_of(run)]
    return Answer(code, result, verdict=verdict, files=files, error=next(iter(failed.values()), None))


def say_answered(candidates: list[Candidate], results: list[UserError | None]) -> Answer:
    """Which runs are answered now, and how to go on; returns the exit code, with their answers for a program."""
    done = [candidate.run for candidate, result in zip(candidates, results, strict=True) if result is None]
    for run in done:
        print(f"eval: {run.name} is answered; where the sandbox is, `make judge RUN={run.name}`", flush=True)
    error = next((" ".join(str(result).split()) for result in results if result is not None), None)
    files = [run / "generations.jsonl" for run in done]
    made = Answered(runs=[run.name for run in done])
    return Answer(CANNOT_EVALUATE if error else 0, made, files=files, error=error)


def say_verdict(run: Path, metrics: Metrics) -> None:
    """The verdict with its reasons, and where the report is."""
    against = "" if metrics.baseline == BASE else f", against {metrics.baseline}"
    print(f"\nverdict: {metrics.verdict}{against}")
    for reason in metrics.reasons:
        print(f"  {reason}")
    if use := metrics.sequential:
        used, planned = sum(use.used.values()), sum(use.planned.values())
        print(f"  {use.stopped} after {used} of {planned} items, {use.looks} looks")
    for caution in metrics.cautions:
        print(f"  caution: {caution}")
    if metrics.earlier:
        print(f"  {said(metrics.earlier)}")
    shown = run.relative_to(ROOT) if run.is_relative_to(ROOT) else run
    print(f"report: {shown}/report.html and report.md")


def say_table(candidates: list[Candidate], results: list[Metrics | UserError]) -> None:
    """One line a run: its verdict, and the blocking gates that it did not pass."""
    width = max(len(candidate.run.name) for candidate in candidates)
    print(f"\n{'run':<{width}}  {'verdict':<13}  blocking gates passed")
    for candidate, result in zip(candidates, results, strict=True):
        if isinstance(result, UserError):
            print(f"{candidate.run.name:<{width}}  not evaluated")
            continue
        gates = [gate for gate in result.gates if gate.tier == "blocking"]
        rest = [f"{gate.id} {gate.outcome}" for gate in gates if gate.outcome != "pass"]
        passed = f"{len(gates) - len(rest)} of {len(gates)}" + (f" ({', '.join(rest)})" if rest else "")
        print(f"{candidate.run.name:<{width}}  {result.verdict:<13}  {passed}")
