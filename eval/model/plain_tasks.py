"""A domain's task as lm-eval's own kind, for tasks that bring no lm-eval file: prompts from its functions, its
scoring."""

from pathlib import Path
from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

from datasets import Dataset  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.common.reading import read_bytes  # noqa: E402
from eval.contracts.task import OwnTask, Row  # noqa: E402

NUMBER = "row_number"  # the only field of a document: rows may hold what no table can


class PlainTask(ConfigurableTask):
    """A task whose prompts, golds and scores are those of a domain's functions."""

    def __init__(self, own: OwnTask, rows: list[Row]) -> None:
        self.own, self.rows = own, rows
        super().__init__(
            config={
                "task": own.name,
                "custom_dataset": lambda **_: {"test": Dataset.from_dict({NUMBER: list(range(len(rows)))})},
                "test_split": "test",
                "output_type": "generate_until",
                "description": own.system,
                "doc_to_text": self.doc_to_text,
                "doc_to_target": self.doc_to_target,
                "process_results": self.process_results,
                "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": own.max_new_tokens},
                "metric_list": [
                    {"metric": name, "aggregation": "mean", "higher_is_better": facts.better == "higher"}
                    for name, facts in own.metrics.items()
                    if not facts.executed
                ],
                "metadata": {"version": 1.0},
            }
        )

    def row_of(self, doc: dict[str, Any]) -> Row:
        """The row that a document stands for."""
        return self.rows[doc[NUMBER]] if NUMBER in doc else doc

    def doc_to_text(self, doc: dict[str, Any], doc_to_text: Any = None) -> str:
        row = self.row_of(doc)
        return self.own.prompt(row) if self.own.prompt else self.own.request(row)

    def doc_to_target(self, doc: dict[str, Any], doc_to_target: Any = None) -> str:
        return self.own.gold(self.row_of(doc))

    def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, float]:
        return dict(self.own.measure(self.row_of(doc), results[0]))


def plain_task(own: OwnTask, data: Path | None) -> PlainTask:
    """The task with its rows. UserError for data that cannot be read or holds no rows."""
    try:
        rows = own.rows(b"" if data is None else read_bytes(data))
    except FileNotFoundError:
        raise UserError(f"task {own.name}: {data} is not there: `make data` or its author makes it") from None
    except ValueError as error:
        raise UserError(f"task {own.name}: {data}: {error}") from None
    if not rows:
        raise UserError(f"task {own.name} has no samples: {data} holds no rows")
    return PlainTask(own, rows)
