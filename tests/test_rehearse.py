"""Every shipped recipe walks through the whole loop here; a rehearsal says what it left out and is never published."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.run.files import read_json, write_json
from scripts.publishing.verify_run import verify
from scripts.training import rehearse
from scripts.training.exchanges import MOST_ROWS, STEPS, for_cpu
from scripts.training.lint_recipe import ROOT, load_recipe, resolve_recipe
from scripts.training.rehearsed_suite import write_suite
from scripts.training.stand_in import named_config
from tests import rehearsals
from tests.rehearsals import Walked

# Two of those for several GPUs differ from another recipe in their engine alone, which a rehearsal leaves out.
ALIKE = {"qwen2.5-coder-14b-lora-zero3": "qwen2.5-coder-14b-lora-fsdp2",
         "qwen2.5-coder-7b-qlora-ray": "qwen2.5-coder-7b-qlora-24gb"}  # fmt: skip
RECIPES = sorted(path for path in (ROOT / "configs" / "train").glob("*.yaml") if path.stem not in ALIKE)
SUITE = {
    "name": "tiny",
    "description": "one task and one gate",
    "tasks": [{"name": "securecli_nl2bash_known", "cluster": "shape", "max_new_tokens": 64}],
    "gates": [
        {
            "id": "command-only",
            "task": "securecli_nl2bash_known",
            "metric": "command_only",
            "rule": "min_rate",
            "limit": 0.9,
        }
    ],
}
BROKEN = "broken"  # a recipe with a module that no base has


@pytest.fixture(scope="module")
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Walked]:
    """The rehearsals that this session's tests look at, in one process."""
    folder = tmp_path_factory.mktemp("rehearsals")
    suite, broken = folder / "tiny.yaml", folder / "recipes" / f"{BROKEN}.yaml"
    suite.write_text(yaml.safe_dump(SUITE))
    recipe = load_recipe(resolve_recipe("smollm3-3b-qlora"))
    broken.parent.mkdir()
    wrong = {"lora_target_linear": False, "lora_target_modules": ["q_porj"]}
    broken.write_text(yaml.safe_dump(recipe | wrong))
    given = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [one.params.get("recipe") for one in given if one is not None]
    return rehearsals.walked(folder, suite, [broken, *(recipe for recipe in RECIPES if recipe in asked)])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_walks_through_the_loop(recipe: Path, walked: dict[str, Walked]) -> None:
    done = walked[recipe.stem]
    folder = done.folder
    log = (folder / "rehearsal.log").read_text()[-2000:] if (folder / "rehearsal.log").exists() else ""
    assert done.code == 0, done.out + done.err + log
    record = read_json(folder / "rehearsal.json")
    assert [step["step"] for step in record["steps"]][-4:] == ["gate", "report", "review", "publish, dry run"]
    assert done.out.count("rehearse: ✓") == len(record["steps"]) == 10
    (run,) = (folder / "results").iterdir()
    trained, original = yaml.safe_load((run / "resolved.yaml").read_text()), load_recipe(recipe)
    for key in (
        "adapter",
        "lora_r",
        "lora_alpha",
        "sample_packing",
        "learning_rate",
        "gradient_checkpointing",
        "optimizer",
    ):
        assert key not in original or trained.get(key) == original[key], key
    assert bool(trained.get("load_in_4bit")) is bool(original.get("load_in_4bit"))
    assert read_json(run / "train.json")["steps"] == STEPS and "⟦" in done.out
    is_never_published(run)


@pytest.mark.parametrize(("recipe", "like"), ALIKE.items())
def test_a_recipe_that_is_not_rehearsed_is_rehearsed_as_another_is(recipe: str, like: str) -> None:
    own, other = (for_cpu(load_recipe(resolve_recipe(name)), "base", {})[0] for name in (recipe, like))
    places = {"output_dir", "dataset_prepared_path", "auto_resume_from_checkpoints", "dynamic_checkpoint"}
    assert {key: own.get(key) for key in {*own, *other} - places} == {
        key: other.get(key) for key in {*own, *other} - places
    }


