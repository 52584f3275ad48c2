"""What a later stage would always refuse is refused by lint, in one line that begins with the key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.strict_yaml import BrokenYaml, parse_yaml
from scripts.training import lint_recipe as lint
from scripts.training.recipe_rules import INITIAL, REFUSED, rule_problems
from tests.test_recipes import DEMO, ROW, drop, problems_after, put, put_in_dataset

RECIPE = yaml.safe_load(DEMO.read_text())
Edit = Callable[[dict[str, Any]], Any]


def keys_named(recipe: dict[str, Any]) -> list[str]:
    return [line.split(":")[0] for line in rule_problems(recipe)]


def test_the_recipe_of_the_demo_breaks_no_rule() -> None:
    assert rule_problems(RECIPE) == []


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_a_key_that_cannot_end_well_is_named(key: str) -> None:
    assert keys_named(RECIPE | {key: True}) == [key]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"adapter": None}, "adapter"),
        ({"adapter": "llama-adapter"}, "adapter"),
        ({"lora_r": None}, "lora_r"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"seed": None}, "seed"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": -1}, "max_steps"),
        ({"save_steps": 0}, "save_steps"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size"),
        ({"save_strategy": "no", "save_steps": None}, "save_strategy"),
        ({"save_strategy": False, "save_steps": None}, "save_strategy"),
        ({"save_strategy": "best", "save_steps": None}, "save_strategy"),
        ({"load_best_model_at_end": True, "eval_steps": 5, "save_steps": 5}, "load_best_model_at_end"),
        ({"early_stopping_patience": 2, "eval_steps": 5, "save_steps": 5}, "early_stopping_patience"),
        ({"load_best_model_at_end": True, "val_set_size": 0.1, "eval_steps": 7}, "load_best_model_at_end"),
        ({"load_best_model_at_end": True, "val_set_size": 0.1, "save_strategy": "epoch"}, "load_best_model_at_end"),
        ({"metric_for_best_model": "eval_loss", "eval_steps": 5, "save_steps": 5}, "metric_for_best_model"),
        ({"load_best_model_at_end": None, "eval_steps": 5, "save_steps": 5}, "load_best_model_at_end"),
        ({"chat_template": "chatml"}, "chat_template"),
        ({"tokenizer_config": "org/other"}, "tokenizer_config"),
        ({"peft": {"loftq_config": {"loftq_bits": 4}}}, "peft.loftq_config"),
        ({"datasets": None}, "datasets"),
    ],
)
def test_a_setting_that_cannot_end_well_is_named(changes: dict[str, Any], key: str) -> None:
    recipe = RECIPE | {"save_strategy": "steps", "save_steps": 10} | changes
    assert keys_named(recipe) == [key]


@pytest.mark.parametrize(
    "changes",
    [
        {"metric_for_best_model": "eval_los"},
        {"metric_for_best_model": "eval_loss", "greater_is_better": True},
        {"do_causal_lm_eval": True, "metric_for_best_model": "eval_perplexity"},
        {"do_causal_lm_eval": True, "greater_is_better": False, "metric_for_best_model": "eval_chrf"},
    ],
)
def test_the_best_checkpoint_needs_a_measure_that_is_there_and_points_the_right_way(changes: dict[str, Any]) -> None:
    best = {"load_best_model_at_end": True, "val_set_size": 0.1, "eval_steps": 5, "save_steps": 10}
    assert rule_problems(RECIPE | best) == []
    assert keys_named(RECIPE | best | changes) == [list(changes)[-1]]


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "corda", "eva", "loftq", "anything"])
def test_starting_values_that_rewrite_the_base_are_refused(start: str) -> None:
    assert keys_named(RECIPE | {"peft_init_lora_weights": start}) == ["peft_init_lora_weights"]
    assert all(keys_named(RECIPE | {"peft_init_lora_weights": good}) == [] for good in INITIAL)


ENTRIES: dict[str, tuple[Edit, str]] = {
    "no type": (put_in_dataset(type=None), "datasets[0].type: missing"),
    "misspelt type": (
        put_in_dataset(type="chat_tempalte"),
        "datasets[0].type: Axolotl knows no type chat_tempalte; did you mean chat_template?",
    ),
    "code of somebody else": (put_in_dataset(type="os.system"), "datasets[0].type: Axolotl knows no type os.system"),
    "type of other rows": (put_in_dataset(type="alpaca"), "datasets[0].type: data/nl2bash/train_small.jsonl: line 1"),
    "misspelt role": (
        put_in_dataset(roles_to_train=["asistant"]),
        "datasets[0].roles_to_train: no row has a turn by asistant; did you mean assistant?",
    ),
    "roles as a word": (put_in_dataset(roles_to_train="assistant"), "datasets[0].roles_to_train: must be a list"),
    "misspelt end": (put_in_dataset(train_on_eos="turns"), "datasets[0].train_on_eos: Input should be"),
    "shard that is not there": (put_in_dataset(shards=2, shards_idx=2), "datasets[0].shards_idx: 2 is not in 0 to 1"),
    "a format as path": (
        put_in_dataset(path="json", data_files=["data/nl2bash/train_small.jsonl"]),
        "datasets[0].path: json is a format",
    ),
    "another template for the rows": (
        put_in_dataset(chat_template="chatml"),
        "datasets[0].chat_template: chatml is not the base's own",
    ),
    "home folder": (put_in_dataset(path="~/rows.jsonl"), "datasets[0].path: ~/rows.jsonl is outside the repository"),
    "validation rows that are missing": (
        put(test_datasets=[{"path": "data/absent.jsonl", "type": "chat_template"}]),
        "test_datasets[0].path: no such file data/absent.jsonl",
    ),
    "starting adapter that is missing": (put(lora_model_dir="results/absent"), "lora_model_dir: no such folder"),
    "no recipe without rows": (
        lambda recipe: (drop("datasets")(recipe), put(pretraining_dataset=[{"path": "x.jsonl"}], max_steps=2)(recipe)),
        "pretraining_dataset: text without requests",
    ),
}


@pytest.mark.slow  # imports Axolotl
@pytest.mark.parametrize(("edit", "expected"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry_that_axolotl_could_not_use_is_named(edit: Edit, expected: str, tmp_path: Path) -> None:
    [problem] = problems_after(tmp_path, edit)
    assert problem.startswith(expected) and "\n" not in problem


def local(tmp_path: Path, tiny_model: Path, edit: Edit = lambda _: None, rows: list[Any] | None = None) -> list[str]:
    """Lint on a base that is at hand: the tiny model of two layers."""
    recipe = RECIPE | {"base_model": str(tiny_model), "peft_layers_to_transform": [1]}
    recipe["datasets"] = [RECIPE["datasets"][0] | {"path": "rows.jsonl"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or [ROW]))
    edit(recipe)
    file = tmp_path / "local.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return [line.removeprefix(f"{file}: ") for line in lint.lint_recipe(file, root=tmp_path)]


LONG = {"messages": [{"role": "user", "content": "word " * 600}, {"role": "assistant", "content": "ls"}]}
OF_THE_BASE: dict[str, tuple[Edit, list[Any], str]] = {
    "layers": (put(peft_layers_to_transform=[1, 2]), [ROW], "peft_layers_to_transform: the base has layers 0 to 1"),
    "modules": (
        put(lora_target_linear=None, lora_target_modules=["q_porj", "v_proj"]),
        [ROW],
        "lora_target_modules: q_porj is not a module of the base, did you mean q_proj?",
    ),
    "saved modules": (put(lora_modules_to_save=["embed"]), [ROW], "lora_modules_to_save: embed is not a module"),
    "its own pad token": (
        put(special_tokens={"pad_token": "<pad>"}),
        [ROW],
        "special_tokens.pad_token: <pad> is not the base's, <|im_end|>",
    ),
    "a row that is too long": (put(), [ROW, LONG], "sequence_len: rows.jsonl: line 2 has"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "rows", "expected"), OF_THE_BASE.values(), ids=OF_THE_BASE)
def test_what_a_local_base_does_not_have_is_named(
    edit: Edit, rows: list[Any], expected: str, tmp_path: Path, tiny_model: Path
) -> None:
    [problem] = local(tmp_path, tiny_model, edit, rows)
    assert problem.startswith(expected)


@pytest.mark.slow
def test_what_a_local_base_has_is_fine(tmp_path: Path, tiny_model: Path) -> None:
    own = put(special_tokens={"pad_token": "<|im_end|>"}, lora_target_linear=None, lora_target_modules=["q_proj"])
    assert local(tmp_path, tiny_model, own) == []
    roles = {"assistant": ["bot"], "user": ["me"]}
    old = {"message_field_role": "from", "message_field_content": "value", "roles": roles}
    rows = [{"messages": [{"from": "me", "value": "list"}, {"from": "bot", "value": "ls"}]}]
    assert local(tmp_path, tiny_model, lambda recipe: recipe["datasets"][0].update(old), rows) == []


@pytest.mark.parametrize("name", ["my recipe", "it's", "réseau", "-x", ".x", "a..b", "x.lock", "x" * 81, "a;b", "a\nb"])
def test_a_recipe_whose_name_cannot_name_a_run_is_refused(name: str) -> None:
    [problem] = lint.name_problems(Path("configs") / f"{name}.yaml")
    assert "cannot name a run" in problem and "rename" in problem and "\n" not in problem


def test_names_of_models_and_versions_are_fine() -> None:
    assert [lint.name_problems(Path(f"{name}.yaml")) for name in ("qwen2.5-coder_7b", "A", "x" * 80)] == [[], [], []]


@pytest.mark.parametrize("number", ["010", "-017", "1:30", "1:30.5", "00", "0_7", "190:20:30"])
def test_a_number_that_yaml_reads_as_another_is_refused(number: str) -> None:
    with pytest.raises(BrokenYaml, match=r"line 2: .* would be read as another number"):
        parse_yaml(f"lora_r: 8\nmax_steps: {number}\n")


def test_other_numbers_and_quoted_ones_stay_what_they_are() -> None:
    text = "[0, 10, 0.5, -3, 1_000, 0x10, '010', 1e-3, 2e-4, .5, 08, 12:61]"
    assert parse_yaml(text)[:7] == [0, 10, 0.5, -3, 1000, 16, "010"]
