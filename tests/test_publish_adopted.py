"""Publishing an adapter that was trained elsewhere: nothing of its training is claimed, and its licence is stated."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from eval.adapters.adopt import adopt
from eval.common.errors import UserError
from eval.run.files import read_json, write_json
from eval.run.folder import read_run
from scripts.loopback_hub.faults import Hub
from tests.hub_server import Capture, approve, assert_refused, dry_run, hub, run
from tests.run_builder import edit_json, judge

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
ADOPTED: dict[str, Any] = {"source": "org/theirs@" + "c" * 40, "training": "unknown", "licence": "mit"}


def adopted(run: Path, **changes: Any) -> Path:
    """The run as if its adapter had been adopted, evaluated and approved."""
    edit_json(run / "run.json", lambda state: state.update(adopted=ADOPTED | changes))
    write_json(run / "data.json", [])
    write_json(run / "train.json", {"completed": True, "ended": "not trained here", "curve": []})
    judge(run)
    edit_json(run / "metrics.json", lambda metrics: metrics.update(training=read_json(run / "train.json")))
    from eval.report.rendering import render_report

    render_report(run)
    approve(run)
    return run


def test_the_card_says_where_it_comes_from_and_claims_no_training(run: Path, capsys: Capture) -> None:
    code, _, err = dry_run(adopted(run), capsys)
    assert (code, err) == (0, "")
    card = (run / "publication" / "README.md").read_text()
    assert f"trained elsewhere ({ADOPTED['source']};\nits training is unknown)" in card
    assert "What the adapter's own settings say" in card and "trained with Axolotl" not in card
    assert "The adapter was not trained here" in card and "| not known | - | mit |" in card


def test_without_a_stated_licence_it_is_refused(run: Path, capsys: Capture) -> None:
    assert_refused(adopted(run, licence=None), capsys, "nobody knows the licence", "LICENCE=")


def test_an_origin_that_was_not_evaluated_is_refused(run: Path, capsys: Capture) -> None:
    adopted(run)
    edit_json(run / "run.json", lambda state: state["adopted"].update(source="org/others"))
    assert_refused(run, capsys, "another origin of the adapter")


def test_an_adapter_of_the_hub_is_adopted_at_its_commit(hub: Hub, run: Path, tmp_path: Path) -> None:
    shutil.copyfile(run / "recipe.yaml", tmp_path / "recipe.yaml")
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    api.create_repo("org/theirs", private=True)
    (run / "adapter" / "evil.pkl").write_bytes(b"never fetched")
    commit = api.upload_folder(repo_id="org/theirs", folder_path=run / "adapter").oid
    made = adopt("org/theirs@main", recipe=tmp_path / "recipe.yaml", licence="mit", results=tmp_path / "results")
    assert read_run(made)["adopted"] == {"source": f"org/theirs@{commit}", "training": "as found", "licence": "mit"}
    assert not (made / "adapter" / "evil.pkl").exists() and (made / "adapter" / "adapter_config.json").is_file()


def test_one_that_the_hub_does_not_have_is_one_line(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot get org/nothing@main from the Hub: "):
        adopt("org/nothing@main", results=tmp_path / "results")
