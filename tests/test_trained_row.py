"""The picture of one row: which tokens are learned, recorded by the worker and shown in the report, harmless."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.report.rendering import edited_report, rendered
from eval.run.facts import TrainedRow
from eval.run.files import read_facts, write_json
from scripts.training.shown_row import IGNORED, MOST_TOKENS, as_text, write_row

DEMO = Path("results/demo")


class Letters:
    """A tokenizer of letters."""

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def rows(text: str, learned: set[int]) -> list[dict[str, Any]]:
    ids = [ord(letter) for letter in text]
    labels = [code if place in learned else IGNORED for place, code in enumerate(ids)]
    return [{"input_ids": ids, "labels": labels}]


def test_neighbours_of_one_kind_are_one_span(tmp_path: Path) -> None:
    write_row(tmp_path, rows("ask:ls.", {4, 5}), Letters())
    row = read_facts(tmp_path / "row.json", TrainedRow)
    assert [(span["text"], span["trained"], span["tokens"]) for span in row["spans"]] == [
        ("ask:", False, 4),
        ("ls", True, 2),
        (".", False, 1),
    ]
    assert (row["tokens"], row["trained"], row["shown"]) == (7, 2, 7)
    assert as_text(row) == "ask:⟦ls⟧."


def test_a_long_row_is_cut_and_what_has_no_labels_is_left_out(tmp_path: Path) -> None:
    write_row(tmp_path, rows("x" * 5000, set(range(5000))), Letters())
    row = read_facts(tmp_path / "row.json", TrainedRow)
    assert (row["tokens"], row["trained"], row["shown"]) == (5000, 5000, MOST_TOKENS)
    for dataset in ([], [{"input_ids": [1]}], [{"prompt": "x"}], iter([])):
        write_row(tmp_path / "none", dataset, Letters())
    assert not (tmp_path / "none").exists()


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return shutil.copytree(DEMO, tmp_path / "demo")


@pytest.mark.slow
def test_the_report_shows_it_escaped_and_without_it_is_as_before(demo: Path) -> None:
    before = rendered(demo)
    hostile = "<script>alert(1)</script>\n```\n⟦\x1b[31m"
    spans = [{"text": hostile, "trained": False, "tokens": 9}, {"text": "ls <&", "trained": True, "tokens": 3}]
    write_json(demo / "row.json", {"tokens": 12, "trained": 3, "shown": 12, "spans": spans})
    pages = rendered(demo)
    assert "<mark>ls &lt;&amp;</mark>" in pages["report.html"] and "⟦ls <&⟧" in pages["report.md"]
    assert "<script>alert" not in pages["report.html"] and "\x1b" not in pages["report.html"] + pages["report.md"]
    assert "3 of its 12 tokens are learned" in pages["report.md"]
    assert pages["report.md"].count("⟧") == 2, "one in the words, one in the row: a row brings none of its own"
    assert edited_report(demo) == "report.md", "a row that was added after the report shows"
    (demo / "row.json").unlink()
    assert rendered(demo) == before and edited_report(demo) is None


def test_a_broken_row_is_one_line(demo: Path) -> None:
    (demo / "row.json").write_text(json.dumps({"tokens": 1, "trained": 0, "shown": 1, "spans": [{"text": 3}]}))
    with pytest.raises(UserError, match=r"row.json: spans.0.text"):
        rendered(demo)
