"""Make a quantised form of a run's model that can be published by itself: a variant, in a run of its own.

    python -m scripts.quantize --run RUN --method nf4 [--suite SUITE]               exit codes as an evaluation's
    python -m scripts.quantize --run RUN --method gguf [--quant q4_k_m]             judged, and never published

The run's adapter is merged into its base, quantised, measured, and judged against the adapter on its base, item by
item, by what `make serve-check` judges with (scripts/serve_check.py). What is judged is then in the variant's own
folder (eval/run/variant.py), from which `make review` and `make publish` go on. The same command continues what was
killed: a model that is whole is not made again, and answers are kept.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.config.suite_file import resolve_suite
from eval.consent import consented_suite
from eval.contracts.numerics import chosen, number_type
from eval.gates.decide import EXIT_CODES
from eval.model.answer_cache import FOLDER, AnswerCache
from eval.run.candidate import Candidate, resolve_trained
from eval.run.decided import Decided, reports_of
from eval.run.digests import verify_manifest, write_manifest
from eval.run.environment import git_state
from eval.run.files import read_metrics, write_bytes
from eval.run.folder import RESULTS, list_runs, locked, new_run, read_run, update_run
from eval.run.metrics import Metrics
from eval.run.variant import MODEL, MODEL_MANIFEST, PARENT_FILES, PARENT_FILES_IF_THERE, Cost, is_variant
from scripts.serve_check import SUITE, approved_by, check_gguf, fields_of, judge, sizes
from scripts.serving import gguf
from scripts.serving.forms import FORMS, NF4, size_of
from scripts.serving.measured import Form, measure

METHOD = "nf4"
PROMPTS = 32  # of the suite's first requests, answered by both forms to measure them


def variant_run(approved: Candidate) -> Path:
    """The variant's folder beside its parent's: one that was begun of the same adapter and not judged, or a new one."""
    about: dict[str, Any] = {"run": approved.run.name, "form": METHOD, "adapter_sha256": approved.adapter_sha256}
    label = f"quantized-{METHOD}"
    fields = fields_of(approved, label, Path(MODEL), about | {"settings": NF4})
    return begun(approved.run.parent, about) or new_run(label, git_state(), fields, approved.run.parent)


def name_parent(run: Path, approved: Candidate) -> None:
    """Where the model is, and the parent's own files, in the variant's folder."""
    update_run(run, model=os.path.relpath(run / MODEL, ROOT))
    for name in (*PARENT_FILES, *PARENT_FILES_IF_THERE):
        if name in PARENT_FILES or (approved.run / name).is_file():
            write_bytes(run / name, read_bytes(approved.run / name))


def begun(results: Path, about: dict[str, Any]) -> Path | None:
    """A variant of the same adapter whose judging did not end."""
    for run in list_runs(results):
        state = read_run(run)
        judged = state["stages"].get("eval") == "completed"
        if is_variant(state) and not judged and state["served"].items() >= about.items():
            return run
    return None


def make(run: Path, approved: Candidate) -> None:
    """The quantised model in the variant's folder, unless it is there and whole."""
    model, manifest = run / MODEL, run / MODEL_MANIFEST
    if manifest.is_file():
        if problems := verify_manifest(model, manifest):
            raise UserError(
                f"{model} is not what was made: {problems[0]}: remove {run}, and run the same command again"
            )
        return
    print(f"quantize: merging and quantising {approved.run.name} to {METHOD}", flush=True)
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    FORMS[METHOD](approved, model)
    write_manifest(model, manifest)


