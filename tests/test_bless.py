"""Blessing a run, and what a suite's `baseline` resolves to."""

from pathlib import Path

import pytest

from eval.common.errors import Refused, UserError
from eval.run.baselines import Baseline, read_blessings, resolve_baseline
from eval.run.candidate import Candidate, candidate_of
from eval.run.digests import file_sha256, write_manifest
from eval.run.files import read_json, write_json
from scripts import bless as command
from scripts.bless import bless
from tests.run_builder import assert_one_line, build_run, call, edit_json, replace_scores


def another_run(results: Path, name: str = "next") -> Path:
    """A second run of the same recipe, with an adapter of its own."""
    run = build_run(results, name)
    (run / "adapter" / "chat_template.jinja").write_text(f"{{{{ messages }}}} {name}\n")
    write_manifest(run / "adapter", run / "adapter.sha256")
    edit_json(
        run / "metrics.json",
        lambda metrics: metrics["provenance"].update(adapter_sha256=file_sha256(run / "adapter.sha256")),
    )
    return run


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("scripts.bless.RESULTS", tmp_path)
    return tmp_path


def test_a_ship_is_blessed_with_the_digests_of_its_files(results: Path) -> None:
    run = build_run(results)
    recipe, entry, added = bless(run, results)
    stored = read_json(results / "blessed.json")["recipes"]["toy"]
    assert (recipe, added, len(stored)) == ("toy", True, 1)
    assert stored[0] == entry.model_dump() and entry.run == "toy" and entry.by
    files = ("adapter.sha256", "metrics.json", "suite.yaml")
    assert entry.digests == tuple(file_sha256(run / name) for name in files)


