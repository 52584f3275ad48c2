"""Every recipe lints clean, and each known mistake gets one line that names its key and the way out."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from scripts.training import lint_recipe as lint
from tests import preloaded
from tests.patience import PATIENCE

RECIPES = sorted((lint.ROOT / "configs" / "train").glob("*.yaml"))
DEMO = lint.ROOT / "configs" / "train" / "smollm2-135m-cpu.yaml"
GPU_RECIPE = lint.ROOT / "configs" / "train" / "qwen2.5-coder-7b-qlora-24gb.yaml"
ROW = {
    "messages": [
        {"role": "user", "content": "list the files"},
        {"role": "assistant", "content": "ls"},
    ]
}


def dataset_paths(recipe: dict[str, Any]) -> list[str]:
    return [entry["path"] for entry in recipe["datasets"]]


def repository(tmp_path: Path, recipe: dict[str, Any]) -> Path:
    """A repository root with the files that `recipe` names; its datasets are two good rows."""
    for name in dataset_paths(recipe):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(2 * (json.dumps(ROW) + "\n"))
    if settings := recipe.get("deepspeed"):
        (tmp_path / settings).parent.mkdir(parents=True)
        shutil.copy(lint.ROOT / settings, tmp_path / settings)
    return tmp_path


def problems_after(tmp_path: Path, edit: Callable[[dict[str, Any]], Any], base: Path = DEMO) -> list[str]:
    """What lint says about a recipe once `edit` has changed it; the datasets of the original are good."""
    recipe = lint.load_recipe(base)
    root = repository(tmp_path, recipe)
    edit(recipe)
    file = tmp_path / "edited.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return [line.removeprefix(f"{file}: ") for line in lint.lint_recipe(file, root=root)]


def put(**keys: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda recipe: recipe.update(keys)


def put_in_dataset(**keys: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda recipe: recipe["datasets"][0].update(keys)


def drop(*keys: str) -> Callable[[dict[str, Any]], Any]:
    return lambda recipe: [recipe.pop(key) for key in keys]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_lints_clean(path: Path, tmp_path: Path) -> None:
    root = repository(tmp_path, lint.load_recipe(path))
    assert lint.lint_recipe(path, root=root) == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_data_of_a_recipe_is_readable(path: Path) -> None:
    recipe = lint.load_recipe(path)
    absent = [name for name in dataset_paths(recipe) if not (lint.ROOT / name).exists()]
    if absent:
        pytest.skip(f"{absent[0]} is not built; run `make data`")
    assert lint.dataset_problems(recipe, lint.ROOT) == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_keeps_its_outputs_apart_and_offline(path: Path) -> None:
    recipe = lint.load_recipe(path)
    assert recipe["output_dir"] == f"outputs/{path.stem}"
    assert recipe["dataset_prepared_path"] == f"prepared/{path.stem}"
    assert recipe["wandb_mode"] == "offline"


BAD = {
    "unknown key": (put(lora_rnak=32), "lora_rnak: unknown key, did you mean lora_r?"),
    "first word wins": (put(lora_rank=32), "lora_rank: unknown key, did you mean lora_r?"),
    "unknown key, nothing near": (put(zzz=1), "zzz: unknown key; remove it, or see `axolotl config-schema`"),
    "unknown key in a dataset": (
        put_in_dataset(field_mesages="messages"),
        "datasets[0].field_mesages: unknown key, did you mean field_messages?",
    ),
    "a key of another kind of dataset": (
        put_in_dataset(field_chosen="x"),
        "datasets[0].field_chosen: unknown key",
    ),
    "unknown key in a nested model": (
        put(dynamic_checkpoint={"enabled": True, "check_intervall": 5}),
        "dynamic_checkpoint.check_intervall: unknown key, did you mean check_interval?",
    ),
    "publishes": (put(hub_model_id="me/model"), "hub_model_id: a recipe never publishes; remove it and use"),
    "holds a secret": (put(comet_api_key="x"), "comet_api_key: a recipe never holds a secret"),
    "no target modules": (
        drop("lora_target_linear"),
        "lora_target_linear: the adapter has no target modules; set it to true",
    ),
    "Hub model without a revision": (
        put(base_model="org/model"),
        "revision_of_model: Hub model org/model is not pinned; set the full 40-digit commit",
    ),
    "Hub model at a branch": (
        put(base_model="org/model", revision_of_model="main"),
        "revision_of_model: Hub model org/model is not pinned",
    ),
    "no dataset file": (
        put_in_dataset(path="data/absent.jsonl"),
        "datasets[0].path: no such file data/absent.jsonl; run `make data`",
    ),
    "dataset outside the repository": (
        put_in_dataset(path="../other/train.jsonl"),
        "datasets[0].path: ../other/train.jsonl is outside the repository; copy it below data/",
    ),
    "dataset at a URL": (put_in_dataset(path="s3://bucket/x"), "datasets[0].path: s3://bucket/x is outside"),
    "Hub dataset without a revision": (
        put_in_dataset(path="org/data"),
        "datasets[0].revision: Hub dataset org/data is not pinned; set the full 40-digit commit",
    ),
    "datasets no list": (
        put(datasets={"path": "data/nl2bash/train_small.jsonl"}),
        "datasets: must be a list of datasets; start the entry with a dash",
    ),
    "dataset no mapping": (put(datasets=["data/x.jsonl"]), "datasets[0]: must be a mapping"),
    "rate is not a number": (
        put(learning_rate=float("nan")),
        "learning_rate: nan is not a positive number; set one above 0",
    ),
    "rate is negative": (put(learning_rate="-1e-4"), "learning_rate: -1e-4 is not a positive number"),
    "rate is a word": (put(learning_rate="fast"), "learning_rate: could not convert string to float: 'fast'"),
    "batch of zero": (put(micro_batch_size=0), "micro_batch_size: 0 is not a positive number"),
    "no base model": (drop("base_model"), "base_model: Field required"),
    "wrong type": (put(bf16="maybe"), "bf16: Input should be"),
    "LoRA kernels left on for a CPU": (
        drop("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel"),
        "lora_mlp_kernel: the LoRA kernels turn themselves on and need CUDA; set all four",
    ),
    "FlashAttention on a CPU": (
        put(attn_implementation="flash_attention_2"),
        "attn_implementation: flash_attention_2 needs sm_80 or newer, not a CPU; set it to sdpa",
    ),
    "sharegpt": (put_in_dataset(type="sharegpt"), "datasets: `type: sharegpt.*` is deprecated"),
    "two warm-ups": (put(warmup_steps=5), "recipe: warmup_steps and warmup_ratio are mutually exclusive"),
    "qlora in 16 bit": (put(adapter="qlora"), "recipe: Require cfg.load_in_4bit to be True for qlora"),
    "validator that raises no ValueError": (
        put(s2_attention=True),
        "recipe: Axolotl refuses it: `s2_attention`",
    ),
    "plugin that is not there": (
        put(plugins=["axolotl.integrations.absent.Plugin"]),
        "plugins: cannot import axolotl.integrations.absent.Plugin; check the name",
    ),
    "plugin class that is not there": (put(plugins=["axolotl.integrations.liger.Absent"]), "plugins: module"),
}


@pytest.mark.parametrize(("edit", "expected"), BAD.values(), ids=BAD)
def test_a_mistake_is_named_in_one_line(edit: Callable[[dict[str, Any]], Any], expected: str, tmp_path: Path) -> None:
    problems = problems_after(tmp_path, edit)
    assert len(problems) == 1, problems
    assert problems[0].startswith(expected)
    assert "\n" not in problems[0]


BAD_ROWS = {
    "truncated": ('{"messages": [{"role": "us', "line 2 is not valid JSON"),
    "not an object": ("[1]", "line 2 is not a JSON object"),
    "not UTF-8": (b'{"messages": "\xff"}', "line 2 is not valid JSON"),
    "no messages": ('{"prompt": "x"}', "line 2 has no messages"),
    "no content": ('{"messages": [{"role": "user"}]}', "line 2 has a turn without content"),
    "user has the last word": (
        '{"messages": [{"role": "user", "content": "x"}]}',
        "line 2 ends with a turn by user, not by the assistant",
    ),
    "empty answer": (
        '{"messages": [{"role": "assistant", "content": " "}]}',
        "line 2 ends with an empty answer",
    ),
}


@pytest.mark.parametrize(("row", "expected"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_the_first_bad_row_is_named(row: str | bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(
        json.dumps(ROW).encode() + b"\n" + (row if isinstance(row, bytes) else row.encode()) + b"\n{}\n"
    )
    recipe = {"datasets": [{"path": "data.jsonl", "type": "chat_template"}]}
    assert lint.dataset_problems(recipe, tmp_path) == [
        f"datasets[0].path: data.jsonl: {expected}; run `make data` again"
    ]


@pytest.mark.parametrize(("content", "expected"), [("", "is empty"), ("\n\n", "has no rows")])
def test_a_dataset_without_rows_is_refused(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(content)
    problems = lint.dataset_problems({"datasets": [{"path": "data.jsonl"}]}, tmp_path)
    assert len(problems) == 1 and expected in problems[0]


def test_a_link_out_of_the_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "data.jsonl").symlink_to(tmp_path / "secret.jsonl")
    problems = lint.dataset_problems({"datasets": [{"path": "data.jsonl"}]}, tmp_path / "root")
    assert problems == ["datasets[0].path: data.jsonl is outside the repository; copy it below data/"]


def test_two_cross_entropies_are_refused_even_when_one_is_a_default_of_its_plugin(tmp_path: Path) -> None:
    cut = "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"
    liger = "axolotl.integrations.liger.LigerPlugin"
    both = put(plugins=[liger], liger_cross_entropy=True, liger_fused_linear_cross_entropy=True)
    (problem,) = problems_after(tmp_path, both, GPU_RECIPE)
    assert problem.startswith("recipe: Only one cross entropy optimization can be enabled at a time.")
    assert problems_after(tmp_path, put(plugins=[cut, liger], liger_cross_entropy=True), GPU_RECIPE) == [
        "liger_cross_entropy: a second optimised cross-entropy beside the plugin's; keep only one"
    ]


def test_the_keys_of_a_plugin_are_known_only_to_the_recipe_that_names_it(tmp_path: Path) -> None:
    liger = {"plugins": ["axolotl.integrations.liger.LigerPlugin"], "liger_rms_norm": True}
    assert problems_after(tmp_path, put(**liger), GPU_RECIPE) == []
    (problem,) = problems_after(tmp_path, put(liger_rms_norm=True), GPU_RECIPE)
    assert problem.startswith("liger_rms_norm: unknown key")


def test_free_mappings_and_aliases_stay_free(tmp_path: Path) -> None:
    keys = {"chat_template_kwargs": {"anything": {"at": "all"}}, "model_type": "AutoModelForCausalLM"}
    assert problems_after(tmp_path, put(**keys)) == []


def test_all_problems_are_listed_together(tmp_path: Path) -> None:
    problems = problems_after(tmp_path, put(lora_rnak=1, hub_model_id="a/b", learning_rate=-1.0, seed="x"))
    assert [line.split(":")[0] for line in problems] == ["hub_model_id", "learning_rate", "lora_rnak", "seed"]


def test_a_recipe_is_judged_for_the_gpu_that_is_named(tmp_path: Path) -> None:
    root = repository(tmp_path, lint.load_recipe(GPU_RECIPE))
    flash = tmp_path / "flash.yaml"
    flash.write_text(yaml.safe_dump(lint.load_recipe(GPU_RECIPE) | {"attn_implementation": "flash_attention_2"}))
    problems = lint.lint_recipe(flash, "t4", root)
    assert [line.split(": ")[1] for line in problems] == ["bf16", "tf32", "attn_implementation"]
    assert all("sm_75" in line for line in problems)
    assert lint.lint_recipe(GPU_RECIPE, "h100", root) == []
    with pytest.raises(UserError, match="unknown GPU gtx"):
        lint.lint_recipe(GPU_RECIPE, "gtx", root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("adapter: lora\nlora_r: 8\nlora_r: 16\n", "line 3: lora_r is given twice; fix the YAML"),
        ("datasets:\n  - path: a\n    path: b\n", "line 3: path is given twice; fix the YAML"),
        ("adapter: lora\n  lora_r: 8\n", "line 2: mapping values are not allowed here; fix the YAML"),
        (
            "lora_r: 8\nseed: 2026-02-31\n",
            "line 2: a value that cannot be read (day is out of range for month); fix the",
        ),
        ("lora_r: 8\nseed: " + "9" * 5000, "line 2: a value that cannot be read (Exceeds the limit (4300 digits)"),
        ("lora_r: !!bool maybe\n", "line 1: a value that cannot be read ('maybe'); fix the YAML"),
        ("lora_r: !!timestamp now\n", "line 1: a value that cannot be read ("),
        ("lora_r: !!int ''\n", "line 1: a value that cannot be read ("),
        ("lora_r: !!python/object:os.system x\n", "line 1: could not determine a constructor"),
        ("lora_r: " + "[" * 1200, "nested too deeply; fix the YAML"),
        ("lora_r: \0\n", "unacceptable character #x0000"),
        (b"# caf\xe9\nlora_r: 8\n", "not readable as YAML text ('utf-8' codec"),
        ("- a\n- b\n", "not a recipe; it must be a mapping of Axolotl keys to values"),
        ("", "not a recipe; it must be a mapping of Axolotl keys to values"),
    ],
)
def test_broken_yaml_is_told_with_its_line(text: str | bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    (problem,) = lint.lint_recipe(file)
    assert problem.startswith(f"{file}: {expected}")
    assert "\n" not in problem


def test_a_name_resolves_to_a_file_and_a_wrong_one_lists_the_near_ones() -> None:
    assert lint.resolve_recipe("smollm2-135m-cpu") == DEMO
    assert lint.resolve_recipe(str(DEMO)) == DEMO
    with pytest.raises(UserError, match="no recipe named smollm2; did you mean smollm2-135m-cpu"):
        lint.resolve_recipe("smollm2")
    with pytest.raises(UserError, match="no such recipe file"):
        lint.resolve_recipe("configs/train/absent.yaml")


def test_only_the_demo_is_meant_for_a_cpu() -> None:
    assert [path.stem for path in RECIPES if lint.is_cpu_recipe(lint.load_recipe(path))] == [DEMO.stem]


def run_lint(*args: str) -> subprocess.CompletedProcess[str]:
    command = [preloaded.python(), "-m", "scripts.training.lint_recipe", *args]
    return subprocess.run(command, cwd=lint.ROOT, capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.skipif(not (lint.ROOT / "data/nl2bash/train_small.jsonl").exists(), reason="needs `make data`")
def test_the_command_says_ok_and_nothing_else() -> None:
    done = run_lint("smollm2-135m-cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok smollm2-135m-cpu (models/SmolLM2-135M-Instruct, lora, cpu)\n"
    assert len(done.stderr.splitlines()) == 1  # the progress line alone: no warning of a library
    assert not (lint.ROOT / "debug.log").exists()


def test_the_command_exits_2_on_a_bad_recipe_and_on_a_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: 1\na: 2\n")
    done = run_lint(str(tmp_path / "bad.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1] == f"{tmp_path}/bad.yaml: line 2: a is given twice; fix the YAML"
    wrong = run_lint("absent")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: no recipe named absent")
