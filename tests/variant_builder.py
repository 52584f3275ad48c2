"""A small variant beside its parent (tests/run_builder.py): a model in NF4's form, judged against the parent's adapter.

variant = build_variant(parent)       verdict ship, not reviewed; every file agrees with the others
settle(variant)                       makes everything follow from the files as they are now, and approves it
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from eval.report.rendering import render_report
from eval.run.digests import file_sha256, json_sha256, read_manifest, write_manifest
from eval.run.files import read_json, read_jsonl, read_metrics, write_json, write_jsonl
from eval.run.records import BASELINE, CANDIDATE, Generation
from eval.run.variant import MODEL, MODEL_MANIFEST, PARENT_FILES, PARENT_FILES_IF_THERE, Cost
from scripts.publishing.model_files import NF4_CONFIG, SCALES, STATE
from scripts.serving.forms import NF4
from tests.hub_server import approve_as_rendered
from tests.run_builder import SAMPLES, TASKS, build_run, edit_json, judge, replace_scores, write_tokenizer

RIGHT = 55  # of 60 answers, by either arm
SUITE = {
    "name": "toy",
    "description": "The quantised form, against the adapter.",
    "tasks": [{"name": name} for name in TASKS],
    "gates": [
        {"rule": "noninferiority", "id": f"{name}-kept", "task": name, "metric": "accuracy", "margin": 0.1}
        for name in TASKS
    ],
}
COST = Cost(bytes=4_000_000, tokens=300, seconds=6.0, cpu_seconds=6.5, memory=9_000_000)
WEIGHTS = "model.safetensors"
MATRIX = "model.layers.0.self_attn.q_proj.weight"


def build_variant(parent: Path, name: str = "toy-nf4") -> Path:
    """A variant whose arms both answer RIGHT of 60 samples of each task rightly."""
    run = build_run(parent.parent, name, RIGHT)
    shutil.rmtree(run / "adapter")
    for file in (*PARENT_FILES, *PARENT_FILES_IF_THERE):
        if (parent / file).is_file():
            shutil.copy(parent / file, run / file)
    (run / "suite.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    replace_scores(run, {(BASELINE, task, f"s{n}"): float(n < RIGHT) for task in TASKS for n in range(SAMPLES)})
    served = {
        "run": parent.name, "form": "nf4", "adapter_sha256": file_sha256(parent / "adapter.sha256"),
        "bytes": {"form": 1_000_000, "base": 4_000_000}, "settings": NF4,
        "before": COST.model_dump(), "after": COST.model_copy(update={"bytes": 1_000_000}).model_dump(),
    }  # fmt: skip
    about = {"recipe": "quantized-nf4", "model": f"results/{name}/{MODEL}", "served": served}
    edit_json(run / "run.json", lambda state: state.update(about))
    write_model(run / MODEL)
    agree(run)
    return run


def write_model(folder: Path, seed: int = 0, kind: str = "nf4") -> None:
    """A model folder with one quantised matrix and a norm, as transformers and bitsandbytes save them."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    state = {"quant_type": kind, "blocksize": 64, "dtype": "bfloat16", "shape": [8, 16], "nested_blocksize": 256}
    packed = np.frombuffer(json.dumps(state).encode(), np.uint8)
    tensors: dict[str, Any] = {
        MATRIX: random.integers(0, 255, (64, 1), dtype=np.uint8),
        f"{MATRIX}.absmax": random.integers(0, 255, 2, dtype=np.uint8),
        **{f"{MATRIX}{part}": random.random(4, dtype=np.float32) for part in SCALES[1:]},
        MATRIX + STATE.replace("nf4", kind): packed,
        "model.norm.weight": np.ones(8, np.float32),
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / "config.json", {"model_type": "llama", "quantization_config": NF4_CONFIG})
    write_tokenizer(folder)


def agree(run: Path) -> None:
    """Manifest, makers, metrics.json and report from the files as they are now, as the evaluation writes them."""
    write_manifest(run / MODEL, run / MODEL_MANIFEST)
    state = read_json(run / "run.json")
    model, served = json_sha256(read_manifest(run / MODEL_MANIFEST)), state["served"]
    judge(run)
    makers = {CANDIDATE: model, BASELINE: served["adapter_sha256"]}
    rows = read_jsonl(run / "generations.jsonl", Generation)
    named = [row.model_copy(update={"adapter_sha256": makers[row.arm]}) for row in rows]
    write_jsonl(run / "generations.jsonl", named)
    metrics, baseline = read_metrics(run / "metrics.json"), f"run:{served['run']}"
    arm = {"name": baseline, "asked": "base", "adapter_sha256": served["adapter_sha256"]}
    own = {"adapter_sha256": model, "baseline": arm, "model": state["model"], "served": served}
    changed = metrics.model_copy(update={"baseline": baseline, "provenance": metrics.provenance | own})
    write_json(run / "metrics.json", changed.model_dump(mode="json"))
    render_report(run)


def settle(run: Path) -> None:
    agree(run)  # renders the report
    approve_as_rendered(run)
