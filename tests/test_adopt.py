"""Adapters that were trained elsewhere: each kind is proven to act on the base, or refused by the field at fault."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.adapters import adopt as adopting
from eval.adapters.adopt import adopt, run_named
from eval.adapters.file_names import WEIGHTS
from eval.adapters.found import recipe_of, training_of
from eval.common.errors import Refused, UserError
from eval.run.candidate import candidate_of
from eval.run.files import read_json, read_metrics, write_json
from eval.run.folder import read_data, read_run
from tests.conftest import EMBEDDED
from tests.test_suite import evaluate, make_suite

pytestmark = pytest.mark.slow
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
Spoil = Callable[[Path], None]
Settings = dict[str, Any]


# Kinds that both arms can prove: every tensor of the file is in the model, and the logits move.
PROVEN: dict[str, Settings] = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "all linear layers": {"target_modules": "all-linear"},
    "some layers": {"layers_to_transform": [1]},
    "excluded modules": {"target_modules": "all-linear", "exclude_modules": ["down_proj"]},
    "ranks by pattern": {"rank_pattern": {"layers.0.self_attn.q_proj": 2}},
    "alphas by pattern": {"alpha_pattern": {"layers.0.self_attn.q_proj": 32}},
    "embedding matrix": {"target_modules": ["q_proj", "embed_tokens"]},
    "output matrix": {"target_modules": ["q_proj", "lm_head"]},
    "a module trained whole": {"modules_to_save": ["lm_head"]},
    "gaussian start": {"init_lora_weights": "gaussian"},
}
# Kinds that nobody could vouch for: PEFT's class, its settings, and the field that the one line names.
REFUSED: dict[str, tuple[str, Settings, str]] = {
    "biases": ("LoraConfig", {"bias": "all"}, "bias: 'all' trains the base's biases"),
    "single tokens": (
        "LoraConfig",
        {"trainable_token_indices": [5, 6]},
        "trainable_token_indices: .* trains tokens beside",
    ),
    "bare parameters": (
        "LoraConfig",
        {"target_parameters": ["mlp.down_proj.weight"]},
        "target_parameters: .* outside of modules",
    ),
    "biases of its own": ("LoraConfig", {"lora_bias": True}, "lora_bias: True is a variant of LoRA"),
    "repeated layers": (
        "LoraConfig",
        {"layer_replication": [(0, 2), (1, 2)]},
        "layer_replication: .* builds another base",
    ),
    "some prompts only": (
        "LoraConfig",
        {"alora_invocation_tokens": [1, 2]},
        "alora_invocation_tokens: .* acts on some prompts",
    ),
    "PiSSA": ("LoraConfig", {"init_lora_weights": "pissa"}, "init_lora_weights: 'pissa' rewrites the base"),
    "OLoRA": ("LoraConfig", {"init_lora_weights": "olora"}, "init_lora_weights: 'olora' rewrites the base"),
    "IA3": (
        "IA3Config",
        {"target_modules": ["k_proj"], "feedforward_modules": []},
        "peft_type: 'IA3' is another method",
    ),
    "LoHa": ("LoHaConfig", {"r": 2, "target_modules": ["q_proj"]}, "peft_type: 'LOHA' is another"),
    "LoKr": ("LoKrConfig", {"r": 2, "target_modules": ["q_proj"]}, "peft_type: 'LOKR' is another"),
    "VeRA": ("VeraConfig", {"r": 2, "target_modules": ["q_proj"]}, "peft_type: 'VERA' is another"),
    "prompt tuning": ("PromptTuningConfig", {"num_virtual_tokens": 2}, "peft_type: 'PROMPT_TUNING' is another"),
}


def config_of(kind: str, settings: Settings) -> Any:
    """PEFT's own; a LoRA has the settings of LORA where it says nothing else."""
    import peft

    return getattr(peft, kind)(task_type="CAUSAL_LM", **(LORA if kind == "LoraConfig" else {}) | settings)


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> Any:
    """The tiny base as PEFT is given it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs go into a folder of the test's own."""
    monkeypatch.setattr(adopting.adopt, "__defaults__", (None, None, None, tmp_path / "results", None))
    return tmp_path / "results"


def saved(model: Any, config: Any, target: Path, step: float = 0.5) -> Path:
    """An adapter of any kind as PEFT saves it, every trained tensor moved by a step."""
    import peft
    import torch

    torch.manual_seed(3)
    adapted = peft.get_peft_model(copy.deepcopy(model), config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * step)
    adapted.save_pretrained(target)
    return changed(target, base_model_name_or_path=model.name_or_path)


