"""The publish chain, attacked a second time: settings of the adapter, its tensors, and records that nobody derived.

As in test_publish_chain.py, each case forges everything that follows it, review included, and meets the real command.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from eval.run.files import write_json
from scripts.data.dataset_facts import describe_data
from scripts.loopback_hub.faults import Hub
from scripts.publishing import approval
from tests.hub_server import WEIGHTS, Capture, approve, hub, publish_run, run, settle
from tests.run_builder import RECIPE, assert_one_line, edit_json, judge
from tests.test_committed import repository
from tests.test_publish_chain import Cheat, config, settled, weights

__all__ = ["hub", "repository", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
Change = Callable[[Path], Any]
PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"
TRAINED = "is not what recipe.yaml trained with"

SETTINGS: dict[str, tuple[Any, str]] = {
    "megatron_core": ("os", "names a module to import"),
    "megatron_config": ({"a": 1}, "names code to run"),
    "peft_type": ("XLORA", "another method than LORA"),
    "task_type": ("SEQ_CLS", "not CAUSAL_LM"),
    "r": (4, TRAINED),
    "lora_alpha": (6400, TRAINED),
    "lora_dropout": (0.5, TRAINED),
    "target_modules": (["q_proj", "v_proj"], TRAINED),
    "exclude_modules": (["k_proj"], TRAINED),
    "modules_to_save": (["lm_head"], TRAINED),
    "layers_to_transform": ([0], TRAINED),
    "layers_pattern": ("layers", TRAINED),
    "rank_pattern": ({"q_proj": 64}, TRAINED),
    "alpha_pattern": ({"q_proj": 6400}, TRAINED),
    "fan_in_fan_out": (True, TRAINED),
    "use_rslora": (True, TRAINED),
    "use_dora": (True, TRAINED),
    "ensure_weight_tying": (True, TRAINED),
    "init_lora_weights": ("pissa", "rewrites the base on loading"),
    "loftq_config": ({"loftq_bits": 4}, "rewrites the base on loading"),
    "bias": ("all", "trains the base's biases"),
    "revision": ("main", TRAINED),
    "peft_version": ("0.20.0 of [a friend](https://example.org)", "is no version"),
    "inference_mode": ("see the card", "is not true or false"),
    "qalora_group_size": ("many", "is no number of columns"),
    "trainable_token_indices": ([1], "trains tokens beside the matrices"),
    "target_parameters": (["experts.down_proj"], "parameters outside of modules"),
    "alora_invocation_tokens": ([1], "acts on some prompts only"),
    "layer_replication": ([[0, 4], [2, 6]], "builds another base"),
    "eva_config": ({"rho": 2.0}, "variant of LoRA"),
    "corda_config": ({"corda_method": "ipm"}, "variant of LoRA"),
    "lora_ga_config": ({"scale": "stable"}, "variant of LoRA"),
    "velora_config": ({"rank": 1}, "variant of LoRA"),
    "monteclora_config": ({"num_samples": 2}, "variant of LoRA"),
    "arrow_config": ({"top_k": 3}, "variant of LoRA"),
    "use_bdlora": ({"nblocks": 2}, "variant of LoRA"),
    "use_qalora": (True, "variant of LoRA"),
    "lora_bias": (True, "variant of LoRA"),
    "runtime_config": ({"ephemeral_gpu_offload": True}, "not a setting of a LoRA adapter"),
    "a_note": ("buy at our shop", "not a setting of a LoRA adapter"),
}


def tensors(change: Callable[[dict[str, Any]], Any]) -> Change:
    """The adapter's tensors, changed; its header is what safetensors writes."""

    def write(folder: Path) -> None:
        path = folder / "adapter" / WEIGHTS
        found = load_file(path)
        change(found)
        path.unlink()
        save_file(found, path, metadata={"format": "pt"})
        settle(folder)

    return write


def renamed(before: str, after: str) -> Change:
    return tensors(lambda found: found.update({name.replace(before, after): found.pop(name) for name in list(found)}))


def header(change: Callable[[bytes], bytes]) -> Change:
    """The header's text, changed; its length to match."""

    def write(folder: Path) -> None:
        path = folder / "adapter" / WEIGHTS
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        text = change(content[8 : 8 + length].rstrip())
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        settle(folder)

    return write


def tokenizer(name: str, text: str | None) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter" / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)

    return settled(change)


def recipe(before: str, after: str) -> Change:
    return settled(lambda folder: (folder / "recipe.yaml").write_text(RECIPE.replace(before, after)))


def trained(learning_rate: float, logged: list[float]) -> Change:
    """A recipe with a learning rate, beside a training that logged others."""

    def change(folder: Path) -> None:
        text = RECIPE + f"learning_rate: {learning_rate}\nlr_scheduler: cosine\n"
        (folder / "recipe.yaml").write_text(text)
        series = {"learning_rate": [[number + 1, value] for number, value in enumerate(logged)]}
        edit_json(folder / "train.json", lambda value: value.update(series=series))
        metrics(lambda value: value["training"].update(series=series))(folder)
        judge_training(folder)

    return change


