"""A small but real run folder: a safetensors adapter, scores judged by eval.gates, digests that hold.

run = build_run(tmp_path)                  complete, evaluated, verdict ship, not reviewed
code, out, err = call(main, ["--run", str(run)], capsys)
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from eval.common.errors import UserError, run_command
from eval.config.suite_file import BackendSettings, load_suite
from eval.gates.decide import decide
from eval.gates.self_checks import self_checks
from eval.report.rendering import render_report
from eval.run.digests import file_sha256, json_sha256, settings_sha256, text_sha256, write_manifest
from eval.run.files import read_json, read_jsonl, write_json, write_jsonl
from eval.run.metrics import AdapterEffect, GenerationSettings, Metrics, SelfCheck, TaskSummary
from eval.run.records import BASELINE, CANDIDATE, Generation, Item, Score
from tests.answers import hold

TASKS, METRIC, SAMPLES = ("translate", "refuse"), "accuracy", 60
BASELINE_RIGHT = 20
SUITE = {
    "name": "toy",
    "description": "Requests in English, answered with one command.",
    "max_invalid": 0.02,
    "tasks": [{"name": name} for name in TASKS],
    "gates": [
        {"rule": "superiority", "id": "better", "task": "translate", "metric": METRIC, "min_gain": 0.0},
        {"rule": "noninferiority", "id": "safe", "task": "refuse", "metric": METRIC, "margin": 0.1},
    ],
}
DATASETS = "datasets: [{path: data/toy.jsonl, type: chat_template}]\n"
ADAPTER = "adapter: lora\nlora_r: 2\nlora_alpha: 4\nlora_target_modules: [q_proj]\nseed: 42\n"
RECIPE = f"""# A toy recipe, never trained.
base_model: models/SmolLM2-135M-Instruct
{ADAPTER}{DATASETS}"""
TRAINING = {"completed": True, "steps": 3, "seconds": 1.5, "curve": [[1, 1.0], [2, 0.5]]}
MACHINE = {"cpu": "a CPU", "cores": 2}
BASE_TENSORS = "b" * 64
SETTINGS = GenerationSettings(
    end_tokens=[2], pad_token=2, decoding={"do_sample": False}, ignored={}, template_arguments={}, template_date=None
)
PACKAGES = {"torch": "2.0.0", "peft": "0.1.0"}


def build_run(
    results: Path, name: str = "toy", candidate_right: int = 55, created: str = "2025-01-01T00:00:00+00:00"
) -> Path:
    """A run whose candidate answers `candidate_right` of 60 samples of each task rightly, the baseline 20."""
    run = results / name
    run.mkdir(parents=True)
    state = {
        "schema_version": 1,
        "run": name,
        "recipe": "toy",
        "base_model": "models/SmolLM2-135M-Instruct",
        "base_revision": None,
        "created": created,
        "git": {"commit": "0" * 40, "dirty": False},
        "seed": 42,
        "command": "make train RECIPE=toy",
        "suite": "toy",
        "stages": {"train": "completed", "eval": "completed"},
    }
    write_json(run / "run.json", state)
    (run / "recipe.yaml").write_text(RECIPE)
    (run / "suite.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    write_json(run / "train.json", TRAINING)
    write_json(run / "environment.json", {"machine": MACHINE, "packages": {**PACKAGES, "another": "1.0"}})
    dataset = {"path": "data/toy.jsonl", "sha256": "a" * 64, "rows": 9, "source": "authored", "revision": None}
    write_json(run / "data.json", [{**dataset, "licence": "MIT"}])
    build_adapter(run)
    lines = [
        (arm, task, f"s{number}", right)
        for arm, right_answers in ((BASELINE, BASELINE_RIGHT), (CANDIDATE, candidate_right))
        for task in TASKS
        for number in range(SAMPLES)
        for right in [float(number < right_answers)]
    ]
    write_jsonl(run / "generations.jsonl", [generation(arm, task, sample) for arm, task, sample, _ in lines])
    items = [(task, f"s{number}") for task in TASKS for number in range(SAMPLES)]
    write_jsonl(
        run / "samples.jsonl",
        [
            Item(task=task, sample=sample, request=f"request {sample}", gold="gold", cluster=sample)
            for task, sample in items
        ],
    )
    write_jsonl(run / "scores.jsonl", [score(*line) for line in lines])
    judge(run)
    return run


def prompt(task: str, sample: str) -> str:
    """Digest of what was asked."""
    return text_sha256(f"{task} {sample}")


def generation(arm: str, task: str, sample: str) -> Generation:
    return Generation(
        arm=arm,
        task=task,
        sample=sample,
        repeat=0,
        request=f"request {sample}",
        prompt_sha256=prompt(task, sample),
        text=f"echo {arm}",
        tokens=3,
        finish="stop",
        seconds=0.01,
        base_tensors_sha256=BASE_TENSORS,
    )


def score(arm: str, task: str, sample: str, value: float | None) -> Score:
    status: Any = "invalid" if value is None else "scored"
    reason = "sandbox broke" if value is None else ""
    return Score(
        arm=arm,
        task=task,
        sample=sample,
        repeat=0,
        metric=METRIC,
        value=value,
        status=status,
        reason=reason,
        cluster=sample,
    )


def build_adapter(run: Path, dtype: type = np.float32) -> None:
    """A LoRA adapter as PEFT saves it, for one matrix, with its manifest."""
    adapter = run / "adapter"
    adapter.mkdir(exist_ok=True)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    values = np.linspace(-1, 1, 16, dtype=dtype)
    save_file(
        {f"{prefix}.lora_A.weight": values.reshape(2, 8), f"{prefix}.lora_B.weight": values.reshape(8, 2)},
        adapter / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    # PEFT writes the path of the machine it ran on.
    config = {
        "base_model_name_or_path": "/somewhere/models/SmolLM2-135M-Instruct",
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "inference_mode": True,
        "revision": None,
    }
    write_json(adapter / "adapter_config.json", config)
    write_tokenizer(adapter)
    write_manifest(adapter, run / "adapter.sha256")


def write_tokenizer(folder: Path) -> None:
    """The tokenizer files of the base, in the few bytes that tests need of them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "tokenizer.json", {"model": {"vocab": {"token": 0}}})
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>"})
    (folder / "chat_template.jinja").write_text("{{ messages }}\n")


