"""Do the rows of a run agree with each other and with the data? Whatever can be derived is derived again.

    check_rows(suite, metrics, read_rows(suite, scores, folder))      Refused at the first contradiction

items <- the task's own file; metrics of a text <- the answer; executes_equal <- executions.jsonl; safe, unsafe <-
observations.jsonl, whose static half <- the answer; counts of metrics.json <- the rows.

Not derived: what only the model, the sandbox or lm-eval can say. docs/publishing.md lists it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from eval.bash.answers import carried_verdict
from eval.common.errors import Refused
from eval.config.suite_file import Suite
from eval.contracts.domains import execution_of, find_task, modes_giving
from eval.contracts.task import BROKEN, NOT_FOR_EXECUTION, SAME_TEXT, WATCHED_MODE, Asked
from eval.execution.collateral import collateral_scores
from eval.execution.execute import summaries
from eval.execution.judging import execution_scores, judged_modes
from eval.execution.observed import MOST_CHANGES
from eval.execution.watching import commands_of, dynamic_verdict, safety_scores
from eval.run.metrics import Metrics
from eval.run.records import (
    BASELINE,
    CANDIDATE,
    Judgement,
    Observation,
    Score,
    finite,
    printable,
)
from scripts.publishing.run_rows import EXECUTIONS, OBSERVATIONS, Rows
from scripts.publishing.verify_data import AGAIN, Known, asked_rows


def check_rows(suite: Suite, metrics: Metrics, rows: Rows) -> None:
    """Refused at the first row that contradicts another file, or count of metrics.json that its rows do not give."""
    check_tasks(suite, metrics, rows)
    check_answers(suite, rows)
    known = asked_rows(suite, metrics, rows.items, rows.folder)
    check_executions(suite, rows, known)
    check_observations(suite, rows)
    check_scores(suite, rows, known)
    check_summaries(suite, metrics, rows)


def check_tasks(suite: Suite, metrics: Metrics, rows: Rows) -> None:
    """Refused unless metrics.json and samples.jsonl are about the tasks of the suite, each once."""
    names = [task.name for task in metrics.tasks]
    if sorted(names) != sorted(task.name for task in suite.tasks) or {item.task for item in rows.items} != set(names):
        raise Refused(f"{rows.folder / 'metrics.json'}: tasks are not those of the suite and of samples.jsonl: {AGAIN}")


def check_answers(suite: Suite, rows: Rows) -> None:
    """Refused unless each arm answers each item, as often as the suite asks, and nothing else."""
    file = rows.folder / "generations.jsonl"
    repeats = {task.name: range(task.repeats) for task in suite.tasks}
    asked = {(task, sample, repeat) for task, sample in rows.by_item for repeat in repeats[task]}
    answered: dict[str, set[tuple[str, str, int]]] = {BASELINE: set(), CANDIDATE: set()}
    for answer in rows.generations:
        if answer.arm not in answered or answer.place[1:] not in asked:
            raise Refused(f"{file}: {answer.arm} of {answer.task}: {answer.sample} was not asked: {AGAIN}")
        if answer.request != rows.by_item[answer.task, answer.sample].request:
            raise Refused(f"{file}: {answer.arm} of {answer.sample}: samples.jsonl has another request: {AGAIN}")
        answered[answer.arm].add(answer.place[1:])
    for arm, places in answered.items():
        if missing := sorted(asked - places):
            raise Refused(f"{file}: {arm} of {missing[0][0]}: {missing[0][1]} has no answer: {AGAIN}")


def check_executions(suite: Suite, rows: Rows, known: Known) -> None:
    """Refused unless executions.jsonl has each answer that is executed, under its own command.

    Which samples cannot be executed is decided again for the tasks of this repository; in both arms alike for others.
    """
    file = rows.folder / EXECUTIONS
    ways = {name: execution for name in judged_modes(suite) if (execution := execution_of(name))}
    _check_places(file, rows, set(ways), rows.judgements)
    unjudged: dict[str, set[tuple[str, str]]] = {BASELINE: set(), CANDIDATE: set()}
    for row in rows.judgements:
        skipped = row.rule == NOT_FOR_EXECUTION
        if skipped:
            unjudged[row.arm].add((row.task, row.sample))
        way, doc = ways[row.task], known.get((row.task, row.sample))
        if doc is not None:
            reason = way.unsupported(doc)
            if skipped != (reason is not None):
                raise Refused(f"{file}: {row.arm} of {row.sample}: {reason or 'it can be executed'}: {AGAIN}")
        if skipped and row.verdict != "unsupported":
            raise Refused(f"{file}: {row.arm} of {row.sample} has a verdict without an execution: {AGAIN}")
        if row.command != way.program(rows.by_place[row.place].text):
            raise Refused(f"{file}: {row.arm} of {row.sample} is not the command of its answer: {AGAIN}")
        item = rows.by_item[row.task, row.sample]
        certain = way.certain(Asked(doc or {}, item.request, item.gold, row.command))
        check_collateral(
            file, row, bool(certain) and row.rule == SAME_TEXT, None if doc is None else way.can_do_harm(doc)
        )
        by_text = certain is not None and (row.rule, row.verdict) == (certain.rule, certain.verdict)
        if row.rule not in (NOT_FOR_EXECUTION, BROKEN) and by_text != (certain is not None or row.rule == SAME_TEXT):
            raise Refused(f"{file}: {row.arm} of {row.sample}: {SAME_TEXT} is not what answer and gold say: {AGAIN}")
    if unjudged[BASELINE] != unjudged[CANDIDATE]:
        raise Refused(f"{file}: the arms leave out different samples: {AGAIN}")


def check_collateral(file: Path, row: Judgement, same: bool, harmful: bool | None) -> None:
    """Refused unless what an answer damaged was looked for wherever it can be seen, and is what the row itself shows.

    What the answer did on the given files is listed in the row for readers, and so is what the gold did: a path that
    existed, that the answer took away and the gold did not touch, is damage in any case. An answer that ran nothing
    (no command, or the `same` text as the gold) damaged nothing. `harmful`: whether its sample has what
    could be damaged; None where that is not known.
    """
    who = f"{file}: {row.arm} of {row.sample}"
    if harmful is not None and (row.collateral is None) == harmful:
        raise Refused(f"{who}: collateral damage is not what its sample can show: {AGAIN}")
    found = row.collateral
    if found is None:
        return
    ran = row.command != "" and not same
    if not ran and (found.damaged_paths or found.stray_paths or found.unknown):
        raise Refused(f"{who} damaged something without running: {AGAIN}")
    if not ran or row.answer is None or row.gold is None or found.unknown:
        return
    asked = {line[2:].split(" (mode ")[0] for line in row.gold.changes}
    gone = {line[2:] for line in row.answer.changes if line.startswith("- ")} - asked
    listed = {one.path for one in found.damaged}
    complete = found.damaged_paths == len(found.damaged)
    if gone and len(row.gold.changes) <= MOST_CHANGES and (not listed or (complete and not gone <= listed)):
        raise Refused(f"{who} removed {min(gone)}, and its collateral damage does not say so: {AGAIN}")


def check_observations(suite: Suite, rows: Rows) -> None:
    """Refused unless observations.jsonl has each answer that is watched, with what the analyser says of it."""
    file = rows.folder / OBSERVATIONS
    _check_places(file, rows, {task.name for task in suite.tasks if task.execute == WATCHED_MODE}, rows.observations)
    for row in rows.observations:
        answer = rows.by_place[row.place]
        commands = [printable(command) for command in commands_of(answer)]
        if (row.commands, row.static) != (commands, carried_verdict(answer.text, answer.request)):
            raise Refused(f"{file}: {row.arm} of {row.sample} is not what its answer carries: {AGAIN}")
        try:
            dynamic = dynamic_verdict([said.partition(":")[0] for said in row.findings], commands, row.invalid)
        except KeyError as error:
            raise Refused(f"{file}: {row.arm} of {row.sample}: there is no rule {error}: {AGAIN}") from None
        if row.dynamic != dynamic:
            raise Refused(f"{file}: {row.arm} of {row.sample}: dynamic is not what its findings say: {AGAIN}")


def _check_places(file: Path, rows: Rows, tasks: set[str], found: Iterable[Judgement | Observation]) -> None:
    asked = {place for place in rows.by_place if place[1] in tasks}
    there = {row.place for row in found}
    if differing := sorted(asked ^ there):
        arm, task, sample, _ = differing[0]
        said = "is missing" if differing[0] in asked else "is of no answer that is executed"
        raise Refused(f"{file}: {arm} of {task}: {sample} {said}: {AGAIN}")


def check_scores(suite: Suite, rows: Rows, known: Known) -> None:
    """Refused unless scores.jsonl has the value, cluster and category that the other files give."""
    file = rows.folder / "scores.jsonl"
    derived = {(*line.place, line.metric): line.value for line in derived_scores(rows, known)}
    there = set()
    for line in rows.scores:
        key = (*line.place, line.metric)
        there.add(key)
        item = rows.by_item.get((line.task, line.sample))
        if item is None or (line.cluster, line.category) != (item.cluster, item.category):
            raise Refused(f"{file}: {line.sample} of {line.task} has another cluster or category in samples.jsonl")
        if key not in derived:
            if find_task(line.task) or _is_executed(suite, line):
                raise Refused(f"{file}: {line.arm} of {line.sample}: no file gives its {line.metric}: {AGAIN}")
        elif line.value != derived[key]:
            source = _source(suite, line)
            raise Refused(f"{file}: {line.metric}, {line.arm} of {line.sample} is not what {source} says: {AGAIN}")
    if missing := sorted(derived.keys() - there):
        arm, task, sample, _, metric = missing[0]
        raise Refused(f"{file}: {arm} of {task}: {sample} lacks its {metric}: {AGAIN}")


def derived_scores(rows: Rows, known: Known) -> Iterator[Score]:
    """Every score that the other files give, as the evaluation itself makes it from them."""
    yield from execution_scores(rows.judgements, rows.by_item)
    yield from collateral_scores(rows.judgements, rows.by_item)
    yield from safety_scores(rows.observations, rows.by_item)
    for answer in rows.generations:
        task = find_task(answer.task)
        if task is None:
            continue
        place = answer.task, answer.sample
        try:
            values = task.measure(known[place], answer.text)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            raise Refused(
                f"{rows.folder / 'generations.jsonl'}: {answer.arm} of {answer.sample} is not an answer to "
                f"{answer.task}: {AGAIN}"
            ) from None
        for metric, value in values.items():
            yield Score.of(answer, metric, finite(value), "", rows.by_item[place])


def _is_executed(suite: Suite, line: Score) -> bool:
    modes = {task.name: task.execute for task in suite.tasks}
    return modes.get(line.task) in modes_giving(line.task, line.metric)


def _source(suite: Suite, line: Score) -> str:
    if not _is_executed(suite, line):
        return "generations.jsonl"
    return source_of(line)


def source_of(line: Score) -> str:
    """The file that a score of running answers comes from."""
    return OBSERVATIONS if modes_giving(line.task, line.metric) == (WATCHED_MODE,) else EXECUTIONS


def check_summaries(suite: Suite, metrics: Metrics, rows: Rows) -> None:
    """Refused unless metrics.json has the counts that the rows give."""
    file = rows.folder / "metrics.json"
    names = [task.name for task in metrics.tasks]
    executed = summaries(names, rows.judgements, rows.observations)
    specs = {task.name: task for task in suite.tasks}
    scored: dict[str, set[str]] = {name: set() for name in names}
    for line in rows.scores:
        scored[line.task].add(line.metric)
    for task in metrics.tasks:
        items = rows.of(task.name)
        counted = {
            "samples": len(items),
            "clusters": len({item.cluster for item in items}),
            "metrics": sorted(scored[task.name]),
            "repeats": specs[task.name].repeats,
            "sampling": specs[task.name].sampling,
            **executed[task.name],
        }
        if changed := [name for name in counted if getattr(task, name) != counted[name]]:
            raise Refused(f"{file}: {changed[0]} of {task.name} is not what the run's files give: {AGAIN}")
    used = {name: len(rows.of(name)) for name in names}
    looks = metrics.sequential
    if (looks is not None) != (suite.mode == "sequential") or (looks and looks.used != used):
        raise Refused(f"{file}: sequential is not what samples.jsonl gives: {AGAIN}")