def judge_training(folder: Path) -> None:
    """Settled, with the training as train.json now has it."""
    judge(folder)
    training = json.loads((folder / "train.json").read_text())
    edit_json(folder / "metrics.json", lambda value: value.update(training=training))
    approve(folder)


def training(**values: Any) -> Change:
    def change(folder: Path) -> None:
        edit_json(folder / "train.json", lambda value: value.update(values))
        judge_training(folder)

    return change


def metrics(edit: Callable[[Any], Any]) -> Change:
    """metrics.json edited, the report rendered of it, and both approved."""

    def change(folder: Path) -> None:
        edit_json(folder / "metrics.json", lambda value: edit(value) and None)
        approve(folder)

    return change


def dataset(**values: Any) -> Change:
    """A dataset of the repository, with something else said of it."""

    def change(folder: Path) -> None:
        path = "data/nl2bash/train_small.jsonl"
        rows = describe_data({"datasets": [{"path": path}]})
        write_json(folder / "data.json", [rows[0] | values])
        (folder / "recipe.yaml").write_text(RECIPE.replace("data/toy.jsonl", path))
        settle(folder)

    return change


def edited_after(name: str, text: str | None = None) -> Change:
    """A file of the report edited, and the digests of the review beside it."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace("SHIP", "WONDERFUL") + (text or "<!-- -->\n"))
        digests = approval.present_digests(folder)
        edit_json(folder / "review.json", lambda value: value.update(digests=digests))

    return change


def reviewed(**values: Any) -> Change:
    return lambda folder: edit_json(folder / "review.json", lambda value: value.update(values))


def named(name: str) -> Change:
    return settled(lambda folder: edit_json(folder / "run.json", lambda value: value.update(run=name)))


LORA_B = f"{PREFIX}.lora_B.weight"
ATTACKS = [
    *[Cheat(f"adapter_config.json: {key}", config(**{key: value}), (f"{key}", words)) for key, (value, words)
      in SETTINGS.items()],
    Cheat("adapter_config.json: code named by auto_mapping", config(auto_mapping={"base_model_class": "X"}), ("code",)),
    Cheat("adapter_config.json: a pattern that takes for ever", lambda f: ((f / "recipe.yaml").write_text(
          RECIPE.replace("[q_proj]", "'(a+)+q_proj'")), config(target_modules="(a+)+q_proj")(f)), ("target_modules",)),
    Cheat("adapter_config.json: true for 1", config(r=True), ("r: True", TRAINED)),
    Cheat("adapter_config.json: a megabyte of base", config(base_model_name_or_path="a" * 10**6), ("larger than",)),
    # The tensors
    Cheat("a tensor that is no LoRA", renamed(f"{PREFIX}.lora_B.weight", "x" * 40), ("not one that PEFT",)),
    Cheat("a name that is a text", renamed(f"{PREFIX}.lora_B.weight", "visit example.org"), ("not one that PEFT",)),
    Cheat("half a pair", renamed("lora_B", "lora_A_"), ("not a pair",)),
    Cheat("another pair", renamed("q_proj.lora_B", "k_proj.lora_B"), ("not a pair",)),
    Cheat("another rank", tensors(lambda t: t.update({LORA_B: np.ones((8, 3), np.float32)})), ("not of rank 2",)),
    Cheat("a module that is not targeted", renamed("q_proj", "k_proj"), ("does not target it",)),
    Cheat("a whole matrix of the base", renamed(f"{PREFIX}.lora_B.weight", "base_model.model.lm_head.weight"),
          ("modules_to_save",)),
    Cheat("a text as metadata", weights(lambda p: p.write_bytes(save({f"{PREFIX}.lora_A.weight": np.ones((2, 8),
          np.float32), LORA_B: np.ones((8, 2), np.float32)}, {"format": "pt", "note": "x"}))), ("__metadata__",)),
    Cheat("8 MB of blanks in the header", header(lambda text: text + b" " * 8_000_000), ("its header",)),
    Cheat("blanks between the header's words", header(lambda text: text.replace(b",", b", ")), ("its header",)),
    Cheat("a further key of a tensor", header(lambda text: text.replace(b'"dtype"', b'"note":"x","dtype"', 1)),
          ("its header",)),
    # What goes with the adapter
    Cheat("another chat template", tokenizer("chat_template.jinja", "{{ 1 }}"), ("chat_template.jinja", "base's")),
    Cheat("no chat template", tokenizer("chat_template.jinja", None), ("chat_template.jinja is missing",)),
    Cheat("another tokenizer", tokenizer("tokenizer.json", "{}"), ("tokenizer.json", "base's")),
    Cheat("tokens added", tokenizer("added_tokens.json", '{"x": 1}'), ("added_tokens.json", "base's")),
    Cheat("another recipe: rank", recipe("lora_r: 2", "lora_r: 64"), ("r: 2", TRAINED)),
    Cheat("another recipe: alpha", recipe("lora_alpha: 4", "lora_alpha: 8"), ("lora_alpha: 4", TRAINED)),
    Cheat("another recipe: targets", recipe("[q_proj]", "[v_proj]"), ("target_modules", TRAINED)),
    Cheat("another recipe: seed", recipe("seed: 42", "seed: 7"), ("seed of run.json", "42")),
    Cheat("another recipe: a lower learning rate", trained(1e-5, [1e-4] * 3), ("learning rate of 0.0001",)),
    Cheat("another recipe: a higher learning rate", trained(1e-2, [1e-4] * 12), ("learning rate of 0.0001",)),
    Cheat("another recipe: resolved otherwise", settled(lambda f: (f / "resolved.yaml").write_text("lora_r: 64\n")),
          ("resolved.yaml", "lora_r is 64")),
    # Texts and numbers that nobody derived
    Cheat("report edited, digests to match", edited_after("report.md"), ("report.md is not what",)),
    Cheat("page edited, digests to match", edited_after("report.html"), ("report.html is not what",)),
    Cheat("figure edited", lambda f: (f / "figures" / "gates.svg").write_text("<svg/>"), ("gates.svg is not what",)),
    Cheat("rows of a dataset", dataset(rows=10**6), ("data.json", "rows of data/nl2bash/train_small.jsonl")),
    Cheat("licence of a dataset", dataset(licence="CC0-1.0"), ("licence of data/nl2bash/train_small.jsonl",)),
    Cheat("source of a dataset", dataset(source="the Bash authors"), ("source of data/nl2bash/train_small.jsonl",)),
    Cheat("a note on a dataset", dataset(cleaning={"checked by": "NIST"}), ("cleaning of data/nl2bash",)),
    Cheat("a dataset without its licence", settled(lambda f: edit_json(f / "data.json", lambda rows: rows[0].pop(
          "licence") and None)), ("data.json: a dataset lacks licence",), 2),
    Cheat("another revision of a dataset", settled(lambda f: edit_json(f / "data.json", lambda rows: rows[0].update(
          revision="a" * 40))), ("another revision",)),
    Cheat("final loss", training(final_loss=0.001), ("train.json", "final_loss")),
    Cheat("steps", training(steps=1), ("train.json", "steps")),
    Cheat("epochs", lambda f: ((f / "recipe.yaml").write_text(RECIPE + "num_epochs: 1\n"), training(epochs=9)(f)),
          ("epochs of train.json",)),
    Cheat("seeds", metrics(lambda v: v["provenance"]["seeds"].update(evaluation=7)), ("another set of seeds",)),
    Cheat("commit of the evaluation", metrics(lambda v: v["provenance"].update(git={"commit": "f" * 40})),
          ("another commit",)),
    Cheat("time of the run", metrics(lambda v: v["provenance"].update(created="2030-01-01")), ("another time",)),
    Cheat("name of the recipe", metrics(lambda v: v["provenance"].update(recipe="better")), ("another name",)),
    Cheat("a text as sandbox", metrics(lambda v: v["provenance"].update(sandbox="see [us](https://example.org)")),
          ("provenance.sandbox",)),
    Cheat("a text among the versions", metrics(lambda v: v["provenance"].update(more={"a": ["<b>certified</b>"]})),
          ("provenance.more",)),
    Cheat("a cost of another name", metrics(lambda v: v["costs"].update({"co2 saved": 5.0})), ("costs.'co2 saved'",)),
    Cheat("items of the costs", metrics(lambda v: v["costs"].update(items=10**6)), ("costs.items",)),
    Cheat("tokens of the costs", metrics(lambda v: v["costs"].update(tokens_candidate=1)), ("costs.tokens_candidate",)),
    # Names
    Cheat("a reviewer in two alphabets", reviewed(reviewer="\u0410da Lovelace"), ("mixes Cyrillic and Latin",)),
    Cheat("a reviewer with a signature in the name", reviewed(reviewer="Ada (signed with the key of root)"), ("'('",)),
    Cheat("a reviewer with markup", reviewed(reviewer="**Ada**"), ("'*'",)),
    Cheat("a reviewer who cannot be seen", reviewed(reviewer="A\u200bda"), ("invisible",)),
    Cheat("a reviewer in styled letters", reviewed(reviewer="\U0001d400da"), ("look-alikes",)),
    *[Cheat(f"run name {name}", named(name), ("run.json", "cannot be a tag", words), 2) for name, words in (
        ("a" * 40, "a commit"), ("0123abc", "a commit"), ("a..b", "two dots"), ("x.lock", ".lock"), ("x.", "two dots"),
        ("main", "branch"), ("Head", "branch"), ("a b", "letters"), ("-x", "letters"), ("a/b", "letters"))],
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_refused_before_anything_is_sent(attack: Cheat, run: Path, hub: Hub, capsys: Capture) -> None:
    attack.change(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (attack.code, []), err
    assert_one_line(err, *attack.words)
    assert not (run / "publication").exists()


def test_each_attack_has_a_name() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 90
