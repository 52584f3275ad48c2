"""Is what is served still what was approved? A served form of a run against the run's adapter on its base.

    python -m scripts.serve_check --run RUN --form merged|nf4 [--suite SUITE]       exit codes as an evaluation's

merged: the adapter added into the base's weights. nf4: that, quantised to 4 bits by bitsandbytes. The form is made
once, in the run's folder (`served/`), and judged under a non-inferiority suite (configs/serve/served.yaml) with a
verdict of its own, in a run of its own, which is shown and never published. Sizes and speed are printed and recorded.
"""

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.config.suite_file import resolve_suite
from eval.contracts.numerics import four_bit
from eval.gates.decide import EXIT_CODES
from eval.model.answer_cache import FOLDER, AnswerCache
from eval.run.baselines import RUN, Baseline
from eval.run.candidate import Candidate, candidate_of
from eval.run.digests import verify_manifest, write_manifest
from eval.run.environment import git_state
from eval.run.files import read_json, write_json
from eval.run.folder import locked, new_run, resolve_run
from eval.run.metrics import Metrics
from eval.summary import say_verdict

SUITE = ROOT / "configs" / "serve" / "served.yaml"
MADE_OF = "made_of.json"  # what a form was made of; written last
DTYPE = "bfloat16"  # in which models are merged and served


def merged(candidate: Candidate, folder: Path) -> None:
    """The base with the adapter in its weights, as PEFT merges it, and the base's tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    named = {"revision": candidate.revision} if candidate.revision else {}
    base = AutoModelForCausalLM.from_pretrained(candidate.base_model, dtype=getattr(torch, DTYPE), **named)
    PeftModel.from_pretrained(base, str(candidate.adapter)).merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(candidate.base_model, **named).save_pretrained(folder)


def nf4(candidate: Candidate, folder: Path) -> None:
    """The merged model, its matrices in 4-bit NF4 with double quantisation."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    source = folder.with_name("merged-for-nf4")
    merged(candidate, source)
    settings = BitsAndBytesConfig(**four_bit(DTYPE).settings)
    AutoModelForCausalLM.from_pretrained(source, quantization_config=settings, dtype=DTYPE).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    shutil.rmtree(source)


FORMS: dict[str, Callable[[Candidate, Path], None]] = {"merged": merged, "nf4": nf4}


def form_of(candidate: Candidate, form: str) -> Path:
    """The folder of the form: made now, or before of the same adapter and whole."""
    folder = candidate.run / "served" / form
    of = {"adapter_sha256": candidate.adapter_sha256, "base_model": candidate.base_model, "form": form}
    manifest = folder.with_name(f"{form}.sha256")
    if (folder.parent / f"{form}.{MADE_OF}").is_file() and read_json(folder.parent / f"{form}.{MADE_OF}") == of:
        if problems := verify_manifest(folder, manifest):
            raise UserError(f"{folder} is not what was made: {problems[0]}: remove it, and run the same command again")
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"serve-check: making {form} of {candidate.run.name}", flush=True)
    FORMS[form](candidate, folder)
    write_manifest(folder, manifest)
    write_json(folder.parent / f"{form}.{MADE_OF}", of)
    return folder


def size_of(folder: Path) -> int:
    """Bytes of the weights in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def check(run: Path, form: str, suite: Path, cache: AnswerCache | None) -> Metrics:
    """Judge a form of a run. UserError when the run is not trained, or form and base cannot be compared."""
    from eval.suite import evaluate_all

    approved = candidate_of(run)
    if approved.adapter is None:
        raise UserError(f"{run.name} has no adapter: a served form is compared with one")
    with locked(run):
        folder = form_of(approved, form)
    about: dict[str, Any] = {"run": run.name, "form": form, "adapter_sha256": approved.adapter_sha256}
    about["bytes"] = {"form": size_of(folder), "base": size_of(Path(approved.base_model))}
    fields = {
        "recipe": f"served-{form}", "base_model": approved.base_model, "base_revision": approved.revision,
        "model": os.path.relpath(folder, ROOT), "served": about, "stages": {"train": "completed"},
    }  # fmt: skip
    judged = new_run(f"served-{form}", git_state(), fields)
    candidate = candidate_of(judged)
    candidate = replace(candidate, template_arguments=approved.template_arguments, trained=approved.trained)
    baseline = Baseline(f"{RUN}{run.name}", approved.adapter, approved.adapter_sha256)
    (metrics,) = evaluate_all(suite, [(candidate, baseline)], cache)
    assert isinstance(metrics, Metrics)  # of one candidate an error is raised
    say_verdict(judged, metrics)
    say_costs(metrics, about["bytes"])
    return metrics


def say_costs(metrics: Metrics, sizes: dict[str, int]) -> None:
    """Size of the weights, and tokens a second on this machine, of the form and of what was approved."""
    speeds = {}
    for arm in ("baseline", "candidate"):
        tokens, seconds = metrics.costs.get(f"tokens_{arm}"), metrics.costs.get(f"seconds_generate_{arm}")
        speeds[arm] = f"{tokens / seconds:.0f} tokens a second" if tokens and seconds else "not generated now"
    print(f"served: {sizes['form'] / 1e6:,.0f} MB of weights, {speeds['candidate']}")
    print(f"approved: {sizes['base'] / 1e6:,.0f} MB and its adapter, {speeds['baseline']}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.serve_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run whose adapter was approved (default: the newest)")
    parser.add_argument("--form", required=True, choices=sorted(FORMS))
    parser.add_argument("--suite", help="non-inferiority suite (default: configs/serve/served.yaml)")
    parser.add_argument("--no-cache", action="store_true", help="generate every answer, keep none for later")
    arguments = parser.parse_args(argv)
    run = resolve_run(arguments.run)
    suite = resolve_suite(arguments.suite) if arguments.suite else SUITE
    os.chdir(ROOT)  # task files name their data from the repository root
    cache = None if arguments.no_cache else AnswerCache(FOLDER.resolve())
    return EXIT_CODES[check(run, arguments.form, suite, cache).verdict]


if __name__ == "__main__":
    run_command(main)
