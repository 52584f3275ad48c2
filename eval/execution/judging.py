"""Answers judged by execution: what the suite adds to a task with `execute:` in its suite file.

Each answer's command runs beside the gold in the sandbox; accept is executes_equal 1, reject 0. Undecided and
unsupported are invalid items, never 0 or 1. A sample that execution cannot judge at all (its gold needs processes or
a network) has no executes_equal score in either arm: that is a property of the sample, and it is counted.

What an answer damages besides (eval/execution/collateral.py) is looked for in every answer that has files to damage,
also where running the gold shows nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from eval.bash.parsing import extract_command
from eval.config.suite_file import Suite
from eval.execution.collateral import NONE, collateral_of
from eval.judge.collateral import Harm, measure_harm
from eval.judge.judging import judge_many
from eval.judge.scenes import Runs, base_fixture
from eval.judge.verdicts import Case, Verdict
from eval.run.partial_log import PartialLog
from eval.run.records import Collateral, Generation, Grouped, Judged, Judgement, Observed, Score, printable
from eval.sandbox import Change, Execution, Fixture, Sandbox, SandboxError, load_fixture
from eval.sandbox.execution import to_text
from eval.tasks.nl2bash.fixture import VARIANTS, changes_asked_of, fixture_for, unsupported_reason

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask, Sample

METRIC = "executes_equal"
NOT_FOR_EXECUTION, BROKEN = "not_for_execution", "sandbox_broken"  # rules of our own beside the judge's
JUDGED_VALUES = {"accept": 1.0, "reject": 0.0}  # every other verdict is an invalid item
CHUNK = 48  # samples judged, in every arm, between two writes to disk
LONGEST_OUTPUT, MOST_CHANGES = 2000, 40
SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def judge_answers(
    suite: Suite,
    tasks: "list[LoadedTask]",
    generations: list[Generation],
    sandbox: Sandbox,
    log: PartialLog[Judgement],
    say: Callable[[str], None],
) -> list[Judgement]:
    """Judge every answer of the tasks that ask for it; those in `log` are not judged again."""
    answers = {(row.arm, row.task, row.sample): row for row in generations}
    arms = sorted({row.arm for row in generations})
    modes = {task.name: task.execute for task in suite.tasks}
    order = []
    for task in tasks:
        mode = modes[task.name]
        if mode not in ("robust", "plain"):
            continue
        order += [(arm, task.name, sample.id) for arm in arms for sample in task.samples]
        for start in range(0, len(task.samples), CHUNK):
            samples = task.samples[start : start + CHUNK]
            asked = [(sample, answers[arm, task.name, sample.id]) for sample in samples for arm in arms]
            asked = [(s, a) for s, a in asked if (a.arm, task.name, s.id) not in log.rows]
            if asked:
                log.add(_judge(asked, sandbox, robust=mode == "robust"))
                say(f"executed {task.name}: {min(start + CHUNK, len(task.samples))}/{len(task.samples)} samples")
    return log.finish(order) if order else []


def _judge(asked: "list[tuple[Sample, Generation]]", sandbox: Sandbox, robust: bool) -> list[Judgement]:
    """Judgements in the order asked."""
    judged: dict[int, Judgement] = {}
    cases: dict[int, Case] = {}
    for index, (sample, answer) in enumerate(asked):
        command = extract_command(answer.text)
        if reason := not_for_execution(sample.doc):
            judged[index] = _judgement(answer, command, Verdict("unsupported", NOT_FOR_EXECUTION), reason)
        elif not command:
            judged[index] = _judgement(answer, command, Verdict("reject", "no_command"), "the answer is empty")
        else:
            try:
                cases[index] = Case(sample.request, sample.gold, command, *fixtures_of(sample.doc, sandbox))
            except SandboxError as error:
                judged[index] = _judgement(answer, command, Verdict("undecided", BROKEN), str(error))
    runs = Runs(sandbox)
    try:
        verdicts = judge_many(sandbox, cases.values(), robust=robust, runs=runs)
    except SandboxError:
        verdicts = [_judge_alone(sandbox, case, robust, runs) for case in cases.values()]
    for (index, case), verdict in zip(cases.items(), verdicts, strict=True):
        if verdict.rule == "candidate_needs_more":
            # The sandbox is the machine that the samples are about, and their golds run on it.
            verdict = Verdict("reject", "not_on_this_machine", {"why": verdict.evidence.get("reason", "")})
        shown = None
        if verdict.rule not in ("same_text", BROKEN):
            given = base_fixture(case.fixture, sandbox)
            shown = _shown(runs, case, given)
        reason = str(verdict.evidence.get("why", ""))
        judged[index] = _judgement(asked[index][1], case.candidate, verdict, reason, shown)
    harms = _harms([(sample, judged[index]) for index, (sample, _) in enumerate(asked)], cases, runs, robust)
    return [judged[index].model_copy(update={"collateral": harms[index]}) for index in range(len(asked))]


def _harms(
    judged: "list[tuple[Sample, Judgement]]", known: Mapping[int, Case], runs: Runs, robust: bool
) -> "list[Collateral | None]":
    """What each answer did besides; None where its sample has no files that could be damaged.

    `known`: the cases of those that were judged, by their place.
    """
    found: list[Collateral | None] = [None] * len(judged)
    cases: dict[int, Case] = {}
    for index, (sample, row) in enumerate(judged):
        gold = gold_for_harm(sample.doc, sample.gold)
        if gold is None:
            continue
        found[index] = NONE
        if row.command and row.rule != "same_text":
            try:
                made = known.get(index)  # its trees are there already, unless the gold is not for execution
                trees = (made.fixture, made.more) if made else fixtures_of(sample.doc, runs.sandbox)
                cases[index] = Case(sample.request, gold, row.command, *trees)
            except SandboxError as error:
                found[index] = collateral_of(Harm(unknown=str(error)))
    try:
        harms = measure_harm(runs, cases.values(), robust)
    except SandboxError:
        harms = [_harm_alone(runs, case, robust) for case in cases.values()]
    for index, harm in zip(cases, harms, strict=True):
        found[index] = collateral_of(harm)
    return found


def _harm_alone(runs: Runs, case: Case, robust: bool) -> Harm:
    """One case; a sandbox that breaks on it leaves unknown what this answer did, and no other."""
    try:
        return measure_harm(runs, [case], robust)[0]
    except SandboxError as error:
        return Harm(unknown=str(error))


def gold_for_harm(doc: dict[str, Any], gold: str) -> str | None:
    """The command whose changes were asked for; None where no file system can show what else was changed."""
    if "fixture" in doc:
        return gold if doc["fixture"] else None
    return changes_asked_of(doc)


def _shown(runs: Runs, case: Case, given: Fixture) -> list[Execution] | None:
    """Gold and answer on the given files, for readers; None when the sandbox breaks, which changes no verdict."""
    try:
        return runs.get([(case.gold, given), (case.candidate, given)])
    except SandboxError:
        return None


def _judge_alone(sandbox: Sandbox, case: Case, robust: bool, runs: Runs) -> Verdict:
    """One case; a sandbox that breaks on it costs this item only, which is then invalid."""
    try:
        return judge_many(sandbox, [case], robust=robust, runs=runs)[0]
    except SandboxError as error:
        return Verdict("undecided", BROKEN, {"why": str(error)})


def not_for_execution(doc: dict[str, Any]) -> str | None:
    """Why a sample cannot be judged by running it; None when it can."""
    if "fixture" not in doc:
        return unsupported_reason(doc)
    return None if doc["fixture"] else "needs processes, a network or files that no fixture has"


def fixtures_of(doc: dict[str, Any], sandbox: Sandbox) -> tuple[Fixture, tuple[Fixture, ...]]:
    """The file tree of a sample, and further trees on which an answer has to do the same as the gold."""
    if "fixture" in doc:
        return load_fixture(doc["fixture"], sandbox), ()
    return fixture_for(doc, sandbox), tuple(fixture_for(doc, sandbox, variant) for variant in range(1, VARIANTS))


def _judgement(
    answer: Generation, command: str, verdict: Verdict, reason: str, shown: list[Execution] | None = None
) -> Judgement:
    gold, own = (observed(run) for run in shown) if shown else (None, None)
    return Judgement(
        arm=answer.arm,
        task=answer.task,
        sample=answer.sample,
        repeat=answer.repeat,
        command=command,
        verdict=verdict.verdict,
        rule=verdict.rule,
        reason=reason,
        gold=gold,
        answer=own,
    )


def observed(run: Execution) -> Observed:
    """An execution for readers: texts cut to a length, changes as one line each."""
    changes = [_change_line(change) for change in run.changes[:MOST_CHANGES]]
    if len(run.changes) > MOST_CHANGES:
        changes.append(f"... {len(run.changes) - MOST_CHANGES} more")
    return Observed(
        exit=run.exit,
        stdout=_cut(run.stdout),
        stderr=_cut(run.stderr),
        changes=changes,
        limits_hit=list(run.limits_hit),
    )


def _change_line(change: Change) -> str:
    after, before = change.after, change.before
    line = f"{SIGNS[change.kind]} {change.path}"
    if after and before and after.mode != before.mode:
        line += f" (mode {before.mode:o} -> {after.mode:o})"
    if after and after.target:
        line += f" -> {after.target}"
    return printable(line)


def _cut(output: bytes) -> str:
    text = printable(to_text(output))
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}\n... {len(text) - LONGEST_OUTPUT} more"


def execution_scores(judgements: Iterable[Judgement], items: Mapping[tuple[str, str], Grouped]) -> list[Score]:
    """executes_equal of every judged answer; `items` by (task, sample). Those that execution cannot judge have none."""
    return [
        Score.of(
            row,
            METRIC,
            JUDGED_VALUES.get(row.verdict),
            f"{row.rule}: {row.reason}" if row.reason else row.rule,
            items[row.task, row.sample],
        )
        for row in judgements
        if row.rule != NOT_FOR_EXECUTION
    ]


def count_verdicts(judgements: Iterable[Judgement], task: str) -> dict[str, dict[Judged, int]] | None:
    """Answers of one task by arm and verdict; None when it was not executed."""
    counts: dict[str, Counter[Judged]] = defaultdict(Counter)
    for row in judgements:
        if row.task == task:
            counts[row.arm][row.verdict] += 1
    return {arm: dict(said) for arm, said in counts.items()} or None
