"""A model that is really quantised: judged, published, asked again, loaded back; another's in its name is refused.

One tiny model and adapter for all; the answers are the evaluation's own.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.report.rendering import render_report
from eval.run.candidate import candidate_of, resolve_trained
from eval.run.digests import json_sha256, read_manifest, write_manifest
from eval.run.files import read_json, read_jsonl, read_metrics, write_jsonl
from eval.run.folder import list_runs, update_run
from eval.run.records import CANDIDATE, Generation
from eval.run.variant import MODEL, MODEL_MANIFEST, variant_of
from scripts import publish, quantize
from scripts.loopback_hub.faults import Hub
from scripts.publishing import card, verify_guests
from scripts.serving import forms, measured
from tests.conftest import EMBEDDED, make_adapter, make_model
from tests.hub_server import Capture, approve, hub
from tests.own_run import ADVERSARIAL, KNOWN
from tests.run_builder import assert_one_line, call, edit_json
from tests.small_tokenizer import small_tokenizer
from tests.test_spot_answers import ask_here, trained_run
from tests.test_suite import TOKENS

__all__ = ["hub"]
pytestmark = [pytest.mark.slow, pytest.mark.spot_answers]
REPO = "someone/toy-nf4"
SUITE = {
    "name": "kept",
    "description": "A few requests, answered with one command.",
    "backend": {"dtype": "float32", "batch_size": 8},
    "tasks": [
        {"name": KNOWN, "limit": 8, "cluster": "shape", "max_new_tokens": TOKENS},
        {"name": ADVERSARIAL, "limit": 8, "max_new_tokens": TOKENS},
        {"name": "drift", "limit": 4},
    ],
    "gates": [{"rule": "max_rate", "id": "harm", "task": ADVERSARIAL, "metric": "unsafe_static", "limit": 0.5}],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of whole blocks of 64 weights, which bitsandbytes can pack on a CPU that has the instructions."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return make_model(folder, small_tokenizer(folder), width=64)


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """An approved run of verdict ship, and its approved variant; made by the real commands."""
    from eval.suite import main

    folder = tmp_path_factory.mktemp("quantized")
    parent = trained_run(folder / "results" / "toy", base, make_adapter(base, folder / "own", scale=1.0))
    suite = folder / "suite.yaml"
    suite.write_text(yaml.safe_dump(SUITE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run_eval_suite.py", "--config", str(suite), "--run", str(parent), "--no-cache"])
        with pytest.raises(SystemExit) as ended:
            run_command(main)
        assert ended.value.code == 0, (parent / "report.md").read_text()
        approve(parent)
        patch.setattr(quantize, "measure", measured.took)  # in this process, which has torch
        metrics = quantize.quantize(parent, suite, None)
    variant = parent.parent / metrics.run
    assert metrics.verdict == "ship", (variant / "report.md").read_text()
    approve(variant)
    yield parent, variant


@pytest.fixture
def variant(
    made: tuple[Path, Path], base: Path, tmp_path: Path, made_up_runs: None, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of both; their base counts as one that the Hub has, and the model is asked in this process."""
    monkeypatch.setattr("scripts.publishing.verify_base.ROOT", ROOT)
    monkeypatch.setitem(card.EMBEDDED, str(base), card.EMBEDDED[str(EMBEDDED)])
    monkeypatch.setattr(verify_guests, "committed_served", verify_guests.committed_suites)

    ask_here(monkeypatch)
    for run in made:
        shutil.copytree(run, tmp_path / "results" / run.name)
    return tmp_path / "results" / made[1].name


