"""promptfoo: the JSON of `promptfoo eval -o FILE.json`, and its JSONL, which is its `results.results` line by line.

An item is a test: its description, its variables and its prompt. Metrics are `success`, `score`, and those that
assertions name. A test that is there more than once (`--repeat`) has repeats; one whose provider or grader failed is
invalid. One arm is one provider.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from eval.logs.documents import Opened, lines
from eval.logs.rows import Logged, Part, Value, digest_of, few, fields_of, name_of, number_of, refuse, text_of

TASK = "promptfoo"
ERROR = 2  # `failureReason` of a test that could not be run or graded; 1 is an assertion that does not hold


class PromptfooResults:
    """Reads both forms."""

    name = "promptfoo"

    def knows(self, opened: Opened) -> bool:
        if _is_row(opened.first):
            return True
        return opened.is_document and _rows_in(opened.document) is not None

    def read(self, opened: Opened) -> Part:
        task = opened.task(TASK)
        if not _is_row(opened.first):
            return part_of(opened, task, _rows_in(opened.document) or [])
        rows = []
        for line in lines(opened):
            if line.problem:
                raise refuse(f"{opened.path}:{line.number}", line.problem, "export the results again")
            rows.append(line.value)
        return part_of(opened, task, rows)


def _is_row(value: Any) -> bool:
    """A result of a test; older versions write no testCase."""
    asked = isinstance(value, dict) and ("testCase" in value or ("vars" in value and "prompt" in value))
    return asked and "success" in value


def _rows_in(document: Any) -> list[Any] | None:
    """`results.results` of an export, or `results` of an older one; None where there is none."""
    results = document.get("results") if isinstance(document, dict) else None
    rows = results.get("results") if isinstance(results, dict) else results
    return rows if isinstance(rows, list) and rows and _is_row(rows[0]) else None


def part_of(opened: Opened, task: str, rows: Iterable[Any]) -> Part:
    """The items of one evaluation. UserError for rows of several providers, which would be several arms."""
    items: list[Logged] = []
    asked: dict[str, str] = {}
    repeats: Counter[str] = Counter()
    providers: dict[str, None] = {}
    for place, row in enumerate(rows):
        if not _is_row(row):
            raise refuse(opened.path, f"result {place} is no test with an outcome", "export the results again")
        item = item_of(task, row, repeats)
        providers.setdefault(provider_of(row), None)
        if asked.setdefault(item.id, item.question) != item.question:
            advice = "give tests that share variables and description descriptions of their own"
            raise refuse(opened.path, f"two different tests are called {item.id}", advice)
        items.append(item)
    if len(providers) > 1:
        said = f"answers of {len(providers)} providers ({few(list(providers))})"
        raise refuse(opened.path, said, "one arm is one provider: export each with --filter-providers")
    return Part(items, whole=frozenset({task}))


def provider_of(row: dict[str, Any]) -> str:
    """Who answered, as the evaluation labels it."""
    told = row.get("provider")
    return name_of(told.get("label") or told.get("id") if isinstance(told, dict) else told)


def item_of(task: str, row: dict[str, Any], repeats: Counter[str]) -> Logged:
    """One test. `repeats` counts how often each was met."""
    test = _mapping(row.get("testCase"))
    given = row.get("vars") if isinstance(row.get("vars"), dict) else test.get("vars")
    prompt, response, graded = (_mapping(row.get(name)) for name in ("prompt", "response", "gradingResult"))
    said = test.get("description")
    label = f" #{row['promptIdx']}" if row.get("promptIdx") else ""
    words = [said] if isinstance(said, str) and said else []
    name = name_of(" ".join([*words, json.dumps(given, sort_keys=True, ensure_ascii=False)]) + label)
    repeats[name] += 1
    failed = row.get("failureReason") == ERROR or ("failureReason" not in row and bool(row.get("error")))
    return Logged(
        task,
        name,
        repeats[name] - 1,
        values_of(row, test, failed),
        digest_of([prompt.get("raw"), given, test.get("assert")]),
        text_of(prompt.get("raw") or ""),
        "",
        text_of(response.get("output") if response.get("output") is not None else ""),
        fields_of(given, test.get("metadata")),
        text_of(row.get("error") or graded.get("reason") or "it ended in an error") if failed else "",
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def values_of(row: dict[str, Any], test: dict[str, Any], failed: bool) -> dict[str, Value]:
    """Every metric of a test; of one that failed those that it would have had, without a value."""
    asserts = test.get("assert")
    named = [_mapping(one).get("metric") for one in asserts] if isinstance(asserts, list) else []
    metrics = ["success", "score", *dict.fromkeys(name for name in named if isinstance(name, str) and "{{" not in name)]
    if failed:
        return {name_of(metric): None for metric in metrics}
    scores = _mapping(row.get("namedScores"))
    own = {"success": row["success"], "score": row.get("score"), **scores}
    return {name_of(metric): number_of(value) for metric, value in own.items()}
