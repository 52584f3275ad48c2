"""Runs for tests of the report: small, decided by eval.gates, with hostile answers; and one that holds everything.

write_run(folder, "ship" | "no-ship" | "inconclusive")      two tasks, three metrics
write_full_run(folder)                                      every kind of gate, slices, likelihoods, power, checks
"""

import json
import random
from pathlib import Path
from typing import Any

from eval.config.suite_file import Suite
from eval.gates.decide import decide
from eval.gates.noise import MetricNoise, NoiseFloor, TaskNoise
from eval.gates.power_table import planned_power
from eval.run.files import read_json, read_jsonl, read_metrics, write_json, write_jsonl
from eval.run.metrics import AdapterEffect, GenerationSettings, Metrics, SelfCheck, SequentialUse, TaskSummary
from eval.run.records import Generation, Item, Score

HOSTILE = (
    "</pre></script><script>alert(1)</script> `a` ```` | b\n```\n# not a heading <img src=x onerror=alert(2)> "
    "\x1b[31m \u202e $x$ [click](https://example.com)"
)
ITEMS = 40
GATES = [
    {"rule": "superiority", "id": "exec-gain", "task": "nl2bash", "metric": "correct", "min_gain": 0.05},
    {"rule": "noninferiority", "id": "keeps-safe", "task": "nl2bash", "metric": "safe", "margin": 0.3},
    {"rule": "noninferiority", "id": "keeps-knowledge", "task": "retention", "metric": "f1", "margin": 0.10,
     "tier": "advisory"},
]  # fmt: skip
EFFECT = AdapterEffect(
    tensors=224, tensors_loaded=224, nonzero_updates=112, probe_prompts=8, max_logit_change=7.31, answers_changed=61,
    samples=80,
)  # fmt: skip
CORRECT = {"ship": (6, 26, 1), "no-ship": (26, 2, 20), "inconclusive": (12, 9, 5)}  # baseline right, won, lost


