"""Nothing that decides an answer is inherited in silence: decoding, end tokens, template arguments, dates."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.config.suite_file import load_suite
from eval.config.template_arguments import NOT_FOR_TEMPLATES, for_templates, template_arguments
from eval.run.digests import settings_sha256
from eval.run.files import read_json, read_jsonl, write_json
from eval.run.records import Generation
from tests.hf_model import load_hf
from tests.test_suite import BATCH, evaluate, make_run, make_suite

LOUD = {
    "do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.5, "max_new_tokens": 2,
    "no_repeat_ngram_size": 1, "min_length": 400, "forced_eos_token_id": 5, "suppress_tokens": [198, 28],
    "begin_suppress_tokens": [216],
}  # fmt: skip
TEMPLATE = (
    "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}{{ strftime_now('%d %B %Y') }}\n"
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
)


def copy_of(base: Path, folder: Path, **generation: Any) -> Path:
    """The base with other generation settings beside it."""
    shutil.copytree(base, folder)
    file = folder / "generation_config.json"
    write_json(file, read_json(file) | generation)
    return folder


def answers(run: Path) -> list[tuple[Any, ...]]:
    rows = read_jsonl(run / "generations.jsonl", Generation)
    return [(row.arm, row.task, row.sample, row.text, row.tokens, row.finish) for row in rows]


@pytest.mark.slow
def test_what_a_base_asks_for_changes_no_answer_and_is_said(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud = copy_of(tiny_model, tmp_path / "bases" / "tiny", **LOUD)
    quiet_run = make_run(tmp_path / "quiet", tiny_model, tiny_adapter)
    loud_run = make_run(tmp_path / "loud", loud, tiny_adapter)
    suite = make_suite(tmp_path / "suite.yaml", BATCH, BATCH)
    for run in (quiet_run, loud_run):
        evaluate(monkeypatch, "--config", suite, "--run", run)
    assert answers(loud_run) == answers(quiet_run)
    quiet, said = (read_json(run / "metrics.json")["generation"] for run in (quiet_run, loud_run))
    assert quiet["ignored"] == {} and said["ignored"].keys() >= LOUD.keys() - {"top_k"}
    assert {**said, "ignored": {}} == quiet and said["decoding"]["repetition_penalty"] == 1


@pytest.mark.slow
def test_every_end_token_of_a_base_ends_an_answer(tiny_model: Path, tmp_path: Path) -> None:
    from eval.model import lm_tasks

    suite = load_suite(make_suite(tmp_path / "suite.yaml", 1, 1))

    def answer(base: Path) -> tuple[Any, Generation]:
        model = load_hf(suite, base)
        (task,) = lm_tasks.load_tasks(suite, model.template)
        return model, model.answer("baseline", list(task.samples))[0]

    model, long = answer(tiny_model)
    assert long.finish == "length"
    prompt = model.lm.tok_batch_encode([_prompt(suite, model.lm)])[0]
    third = int(model.lm.model.generate(input_ids=prompt, max_new_tokens=3)[0, -1])
    own = model.lm.tokenizer.eos_token_id
    model, short = answer(copy_of(tiny_model, tmp_path / "several", eos_token_id=[third]))
    assert model.lm.model.generation_config.eos_token_id == [third, own]
    assert short.finish == "stop" and short.tokens is not None and short.tokens <= 3


def _prompt(suite: Any, lm: Any) -> str:
    from eval.model import lm_tasks

    return str(lm_tasks.load_tasks(suite, lm)[0].samples[0].instances[0].args[0])


@pytest.mark.slow
def test_template_arguments_of_the_recipe_and_a_frozen_day_are_in_every_chat_prompt(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    from eval.model import lm_tasks, neutral
    from tests.test_drift import suite_of

    base = copy_of(tiny_model, tmp_path / "tiny")
    (base / "chat_template.jinja").write_text(TEMPLATE)
    suite = load_suite(make_suite(tmp_path / "suite.yaml", 2, 2))
    model = load_hf(suite, base, tiny_adapter, arguments={"enable_thinking": False})
    chats = [
        sample for sample in neutral.load_prompts(suite_of(), model.template)[0].samples if sample.doc.get("messages")
    ]
    own = lm_tasks.load_tasks(suite, model.template)[0].samples
    for sample in (*own, *chats):
        prompt = str(sample.instances[0].args[0])
        assert "01 January 2025" in prompt and "<think>" not in prompt
    settings = model.settings()
    assert settings.template_arguments == {"enable_thinking": False} and settings.template_date == "2025-01-01"
    json.dumps(settings.model_dump())
    thinking = load_hf(suite, base)
    assert "<think>" in _prompt(suite, thinking.lm)
    digests = {settings_sha256(each.settings()) for each in (model, thinking)}
    assert len(digests) == 2, "the cache's key"


@pytest.mark.slow
def test_a_baseline_that_was_asked_otherwise_is_no_baseline(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run, other = (make_run(tmp_path / name, tiny_model, tiny_adapter) for name in ("run", "other"))
    recipe = yaml.safe_load((other / "recipe.yaml").read_text())
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"chat_template_kwargs": {"enable_thinking": False}}))
    suite = make_suite(tmp_path / "suite.yaml", baseline=f"run:{other}")
    assert evaluate(monkeypatch, "--config", suite, "--run", run) == 2
    assert "no prompt is right for both" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(NOT_FOR_TEMPLATES))
def test_a_recipe_cannot_take_over_how_prompts_are_made(name: str) -> None:
    with pytest.raises(UserError, match=f"r.yaml: chat_template_kwargs: {name}"):
        template_arguments({"chat_template_kwargs": {name: True}}, "r.yaml")


@pytest.mark.parametrize(
    "wrong", [[1], "x", {1: 2}, {"a": float("nan")}, {"a": __import__("datetime").date(2025, 1, 1)}]
)
def test_template_arguments_are_a_mapping_of_json_values(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"r\.yaml: chat_template_kwargs"):
        template_arguments({"chat_template_kwargs": wrong}, "r.yaml")


def test_without_template_arguments_only_the_clock_is_given() -> None:
    assert template_arguments({}, "r.yaml") == {} == template_arguments({"chat_template_kwargs": None}, "r.yaml")
    assert for_templates({})["strftime_now"]("%Y-%m-%d") == "2025-01-01"