def judge(run: Path) -> None:
    """Write metrics.json and the report from the run's files as they are now, as the evaluation does."""
    effect = AdapterEffect(
        tensors=2,
        tensors_loaded=2,
        nonzero_updates=1,
        probe_prompts=4,
        max_logit_change=1.0,
        answers_changed=2 * SAMPLES,
        samples=2 * SAMPLES,
    )
    name_makers(run)
    suite, scores = load_suite(run / "suite.yaml"), read_jsonl(run / "scores.jsonl", Score)
    decision = decide(suite, scores, effect)
    state = read_json(run / "run.json")
    recipe, environment = yaml.safe_load((run / "recipe.yaml").read_text()), read_json(run / "environment.json")
    tasks = [
        TaskSummary(
            name=task,
            samples=SAMPLES,
            metrics=[METRIC],
            dataset=f"data/{task}.jsonl",
            dataset_sha256="b" * 64,
            samples_sha256=json_sha256([[f"s{n}", prompt(task, f"s{n}"), "gold"] for n in range(SAMPLES)]),
            clusters=SAMPLES,
        )
        for task in TASKS
    ]
    metrics = Metrics(
        run=run.name,
        suite="toy",
        suite_sha256=file_sha256(run / "suite.yaml"),
        verdict=decision.verdict,
        reasons=decision.reasons,
        cautions=decision.cautions,
        gates=decision.gates,
        comparisons=decision.comparisons,
        explorations=decision.explorations,
        power_observed=decision.power,
        self_checks=checks(run, effect),
        tasks=tasks,
        adapter_effect=effect,
        generation=SETTINGS,
        costs={"seconds_load": 1.0},
        training=TRAINING,
        provenance={
            "adapter_sha256": file_sha256(run / "adapter.sha256"),
            "base_tensors_sha256": BASE_TENSORS,
            "recipe_sha256": file_sha256(run / "recipe.yaml"),
            "data": read_json(run / "data.json"),
            "baseline": {"name": "base", "asked": "base", "adapter_sha256": None},
            "created": state["created"],
            "recipe": state["recipe"],
            "git": environment.get("git"),
            "git_training": state["git"],
            "seeds": {"training": state["seed"], "evaluation": suite.seed},
            "base_model": {"path": recipe["base_model"], "revision": recipe.get("revision_of_model")},
            "machine": environment["machine"],
            "packages": {name: environment["packages"][name] for name in PACKAGES if name in environment["packages"]},
            "backend": BackendSettings().model_dump(),
            **({"adopted": state["adopted"]} if "adopted" in state else {}),
        },
    )
    write_json(run / "metrics.json", metrics.model_dump())
    render_report(run)


def name_makers(run: Path) -> None:
    """Have every answer say that it was given by what lies in the run folder now."""
    adapters = {CANDIDATE: file_sha256(run / "adapter.sha256"), BASELINE: None}
    rows = read_jsonl(run / "generations.jsonl", Generation)
    settings = settings_sha256(SETTINGS)
    named = [
        row.model_copy(update={"adapter_sha256": adapters.get(row.arm), "settings_sha256": settings}) for row in rows
    ]
    write_jsonl(run / "generations.jsonl", named)


def checks(run: Path, effect: AdapterEffect) -> list[SelfCheck]:
    """The evaluation's self-checks; none where it would have ended, as a test's files are not comparable."""
    generations, scores = read_jsonl(run / "generations.jsonl", Generation), read_jsonl(run / "scores.jsonl", Score)
    try:
        return self_checks(load_suite(run / "suite.yaml"), generations, scores, effect)
    except UserError:
        return []


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    """Load a JSON file, change it in place, write it back."""
    value = json.loads(path.read_text())
    change(value)
    write_json(path, value)


def replace_scores(run: Path, values: dict[tuple[str, str, str], float | None]) -> None:
    """Set the value of the scores named by (arm, task, sample)."""
    rows = [(row, (row.arm, row.task, row.sample)) for row in read_jsonl(run / "scores.jsonl", Score)]
    write_jsonl(run / "scores.jsonl", [score(*key, values[key]) if key in values else row for row, key in rows])


def call(main: Callable[[list[str]], int], argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, ended as `python -m` ends it. A bug raises.

    What it would answer a program is held against its schema.
    """
    answers: list[int] = []

    def kept() -> int:
        answers.append(main(argv))
        return answers[0]

    with pytest.raises(SystemExit) as ended:
        run_command(kept)
    for answer in answers:
        hold(answer)
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err


def assert_one_line(err: str, *words: str) -> None:
    """The message is one line that starts with `error:` and holds the words."""
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err
