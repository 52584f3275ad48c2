"""A served form against the approved adapter: made once, judged with a verdict of its own, never published."""

from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.run.files import read_json, read_metrics
from scripts import serve_check
from scripts.serve_check import FORMS, check
from tests.test_suite import LIMIT, make_run, make_suite

pytestmark = pytest.mark.slow


@pytest.fixture
def approved(tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained run; what is judged goes into a folder of the test's own."""
    new_run = serve_check.new_run
    monkeypatch.setattr(
        serve_check, "new_run", lambda label, git, fields: new_run(label, git, fields, tmp_path / "results")
    )
    return make_run(tmp_path / "approved", tiny_model, tiny_adapter)


def suite(path: Path) -> Path:
    task = "securecli_nl2bash_known"
    gate = {"id": "kept", "task": task, "metric": "command_only", "rule": "noninferiority", "margin": 0.05}
    return make_suite(path, gates=[gate])


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_judged_against_the_adapter_on_its_base(form: str, approved: Path, tmp_path: Path) -> None:
    metrics = check(approved, form, suite(tmp_path / "suite.yaml"), None)
    assert metrics.baseline == "run:approved" and metrics.adapter_effect is not None and metrics.adapter_effect.proven
    assert [row.n for row in metrics.comparisons] == [LIMIT] * len(metrics.comparisons)
    judged = tmp_path / "results" / metrics.run
    assert f"The candidate is {form} of run approved: " in (judged / "report.html").read_text()
    served = read_json(judged / "run.json")["served"]
    assert (served["run"], served["form"]) == ("approved", form) and served["bytes"]["form"] > 0
    assert read_metrics(judged / "metrics.json").provenance["baseline"]["adapter_sha256"] == served["adapter_sha256"]
    assert (served["bytes"]["form"] < served["bytes"]["base"] / 2) or form == "merged"


def test_a_form_is_made_once_and_not_believed_when_it_was_changed(
    approved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(approved, "merged", suite(tmp_path / "suite.yaml"), None)
    monkeypatch.setitem(FORMS, "merged", lambda *_: pytest.fail("made again"))
    check(approved, "merged", suite(tmp_path / "suite.yaml"), None)
    (approved / "served" / "merged" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json.*: remove it, and run the same command again"):
        check(approved, "merged", suite(tmp_path / "suite.yaml"), None)