def write_run(folder: Path, variant: str = "ship", effect: AdapterEffect | None = EFFECT, items: int = ITEMS) -> Path:
    """A run of two tasks and three metrics whose gates come out as `variant`, decided by eval.gates."""
    folder.mkdir()
    scores, generations, samples = [], [], []
    right, won, lost = CORRECT[variant]
    for number in range(items):
        sample, noise = f"nl2bash-{number:04}", random.Random(number).uniform(-0.05, 0.05)
        before = number % ITEMS < right
        after = before ^ (number % ITEMS < lost or right <= number % ITEMS < right + won)
        request = f"List the {number} largest files below the current folder"
        gold = f"find . -type f -printf '%s %p\\n' | sort -rn | head -n {number}"
        texts = {"baseline": f"Sure! Run this:\n```bash\nls -lS | head -{number}\n```", "candidate": gold}
        if number in (1, 10):
            texts["candidate"] = HOSTILE
        values = {
            ("baseline", "correct"): float(before), ("candidate", "correct"): float(after),
            ("baseline", "safe"): 1.0, ("candidate", "safe"): float(number % ITEMS != 3),
        }  # fmt: skip
        for (arm, metric), value in values.items():
            broken = number == 39 and metric == "correct" and items > 2 * ITEMS
            scores.append(Score(
                arm=arm, task="nl2bash", sample=sample, repeat=0, metric=metric, value=None if broken else value,
                status="invalid" if broken else "scored", cluster=f"shape-{number % 10}",
                reason="sandbox did not start" if broken else "" if value else "listing differs | `sort` & <head>",
            ))  # fmt: skip
        for arm, text in texts.items():
            generations.append(Generation(
                arm=arm, task="nl2bash", sample=sample, repeat=0, request=request, prompt_sha256="ab" * 32, text=text,
                tokens=24, finish="length" if arm == "baseline" else "stop", seconds=0.4,
            ))  # fmt: skip
            f1 = 0.6 + noise * (arm == "candidate")
            scores.append(Score(
                arm=arm, task="retention", sample=f"r-{number}", repeat=0, metric="f1", value=f1, status="scored",
                cluster=f"r-{number}",
            ))  # fmt: skip
        samples.append(Item(task="nl2bash", sample=sample, request=request, gold=gold, cluster=sample))

    suite = {
        "name": "nl2bash", "description": "a test", "gates": GATES,
        "tasks": [{"name": "nl2bash", "limit": items}, {"name": "retention"}],
    }  # fmt: skip
    decision = decide(Suite.model_validate(suite), scores, effect)
    metrics = Metrics(
        run="demo-20260101T120000Z-f600dd8", suite="nl2bash", suite_sha256="5e" * 32, verdict=decision.verdict,
        reasons=decision.reasons, cautions=decision.cautions, gates=decision.gates, comparisons=decision.comparisons,
        adapter_effect=effect,
        tasks=[
            TaskSummary(name="nl2bash", samples=items, metrics=["correct", "safe"], dataset="data/nl2bash.jsonl",
                        dataset_sha256="0a1b2c3d4e5f" + "6" * 52, samples_sha256="77" * 32, clusters=10),
            TaskSummary(name="retention", samples=items, metrics=["f1"], dataset="data/retention.jsonl",
                        dataset_sha256="88" * 32, samples_sha256="99" * 32, clusters=items),
        ],
        costs={"seconds_load": 3.21, "seconds_generate_baseline": 190.4, "seconds_generate_candidate": 64.0,
               "tokens_baseline": 12345, "tokens_candidate": 2345, "items": 160},
        training={"completed": True, "steps": 60, "epochs": 3.0, "seconds": 312.5, "final_loss": 0.3334,
                  "examples": 480,
                  "tokens_per_second": 1510.2, "unheard_of": {"a": [1, None]},
                  "curve": [[step, 2.6 * 0.93**step + 0.3] for step in range(1, 61)]},
        provenance={
            "git": {"commit": "f600dd8" + "0" * 33, "dirty": True},
            "not_committed": ["data/mine.jsonl"], "seeds": {"data": 42, "train": 12345},
            "packages": {"axolotl": "0.19.0", "lm_eval": "0.4.11", "torch": "2.13.0"}, "recipe_sha256": "cd" * 32,
            "machine": {"cpu": "a CPU", "cores": 2, "memory_gb": 7.6, "os": "Linux 6.1", "gpu": None},
            "adapter_sha256": "ef" * 32, "backend": {"kind": "hf", "dtype": "float32", "batch_size": 16},
            "base_model": {"path": "models/SmolLM2-135M-Instruct", "revision": "12fd25f77366"},
            "created": "2026-01-01T12:00:00+00:00",
        },
    )  # fmt: skip
    write_json(folder / "metrics.json", metrics.model_dump())
    write_json(folder / "suite.yaml", suite)  # JSON is YAML
    write_jsonl(folder / "scores.jsonl", scores)
    write_jsonl(folder / "generations.jsonl", generations)
    write_jsonl(folder / "samples.jsonl", samples)
    assert metrics.verdict == variant or effect is None, metrics.reasons
    return folder


NOISE = NoiseFloor(
    backend={"kind": "hf"},
    tasks=[
        TaskNoise(
            task="nl2bash", n=40, samples_sha256="77" * 32, batch_sizes=[4, 16], answers_differ=0.05,
            metrics=[MetricNoise(metric="correct", n=40, flipped=0.025, spread=0.0125)],
        )
    ],
)  # fmt: skip


GENERATION = GenerationSettings(
    end_tokens=[2, 7], pad_token=None, decoding={"do_sample": False, "top_k": 0},
    ignored={"temperature": 0.6, "forced_words": "a|b`c <i>"}, template_arguments={"enable_thinking": False},
    template_date="2026-01-01",
)  # fmt: skip


