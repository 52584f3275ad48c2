"""How many other candidates the same items have judged: counted from runs and kept answers, and said."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from eval.config.suite_file import load_suite
from eval.report.rendering import render_report
from eval.run.earlier import chance_of_one, earlier_candidates, said, with_cache
from eval.run.files import read_metrics
from eval.run.metrics import EarlierCandidates
from scripts.publishing.verify_run import count_again
from tests.run_builder import build_run, edit_json


def another(results: Path, name: str, adapter: str, **changes: Any) -> Path:
    """A run on the same items, of the adapter with this digest."""
    run = build_run(results, name)
    edit_json(run / "metrics.json", lambda metrics: metrics["provenance"].update(adapter_sha256=adapter, **changes))
    return run


def counted(run: Path) -> EarlierCandidates:
    adapter = read_metrics(run / "metrics.json").provenance["adapter_sha256"]
    return earlier_candidates(run, load_suite(run / "suite.yaml"), run.parent, adapter)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return another(tmp_path / "results", "own", "own")


def test_each_other_adapter_counts_once_however_often_it_was_evaluated(run: Path) -> None:
    for name, adapter in (("a1", "a"), ("a2", "a"), ("b", "b"), ("again", "own")):
        another(run.parent, name, adapter)
    found = counted(run)
    assert (found.candidates, found.evaluations, found.adapters) == (2, 4, ["a", "b"])


def test_a_run_on_other_items_is_none_and_the_link_to_the_latest_counts_nothing(run: Path) -> None:
    other = another(run.parent, "other", "c")
    text = (other / "samples.jsonl").read_text().replace('"request ', '"another request ')
    (other / "samples.jsonl").write_text(text)
    (run.parent / "latest").symlink_to("other")
    assert counted(run).candidates == 0


def test_one_shared_item_of_a_deciding_task_is_enough(run: Path) -> None:
    other = another(run.parent, "other", "c")
    lines = (other / "samples.jsonl").read_text().splitlines(keepends=True)
    (other / "samples.jsonl").write_text(lines[0])
    assert counted(run).candidates == 1


def test_a_broken_run_is_said_and_ends_nothing(run: Path) -> None:
    another(run.parent, "good", "c")
    (another(run.parent, "bad", "d") / "metrics.json").write_text("[")
    (another(run.parent, "odd", "e") / "samples.jsonl").write_text("{}\n")
    found = counted(run)
    assert (found.candidates, found.unread) == (1, 2) and "2 runs could not be read" in said(found)


def test_kept_answers_of_makers_that_no_run_explains_count_too(run: Path, tmp_path: Path) -> None:
    for maker in ("base", "own", "gone", "elsewhere"):
        (tmp_path / "kept" / maker).mkdir(parents=True)
        (tmp_path / "kept" / maker / ("other.jsonl" if maker == "elsewhere" else "batch.jsonl")).touch()
    found = with_cache(counted(run), tmp_path / "kept", ["batch", "unseen"], {"base", "own"}, 0.05)
    assert (found.candidates, found.in_results, found.in_cache) == (1, 0, 1)
    assert found.chance == pytest.approx(1 - 0.95**2)


def test_ten_candidates_at_the_margin_are_said_to_give_forty_percent() -> None:
    assert chance_of_one(10, 0.05) == pytest.approx(0.4013, abs=1e-4)
    many = EarlierCandidates(candidates=9, in_results=9, in_cache=0, evaluations=9, chance=chance_of_one(10, 0.05))
    assert "9 other adapters have" in said(many) and "at most 40%" in said(many)


def test_the_count_stands_near_the_verdict_in_both_reports(run: Path) -> None:
    another(run.parent, "b", "b")
    edit_json(run / "metrics.json", lambda metrics: metrics.update(earlier=counted(run).model_dump()))
    render_report(run)
    for page, gates in (("report.md", "| gate |"), ("report.html", '<h2 id="gates">')):
        text = (run / page).read_text()
        assert "1 other adapter has been judged on these items" in text
        assert text.index("cannot know") < text.index(gates)


def test_publishing_counts_again_so_that_the_first_of_ten_is_no_first(run: Path) -> None:
    edit_json(run / "metrics.json", lambda metrics: metrics.update(earlier=counted(run).model_dump()))
    suite = load_suite(run / "suite.yaml")
    for number in range(9):
        another(run.parent, f"r{number}", f"r{number}")
    assert count_again(run, suite, read_metrics(run / "metrics.json")).candidates == 9
    edit_json(run / "metrics.json", lambda metrics: metrics.update(earlier=counted(run).model_dump()))
    for number in range(5):
        shutil.rmtree(run.parent / f"r{number}")
    assert count_again(run, suite, read_metrics(run / "metrics.json")).candidates == 9, "a deleted run stays counted"
