"""Shared by the publishing tests: the loopback Hub in this process, and a finished run that is copied, not rebuilt.

    def test_x(hub, run, capsys):        fixtures, imported by name
        code, out, err = publish_run(run, capsys)

The client is huggingface_hub itself. It reads HF_ENDPOINT at import, so here its constant is set instead;
tests/test_hub_end_to_end.py starts the real command with the real variables.
"""

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from eval.report.rendering import render_report
from eval.run.digests import write_manifest
from scripts import publish, review
from scripts.loopback_hub.faults import Hub
from scripts.loopback_hub.server import serve
from tests.run_builder import assert_one_line, build_run, call, edit_json, judge

REPO = "someone/toy-adapter"
WEIGHTS = "adapter_model.safetensors"
# Put together here, so that no scanner takes this file for a leak.
TOKEN = "hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
Capture = pytest.CaptureFixture[str]


@functools.cache
def template() -> Path:
    """A run that is evaluated and approved, built once a process."""
    folder = build_run(Path(tempfile.mkdtemp(prefix="publish-tests-")))
    approve(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of an approved run of verdict ship."""
    return shutil.copytree(template(), tmp_path / "results" / "toy")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A loopback Hub with nothing on it, to which the client of this process talks. Its retries do not wait."""
    with serve(tmp_path / "hub") as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        address = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants._HF_DEFAULT_ENDPOINT, hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None))
        yield hub


def approve(folder: Path) -> None:
    """Render the report of the run as it is now, and approve it."""
    render_report(folder)
    approve_as_rendered(folder)


def approve_as_rendered(folder: Path) -> None:
    """Approve the run with the report that it has."""
    review.main(["--run", str(folder), "--decision", "approve", "--reviewer", "Ada Lovelace"])


def settle(folder: Path) -> None:
    """Make run.json, manifest, metrics and review agree with the recipe and the files as they are now."""
    base = yaml.safe_load((folder / "recipe.yaml").read_text())["base_model"]
    edit_json(folder / "run.json", lambda state: state.update(base_model=base))
    write_manifest(folder / "adapter", folder / "adapter.sha256")
    judge(folder)  # renders the report
    approve_as_rendered(folder)


def replace_weights(folder: Path, write: Callable[[Path], Any]) -> None:
    """Other weights, with everything else to match: only the content is wrong."""
    path = folder / "adapter" / WEIGHTS
    path.unlink()
    write(path)
    settle(folder)


def publish_run(folder: Path, capsys: Capture, *more: str, repo: str = REPO) -> tuple[int, str, str]:
    """The publish command, without loading back: no test but one needs torch."""
    capsys.readouterr()
    return call(publish.main, ["--run", str(folder), "--repo", repo, "--skip-load", *more], capsys)


def dry_run(folder: Path, capsys: Capture, repo: str = REPO) -> tuple[int, str, str]:
    capsys.readouterr()
    return call(publish.main, ["--run", str(folder), "--repo", repo, "--dry-run"], capsys)


def assert_refused(folder: Path, capsys: Capture, *words: str, code: int = 1) -> str:
    """A dry run ends with one line that holds the words, and leaves nothing that could be sent by hand."""
    ended, out, err = dry_run(folder, capsys)
    assert ended == code, err
    assert_one_line(err, *words)
    assert not (folder / "publication").exists() and not (folder / "publication.json").exists()
    return out + err