def weigh(run: Path, approved: Candidate, suite_path: Path) -> None:
    """Size, speed and memory of the approved model and of the variant, into run.json."""
    served = read_run(run)["served"]
    if "after" in served:
        return
    suite, found = consented_suite(suite_path), sizes(run / MODEL, approved)
    numerics = chosen(suite.backend.load, approved.trained)
    dtype = number_type(suite.backend.dtype, numerics)
    before = Form(approved.base_model, approved.revision, str(approved.adapter), dtype, numerics.settings)
    after = Form(str(run / MODEL), dtype=dtype)
    prompts = prompts_of(approved, suite_path)
    print(f"quantize: {len(prompts)} requests to each form, to measure speed and memory", flush=True)
    assert approved.adapter is not None  # approved_by has refused others
    costs = {
        "before": Cost(bytes=found["base"] + size_of(approved.adapter), **measure(before, prompts).model_dump()),
        "after": Cost(bytes=found["form"], **measure(after, prompts).model_dump()),
    }
    for name, cost in costs.items():
        shown = f"{cost.bytes / 1e6:,.0f} MB, {cost.tokens_per_second:.0f} tokens a second, {cost.memory / 1e6:,.0f} MB"
        print(f"quantize: {name}: {shown} of memory", flush=True)
    update_run(run, served=served | {"bytes": found} | {name: cost.model_dump() for name, cost in costs.items()})


def prompts_of(approved: Candidate, suite_path: Path) -> list[str]:
    """The first prompts of a suite's tasks, as both forms are asked them."""
    from eval.model.endpoint.templates import TokenizerTemplate
    from eval.model.lm_tasks import load_tasks

    template = TokenizerTemplate.of(approved.base_model, approved.revision, approved.template_arguments)
    tasks = load_tasks(consented_suite(suite_path), template)
    asked = [str(sample.instances[0].args[0]) for task in tasks for sample in task.samples[:PROMPTS]]
    if not asked:
        raise UserError(f"{suite_path} asks no request, so that nothing can be measured or judged by answers")
    return asked[:PROMPTS]


def quantize(run: Path, suite: Path, cache: AnswerCache | None) -> Metrics:
    """The variant of a run, judged. UserError when the run is not trained, or its forms cannot be compared."""
    approved = approved_by(run)
    say_of_parent(run)
    variant = variant_run(approved)
    with locked(variant):
        name_parent(variant, approved)
        make(variant, approved)
        weigh(variant, approved, suite)
    return judge(variant, approved, suite, cache)


def say_of_parent(run: Path) -> None:
    """Before an hour is spent: what is made of a run that is not a ship cannot be published."""
    verdict = read_metrics(run / "metrics.json").verdict if (run / "metrics.json").is_file() else "not there"
    if verdict != "ship":
        print(
            f"quantize: caution: the verdict of {run.name} is {verdict}: its variant is judged all the same, and never "
            "published",
            flush=True,
        )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.quantize", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run whose adapter is merged and quantised (default: the newest that trained)")
    parser.add_argument("--method", required=True, choices=[METHOD, "gguf"])
    parser.add_argument("--quant", choices=gguf.QUANTS, help="of gguf (default: q4_k_m)")
    parser.add_argument("--suite", help="non-inferiority suite (default: configs/serve/served.yaml)")
    parser.add_argument("--no-cache", action="store_true", help="generate every answer, keep none for later")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if arguments.quant and arguments.method != "gguf":
        raise UserError(f"QUANT={arguments.quant} is of METHOD=gguf; {arguments.method} has one form: leave it out")
    if arguments.method == "gguf":
        gguf.found_tools()
    run = resolve_trained(arguments.run)
    suite = resolve_suite(arguments.suite).resolve() if arguments.suite else SUITE
    os.chdir(ROOT)  # task files name their data from the repository root
    if arguments.method == "gguf":
        print("quantize: which bytes llama.cpp answered from cannot be proven: this is judged, and never published")
        metrics, results = check_gguf(run, arguments.quant or "q4_k_m", suite), RESULTS
    else:
        cache = None if arguments.no_cache else AnswerCache(FOLDER.resolve())
        metrics, results = quantize(run, suite, cache), run.parent
    files = reports_of(results / metrics.run)
    return Answer(EXIT_CODES[metrics.verdict], Decided.of(metrics), verdict=metrics.verdict, files=files)


if __name__ == "__main__":
    run_command(main)
