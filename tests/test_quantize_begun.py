"""A variant that somebody is making is nobody else's to write into."""

import fcntl
import os
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.run.candidate import Candidate
from eval.run.files import write_json
from scripts import quantize


def test_two_that_quantise_one_run_do_not_write_into_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, variant = tmp_path / "toy", tmp_path / "quantized-nf4-toy"
    for run in (parent, variant):
        run.mkdir()
    about = {"run": "toy", "form": "nf4", "adapter_sha256": None, "settings": {}}
    state = {
        "run": variant.name,
        "base_model": "base",
        "created": "2026-01-01T00:00:00+00:00",
        "git": {"commit": None, "dirty": False},
    }
    write_json(variant / "run.json", state | {"stages": {"train": "completed"}, "served": about})
    before = (variant / "run.json").read_bytes()
    approved = Candidate(parent, "base", None, parent / "adapter")
    monkeypatch.setattr(quantize, "approved_by", lambda run: approved)
    held = os.open(variant, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(UserError, match="is in use by another command"):
            quantize.quantize(parent, tmp_path / "suite.yaml", None)
    finally:
        os.close(held)
    assert (variant / "run.json").read_bytes() == before
    assert [path.name for path in variant.iterdir()] == ["run.json"]