def changed(adapter: Path, **settings: Any) -> Path:
    """The adapter with other settings."""
    write_json(adapter / "adapter_config.json", read_json(adapter / "adapter_config.json") | settings)
    return adapter


@pytest.fixture(scope="module")
def loaded() -> list[Any]:
    """The tiny base as an evaluation loads it, by the first who asks."""
    return []


@pytest.mark.parametrize("kind", PROVEN)
def test_a_kind_that_is_proven_to_act_on_its_base(kind: str, base: Any, loaded: list[Any], tmp_path: Path) -> None:
    acts_on_its_base(saved(base, config_of("LoraConfig", PROVEN[kind]), tmp_path / "theirs"), loaded)


def test_the_embedded_base_is_one_of_them(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.bfloat16)
    settings = config_of("LoraConfig", PROVEN["all linear layers"])
    acts_on_its_base(saved(model, settings, tmp_path / "theirs", step=0.02), [])


def acts_on_its_base(adapter: Path, loaded: list[Any]) -> None:
    """Adopted and loaded beside its base, it moves the logits, and every one of its tensors is there."""
    import safetensors.torch
    import torch

    from eval.config.suite_file import BackendSettings
    from eval.contracts.backend import Arms
    from eval.model import hf

    run = adopt(str(adapter))
    state, candidate = read_run(run), candidate_of(run)
    assert state["adopted"] == {"source": "folder theirs", "training": "unknown", "licence": None}
    arms = Arms(candidate.base_model, candidate=candidate.adapter)
    model = hf.load(BackendSettings(), arms, 42, reuse=loaded.pop() if loaded else None)
    loaded.append(model)
    facts = model.adapters["candidate"]
    assert facts.tensors == facts.tensors_loaded == len(safetensors.torch.load_file(adapter / WEIGHTS))
    assert facts.nonzero_updates > 0
    tokens = torch.tensor([model.lm.tok_encode("list the files of this folder")])
    with torch.no_grad():
        logits = {}
        for arm in ("baseline", "candidate"):
            with model.arm(arm):
                logits[arm] = model.lm.model(input_ids=tokens).logits[0, -1].float()
    assert float((logits["candidate"] - logits["baseline"]).abs().max()) > 0


@pytest.mark.parametrize("kind", REFUSED)
def test_a_kind_that_is_refused_names_the_field_and_leaves_no_run(
    kind: str, base: Any, tmp_path: Path, results: Path
) -> None:
    method, settings, said = REFUSED[kind]
    adapter = saved(base, config_of(method, settings), tmp_path / "theirs")
    if kind in ("PiSSA", "OLoRA"):  # PEFT writes the plain start into what it saves; older versions did not
        changed(adapter, init_lora_weights=kind.lower())
    with pytest.raises(Refused, match=rf"^{adapter}/adapter_config\.json: {said}"):
        adopt(str(adapter))
    assert not results.exists()


