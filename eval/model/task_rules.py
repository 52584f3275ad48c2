"""What a task of lm-evaluation-harness may ask for here, decided when the suite loads and not after it was paid for.

An item is one request for a text, or likelihoods of one item's choices; answered once; scored by numbers of its own
that a mean may be taken of. Whatever else a task file asks for is refused with its key. A scorer that leaves a metric
out for some answer is no mistake: that item is invalid for that metric (eval/model/lm_tasks.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.contracts.domains import execution_of, find_task
from eval.contracts.drawn import base_and_k

REQUESTS = ("generate_until", "loglikelihood")
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
NUMBERS = (*LENGTHS, "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size")
MEANS = ("mean", "nanmean")
DEFAULT_LENGTH = 256  # tokens of an answer where its task does not say, as lm-eval has it
PROBED = 8  # items whose scorer is tried before anything is generated


def check_requests(name: str, task: Any, by_item: Mapping[int, Sequence[Any]]) -> None:
    """UserError, with the key of the task file, for requests that are not answered here as lm-eval would."""
    if (repeats := getattr(task.config, "repeats", 1) or 1) != 1:
        raise UserError(
            f"task {name}: repeats: {repeats}: an answer is scored alone here: remove the key, "
            "and set `repeats` of the task in the suite"
        )
    for requests in by_item.values():
        kinds = sorted({request.request_type for request in requests})
        if len(kinds) > 1 or kinds[0] not in REQUESTS:
            raise UserError(
                f"task {name}: output_type: {' and '.join(kinds)}: only {' or '.join(REQUESTS)} (multiple_choice, too) "
                "has a value for each item"
            )
        if kinds == ["generate_until"]:
            if len(requests) > 1:
                raise UserError(f"task {name}: {len(requests)} texts are asked for one item: make them items")
            _check_settings(name, requests[0].args[1])


def _check_settings(name: str, settings: Any) -> None:
    """UserError for generation settings that are unknown, or of a kind that fails once answers are generated."""
    where = f"task {name}: generation_kwargs"
    if not isinstance(settings, dict):
        raise UserError(f"{where}: {settings!r} is not a mapping")
    for key, value in settings.items():
        if key == "until":
            stops = [value] if isinstance(value, str) else [] if value is None else value
            if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
                raise UserError(f"{where}: until: {value!r} is not a list of non-empty texts")
        elif key == "do_sample":
            if not isinstance(value, bool):
                raise UserError(f"{where}: do_sample: {value!r} is neither true nor false")
        elif key not in NUMBERS:
            raise UserError(f"{where}: {key} is not supported: until, do_sample, {', '.join(NUMBERS)} are")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise UserError(f"{where}: {key}: {value!r} is not a number of at least 0")
        elif key in LENGTHS and (value < 1 or int(value) != value):
            raise UserError(f"{where}: {key}: {value!r} is not a whole number of at least 1")


def check_aggregations(name: str, task: Any, gated: Sequence[str]) -> None:
    """UserError for a metric with a gate of which lm-eval does not report the mean over items."""
    how = task.aggregation()
    for metric in gated:
        rule = how.get(metric.split(",")[0])
        label = getattr(rule, "__name__", str(rule))
        if rule is not None and label not in MEANS:
            raise UserError(
                f"task {name}: metric_list: {metric} is aggregated by {label}: a gate compares means of items; "
                "give it `aggregation: mean`, or gate another metric"
            )


def check_lengths(tasks: Iterable[Any], lm: Any) -> None:
    """UserError when a prompt and what is asked for do not fit into what the model reads: lm-eval would cut its start.

    `tasks` are LoadedTasks; `lm` needs `tok_encode`, `max_length` and `max_gen_toks`, as lm-eval's models have them.
    """
    for task in tasks:
        for sample in task.samples:
            for request in sample.instances:
                if request.request_type == "generate_until":
                    asked = [request.args[1][key] for key in LENGTHS if request.args[1].get(key)]
                    room, what = int(asked[0] if asked else lm.max_gen_toks), "max_gen_toks"
                else:
                    room, what = len(lm.tok_encode(str(request.args[1]))), "the tokens of its answer"
                length = len(lm.tok_encode(str(request.args[0])))
                if length + room > lm.max_length:
                    raise UserError(
                        f"task {task.name}: {sample.id} has {length} tokens, with {room} of {what} more than the "
                        f"{lm.max_length} that the model reads: shorten the prompt, or ask for less"
                    )


def tried_metrics(name: str, golds: Sequence[str], tried: Callable[[int, str], Mapping[str, Any]]) -> set[str]:
    """The metrics that the scorer gives numbers for, found by scoring an empty answer and the gold of a few items.

    `tried` scores an answer to the item of a number. UserError when it fails, or gives values and never a number.
    """
    found: dict[str, bool] = {}
    for number, gold in enumerate(golds[:PROBED]):
        for answer in ("", gold):
            try:
                values = dict(tried(number, answer))
            except Exception as error:  # whatever a task's own code raises
                said = f"{type(error).__name__}: {error}".strip().split("\n")[0]
                kind = "an empty answer" if not answer else "its own gold as the answer"
                raise UserError(f"task {name}: its scorer fails on {kind} (item {number + 1}): {said}") from error
            for metric, value in values.items():
                found[metric] = found.get(metric, False) or isinstance(value, bool | int | float)
    if found and not any(found.values()):
        raise UserError(
            f"task {name}: metric_list: {', '.join(sorted(found))} has no value for a single item: only corpus-level "
            "ones cannot be compared paired"
        )
    return {metric for metric, numeric in found.items() if numeric}


def check_metrics(suite: Suite, tasks: Iterable[Any]) -> None:
    """UserError for a gate on a metric that a task (a LoadedTask) has neither shown nor declared."""
    modes = {task.name: task.execute for task in suite.tasks}
    for task in tasks:
        own, execution = find_task(task.name), execution_of(task.name)
        offered = own.metrics if own else execution.metrics if execution else {}
        declared = {name for name, facts in offered.items() if not facts.executed or modes[task.name] in facts.executed}
        shown = {metric.partition(",")[0] for metric in task.expected}
        # One that needs a certain answer, or a model, is in the task file's list alone.
        listed = set(task.task.aggregation()) - shown
        for gate in suite.gates:
            asked = {gate.metric, base_and_k(gate.metric)[0]}
            known = task.expected | declared | {name for name in asked if name.partition(",")[0] in listed}
            if task.name in suite.members(gate.task) and not asked & known:
                there = ", ".join(sorted(known | listed)) or "none"
                raise UserError(f"gate {gate.id}: task {task.name} has no metric {gate.metric}: it has {there}")


def most_tokens(sample: Any) -> int:
    """How many tokens an answer to this sample (of eval/model/lm_tasks.py) may have."""
    settings = settings_of(sample)
    return next((int(settings[name]) for name in LENGTHS if name in settings), DEFAULT_LENGTH)


def stop_strings(sample: Any) -> list[str]:
    """Texts that end an answer to this sample."""
    found = settings_of(sample).get("until") or []
    return [found] if isinstance(found, str) else list(found)


def settings_of(sample: Any) -> dict[str, Any]:
    """The task's generation settings."""
    return dict(sample.instances[0].args[1])