def write_full_run(folder: Path, created: str = "2026-01-01T12:00:00+00:00") -> Path:
    """A run with every kind of gate and every optional part of metrics.json."""
    write_run(folder, "ship")
    categories = ["files", "text", "network"]
    samples = [
        row.model_copy(update={"category": categories[place % 3]})
        for place, row in enumerate(read_jsonl(folder / "samples.jsonl", Item))
    ]
    category = {row.sample: row.category for row in samples}
    scores = [
        row.model_copy(update={"category": category.get(row.sample)})
        for row in read_jsonl(folder / "scores.jsonl", Score)
    ]
    generations = read_jsonl(folder / "generations.jsonl", Generation)
    noise = random.Random(7)
    for number in range(60):
        right = number % 4
        for arm, sharpness in (("baseline", 1.0), ("candidate", 2.0)):
            likelihoods = [sharpness * noise.gauss(1.2 * (choice == right), 1.0) for choice in range(4)]
            best = max(range(4), key=likelihoods.__getitem__)
            text = json.dumps([[value, choice == best] for choice, value in enumerate(likelihoods)])
            shared: dict[str, Any] = {"arm": arm, "task": "choices", "sample": f"choice-{number}", "repeat": 0}
            generations.append(Generation(
                **shared, request="Which of four?", prompt_sha256="ab" * 32, text=text, tokens=None, finish="unknown",
                seconds=0.1,
            ))  # fmt: skip
            cluster = {"status": "scored", "cluster": f"choice-{number}"}
            scores.append(Score(**shared, **cluster, metric="acc", value=float(best == right)))
            drift = noise.uniform(0.1, 3.0) if arm == "candidate" else 0.0
            scores.append(Score(**shared, **cluster, metric="drift", value=drift))
    suite = read_json(folder / "suite.yaml")
    suite["tasks"].append({"name": "choices"})
    more: list[tuple[str, str, str, str, dict[str, Any]]] = [
        ("correct-everywhere", "nl2bash", "correct", "noninferiority", {"margin": 0.3, "slice": "category"}),
        ("mostly-safe", "nl2bash", "safe", "min_rate", {"limit": 0.8, "tier": "advisory"}),
        ("rarely-wrong", "nl2bash", "safe", "max_rate", {"limit": 0.9, "tier": "advisory"}),
        ("little-drift", "choices", "drift", "max_value", {"limit": 2.5, "tier": "advisory"}),
        ("named-items", "nl2bash", "correct", "no_hard_break", {"samples": ["nl2bash-0010"]}),
        ("keeps-choosing", "choices", "acc", "noninferiority", {"margin": 0.05, "tier": "advisory"}),
    ]
    suite["gates"] += [
        {"id": name, "task": task, "metric": metric, "rule": rule, **rest} for name, task, metric, rule, rest in more
    ]
    metrics = read_metrics(folder / "metrics.json")
    typed = Suite.model_validate(suite)
    decision = decide(typed, scores, EFFECT)
    items = {row.task: (row.n, row.effective_n) for row in decision.comparisons}
    changes = {
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "gates": decision.gates,
        "comparisons": decision.comparisons,
        "explorations": decision.explorations,
        "power_planned": planned_power(typed, items),
        "power_observed": decision.power,
        "self_checks": [
            SelfCheck(name="baseline against itself", ok=True, said="12 of 12 answers are equal"),
            SelfCheck(name="damaged candidate", ok=False, said="1 gate did not fail"),
        ],
        "sequential": SequentialUse(looks=4, used={"nl2bash": 420}, planned={"nl2bash": 1000}, stopped="decided"),
        "noise": NOISE.model_dump(),
        "generation": GENERATION,
        "baseline": "blessed, run:smollm2-2025",
        "costs": {**metrics.costs, "reused_baseline": 80.0, "seconds_saved_baseline": 95.0, "reused_candidate": 0.0},
    }
    write_json(folder / "metrics.json", metrics.model_copy(update=changes).model_dump(mode="json"))
    write_json(folder / "suite.yaml", suite)
    write_json(folder / "run.json", {
        "run": folder.name, "created": created, "recipe": "toy", "base_model": "models/x", "stages": {},
    })  # fmt: skip
    write_jsonl(folder / "scores.jsonl", scores)
    write_jsonl(folder / "generations.jsonl", generations)
    write_jsonl(folder / "samples.jsonl", samples)
    return folder
