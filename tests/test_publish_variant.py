"""Publishing a variant: what goes up is the model that was judged, as a form of a run that may be published itself.

Made-up runs, whose answers nobody's model gave; tests/test_quantize.py quantises a model and asks it.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from eval.config.parts import SELECTION, VERDICT, Part, half_of, with_part
from eval.run.digests import file_sha256, json_sha256, write_manifest
from eval.run.files import read_json, read_jsonl, write_jsonl
from eval.run.metrics import AdapterEffect
from eval.run.records import BASELINE, CANDIDATE, Generation
from eval.run.variant import MODEL, MODEL_MANIFEST
from scripts import review
from scripts.loopback_hub.faults import Hub
from scripts.publishing import verify_guests
from scripts.publishing.model_files import INDEX
from tests.hub_server import Capture, approve, assert_refused, dry_run, hub, publish_run, run
from tests.hub_server import settle as settle_adapter
from tests.run_builder import (
    SAMPLES,
    TASKS,
    assert_one_line,
    build_adapter,
    call,
    checks,
    edit_json,
    prompt,
    replace_scores,
)
from tests.variant_builder import WEIGHTS, agree, build_variant, settle, write_model

__all__ = ["hub", "run"]
UPLOAD_SET = [
    "MANIFEST.sha256", "README.md", "bom.cdx.json", "chat_template.jinja", "config.json", "metrics.json", WEIGHTS,
    "report.md", "tokenizer.json", "tokenizer_config.json",
]  # fmt: skip
Change = Callable[[Path, Path], Any]  # of the variant's folder and its parent's


@pytest.fixture(autouse=True)
def served_suites(monkeypatch: pytest.MonkeyPatch, made_up_runs: None) -> None:
    """The made-up suites of tests count as committed among those of served forms, too."""
    monkeypatch.setattr(verify_guests, "committed_served", verify_guests.committed_suites)


@pytest.fixture
def variant(run: Path) -> Path:
    """An approved variant of the approved run beside it."""
    variant = build_variant(run)
    approve(variant)
    return variant


def test_exactly_the_judged_model_goes_up(variant: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(variant, capsys, repo="someone/toy-nf4")
    assert (code, err) == (0, ""), err
    repository = hub.store.get("someone/toy-nf4")
    assert repository
    assert sorted(repository.commits[repository.tags["toy-nf4"]].keys() - {".gitattributes"}) == UPLOAD_SET
    for name in ("config.json", WEIGHTS, "tokenizer.json"):
        assert file_sha256(variant / "publication" / name) == file_sha256(variant / MODEL / name)
    assert read_json(variant / "publication.json")["digests"][WEIGHTS] == file_sha256(variant / MODEL / WEIGHTS)
    assert "already published" in publish_run(variant, capsys, repo="someone/toy-nf4")[1]


def test_the_card_says_what_it_is_a_quantisation_of(variant: Path, run: Path, capsys: Capture) -> None:
    dry_run(variant, capsys)
    card = ModelCard.load(variant / "publication" / "README.md")
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "quantized")
    assert (data["library_name"], data["tags"]) == ("transformers", ["bitsandbytes", "4-bit", "nf4"])
    assert file_sha256(run / "adapter.sha256") in card.text and "of run toy" in card.text
    assert "| weights on disk | 4 MB | 1 MB |" in card.text and "4-bit NF4, double quantisation" in card.text
    assert 'AutoModelForCausalLM.from_pretrained("someone/toy-adapter", revision="toy-nf4")' in card.text
    bill = read_json(variant / "publication" / "bom.cdx.json")
    assert bill["metadata"]["component"]["description"].startswith("NF4 quantisation of adapter")
    for page in ("report.md", "report.html"):
        assert "Before and after quantising" in (variant / page).read_text()


def swap_bytes(variant: Path, _: Path) -> None:
    shutil.rmtree(variant / MODEL)
    write_model(variant / MODEL, seed=1)


def swap_model(variant: Path, parent: Path) -> None:
    """Another model with its list and a review to match; answers and metrics are the first one's."""
    swap_bytes(variant, parent)
    write_manifest(variant / MODEL, variant / MODEL_MANIFEST)
    approve(variant)


def swap_model_and_metrics(variant: Path, parent: Path) -> None:
    """The same, and metrics.json names it: the answers still name what was loaded."""
    rows = (variant / "generations.jsonl").read_bytes()
    swap_bytes(variant, parent)
    agree(variant)
    (variant / "generations.jsonl").write_bytes(rows)
    approve(variant)


def swap_parent(_: Path, parent: Path) -> None:
    """Another adapter under the parent's name, evaluated and approved."""
    build_adapter(parent, dtype="float16")  # type: ignore[arg-type]
    settle_adapter(parent)


