"""The halves of a suite's items: no cluster in both, the same for everybody, and neither passes for the other."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.config.cautions import cautions
from eval.config.parts import SELECTION, VERDICT, Part, half_of, wholes, with_part
from eval.config.suite_file import Suite, load_suite
from eval.contracts.domains import data_of
from eval.contracts.task import cluster_of
from eval.gates import decide
from eval.logs.asked import refuse_unfit
from eval.model import lm_tasks, neutral
from eval.run.files import read_metrics
from scripts import advise
from scripts.bless import blessing_of
from scripts.loopback_hub.faults import Hub
from tests.hub_server import Capture, approve, hub, publish_run
from tests.own_run import KNOWN, build_own_run, rejudge
from tests.own_run import SUITE as FEW
from tests.own_tasks import own_task
from tests.run_builder import assert_one_line, call

__all__ = ["hub"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
HALVES: tuple[Part, ...] = (SELECTION, VERDICT)
# As many items as it takes for a ship on either half.
SUITE = FEW | {"tasks": [task | {"limit": limit} for task, limit in zip(FEW["tasks"][:2], (80, 50), strict=True)]}


class Template:
    tokenizer_name = "none"
    can_chat = False

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        return str(messages)


def suite_of(part: Part | None, **changes: Any) -> Suite:
    return Suite.model_validate(SUITE | changes | ({"part": part} if part else {}))


def half_run(results: Path, part: Part) -> Path:
    """A run that was judged on one half, under the derived suite; verdict ship, not reviewed."""
    return build_own_run(results, SUITE | {"part": part})


# Who is in which half


def test_a_suites_halves_hold_every_item_once_and_cut_no_cluster() -> None:
    drift = {"name": "drift", "limit": 40, "chat": False}
    tasks = [{"name": KNOWN, "limit": 60, "cluster": "shape", "chat": False}, drift]
    loaded = {
        part: [*lm_tasks.load_tasks(suite, Template()), *neutral.load_prompts(suite, Template())]
        for part in (None, *HALVES)
        for suite in [suite_of(part, tasks=tasks, gates=SUITE["gates"][:1])]
    }
    for place in range(len(tasks)):
        whole, first, second = (loaded[part][place].samples for part in (None, *HALVES))
        assert {one.id for one in first}.isdisjoint(one.id for one in second) and len(first) and len(second)
        assert {one.cluster for one in first}.isdisjoint(one.cluster for one in second)
        assert sorted((one.id, one.prompt_sha256) for one in [*first, *second]) == sorted(
            (one.id, one.prompt_sha256) for one in whole
        )


def test_the_half_is_the_suites_seeds_and_the_clusters_alone() -> None:
    names = [f"shape {number}" for number in range(2_000)]
    halves = [half_of(42, name) for name in names]
    assert abs(halves.count(SELECTION) - 1_000) < 4 * 2_000**0.5 / 2
    assert halves == [half_of(42, name) for name in names]
    same = sum(one == half_of(43, name) for one, name in zip(halves, names, strict=True))
    assert abs(same - 1_000) < 4 * 2_000**0.5 / 2
    # Written down: another Python, machine or version of this code must not move a cluster.
    assert [half_of(42, name) for name in ("a", "b", "c", "d")] == [
        SELECTION if hashlib.sha256(f"42\0{name}".encode()).hexdigest() < "8" else VERDICT for name in "abcd"
    ]


def test_a_half_without_items_is_refused() -> None:
    task = {"name": KNOWN, "limit": 1, "cluster": "shape", "chat": False}
    row = own_task(KNOWN).rows((ROOT / str(own_task(KNOWN).data)).read_bytes())[0]
    other = next(part for part in HALVES if part != half_of(42, cluster_of("shape", row, row["id"])))
    with pytest.raises(UserError, match=f"none of its clusters is in the {other} half"):
        lm_tasks.load_tasks(suite_of(other, tasks=[task], gates=SUITE["gates"][:1]), Template())


@pytest.mark.parametrize("text", [b"name: toy\n", b"name: toy"], ids=["line", "no line"])
def test_a_derived_suite_leads_back_to_the_whole_one(text: bytes) -> None:
    for part in HALVES:
        derived = with_part(text, part)
        assert yaml.safe_load(derived) == {"name": "toy", "part": part} and text in wholes(derived)
    assert wholes(text) == [] and wholes(b"part: verdict\n") == []


def test_a_part_that_is_none_of_the_two_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(with_part(yaml.safe_dump(SUITE).encode(), "everything"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="part: Input should be 'selection' or 'verdict'"):
        load_suite(path)


# What is said of a half


def test_each_half_is_named_in_the_report_and_by_the_gate_command(tmp_path: Path, capsys: Capture) -> None:
    for part in HALVES:
        run = half_run(tmp_path / part, part)
        code, out, _ = call(lambda argv: decide.decide_again(gate_arguments(argv)), ["--run", str(run)], capsys)
        assert code == 0 and f"(part: {part})" in out
        page = (run / "report.md").read_text()
        assert f"(part: {part})" in page and ("make review" in page) == (part == VERDICT)
        assert ("may ship" in page) == (part == VERDICT)
    assert not any("part:" in said for said in cautions(suite_of(None)))


def gate_arguments(argv: list[str]) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    decide.add_arguments(parser)
    return parser.parse_args(argv)


def test_a_run_is_not_decided_under_a_suite_about_other_items(tmp_path: Path, capsys: Capture) -> None:
    run, whole = half_run(tmp_path / "half", SELECTION), build_own_run(tmp_path / "whole")
    for folder, other, words in (
        (run, whole, "was asked its selection half; suite toy is about all items"),
        (whole, run, "was asked all items; suite toy is about its selection half"),
    ):
        argv = ["--run", str(folder), "--suite", str(other / "suite.yaml")]
        code, _, err = call(lambda argv: decide.decide_again(gate_arguments(argv)), argv, capsys)
        assert code == 2
        assert_one_line(err, words, "evaluate again")


def test_advice_does_not_count_the_other_half_as_unused(tmp_path: Path) -> None:
    run = half_run(tmp_path, VERDICT)
    path = data_of(KNOWN)
    assert path is not None
    rows = sum(1 for line in path.read_text().splitlines() if line)
    found = advise.unused(load_suite(run / "suite.yaml"), read_metrics(run / "metrics.json"), KNOWN)
    assert found == rows - SUITE["tasks"][0]["limit"]


def test_logs_have_no_halves() -> None:
    tasks = [{"name": KNOWN}]
    with pytest.raises(UserError, match="logs hold all items"):
        refuse_unfit(suite_of(VERDICT, tasks=tasks, gates=SUITE["gates"][:1]))


# Publishing


def test_the_verdict_half_is_published_and_the_card_says_which_it_is(tmp_path: Path, hub: Hub, capsys: Capture) -> None:
    run = half_run(tmp_path, VERDICT)
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert (code, err) == (0, "")
    card = (run / "publication" / "README.md").read_text()
    assert "half of the items were asked (part: verdict)" in card


def test_the_selection_half_is_neither_published_nor_blessed(tmp_path: Path, hub: Hub, capsys: Capture) -> None:
    run = half_run(tmp_path, SELECTION)
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "selection half", "never published")
    with pytest.raises(Refused, match="never published"):
        blessing_of(run)


@pytest.mark.parametrize("measured", [SELECTION, None], ids=["the other half", "all items"])
def test_a_suite_edited_to_claim_the_verdict_half(
    measured: Part | None, tmp_path: Path, hub: Hub, capsys: Capture
) -> None:
    """Everything that follows the edit is forged too: decided again, rendered, approved."""
    run = half_run(tmp_path, measured) if measured else build_own_run(tmp_path)
    suite = yaml.safe_load((run / "suite.yaml").read_text()) | {"part": VERDICT}
    (run / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    rejudge(run)
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "samples.jsonl", "not in the verdict half")


def test_items_left_out_of_the_verdict_half(tmp_path: Path, hub: Hub, capsys: Capture) -> None:
    """All that is left is in the half; what was lost is not there."""
    run = half_run(tmp_path, VERDICT)
    lost = next(line for line in (run / "samples.jsonl").read_text().splitlines() if KNOWN in line)
    sample = json.loads(lost)["sample"]
    for name in ("samples", "generations", "scores", "executions", "observations"):
        path = run / f"{name}.jsonl"
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["sample"] != sample]
        path.write_text("".join(f"{line}\n" for line in kept))
    rejudge(run)
    approve(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, KNOWN, "which the suite takes from its data")


@pytest.mark.committed_suites
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: with_part(text, VERDICT), 0),
        (lambda text: with_part(text.replace(b"min_gain: 0.0", b"min_gain: 0.1"), VERDICT), 1),
        (lambda text: text.replace(b"name: toy\n", b"name: toy\npart: verdict\n"), 1),
    ],
    ids=["derived", "derived from another", "the line elsewhere"],
)
def test_nothing_but_its_last_line_may_differ_from_the_committed_suite(
    change: Any, code: int, tmp_path: Path, hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = yaml.safe_dump(SUITE, sort_keys=False).encode()
    digests = {hashlib.sha256(committed).hexdigest(): "toy"}
    monkeypatch.setattr("scripts.publishing.verify_guests.committed_suites", lambda: digests)
    run = shutil.copytree(half_run(tmp_path / "made", VERDICT), tmp_path / "results" / "toy")
    (run / "suite.yaml").write_bytes(change(committed))
    rejudge(run)
    approve(run)
    ended, _, err = publish_run(run, capsys)
    assert ended == code, err
    if code:
        assert_one_line(err, "not one of the suites committed")
