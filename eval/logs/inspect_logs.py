"""Inspect: `.eval` (a zip of header.json and samples/*.json) and its `.json` form (one document with all of it).

Letters are the numbers that Inspect itself makes of them: C 1, P 0.5, I and N 0. A scorer whose value is a dict gives a
metric a key, `scorer/key`. An epoch is a repeat of its item; a sample that ended in an error is invalid.
"""

from collections.abc import Iterator
from typing import Any

from eval.logs.documents import Opened, parsed
from eval.logs.rows import Logged, Part, Value, digest_of, fields_of, name_of, number_of, refuse, text_of
from eval.logs.zip_members import zip_members

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
ATTACHED = "attachment://"


class InspectLogs:
    """Reads both forms."""

    name = "Inspect"

    def knows(self, opened: Opened) -> bool:
        if opened.is_zip:
            return True
        if not opened.is_document:
            return False
        value = opened.document
        return isinstance(value, dict) and isinstance(value.get("eval"), dict) and "status" in value

    def read(self, opened: Opened) -> Part:
        if not opened.is_zip:
            header = opened.document
            samples = header.get("samples")
            return part_of(opened, header, iter(samples if isinstance(samples, list) else []))
        with zip_members(opened.path) as members:
            if "header.json" not in members.entries:
                raise refuse(opened.path, "no header.json: a log of an evaluation that did not end", "evaluate again")
            header = parsed(members.read("header.json"), f"{opened.path}: header.json")
            samples = (parsed(members.read(name), f"{opened.path}: {name[:80]}") for name in members.names("samples/"))
            return part_of(opened, header, samples)


def part_of(opened: Opened, header: Any, samples: Iterator[Any]) -> Part:
    """The items of one log. UserError when the evaluation did not end, or a sample is none."""
    told = header.get("eval") if isinstance(header, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("task"), str):
        raise refuse(opened.path, "no `eval` with a `task`", "is it a log of Inspect?")
    if (status := header.get("status")) != "success":
        raise refuse(opened.path, f"its evaluation ended with status {name_of(status)}", "evaluate again, to the end")
    task = name_of(told["task"])
    items = [item_of(task, sample, opened) for sample in samples]
    if not items:
        raise refuse(opened.path, "it holds no samples", "evaluate with --log-samples")
    return Part(items, {task: str(told.get("task_version"))[:40]}, whole=frozenset({task}))


def item_of(task: str, sample: Any, opened: Opened) -> Logged:
    """One sample of one epoch."""
    if not isinstance(sample, dict) or "id" not in sample:
        raise refuse(opened.path, "a sample is no mapping with an id", "write the log again")
    epoch, scores, error = sample.get("epoch", 1), sample.get("scores"), sample.get("error")
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 1 <= epoch <= 1_000_000:
        raise refuse(opened.path, f"sample {name_of(sample['id'])} has no epoch from 1", "write the log again")
    broken = "it ended in an error" if error else "it was invalidated" if sample.get("invalidation") else ""
    asked, target = _asked(sample.get("input")), sample.get("target")
    output = sample.get("output")
    return Logged(
        task,
        name_of(sample["id"]),
        epoch - 1,
        {} if broken else dict(values_of(scores)),
        digest_of([asked, sample.get("choices"), target]),
        text_of(whole(asked if isinstance(asked, str) else "\n".join(str(said[1]) for said in asked), sample)),
        text_of(target if target is not None else ""),
        text_of(whole(_completion(output), sample)),
        fields_of(sample.get("metadata")),
        broken or ("" if scores else "nobody scored it"),
    )


def values_of(scores: Any) -> Iterator[tuple[str, Value]]:
    """Metric and value of every score of a sample."""
    for scorer, score in scores.items() if isinstance(scores, dict) else ():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            for key, own in value.items():
                yield name_of(f"{scorer}/{key}"), value_of(own)
        else:
            yield name_of(scorer), value_of(value)


def value_of(value: Any) -> Value:
    """A number, or the letter or word for one; a text that is a number counts as it."""
    if not isinstance(value, str):
        return number_of(value)
    if value in LETTERS or value.lower() in WORDS:
        return LETTERS[value] if value in LETTERS else WORDS[value.lower()]
    try:
        return number_of(float(value[:40]))
    except ValueError:
        return number_of(value)


def whole(text: Any, sample: dict[str, Any]) -> Any:
    """A text that Inspect keeps among the sample's attachments, by its digest; any other as it is."""
    kept = sample.get("attachments")
    if isinstance(kept, dict) and isinstance(text, str) and text.startswith(ATTACHED):
        return kept.get(text.removeprefix(ATTACHED), text)
    return text


def _asked(asked: Any) -> Any:
    """The input: a text, or [role, content] of each message, whose ids are drawn at random."""
    if not isinstance(asked, list):
        return "" if asked is None else asked if isinstance(asked, str) else [["", asked]]
    return [[said.get("role"), said.get("content")] if isinstance(said, dict) else ["", said] for said in asked]


def _completion(output: Any) -> Any:
    """What the model said: Inspect repeats the first choice's text as `completion`."""
    return output.get("completion", "") if isinstance(output, dict) else ""