def pass_off_verdict(variant: Path, parent: Path) -> None:
    """What the parent was given stands in for what the variant would have been."""
    for name in ("metrics.json", "scores.jsonl", "generations.jsonl", "samples.jsonl", "suite.yaml"):
        shutil.copy(parent / name, variant / name)
    approve(variant)


def against_the_base(variant: Path, _: Path) -> None:
    """Judged against the untrained base, than which nearly everything is no worse."""
    base = {"name": "base", "asked": "base", "adapter_sha256": None}
    edit_json(variant / "metrics.json", lambda value: value.update(baseline="base"))
    edit_json(variant / "metrics.json", lambda value: value["provenance"].update(baseline=base))
    approve(variant)


def relabel(variant: Path, _: Path) -> None:
    """Weights of another method under the settings of NF4."""
    shutil.rmtree(variant / MODEL)
    write_model(variant / MODEL, kind="fp4")
    settle(variant)


def ask_for_another_method(variant: Path, _: Path) -> None:
    change = {"bnb_4bit_quant_type": "fp4"}
    edit_json(variant / MODEL / "config.json", lambda config: config["quantization_config"].update(change))
    settle(variant)


def say_another_method(variant: Path, _: Path) -> None:
    edit_json(variant / "run.json", lambda state: state["served"]["settings"].update(bnb_4bit_quant_type="fp4"))
    settle(variant)


def name_code(variant: Path, _: Path) -> None:
    edit_json(variant / MODEL / "config.json", lambda config: config.update(auto_map={"AutoModel": "mine.Model"}))
    settle(variant)


def add_pickle(variant: Path, _: Path) -> None:
    (variant / MODEL / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    settle(variant)


def add_weights(variant: Path, _: Path) -> None:
    """A second file of weights, which transformers does not load and other readers do."""
    write_model(variant / "other", seed=1)
    (variant / "other" / WEIGHTS).rename(variant / MODEL / "model-00001-of-00001.safetensors")
    shutil.rmtree(variant / "other")
    settle(variant)


def add_index(variant: Path, parent: Path) -> None:
    """The same, with an index that names it."""
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}
    (variant / MODEL / INDEX).write_text(json.dumps(index))
    add_weights(variant, parent)


def another_template(variant: Path, _: Path) -> None:
    (variant / MODEL / "chat_template.jinja").write_text("{{ messages[0] }}")
    settle(variant)


def better_costs(variant: Path, _: Path) -> None:
    """run.json alone, which no review binds."""
    edit_json(variant / "run.json", lambda state: state["served"]["after"].update(memory=1))


def worse(variant: Path, _: Path) -> None:
    replace_scores(variant, {(CANDIDATE, task, f"s{n}"): 0.0 for task in TASKS for n in range(60)})
    agree(variant)
    edit_json(variant / "review.json", lambda value: value.update(verdict="no-ship"))


def judge_on_half(variant: Path, part: Part) -> None:
    """A suite about one half, no item of the other half in any file, and a ship on what is left."""
    suite = (variant / "suite.yaml").read_bytes()
    (variant / "suite.yaml").write_bytes(with_part(suite, part))
    for name in ("samples", "generations", "scores"):
        path = variant / f"{name}.jsonl"
        kept = [line for line in path.read_text().splitlines() if half_of(42, json.loads(line)["sample"]) == part]
        path.write_text("".join(f"{line}\n" for line in kept))
    names = [f"s{n}" for n in range(SAMPLES) if half_of(42, f"s{n}") == part]
    replace_scores(
        variant, {(arm, task, name): 1.0 for arm in (BASELINE, CANDIDATE) for task in TASKS for name in names}
    )
    agree(variant)

    def follow(value: dict[str, Any]) -> None:
        """metrics.json of fewer items."""
        value["adapter_effect"] |= {"samples": 2 * len(names), "answers_changed": 2 * len(names)}
        for task in value["tasks"]:
            asked = [[name, prompt(task["name"], name), "gold"] for name in names]
            task |= {"samples": len(names), "clusters": len(names), "samples_sha256": json_sha256(asked)}
        value["self_checks"] = [
            check.model_dump() for check in checks(variant, AdapterEffect(**value["adapter_effect"]))
        ]

    edit_json(variant / "metrics.json", follow)
    approve(variant)