def is_never_published(run: Path) -> None:
    with pytest.raises(Refused, match="is a rehearsal, of random weights"):
        verify(run)
    state = read_json(run / "run.json")
    write_json(run / "run.json", {name: value for name, value in state.items() if name != "rehearsal"})
    with pytest.raises((Refused, UserError)):  # its suite is committed nowhere, its base is no model of the Hub
        verify(run)


@pytest.mark.slow
def test_a_step_that_fails_is_named_in_one_line(walked: dict[str, Walked]) -> None:
    done = walked[BROKEN]
    assert done.code == 2
    assert done.err.startswith("error: rehearsal of broken, step data: ") and "did you mean q_proj?" in done.err
    assert len(done.err.splitlines()) == 1 and "✗ data" in done.out
    assert "failed" in json.loads((done.folder / "rehearsal.json").read_text())["steps"][-1]["said"]


def exchanged(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    recipe = load_recipe(resolve_recipe("qwen2.5-coder-1.5b-lora")) | changes
    rehearsed_recipe, exchanges = for_cpu(recipe, "base", {"data/nl2bash/train.jsonl": MOST_ROWS + 1})
    return rehearsed_recipe, {exchange.key: exchange.now for exchange in exchanges}


def test_what_needs_a_gpu_is_exchanged_and_said() -> None:
    liger = "axolotl.integrations.liger.LigerPlugin"
    recipe, said = exchanged(
        plugins=[liger, "mine.Plugin"],
        liger_rms_norm=True,
        optimizer="paged_adamw_8bit",
        attn_implementation="flash_attention_2",
        peft_layers_to_transform=[20, 21],
        save_strategy="epoch",
        dataset_num_proc=8,
    )
    assert recipe["dataset_num_proc"] == said["dataset_num_proc"] == 0
    assert said["plugins"] == ["mine.Plugin"] and said["liger_rms_norm"] is None and "liger_rms_norm" not in recipe
    assert (recipe["optimizer"], recipe["attn_implementation"]) == ("adamw_torch", "sdpa")
    assert (said["bf16"], said["tf32"], recipe["peft_layers_to_transform"]) == (False, False, [1])
    assert said["datasets[0].split"] == f"train[:{MOST_ROWS}]" and "datasets[1].split" not in said
    assert (recipe["save_strategy"], recipe["save_steps"]) == ("steps", 1)


def test_everything_else_is_rehearsed_as_it_is() -> None:
    original = load_recipe(resolve_recipe("qwen2.5-coder-1.5b-lora"))
    recipe, said = exchanged()
    kept = set(original) - set(said) - {"datasets"}
    assert all(recipe[key] == original[key] for key in kept)
    assert {"optimizer", "sample_packing", "gradient_checkpointing", "lora_r", "lr_scheduler", "seed"} <= kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("HuggingFaceTB/SmolLM3-3B", "smollm3"),
        ("HuggingFaceTB/SmolLM2-1.7B", "llama"),
        ("meta-llama/Llama-3.1-8B", "llama"),
        ("mistralai/Mistral-7B-v0.3", "mistral"),
        ("somebody/unheard-of", "llama"),
    ],
)
def test_the_name_of_a_base_says_its_architecture(base: str, kind: str) -> None:
    assert named_config(base).model_type == kind


def test_without_a_sandbox_only_gates_that_text_decides_are_left(tmp_path: Path) -> None:
    known = {"task": "securecli_nl2bash_known", "rule": "superiority", "min_gain": 0.1}
    gates = [*SUITE["gates"], {"id": "right", "metric": "executes_equal", **known}]  # type: ignore[misc]
    tasks = [{"name": "securecli_nl2bash_known", "execute": "robust"}]
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(SUITE | {"gates": gates, "tasks": tasks}))
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    with_it = yaml.safe_load(write_suite(suite, tmp_path / "with", sandboxed=True).read_text())
    without = yaml.safe_load(write_suite(suite, tmp_path / "without", sandboxed=False).read_text())
    assert [gate["id"] for gate in with_it["gates"]] == ["command-only", "right"]
    assert [gate["id"] for gate in without["gates"]] == ["command-only"]
    assert "execute" not in without["tasks"][0] and without["tasks"][0]["limit"] == 2


def test_a_rehearsal_is_not_among_the_runs() -> None:
    assert not rehearse.REHEARSALS.is_relative_to(ROOT / "results")
