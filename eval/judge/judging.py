"""Judge candidates: run gold and candidate on a fixture and on perturbed copies of it, and decide on each.

    verdicts = judge_many(sandbox, cases)          # all cores, in the order of `cases`

robust (the default, what gates use): a candidate is accepted only if some file system accepts it and none rejects.
Not robust (the protocol of published benchmarks): the given file system decides alone; the copies are asked only
while it shows nothing at all. Gold commands run once for all their candidates, and never together with one.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import count

from eval.judge.ladder import ALL, COVERED, PARTIAL, ROBUST, decide
from eval.judge.limits import MACHINE, out_of_reach
from eval.judge.pair import Pair, rewritten, showing, steady
from eval.judge.scenes import Question, Runs, Scene, given_scenes, set_scenes
from eval.judge.spelling import same_text
from eval.judge.verdicts import Case, Verdict
from eval.sandbox.execution import Execution
from eval.sandbox.pool import Sandbox
from eval.sandbox.stored import Fixture


def judge(
    sandbox: Sandbox,
    request: str,
    gold: str,
    candidate: str,
    fixture: str,
    *,
    robust: bool = True,
    rules: Collection[str] | None = None,
) -> Verdict:
    """Judge one candidate. `fixture` names a fixture or is a folder. SandboxError when the sandbox is broken."""
    return judge_many(sandbox, [Case(request, gold, candidate, fixture)], robust=robust, rules=rules)[0]


def judge_many(
    sandbox: Sandbox,
    cases: Iterable[Case],
    *,
    robust: bool = True,
    rules: Collection[str] | None = None,
    runs: Runs | None = None,
) -> list[Verdict]:
    """Judge many candidates on all cores; verdicts in the order of the cases.

    `rules` defaults to ROBUST or ALL; `runs` keeps executions between calls. SandboxError as in `judge`.
    """
    asked = list(cases)
    runs = runs or Runs(sandbox)
    rules = rules if rules is not None else ROBUST if robust else ALL
    verdicts: dict[int, Verdict] = {
        index: Verdict("accept", "same_text")
        for index, case in enumerate(asked)
        if "same_text" in rules and same_text(case.gold, case.candidate, case.request)
    }
    questions = {
        index: Question(case.request, case.gold, case.fixture, case.more)
        for index, case in enumerate(asked)
        if index not in verdicts
    }
    scenes = given_scenes(runs, dict.fromkeys(questions.values()))
    said: dict[int, list[tuple[str, Verdict]]] = {index: [] for index in questions}
    for place in count():
        if place == 1:  # copies are made only for candidates that the given file system did not settle
            still = [index for index in questions if wants_more([verdict for _, verdict in said[index]], robust)]
            scenes |= set_scenes(runs, dict.fromkeys(questions[index] for index in still))
        if place >= max(map(len, scenes.values()), default=0):
            break
        waiting = [
            index
            for index, question in questions.items()
            if place < len(scenes[question]) and wants_more([verdict for _, verdict in said[index]], robust)
        ]
        here = [(asked[index], scenes[questions[index]][place]) for index in waiting]
        for index, (_, scene), pair in zip(waiting, here, pairs(runs, here), strict=True):
            said[index].append((scene.name, decide(pair, rules)))
    for index, answers in said.items():
        verdict = combine(answers)
        asked_on = scenes[questions[index]]
        moves = asked_on[0].is_volatile or MACHINE.search(questions[index].gold) is not None
        parts = verdict.rule in PARTIAL or (moves and verdict.rule != "same_query")
        if robust and verdict.verdict == "accept" and parts and not varies(asked_on):
            verdict = Verdict("undecided", "never_varies", verdict.evidence | {"by": verdict.rule})
        elif robust and verdict.verdict == "accept" and verdict.rule != "same_query":
            case = asked[index]
            if (missing := out_of_reach(case.gold)) != out_of_reach(case.candidate):
                evidence = verdict.evidence | {"by": verdict.rule, "limits": sorted(missing)}
                verdict = Verdict("undecided", "out_of_reach", evidence)
        verdicts[index] = verdict
    return [verdicts[index] for index in range(len(asked))]


def wants_more(said: list[Verdict], robust: bool) -> bool:
    """Is another file system needed? The first says unsupported: no other can help. A rejection is final."""
    if not said:
        return True
    if said[0].verdict == "unsupported" or any(verdict.verdict == "reject" for verdict in said):
        return False
    return robust or not any(verdict.verdict == "accept" for verdict in said)


def varies(scenes: list[Scene]) -> bool:
    """Does the gold show or do something else on some copy than on the given file system, whatever moves by itself?"""
    return len({steady(scene.gold_runs) for scene in scenes}) > 1


def combine(said: list[tuple[str, Verdict]]) -> Verdict:
    """One verdict from those on each file system: a rejection wins, then what could not be compared because it moves
    by itself, then an acceptance, then undecided."""
    asked = [name for name, _ in said]
    for kind in ("reject", COVERED, "accept", "undecided", "unsupported"):
        for name, verdict in said:
            if kind in (verdict.verdict, verdict.rule):
                return Verdict(verdict.verdict, verdict.rule, verdict.evidence | {"on": name, "asked": asked})
    raise ValueError("no file system was asked")


def pairs(runs: Runs, here: list[tuple[Case, Scene]]) -> list[Pair]:
    """Gold and candidate on one scene each; where the gold is volatile the candidate runs twice as well."""
    ones = runs.get([(case.candidate, scene.fixture) for case, scene in here])
    volatile = [(case.candidate, scene.fixture) for case, scene in here if scene.is_volatile]
    twos = iter(runs.get(volatile, repeat=1))

    def candidate_runs(one: Execution, scene: Scene) -> tuple[Execution, ...]:
        return (one, next(twos)) if scene.is_volatile else (one,)

    found = [
        Pair(
            case.request,
            case.gold,
            case.candidate,
            scene.gold_runs,
            candidate_runs(one, scene),
            cwd=scene.fixture.cwd,
            tree=scene.fixture.tree,
        )
        for (case, scene), one in zip(here, ones, strict=True)
    ]
    return with_contents(runs, found, [scene.fixture for _, scene in here])


def with_contents(runs: Runs, found: list[Pair], fixtures: list[Fixture]) -> list[Pair]:
    """Pairs that wrote the same files with different contents get those contents, from one more run of each."""
    here = zip(found, fixtures, strict=True)
    asked = [(pair, fixture, paths) for pair, fixture in here if (paths := rewritten(pair))]
    twice = [item for item in asked if len(item[0].gold_runs) > 1]

    def show(side: str, items: list[tuple[Pair, Fixture, list[str]]], repeat: int) -> list[Execution]:
        wanted = [(showing(getattr(pair, side), paths), fixture) for pair, fixture, paths in items]
        return runs.get(wanted, repeat=repeat, gold=side == "gold")

    shown: dict[int, dict[str, list[Execution]]] = {id(pair): {"gold": [], "candidate": []} for pair, _, _ in asked}
    for repeat, items in enumerate((asked, twice)):
        for side in ("gold", "candidate"):
            for (pair, _, _), run in zip(items, show(side, items, repeat), strict=True):
                shown[id(pair)][side].append(run)
    return [
        replace(pair, contents=replace(pair, gold_runs=tuple(both["gold"]), candidate_runs=tuple(both["candidate"])))
        if (both := shown.get(id(pair)))
        else pair
        for pair in found
    ]