ATTACKS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "other bytes": (swap_bytes, ("model.safetensors has other bytes", "not the model that was evaluated")),
    "another model": (swap_model, ("metrics.json was measured on another adapter",)),
    "another model, and metrics": (swap_model_and_metrics, ("candidate of translate", "not given by the adapter")),
    "another parent": (swap_parent, ("adapter.sha256 is not that of toy",)),
    "the parent's verdict": (pass_off_verdict, ("metrics.json was measured on another run",)),
    "another baseline": (against_the_base, ("compared with another baseline than toy",)),
    "another method": (relabel, ("packed in another form than NF4",)),
    "a config of another method": (ask_for_another_method, ("quantization_config is not that of METHOD=nf4",)),
    "settings of another method": (say_another_method, ("settings are not those of METHOD=nf4",)),
    "code": (name_code, ("config.json: auto_map names code",)),
    "a pickle": (add_pickle, ("pytorch_model.bin is not a file of a quantised model",)),
    "more weights": (add_weights, ("model-00001-of-00001.safetensors", "does not load")),
    "more weights, in an index": (add_index, ("model-00001-of-00001.safetensors", "does not load")),
    "another template": (another_template, ("chat_template.jinja is not the base's",)),
    "costs": (better_costs, ("measured on another served form",)),
    "a no-ship": (worse, ("is no-ship: only a ship is published",)),
    "the half by which a sweep chooses": (
        lambda variant, _: judge_on_half(variant, SELECTION),
        ("selection half", "never published"),
    ),
    "a parent that nobody approved": (
        lambda _, parent: (parent / "review.json").unlink(),
        ("toy-nf4 is a form of toy, which may not be published: toy is not reviewed",),
    ),
    "a parent of another report": (
        lambda _, parent: (parent / "report.md").write_text("fine"),
        ("which may not be published", "report.md"),
    ),
}


@pytest.mark.parametrize(("change", "words"), ATTACKS.values(), ids=ATTACKS)
def test_what_is_not_so_is_refused(
    change: Change, words: tuple[str, ...], variant: Path, run: Path, capsys: Capture
) -> None:
    change(variant, run)
    assert_refused(variant, capsys, *words)


def test_a_parent_that_is_not_there_is_one_line(variant: Path, run: Path, capsys: Capture) -> None:
    shutil.rmtree(run)
    assert_refused(variant, capsys, "toy", "bring that run beside it", code=2)


def test_a_link_to_a_model_elsewhere_is_refused(variant: Path, tmp_path: Path, capsys: Capture) -> None:
    (variant / MODEL).rename(tmp_path / "elsewhere")
    (variant / MODEL).symlink_to(tmp_path / "elsewhere")
    assert_refused(variant, capsys, "model is a symbolic link")


def test_an_approval_binds_the_model(variant: Path, capsys: Capture) -> None:
    edit_json(variant / "review.json", lambda value: value["digests"].pop(MODEL_MANIFEST))
    assert_refused(variant, capsys, "model.sha256 is not what Ada Lovelace reviewed")


def test_a_variant_that_was_not_judged_to_the_end_is_refused(variant: Path, capsys: Capture) -> None:
    edit_json(variant / "run.json", lambda state: state["stages"].update(eval="running"))
    assert_refused(variant, capsys, "the same `make quantize` continues it")
    edit_json(variant / "run.json", lambda state: state["stages"].update(eval="completed"))
    edit_json(variant / "run.json", lambda state: state["served"].pop("after"))
    assert_refused(variant, capsys, "served: after", "`make quantize` again", code=2)


def test_answers_that_name_no_maker_are_refused(variant: Path, capsys: Capture) -> None:
    rows = read_jsonl(variant / "generations.jsonl", Generation)
    write_jsonl(variant / "generations.jsonl", [row.model_copy(update={"adapter_sha256": None}) for row in rows])
    approve(variant)
    assert_refused(variant, capsys, "not given by the adapter")


def test_a_suite_that_is_not_committed_for_served_forms_is_refused(
    variant: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_guests, "committed_served", dict)
    assert_refused(variant, capsys, "not one of the suites committed in configs/serve")


def test_half_of_a_committed_suite_is_no_suite_of_a_variant(
    variant: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may pick a half has three tries."""
    committed = {file_sha256(variant / "suite.yaml"): "toy"}
    monkeypatch.setattr(verify_guests, "committed_served", lambda: committed)
    assert dry_run(variant, capsys)[0] == 0
    judge_on_half(variant, VERDICT)
    shutil.rmtree(variant / "publication")
    assert_refused(variant, capsys, "not one of the suites committed in configs/serve")


def test_only_a_ship_is_approved(variant: Path, run: Path, capsys: Capture) -> None:
    worse(variant, run)
    capsys.readouterr()
    arguments = ["--run", str(variant), "--decision", "approve", "--reviewer", "Ada Lovelace"]
    code, _, err = call(review.main, arguments, capsys)
    assert code == 1
    assert_one_line(err, "only a ship can be approved")
