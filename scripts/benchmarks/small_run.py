"""A small finished run for benchmarks that feed damaged files to the commands: trained, evaluated, approved.

run = build_small_run(folder)        every file of a run, each agreeing with the others; a second's work, no model
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from eval.common.places import ROOT
from eval.config.suite_file import load_suite
from eval.gates.decide import decide
from eval.report.rendering import render_report
from eval.run.digests import file_sha256, text_sha256, write_manifest
from eval.run.files import write_json, write_jsonl
from eval.run.metrics import AdapterEffect, Metrics, TaskSummary
from eval.run.records import BASELINE, CANDIDATE, Generation, Item, Score
from scripts.publishing.approval import make_review, write_review

TASKS, ITEMS = ("translate", "refuse"), 24
SUITE = {
    "name": "small",
    "description": "Two tasks of a few items.",
    "tasks": [{"name": name} for name in TASKS],
    "gates": [
        {"rule": "superiority", "id": "better", "task": "translate", "metric": "accuracy", "min_gain": 0.0},
        {"rule": "noninferiority", "id": "as-safe", "task": "refuse", "metric": "accuracy", "margin": 0.3},
    ],
}
SYSTEM: dict[str, Any] = {
    "columns": ["seconds", "cpu_percent"],
    "rows": [[1.0, 50.0]],
    "mean": {"cpu": 1.0},
    "peak": {"cpu": 2.0},
}


def build_small_run(run: Path) -> Path:
    """Make a run in this folder, with the base recipe of the repository and a verdict of ship."""
    run.mkdir(parents=True)
    recipe = (ROOT / "configs" / "train" / "smollm2-135m-cpu.yaml").read_text(encoding="utf-8")
    (run / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (run / "suite.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False), encoding="utf-8")
    base = str(yaml.safe_load(recipe)["base_model"])
    state = {"schema_version": 1, "run": run.name, "recipe": "small", "base_model": base, "base_revision": None}
    state |= {"created": "2025-01-01T00:00:00+00:00", "git": {"commit": "0" * 40, "dirty": False}, "seed": 42}
    write_json(run / "run.json", state | {"suite": "small", "stages": {"train": "completed", "eval": "completed"}})
    training: dict[str, Any] = {
        "completed": True,
        "steps": 2,
        "planned_steps": 2,
        "seconds": 1.5,
        "examples": 9,
        "final_loss": 0.5,
    }
    training |= {"curve": [[1, 1.0], [2, 0.5]], "series": {"learning_rate": [[1, 0.1]]}, "system": SYSTEM}
    write_json(run / "train.json", training)
    environment = {"git": {"commit": "0" * 40, "dirty": False}, "machine": {"cpu": "a CPU", "cores": 2}}
    write_json(run / "environment.json", environment | {"packages": {"torch": "2.0.0"}})
    write_json(run / "data.json", [{"path": "data/x.jsonl", "sha256": "a" * 64, "rows": 9, "licence": "MIT"}])
    _write_adapter(run, base)
    rows = [
        (arm, task, f"s{number}", float(number < right))
        for arm, right in ((BASELINE, 6), (CANDIDATE, 22))
        for task in TASKS
        for number in range(ITEMS)
    ]
    write_jsonl(run / "generations.jsonl", [_answer(*row[:3]) for row in rows])
    write_jsonl(run / "scores.jsonl", [_score(*row) for row in rows])
    samples = [(task, f"s{number}") for task in TASKS for number in range(ITEMS)]
    write_jsonl(
        run / "samples.jsonl",
        [Item(task=t, sample=s, request=f"request {s}", gold="ls", cluster=s, category=None) for t, s in samples],
    )
    write_json(run / "metrics.json", _metrics(run, training).model_dump(mode="json"))
    render_report(run)
    write_review(run, make_review(run, "approve", "A Reviewer", "fits"))
    return run


def _write_adapter(run: Path, base: str) -> None:
    adapter = run / "adapter"
    adapter.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    values = np.linspace(-1, 1, 16, dtype=np.float32)
    tensors = {f"{name}.lora_A.weight": values.reshape(2, 8), f"{name}.lora_B.weight": values.reshape(8, 2)}
    save_file(tensors, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 2, "lora_alpha": 4, "task_type": "CAUSAL_LM"}
    write_json(adapter / "adapter_config.json", config | {"target_modules": ["q_proj"]})
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (adapter / file).write_text(json.dumps({"version": "1.0"}), encoding="utf-8")
    write_manifest(adapter, run / "adapter.sha256")


def _answer(arm: str, task: str, sample: str) -> Generation:
    return Generation(
        arm=arm, task=task, sample=sample, repeat=0, request=f"request {sample}", text=f"echo {arm}", tokens=3,
        prompt_sha256=text_sha256(f"{task} {sample}"), finish="stop", seconds=0.01,
    )  # fmt: skip


def _score(arm: str, task: str, sample: str, value: float) -> Score:
    return Score(
        arm=arm, task=task, sample=sample, repeat=0, metric="accuracy", value=value, status="scored", cluster=sample
    )


def _metrics(run: Path, training: dict[str, Any]) -> Metrics:
    suite = load_suite(run / "suite.yaml")
    scores = [_score(arm, task, f"s{n}", float(n < right)) for arm, right in ((BASELINE, 6), (CANDIDATE, 22))
              for task in TASKS for n in range(ITEMS)]  # fmt: skip
    effect = AdapterEffect(
        tensors=2, tensors_loaded=2, nonzero_updates=1, probe_prompts=1, max_logit_change=1.0, answers_changed=48,
        samples=48,
    )  # fmt: skip
    decision = decide(suite, scores, effect)
    tasks = [
        TaskSummary(name=name, samples=ITEMS, metrics=["accuracy"], dataset="data/x.jsonl", dataset_sha256="a" * 64,
                    samples_sha256="b" * 64, clusters=ITEMS)
        for name in TASKS
    ]  # fmt: skip
    provenance = {
        "created": "2025-01-01T00:00:00+00:00",
        "recipe": "small",
        "seeds": {"training": 42, "evaluation": 42},
    }
    provenance |= {"adapter_sha256": file_sha256(run / "adapter.sha256"), "machine": {"cpu": "a CPU", "cores": 2}}
    provenance |= {"packages": {"torch": "2.0.0"}, "git": {"commit": "0" * 40, "dirty": False}}
    return Metrics(
        run=run.name, suite=suite.name, suite_sha256=file_sha256(run / "suite.yaml"), verdict=decision.verdict,
        reasons=decision.reasons, gates=decision.gates, comparisons=decision.comparisons, tasks=tasks,
        explorations=decision.explorations, power_observed=decision.power, adapter_effect=effect,
        costs={"seconds_load": 1.0, "items": 48}, training=training, provenance=provenance,
    )  # fmt: skip


def copy_run(run: Path, target: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(run, target)


def build_small_logs(folder: Path) -> None:
    """Two logs of five items, as plain rows and as Inspect's, with a suite for the second."""
    gate = {"id": "x", "task": "t", "metric": "right", "rule": "noninferiority", "margin": 0.5}
    suite = {"name": "s", "description": "d", "tasks": [{"name": "t"}], "gates": [gate]}
    folder.mkdir()
    (folder / "s.yaml").write_text(json.dumps(suite))
    for arm, right in (("a", 3), ("b", 4)):
        (folder / arm).mkdir()
        rows = [{"id": f"q{i}", "metric": "right", "value": int(i < right)} for i in range(5)]
        (folder / f"{arm}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with zipfile.ZipFile(folder / arm / "x.eval", "w", zipfile.ZIP_DEFLATED) as log:
            log.writestr("header.json", json.dumps({"status": "success", "eval": {"task": "t", "task_version": 1}}))
            for row in rows:
                scores = {"right": {"value": "C" if row["value"] else "I"}}
                sample = {"id": row["id"], "epoch": 1, "input": "x", "target": "y", "scores": scores}
                log.writestr(f"samples/{row['id']}.json", json.dumps(sample))
