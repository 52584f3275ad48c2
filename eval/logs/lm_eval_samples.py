"""lm-evaluation-harness, `--log_samples`: one line an item and filter, and results_*.json beside it.

    samples_<task>_<time>.jsonl    doc_id, doc, target, arguments, resps, filter, metrics, doc_hash, prompt_hash, ...
    results_<time>.json            versions of tasks, and which way each metric is better

A metric of a named filter is called as in our suites: `exact_match,strict`; of the filter `none` by its name alone.
"""

import re
from pathlib import Path
from typing import Any

from eval.logs.documents import Opened, lines
from eval.logs.rows import Logged, NotANumber, Part, Value, digest_of, fields_of, name_of, number_of, refuse, text_of

NAME = "lm-evaluation-harness"
FILE = re.compile(r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)?\.jsonl", re.DOTALL)
HASHES = ("doc_hash", "prompt_hash", "target_hash")
# Of rows of versions that do not list their metrics: everything else that they have.
KNOWN = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", *HASHES}
UNNAMED = "log"


class LmEvalSamples:
    """Reads both kinds of file."""

    name = NAME

    def knows(self, opened: Opened) -> bool:
        if isinstance(opened.first, dict) and "doc_id" in opened.first and "resps" in opened.first:
            return True
        return opened.is_document and _is_results(opened.document)

    def read(self, opened: Opened) -> Part:
        if isinstance(opened.first, dict) and "doc_id" in opened.first:
            return read_samples(opened)
        return read_results(opened.document)


def _is_results(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("results"), dict) and "n-shot" in value


def read_results(value: dict[str, Any]) -> Part:
    """What results_*.json says of the tasks; its averages count for nothing here."""
    versions, better = value.get("versions"), value.get("higher_is_better")
    return Part(
        versions={name_of(task): str(said)[:40] for task, said in _items(versions)},
        higher={
            (name_of(task), name_of(metric)): said
            for task, metrics in _items(better)
            for metric, said in _items(metrics)
            if isinstance(said, bool)
        },
    )


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def read_samples(opened: Opened) -> Part:
    """The items of one samples_*.jsonl, the rows of an item's filters together. UserError at the first bad line."""
    named = FILE.fullmatch(opened.path.name)
    task = name_of(named[1]) if named else opened.task(UNNAMED)
    found: dict[str, Logged] = {}
    filters: dict[str, set[str]] = {}
    for line in lines(opened):
        where = f"{opened.path}:{line.number}"
        row = line.value
        if line.problem or not isinstance(row, dict) or "doc_id" not in row:
            raise refuse(where, line.problem or "no item with a doc_id", "write the log again")
        item, by = _item(task, row), name_of(row.get("filter", "none"))
        before = found.setdefault(item.id, item)
        if by in filters.setdefault(item.id, set()):
            said = f"doc_id {item.id} is there twice for filter {by}"
            raise refuse(where, said, "the harness appends to a file that is there: evaluate into a new folder")
        filters[item.id].add(by)
        if before.question != item.question:
            raise refuse(where, f"doc_id {item.id} has two prompts", "write the log again")
        before.values.update(item.values)
    return Part(list(found.values()), whole=frozenset({task}))


def _item(task: str, row: dict[str, Any]) -> Logged:
    by, listed = row.get("filter", "none"), row.get("metrics")
    metrics = listed if isinstance(listed, list) else [key for key in row if key not in KNOWN]
    suffix = "" if by == "none" else f",{by}"
    hashes = [row.get(name) for name in HASHES]
    asked = hashes if all(isinstance(said, str) for said in hashes) else [row.get("doc"), row.get("arguments")]
    return Logged(
        task,
        name_of(row["doc_id"]),
        0,
        {name_of(f"{metric}{suffix}"): _value(row, metric) for metric in metrics if isinstance(metric, str)},
        digest_of(asked),
        text_of(_prompt(row.get("arguments"))),
        text_of(row.get("target")),
        text_of(_answer(row.get("resps"))),
        fields_of(row.get("doc")),
    )


def _value(row: dict[str, Any], metric: str) -> Value:
    return number_of(row[metric]) if metric in row else NotANumber("missing")


def _prompt(arguments: Any) -> Any:
    """The first request's text: {"gen_args_0": {"arg_0": text}}, in older versions [[text, ...]]."""
    for key in ("gen_args_0", "arg_0"):
        if isinstance(arguments, dict):
            arguments = arguments.get(key)
    while isinstance(arguments, list) and arguments:
        arguments = arguments[0]
    return arguments or ""


def _answer(responses: Any) -> Any:
    """[[text]] of one request as its text. Of likelihoods the first answer to each choice, as our own runs keep it."""
    if not isinstance(responses, list):
        return responses
    first = [one[0] if isinstance(one, list) and one else one for one in responses]
    if len(first) == 1 and isinstance(first[0], str):
        return first[0]
    return [[_likelihood(pair[0]), _truth(pair[1])] if isinstance(pair, list) and len(pair) == 2 else pair
            for pair in first]  # fmt: skip


def _likelihood(value: Any) -> Any:
    """The harness writes numbers inside responses as texts."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _truth(value: Any) -> Any:
    return {"True": True, "False": False}.get(value, value) if isinstance(value, str) else value


def companion(path: Path) -> list[Path]:
    """The results_*.json of the same evaluation beside one file of samples, for versions and directions."""
    time = re.search(r"_(\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl$", path.name)
    beside = path.with_name(f"results_{time[1]}.json") if time else path
    return [beside] if time and beside.is_file() else []
