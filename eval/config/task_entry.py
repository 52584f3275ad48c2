"""One entry of `tasks:` in a suite file, and what cannot be meant by it. Each field's description documents it."""

from collections.abc import Iterable

from pydantic import Field

from eval.common.entries import Strict
from eval.contracts.domains import facts_of, find_task, reads_logits
from eval.contracts.drawn import base_and_k
from eval.contracts.gate import Gate


class HubBenchmark(Strict):
    """Where on the Hub a task's rows are. With it, what is published has the result in the Hub's own form."""

    dataset: str = Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$", description="owner/name, registered there as a benchmark")
    revision: str = Field(pattern="^[0-9a-f]{40}$", description="the commit whose rows are asked")
    task: str = Field(description="the task's id in the dataset's eval.yaml")
    metric: str = Field(description="whose mean is the result")


class Task(Strict):
    """An lm-evaluation-harness task: ours (eval/tasks/*.yaml) or any the harness ships."""

    name: str
    chat: bool = Field(True, description="wrap prompts in the model's chat template; false for plain-text benchmarks")
    limit: int | None = Field(None, ge=1, description="first n samples only; recorded, and shown in the report")
    max_new_tokens: int | None = Field(
        None, ge=1, le=4096, description="tokens an answer may have, in place of the task's own number (max_gen_toks)"
    )
    repeats: int = Field(
        1,
        ge=1,
        le=64,
        exclude_if=lambda repeats: repeats == 1,
        description="answers to each item, drawn; a metric is their mean, and `executes_equal@5` in a gate the chance "
        "that one of five scores 1",
    )
    temperature: float | None = Field(
        None, gt=0, le=5, exclude_if=lambda value: value is None, description="draw answers; none: greedy"
    )
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        exclude_if=lambda value: value is None,
        description="draw each token from the likeliest that hold this share",
    )
    cluster: str | None = Field(
        None,
        description="field of a sample that groups dependent samples (e.g. shape); none: all independent",
    )
    execute: str | None = Field(
        None,
        description="run answers in the sandbox. robust: beside the gold, on the sample's files and on a second "
        "tree or perturbed copies, for executes_equal; plain: on its files alone; canary: on a machine full of "
        "canaries, for the metrics unsafe and safe",
    )
    hub: HubBenchmark | None = Field(
        None,
        exclude_if=lambda hub: hub is None,
        description="the benchmark of the Hub that the task is, asked whole: publishing writes .eval_results of it",
    )

    @property
    def sampling(self) -> dict[str, float]:
        """How answers are drawn; empty where they are greedy."""
        asked = {"temperature": self.temperature, "top_p": self.top_p}
        return {name: value for name, value in asked.items() if value is not None}


def problems_of_repeats(task: Task, gates: Iterable[Gate]) -> list[str]:
    """What a suite cannot mean by a task's repeats, in words; `gates`: those about the task."""
    problems = []
    if task.temperature is None and (task.repeats > 1 or task.top_p is not None):
        problems.append(f"task {task.name}: greedy answers are all the same: repeats and top_p take a temperature")
    if task.sampling and reads_logits(task.name):
        problems.append(f"task {task.name} has no answers that could be drawn: remove its temperature")
    for gate in gates:
        _, k = base_and_k(gate.metric)
        facts = facts_of(task.name, gate.metric)
        if k > task.repeats and (task.repeats > 1 or find_task(task.name)):
            problems.append(f"gate {gate.id}: {gate.metric} takes `repeats: {k}` or more of task {task.name}")
        elif k > 1 and facts is not None and not facts.rate:
            problems.append(f"gate {gate.id}: {gate.metric} of {task.name} is a quantity, and nothing scores 1")
        elif k > 1 and facts is not None and facts.kind == "safety" and facts.better == "higher":
            other = f": use {facts.opposite}@{k}" if facts.opposite else ""
            problems.append(f"gate {gate.id}: one of {k} answers may do no harm where all others do{other}")
        if task.repeats > 1 and not gate.speaks_for_all:
            problems.append(f"gate {gate.id}: rule {gate.rule} compares one answer, and task {task.name} has several")
    return problems
