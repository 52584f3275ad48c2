"""The base that both arms share stays what was loaded, whatever PEFT does for an adapter; and what an adapter is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.config.suite_file import load_suite
from eval.contracts.backend import Arms
from eval.contracts.numerics import Numerics
from eval.model.answer_cache import AnswerCache
from eval.run.digests import file_sha256, write_manifest
from eval.run.files import read_json, read_jsonl, write_json
from eval.run.records import Generation
from tests.conftest import make_adapter
from tests.hf_model import load_hf
from tests.test_suite import BATCH, evaluate, make_run, make_suite

pytestmark = pytest.mark.slow
LIMIT = 4
Change = Callable[[Any], None]


def trained(base: Path, target: Path, change: Change | None = None, **lora: Any) -> Path:
    """An adapter of any LoRA kind as PEFT saves it, every trainable tensor moved by a step."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(2)
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **lora}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.5)
    model.save_pretrained(target)
    if change:
        change(target)
    return target


def load_file(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(file)


def save_file(tensors: dict[str, Any], file: Path) -> None:
    from safetensors.torch import save_file

    save_file(tensors, file)


def lie_about_the_start(adapter: Path) -> None:
    """As if the base were left alone: only what loading does can tell."""
    config = adapter / "adapter_config.json"
    write_json(config, read_json(config) | {"init_lora_weights": True})


def other_output_matrix(adapter: Path) -> None:
    """The file's copy of the base's own output matrix is another one."""
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    (name,) = [name for name in tensors if name.endswith("lm_head.base_layer.weight")]
    save_file(tensors | {name: tensors[name] + 0.01}, file)


@pytest.fixture(scope="module")
def untied_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tiny Llama: its output matrix is its own, and its projections have biases."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("models") / "untied")
    torch.manual_seed(5)
    config = LlamaConfig.from_pretrained(tiny_model, tie_word_embeddings=False, attention_bias=True)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def loaded(base: Path, adapter: Path, tmp_path: Path) -> Any:
    return load_hf(load_suite(make_suite(tmp_path / "suite.yaml")), base, adapter)


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_2", "olora"])
def test_a_start_that_rewrites_the_base_is_refused_before_the_base_is_loaded(
    start: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.model import hf

    monkeypatch.setattr(hf, "load_base", lambda *_: pytest.fail("the base was loaded"))
    adapter = trained(tiny_model, tmp_path / "adapter", init_lora_weights=start)
    with pytest.raises(UserError, match=f"`peft_init_lora_weights: {start}`.*path_initial_model_for_weight_conversion"):
        loaded(tiny_model, adapter, tmp_path)


@pytest.mark.parametrize(
    ("lora", "change"),
    [
        ({"init_lora_weights": "pissa"}, None),
        ({"init_lora_weights": "olora"}, None),
        ({"bias": "all"}, None),
        ({"target_modules": ["q_proj", "lm_head"]}, other_output_matrix),
    ],
    ids=["pissa", "olora", "bias", "another output matrix"],
)
def test_whatever_moves_the_base_ends_in_one_line_and_reaches_no_cache(
    lora: dict[str, Any], change: Change | None, untied_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("eval.model.adapter_check.REWRITES_BASE", ("nothing known beforehand",))
    run = make_run(tmp_path / "run", untied_model, trained(untied_model, tmp_path / "adapter", change, **lora))
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    assert evaluate(monkeypatch, "--config", suite, "--run", run, "--cache", tmp_path / "answers") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "the base that both arms share was changed" in errors[0]
    assert not list(tmp_path.glob("answers/**/*.jsonl")) and not list(run.glob("generations*"))


@pytest.mark.parametrize(
    "lora",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal"},
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
        {"target_modules": "all-linear"},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"trainable_token_indices": [5, 6, 7]},
    ],
    ids=str,
)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_every_tensor_of_every_kind_of_adapter_is_found_and_the_base_stays(
    lora: dict[str, Any], tied: bool, tiny_model: Path, untied_model: Path, tmp_path: Path
) -> None:
    base = tiny_model if tied else untied_model
    model = loaded(base, trained(base, tmp_path / "adapter", **lora), tmp_path)
    model.prove_base(thoroughly=True)
    facts = model.adapters["candidate"]
    on_disk = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert facts.tensors == facts.tensors_loaded == len(on_disk)
    changing = [
        name
        for name in on_disk
        if not any(part in name for part in ("lora_A", "embedding_A", "magnitude", "base_layer"))
    ]
    assert facts.nonzero_updates == len(changing) > 0
    from eval.model.base_proof import probe_logits

    with model.arm("candidate"):
        moved = probe_logits(model.lm.model)
    with model.arm("baseline"):
        kept = probe_logits(model.lm.model)
    assert model.lm.proof.probe is not None
    assert (moved != kept).any() and (kept == model.lm.proof.probe).all()


def test_two_adapters_of_different_kinds_compute_as_each_does_alone(untied_model: Path, tmp_path: Path) -> None:
    from eval.model.base_proof import probe_logits

    suite = load_suite(make_suite(tmp_path / "suite.yaml"))
    kinds = {"candidate": {"modules_to_save": ["lm_head"]}, "baseline": {"target_modules": ["k_proj", "o_proj"]}}
    folders = {arm: trained(untied_model, tmp_path / arm, **lora) for arm, lora in kinds.items()}
    together = load_hf(suite, untied_model, folders["candidate"], folders["baseline"])
    for arm, folder in folders.items():
        alone = load_hf(suite, untied_model, folder)
        with together.arm(arm), alone.arm("candidate"):
            assert (probe_logits(together.lm.model) == probe_logits(alone.lm.model)).all()


def test_a_tensor_that_is_not_loaded_is_missed(tiny_model: Path, tmp_path: Path) -> None:
    """A file that holds an update for a layer that the base has not."""

    def beside_the_point(adapter: Path) -> None:
        file = adapter / "adapter_model.safetensors"
        tensors = load_file(file)
        name = next(name for name in tensors if "layers.1" in name)
        save_file(tensors | {name.replace("layers.1", "layers.7"): tensors[name].clone()}, file)

    facts = loaded(tiny_model, trained(tiny_model, tmp_path / "adapter", beside_the_point), tmp_path).adapters[
        "candidate"
    ]
    assert (facts.tensors, facts.tensors_loaded) == (9, 8)


def test_weights_that_move_while_answering_end_the_evaluation(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A row of the embedding that no probe reads moves after the last batch: the tensors tell."""
    from eval import ask

    measure = ask.measure_prompts

    def and_move(backend: Any, *arguments: Any) -> None:
        measure(backend, *arguments)
        backend.lm.model.get_input_embeddings().weight.data[3] += 1

    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    with monkeypatch.context() as patch:
        patch.setattr(ask, "measure_prompts", and_move)
        assert evaluate(patch, "--config", suite, "--run", run, "--cache", tmp_path / "answers") == 2
    assert "first model.embed_tokens.weight" in capsys.readouterr().err
    assert not list(tmp_path.glob("answers/**/*.jsonl")) and not list(run.glob("generations*"))


def test_no_batch_is_logged_that_was_answered_on_a_moved_base(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    """What a killed evaluation could resume from was answered on the base: each batch is followed by a probe."""
    from eval.contracts.backend import BaseMoved
    from eval.model import lm_tasks

    model = loaded(tiny_model, tiny_adapter, tmp_path)
    (task,) = lm_tasks.load_tasks(load_suite(tmp_path / "suite.yaml"), model.template)
    batch = list(task.samples[:2])
    assert len(model.answer("baseline", batch)) == 2
    model.lm.model.get_base_model().model.norm.weight.data *= 1.5
    with pytest.raises(BaseMoved):
        model.answer("baseline", batch)


def test_a_module_trained_by_one_run_is_not_the_base_of_the_next(
    untied_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`modules_to_save` of the first run stays in place when PEFT takes it off: the base is loaded again."""
    saved = make_run(
        tmp_path / "saved", untied_model, trained(untied_model, tmp_path / "one", modules_to_save=["lm_head"])
    )
    plain = trained(untied_model, tmp_path / "two")
    after, alone = (make_run(tmp_path / name, untied_model, plain) for name in ("after", "alone"))
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    evaluate(monkeypatch, "--config", suite, "--run", saved, "--run", after)
    assert capsys.readouterr().out.count("the base is loaded again") == 1
    evaluate(monkeypatch, "--config", suite, "--run", alone)
    rows = [read_jsonl(run / "generations.jsonl", Generation) for run in (after, alone, saved)]
    texts = [[(row.arm, row.sample, row.text) for row in own] for own in rows]
    assert texts[0] == texts[1] and texts[0] != texts[2]
    assert len({row.base_tensors_sha256 for own in rows for row in own}) == 1


def test_an_adapter_that_fails_to_load_halfway_leaves_nothing_in_the_next_comparison(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_shape(adapter: Path) -> None:
        file = adapter / "adapter_model.safetensors"
        tensors = load_file(file)
        name = next(name for name in tensors if "lora_A" in name)
        save_file(tensors | {name: tensors[name][:, :3].contiguous()}, file)

    torn = make_run(tmp_path / "torn", tiny_model, trained(tiny_model, tmp_path / "adapter", other_shape))
    after, alone = (make_run(tmp_path / name, tiny_model, tiny_adapter) for name in ("after", "alone"))
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    assert evaluate(monkeypatch, "--config", suite, "--run", torn, "--run", after) == 2
    evaluate(monkeypatch, "--config", suite, "--run", alone)
    assert (after / "scores.jsonl").read_bytes() == (alone / "scores.jsonl").read_bytes()


def test_the_same_base_is_taken_over_and_another_lets_the_first_one_go(
    tiny_model: Path, untied_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    """Two bases may not fit into the memory together: the first is free before the second is loaded."""
    from eval.model import hf

    settings = load_suite(make_suite(tmp_path / "suite.yaml")).backend
    first = hf.load(settings, Arms(str(tiny_model), candidate=tiny_adapter), 42)
    lm = first.lm
    again = hf.load(settings, Arms(str(tiny_model)), 42, reuse=first)
    assert again.lm is lm and not again.adapters
    other = hf.load(settings, Arms(str(untied_model)), 42, reuse=again)
    assert again.is_let_go and other.lm is not lm
    assert hf.load(settings, Arms(str(tiny_model)), 42, reuse=again).lm is not lm, "what was let go is loaded again"


def test_every_answer_says_which_bytes_made_it(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    evaluate(monkeypatch, "--config", make_suite(tmp_path / "suite.yaml", LIMIT, BATCH), "--run", run)
    rows = read_jsonl(run / "generations.jsonl", Generation)
    metrics = read_json(run / "metrics.json")
    expected = {"baseline": None, "candidate": file_sha256(run / "adapter.sha256")}
    assert {(row.arm, row.adapter_sha256) for row in rows} == set(expected.items())
    assert {row.base_tensors_sha256 for row in rows} == {metrics["provenance"]["base_tensors_sha256"]}
    (settings,) = {row.settings_sha256 for row in rows}
    assert settings is not None and len(settings) == 64


def test_an_adapter_exchanged_while_it_is_loaded_is_told(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Another adapter, with its own manifest, comes between verification and loading."""
    from eval.model import hf

    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    other = make_adapter(tiny_model, tmp_path / "other", scale=0.1)
    load = hf.load

    def exchanged(*arguments: Any) -> Any:
        shutil.copytree(other, run / "adapter", dirs_exist_ok=True)
        write_manifest(run / "adapter", run / "adapter.sha256")
        return load(*arguments)

    monkeypatch.setattr(hf, "load", exchanged)
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    assert evaluate(monkeypatch, "--config", suite, "--run", run) == 2
    assert "changed since it was verified" in capsys.readouterr().err
    assert not (run / "metrics.json").exists()


def test_an_adapter_exchanged_after_loading_changes_neither_answers_nor_what_they_say(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.model import adapters_on_base

    run, alone = (make_run(tmp_path / name, tiny_model, tiny_adapter) for name in ("run", "alone"))
    digest = file_sha256(run / "adapter.sha256")
    other = make_adapter(tiny_model, tmp_path / "other", scale=0.1)
    copied = adapters_on_base._copied

    def then_exchanged(adapter: Path, copy: Path) -> dict[str, str]:
        found = copied(adapter, copy)
        if adapter.parent == run:
            shutil.copytree(other, adapter, dirs_exist_ok=True)
            write_manifest(adapter, run / "adapter.sha256")
        return found

    monkeypatch.setattr(adapters_on_base, "_copied", then_exchanged)
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    for each in (run, alone):
        evaluate(monkeypatch, "--config", suite, "--run", each)
    assert file_sha256(run / "adapter.sha256") != digest
    assert (run / "scores.jsonl").read_bytes() == (alone / "scores.jsonl").read_bytes()
    assert read_json(run / "metrics.json")["provenance"]["adapter_sha256"] == digest


def test_a_base_that_changes_while_it_is_loaded_is_told(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.model import hf

    base = shutil.copytree(tiny_model, tmp_path / "base")
    build = hf.RecordingHF.__init__

    def and_write(lm: Any, **arguments: Any) -> None:
        build(lm, **arguments)
        (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())

    monkeypatch.setattr(hf.RecordingHF, "__init__", and_write)
    with pytest.raises(UserError, match="changed while it was loaded"):
        hf.load_base(load_suite(make_suite(tmp_path / "suite.yaml")).backend, str(base), None, 42, Numerics())


def test_entries_kept_before_bases_were_proven_are_never_read_and_go(tmp_path: Path) -> None:
    old = tmp_path / ("a" * 64) / ("b" * 64 + ".jsonl")
    other = tmp_path / "notes" / "mine.jsonl"
    for path in (old, other):
        path.parent.mkdir()
        path.write_text(json.dumps({"sha256": "c" * 64}) + "\n")
    cache = AnswerCache(tmp_path)
    assert cache.read("a" * 64, [], "baseline") is None
    assert cache.prune() == 1
    assert not old.parent.exists() and other.exists()