@pytest.fixture(scope="module")
def theirs(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model in a folder of its own."""
    folder = tmp_path_factory.mktemp("theirs") / "outputs"
    shutil.copytree(tiny_adapter, folder)
    return folder


def of_another_base(adapter: Path) -> None:
    changed(adapter, base_model_name_or_path="models/another")


def with_another_template(adapter: Path) -> None:
    shutil.copy(EMBEDDED / "tokenizer_config.json", adapter)
    (adapter / "chat_template.jinja").write_text("{{ messages }}")


def with_more_tokens(adapter: Path) -> None:
    tokenizer = json.loads((EMBEDDED / "tokenizer.json").read_text())
    last = tokenizer["added_tokens"][-1]
    tokenizer["added_tokens"].append(last | {"id": 49152, "content": "<tool>"})
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (of_another_base, "was trained on models/another, not on"),
        (with_another_template, "chat_template.jinja is not the base's"),
        (with_more_tokens, "tokenizer.json is not the base's"),
    ],
)
def test_what_belongs_to_another_base_is_one_line_before_the_base_is_loaded(
    spoil: Spoil, said: str, theirs: Path, tiny_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from eval.model import hf

    monkeypatch.setattr(hf, "load_base", lambda *_: pytest.fail("the base was loaded"))
    adapter = shutil.copytree(theirs, tmp_path / "adapter")
    spoil(adapter)
    run = adopt(str(adapter), base=str(tiny_model))
    assert evaluate(monkeypatch, "--config", make_suite(tmp_path / "suite.yaml"), "--run", run) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert said in error


def test_the_folder_of_a_plain_training_is_evaluated_where_it_is(
    theirs: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As Axolotl leaves it: the recipe in the card, the trainer's state in a checkpoint."""
    outputs = shutil.copytree(theirs, tmp_path / "outputs")
    recipe = {
        "base_model": str(tiny_model), "adapter": "lora", "lora_r": 4, "lora_alpha": 8, "seed": 7,
        "lora_target_modules": ["q_proj", "v_proj"], "datasets": [{"path": "rows.jsonl", "type": "chat_template"}],
    }  # fmt: skip
    card = f"# Card\n<details>\n\naxolotl version: `0.19.0`\n```yaml\n{yaml.safe_dump(recipe)}\n```\n\n</details>"
    (outputs / "README.md").write_text(card)
    (outputs / "checkpoint-9").mkdir()
    (outputs / "checkpoint-10").mkdir()
    losses = [{"step": 5, "loss": 2.5}, {"step": 10, "loss": float("nan")}, {"step": 10, "eval_loss": 1.0}]
    write = (outputs / "checkpoint-10" / "trainer_state.json").write_text
    write(json.dumps({"global_step": 10, "log_history": losses}))
    suite = make_suite(tmp_path / "suite.yaml")
    assert evaluate(monkeypatch, "--config", suite, "--run", outputs) in (0, 1, 3)
    assert "is an adapter and no run: adopted as" in capsys.readouterr().out
    (run,) = results.iterdir()
    assert run_named(str(outputs)) == run, "adopted once"
    metrics = read_metrics(run / "metrics.json")
    assert metrics.adapter_effect is not None and metrics.adapter_effect.proven
    assert metrics.training == {
        "completed": True, "ended": "not trained here", "steps": 10, "curve": [[5, 2.5]], "final_loss": 2.5
    }  # fmt: skip
    assert [row["path"] for row in read_data(run)] == ["rows.jsonl"]
    assert metrics.provenance["adopted"]["training"] == "as found" and metrics.provenance["seeds"]["training"] == 7
    for report in ("report.md", "report.html"):
        assert "The adapter comes from folder outputs; its recipe and data are as found" in (run / report).read_text()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "adapter_config.json is missing: a LoRA adapter is"),
        (lambda folder: (folder / "checkpoint-3").mkdir() or (folder / "checkpoint-3" / "adapter_config.json").touch(),
         r"holds several adapters or checkpoints \(checkpoint-3\): name one"),
        (lambda folder: (folder / "adapter_model.bin").touch(), "adapter_model.bin is a pickle"),
        (lambda folder: (folder / "model.safetensors").touch(), "holds a whole model, no adapter"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "adapter_model.safetensors is missing"),
        (lambda folder: folder.rmdir(), "is not a folder: name an adapter's folder, or org/name@revision"),
    ],
)  # fmt: skip
def test_a_folder_that_holds_no_adapter_says_what_it_holds(make: Any, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder)
    with pytest.raises(UserError, match=said):
        adopt(str(folder))


def test_what_the_recipe_says_goes_before_the_settings_and_a_named_base_before_both(
    theirs: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("base_model: org/one\nbf16: true  # kept\n")
    assert recipe_of(theirs, None, given).text == given.read_text()
    named = recipe_of(theirs, "org/two@abc", given)
    assert (
        named.values == {"base_model": "org/two", "bf16": True, "revision_of_model": "abc"} and "# kept" in named.text
    )
    said = recipe_of(theirs, None)
    assert (
        not said.found
        and said.values["lora_r"] == 4
        and sorted(said.values["lora_target_modules"]) == ["q_proj", "v_proj"]
    )
    given.write_text("base_model: [")
    with pytest.raises(UserError, match="broken YAML"):
        recipe_of(theirs, None, given)


def test_a_recipe_that_the_adapter_contradicts_is_refused(theirs: Path, tiny_model: Path, tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    recipe = {"base_model": str(tiny_model), "lora_r": 8, "lora_alpha": 8, "lora_target_modules": ["q_proj", "v_proj"]}
    given.write_text(yaml.safe_dump(recipe))
    with pytest.raises(Refused, match=r"r: 4 is not what recipe\.yaml trained with"):
        adopt(str(theirs), recipe=given)


def test_a_state_that_is_none_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text('{"global_step": true, "log_history": [1, {"step": "a", "loss": 1}]}')
    assert training_of(tmp_path) == {"completed": True, "ended": "not trained here", "curve": []}
    (tmp_path / "trainer_state.json").write_text("[]")
    assert training_of(tmp_path)["curve"] == []


def test_what_unsloth_writes_down_is_taken_and_another_class_is_not(theirs: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(theirs, tmp_path / "adapter")
    known = {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama"}
    adopt(str(changed(adapter, auto_mapping=known | {"unsloth_fixed": True})))
    with pytest.raises(Refused, match=r"auto_mapping: .* names code to run"):
        adopt(str(changed(adapter, auto_mapping=known | {"parent_library": "os"})))