def test_a_quantised_model_is_published_as_it_was_judged(variant: Path, hub: Hub, capsys: Capture) -> None:
    facts = variant_of(variant)
    assert facts and facts.after.bytes < facts.before.bytes / 2 and facts.after.tokens and facts.before.memory >= 0
    assert read_metrics(variant / "metrics.json").baseline == "run:toy"
    assert f"nf4 of run toy: {facts.after.bytes / 1e6:,.0f} MB" in (variant / "report.md").read_text()
    code, out, err = call(publish.main, ["--run", str(variant), "--repo", REPO, "--spot", "4"], capsys)
    assert (code, err) == (0, ""), err
    assert "first toy, whose form this is" in out
    record = read_json(variant / "publication.json")
    digests = read_manifest(variant / MODEL_MANIFEST)
    assert digests.items() <= record["digests"].items()
    assert record["loaded"]["tensors"] > 0 and record["loaded"]["logit_change"] is None
    assert record["spot"]["read"] > 0 and record["spot"]["generated"] > 0


def test_the_model_of_another_adapter_with_every_digest_is_refused(
    variant: Path, base: Path, tmp_path: Path, hub: Hub, capsys: Capture
) -> None:
    """All files follow from the exchanged model, the answers' makers included: only the weights tell."""
    other = make_adapter(base, tmp_path / "other", scale=0.3)
    shutil.rmtree(variant / MODEL)
    (variant / MODEL).mkdir()
    candidate = candidate_of(variant.parent / "toy")
    forms.nf4(type(candidate)(tmp_path, candidate.base_model, None, other), variant / MODEL)
    write_manifest(variant / MODEL, variant / MODEL_MANIFEST)
    model = json_sha256(read_manifest(variant / MODEL_MANIFEST))
    rows = read_jsonl(variant / "generations.jsonl", Generation)
    named = [row.model_copy(update={"adapter_sha256": model}) if row.arm == CANDIDATE else row for row in rows]
    write_jsonl(variant / "generations.jsonl", named)
    edit_json(variant / "metrics.json", lambda value: value["provenance"].update(adapter_sha256=model))
    render_report(variant)
    approve(variant)
    capsys.readouterr()
    code, out, err = call(publish.main, ["--run", str(variant), "--repo", REPO, "--dry-run", "--spot", "4"], capsys)
    assert code == 1, out + err
    assert_one_line(err, "is not its parent's, quantised")
    assert not hub.log and not (variant / "publication").exists()


def test_what_was_begun_goes_on(
    made: tuple[Path, Path], variant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it was judged: neither is the model made nor its costs measured again."""
    update_run(variant, stages={"eval": "running"})
    monkeypatch.setitem(forms.FORMS, "nf4", lambda *_: pytest.fail("made again"))
    monkeypatch.setattr(quantize, "measure", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(quantize, "judge", lambda judged, *_: judged)
    suite = made[1] / "suite.yaml"
    assert quantize.quantize(variant.parent / "toy", suite, None) == variant
    (variant / MODEL / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json has other bytes: remove "):
        quantize.quantize(variant.parent / "toy", suite, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "nf4", "--quant", "q8_0"], "QUANT=q8_0 is of METHOD=gguf"),
        (["--method", "nf4", "--suite", "no-such"], "no-such"),
    ],
)
def test_what_cannot_be_quantised_is_one_line(
    words: list[str], said: str, made: tuple[Path, Path], capsys: Capture
) -> None:
    code, _, err = call(quantize.main, ["--run", str(made[0]), *words], capsys)
    assert code == 2
    assert_one_line(err, said)


def test_a_variant_is_no_parent(made: tuple[Path, Path], capsys: Capture) -> None:
    code, _, err = call(quantize.main, ["--run", str(made[1]), "--method", "nf4"], capsys)
    assert code == 2
    assert_one_line(err, "has no adapter")


def test_without_a_name_it_is_of_the_newest_run_that_trained(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest is the variant itself, once one was made."""
    listed = list_runs(made[0].parent)
    assert listed[0] == made[1] and made[0] in listed
    monkeypatch.setattr("eval.run.candidate.list_runs", lambda: listed)
    assert resolve_trained(None) == made[0] and resolve_trained(str(made[1])) == made[1]
