"""Small good inputs beside a run, for benchmarks that damage them: rows and a plan, answers to judge, a rented job.

build_small_answers(run)     generated.json for a run of small_run: what `make generate` leaves
build_small_rows(folder)     seeds.jsonl, more.jsonl, plan.yaml (a teacher), data.yaml, nl2bash/all.nl and all.cm,
                             prompts.jsonl for the base, sweep.yaml
build_small_job(folder)      sct-toy-1/job.json of a machine that is gone
"""

import json
from pathlib import Path

import yaml

from eval.run.digests import file_sha256
from eval.run.files import read_json, read_metrics, write_json
from eval.run.generated import Compared, Generated, left_files, write_generated
from eval.run.metrics import EarlierCandidates, GenerationSettings
from scripts.remote.job import Attempt, Job

PAIRS = {
    "list all files with their sizes": "ls -l",
    "find files called x": "find . -name x",
    "show the first line of a.txt": "head -n 1 a.txt",
    "count the lines of b.txt": "wc -l b.txt",
    "make a folder called new": "mkdir new",
    "print the working folder": "pwd",
}
SETTINGS = GenerationSettings(
    end_tokens=[2], pad_token=2, decoding={}, ignored={}, template_arguments={}, template_date=None
)


def build_small_answers(run: Path) -> None:
    """Make a copy of the small run one whose answers are there and not judged."""
    state, metrics = read_json(run / "run.json"), read_metrics(run / "metrics.json")
    write_json(run / "run.json", state | {"run": run.name, "stages": {"train": "completed", "eval": "generated"}})
    compared = Compared(
        base_model=state["base_model"], revision=None, adapter_sha256=file_sha256(run / "adapter.sha256"), model=None,
        brought=False, is_base=False, baseline="base", baseline_sha256=None,
    )  # fmt: skip
    earlier = EarlierCandidates(candidates=0, in_results=0, in_cache=0, evaluations=0, chance=0.05)
    generated = Generated(
        run=run.name, compared=compared, files=left_files(run), tasks=metrics.tasks, noise=None, earlier=earlier,
        adapter_effect=metrics.adapter_effect, generation=SETTINGS, device={}, costs={}, provenance=metrics.provenance,
    )  # fmt: skip
    write_generated(run, generated)


def build_small_rows(folder: Path) -> None:
    """Rows to teach from, a plan whose teacher is the grammar, a dataset made of two files, prompts, a sweep of two."""
    rows = [
        {"id": f"r{number}", "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
        for number, (asked, said) in enumerate(PAIRS.items())
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "seeds.jsonl").write_text(text)
    (folder / "more.jsonl").write_text(text.replace("ls -l", "ls -la"))
    teacher = {"name": "grammar", "kind": "grammar", "folder": "data/nl2bash"}
    (folder / "plan.yaml").write_text(
        yaml.safe_dump({"ask": "pairs", "rows": 10, "dedupe": "same", "teachers": [teacher]})
    )
    source = {"name": "pairs", "kind": "pairs", "path": "NL2BASH", "licence": "MIT"}
    (folder / "data.yaml").write_text(yaml.safe_dump({"name": "small", "description": "six rows", "sources": [source]}))
    prompts = ("Why is the sky blue?", "Name three trees.", "Write a line about rain.")
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"learning_rate": [0.001, 0.002]}))
    (folder / "nl2bash").mkdir()
    (folder / "nl2bash" / "all.nl").write_text("".join(f"{asked}\n" for asked in PAIRS))
    (folder / "nl2bash" / "all.cm").write_text("".join(f"{said}\n" for said in PAIRS.values()))


def build_small_job(folder: Path) -> None:
    """The record of a job whose machine is past its deadline."""
    job = Job(
        name="sct-toy-1", provider="hf-jobs", recipe="configs/train/toy.yaml", recipe_sha256="a" * 64,
        commit="c" * 40, gpu="a10g-large", count=1, image="python:3.12", evaluate="here", max_hours=2.0,
        budget_usd=5.0, usd_per_hour=1.5, repo="someone/sct-toy-1", created="2025-01-01T00:00:00+00:00",
        phase="running", attempts=[Attempt(number=1, deadline=1.7e9, machine="m1", started=1.69e9)],
    )  # fmt: skip
    (folder / job.name).mkdir(parents=True)
    write_json(folder / job.name / "job.json", job.model_dump())