def test_blessing_twice_changes_nothing_and_says_so(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_run(results)
    code, out, _ = call(command.main, ["--run", str(run)], capsys)
    assert code == 0 and "toy is blessed for recipe toy" in out
    before = (results / "blessed.json").read_bytes()
    code, out, _ = call(command.main, ["--run", str(run)], capsys)
    assert code == 0 and "already the blessed run" in out and "nothing was changed" in out
    assert (results / "blessed.json").read_bytes() == before


def test_the_command_lists_the_history_and_marks_the_last(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no run is blessed yet" in call(command.main, [], capsys)[1]
    for run in (build_run(results), another_run(results)):
        bless(run, results)
    lines = call(command.main, [], capsys)[1].splitlines()
    assert lines[0] == "toy" and lines[1].startswith("    ") and lines[2].startswith("  * ") and "next" in lines[2]


def test_the_history_grows_and_an_earlier_run_can_be_blessed_again(results: Path) -> None:
    one, other = build_run(results), another_run(results)
    for run in (one, other, one):
        assert bless(run, results)[2]
    assert [entry.run for entry in read_blessings(results).recipes["toy"]] == ["toy", "next", "toy"]


@pytest.mark.parametrize(("right", "verdict"), [(10, "no-ship"), (20, "inconclusive")])
def test_only_a_ship_is_blessed(results: Path, right: int, verdict: str) -> None:
    run = build_run(results, candidate_right=right)
    assert read_json(run / "metrics.json")["verdict"] == verdict
    with pytest.raises(Refused, match="only a ship is blessed"):
        bless(run, results)
    assert not (results / "blessed.json").exists()


def test_a_verdict_that_the_scores_do_not_give_is_not_blessed(results: Path) -> None:
    run = build_run(results)
    replace_scores(run, {("candidate", "translate", f"s{number}"): 0.0 for number in range(60)})
    with pytest.raises(Refused, match=r"is not what scores\.jsonl gives"):
        bless(run, results)


def test_a_changed_adapter_is_not_blessed(results: Path) -> None:
    run = build_run(results)
    (run / "adapter" / "tokenizer.json").write_text("{}")
    with pytest.raises(Refused, match="not what was trained"):
        bless(run, results)
    write_manifest(run / "adapter", run / "adapter.sha256")
    with pytest.raises(Refused, match="measured on another adapter"):
        bless(run, results)


def test_metrics_of_another_run_bless_nothing(results: Path) -> None:
    run = build_run(results)
    edit_json(run / "metrics.json", lambda metrics: metrics.update(run="other"))
    with pytest.raises(Refused, match="measured on another run, other"):
        bless(run, results)


def test_a_run_elsewhere_is_not_blessed(results: Path) -> None:
    with pytest.raises(UserError, match="is not in"):
        bless(build_run(results / "elsewhere"), results)


def test_a_broken_history_is_one_line(results: Path) -> None:
    (results / "blessed.json").write_text('{"recipes": {"toy": [{"run": 1}]}}')
    with pytest.raises(UserError, match="restore it from git"):
        bless(build_run(results), results)


def test_the_command_refuses_in_one_line(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_run(results, candidate_right=10)
    code, _, err = call(command.main, ["--run", str(run)], capsys)
    assert code == 1
    assert_one_line(err, "no-ship", "only a ship")


def trained(run: Path) -> Candidate:
    return candidate_of(run)


def test_base_is_the_base(results: Path) -> None:
    assert resolve_baseline("base", trained(build_run(results)), results) == Baseline("base", None, None)


def test_a_self_check_is_always_against_the_base(results: Path) -> None:
    run = build_run(results)
    base = Candidate(run, "models/SmolLM2-135M-Instruct", None, None)
    assert resolve_baseline("blessed", base, results).adapter is None


def test_a_run_is_its_verified_adapter(results: Path) -> None:
    earlier, candidate = build_run(results), trained(another_run(results))
    found = resolve_baseline("run:toy", candidate, results)
    assert found == Baseline("run:toy", earlier / "adapter", file_sha256(earlier / "adapter.sha256"))


def test_blessed_is_the_run_blessed_last(results: Path) -> None:
    one, other, candidate = build_run(results), another_run(results), trained(another_run(results, "newest"))
    bless(one, results)
    bless(other, results)
    found = resolve_baseline("blessed", candidate, results)
    assert (found.name, found.adapter) == ("blessed, run:next", other / "adapter")


def test_without_a_blessing_it_is_said_how(results: Path) -> None:
    with pytest.raises(UserError, match=r"no run of recipe toy is blessed: `make bless RUN=\.\.\.`"):
        resolve_baseline("blessed", trained(build_run(results)), results)


def test_another_adapter_than_was_blessed_is_refused(results: Path) -> None:
    one, candidate = build_run(results), trained(another_run(results))
    bless(one, results)
    (one / "adapter" / "chat_template.jinja").write_text("changed\n")
    write_manifest(one / "adapter", one / "adapter.sha256")
    with pytest.raises(UserError, match="another adapter than was blessed"):
        resolve_baseline("blessed", candidate, results)


def test_a_changed_adapter_is_no_baseline(results: Path) -> None:
    one, candidate = build_run(results), trained(another_run(results))
    (one / "adapter" / "chat_template.jinja").write_text("changed\n")
    with pytest.raises(UserError, match=r"baseline run:toy cannot be used: .*not what was trained"):
        resolve_baseline("run:toy", candidate, results)


def test_an_incomplete_run_is_no_baseline(results: Path) -> None:
    one, candidate = build_run(results), trained(another_run(results))
    write_json(one / "train.json", {"completed": False})
    with pytest.raises(UserError, match="not fully trained"):
        resolve_baseline("run:toy", candidate, results)


@pytest.mark.parametrize("line", ["base_model: another/model", "revision_of_model: '0123'"])
def test_a_run_on_another_base_is_no_baseline(results: Path, line: str) -> None:
    one, candidate = build_run(results), trained(another_run(results))
    key = line.split(":")[0]
    kept = [old for old in (one / "recipe.yaml").read_text().splitlines() if not old.startswith(key)]
    (one / "recipe.yaml").write_text("\n".join([*kept, line]) + "\n")
    with pytest.raises(UserError, match="compare runs of one base model"):
        resolve_baseline("run:toy", candidate, results)


def test_the_candidate_is_not_its_own_baseline(results: Path) -> None:
    run = build_run(results)
    with pytest.raises(UserError, match="is the candidate itself"):
        resolve_baseline("run:toy", trained(run), results)


@pytest.mark.parametrize(("name", "said"), [("best", "not one of"), ("run:", "not one of"), ("run:nowhere", "no run")])
def test_an_unknown_baseline_is_one_line(results: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve_baseline(name, trained(build_run(results)), results)
