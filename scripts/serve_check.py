"""Is what is served still what was approved? A served form of a run against the run's adapter on its base.

    python -m scripts.serve_check --run RUN --form merged|nf4 [--suite SUITE]       exit codes as an evaluation's
    python -m scripts.serve_check --run RUN --form gguf [--quant q4_k_m]
    python -m scripts.serve_check --run RUN --form endpoint --url http://host:8000/v1 --name served [--key-env NAME]

merged: the adapter added into the base's weights. nf4: that, quantised to 4 bits by bitsandbytes. gguf: merged, as
llama.cpp quantises and serves it. Such a form is made once, in the run's folder (`served/`). endpoint: what a server
answers that runs already; of its bytes nothing is known. Each is judged under a non-inferiority suite
(configs/serve/served.yaml) with a verdict of its own, in a run of its own, which is shown and never published. Sizes
and speed are printed and recorded.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.config.suite_file import BackendSettings, resolve_suite
from eval.gates.decide import EXIT_CODES
from eval.model.answer_cache import FOLDER, AnswerCache
from eval.model.endpoint.options import ServerOptions, read_options
from eval.run.baselines import RUN, Baseline
from eval.run.candidate import BROUGHT, Candidate, candidate_of, resolve_trained
from eval.run.decided import Decided, reports_of
from eval.run.digests import file_sha256, json_sha256
from eval.run.environment import git_state
from eval.run.folder import RESULTS, list_runs, locked, new_run, read_run
from eval.run.metrics import Metrics
from eval.summary import say_verdict
from scripts.serving import gguf
from scripts.serving.beside_suite import beside_suite
from scripts.serving.forms import FORMS, GGUF, base_folder, form_of, size_of

SUITE = ROOT / "configs" / "serve" / "served.yaml"


def approved_by(run: Path) -> Candidate:
    """The run's adapter on its base. UserError when the run is not trained, or has none."""
    approved = candidate_of(run)
    if approved.adapter is None:
        raise UserError(f"{run.name} has no adapter: a served form is compared with one")
    return approved


def check(run: Path, form: str, suite: Path, cache: AnswerCache | None) -> Metrics:
    """Judge a form that is loaded here. UserError when the run is not trained, or form and base cannot be compared."""
    approved = approved_by(run)
    with locked(run):
        folder = form_of(approved, form)
    about = {"run": run.name, "form": form, "adapter_sha256": approved.adapter_sha256, "bytes": sizes(folder, approved)}
    judged = new_run(f"served-{form}", git_state(), fields_of(approved, f"served-{form}", folder, about))
    return judge(judged, approved, suite, cache)


def sizes(form: Path, approved: Candidate) -> dict[str, int]:
    """Bytes of the weights of a form and of the base."""
    return {"form": size_of(form), "base": size_of(base_folder(approved))}


def fields_of(approved: Candidate, recipe: str, model: Path, about: dict[str, Any]) -> dict[str, Any]:
    """run.json of a run that judges a form which is loaded here."""
    return {
        "recipe": recipe, "base_model": approved.base_model, "base_revision": approved.revision,
        "model": os.path.relpath(model, ROOT), "served": about, "stages": {"train": "completed"},
    }  # fmt: skip


def judge(judged: Path, approved: Candidate, suite: Path, cache: AnswerCache | None) -> Metrics:
    """Judge the form that a run's folder names against the approved adapter on its base."""
    from eval.suite import evaluate_all

    candidate = candidate_of(judged)
    candidate = replace(candidate, template_arguments=approved.template_arguments, trained=approved.trained)
    baseline = Baseline(f"{RUN}{approved.run.name}", approved.adapter, approved.adapter_sha256)
    (metrics,) = evaluate_all(suite, [(candidate, baseline)], cache)
    assert isinstance(metrics, Metrics)  # of one candidate an error is raised
    say_verdict(judged, metrics)
    say_costs(metrics, metrics.provenance["served"]["bytes"])
    return metrics


def check_gguf(run: Path, quant: str, suite: Path) -> Metrics:
    """Judge the run's merged model as llama.cpp quantises and serves it, by a server that ends with this."""
    tools, approved, form = gguf.found_tools(), approved_by(run), f"gguf-{quant}"
    with locked(run):
        folder = form_of(approved, form)
    gguf.check_prompts(tools, folder / GGUF, approved)
    digest = file_sha256(folder.with_name(f"{form}.sha256"))
    print(f"serve-check: starting llama.cpp {gguf.VERSION} with {os.path.relpath(folder / GGUF, ROOT)}", flush=True)
    with gguf.llama_server(tools, folder / GGUF, form) as options:
        return check_served(approved, form, suite, options, {"bytes": sizes(folder, approved), "files_sha256": digest})


def check_served(
    approved: Candidate, form: str, suite: Path, options: dict[str, Any], more: dict[str, Any] | None = None
) -> Metrics:
    """Judge what a server answers against the approved adapter; a check that was killed goes on.

    `options`: of backend `beside`. `more`: what is known of the form besides, for the record.
    """
    from eval.suite import evaluate_all

    read_options(BackendSettings(kind="beside", options=options), ServerOptions)
    about = {"run": approved.run.name, "form": form, "adapter_sha256": approved.adapter_sha256, **(more or {})}
    about |= {"host": urlsplit(options["base_url"]).netloc, "name": options["candidate"], "proven": False}
    fields = {
        "recipe": f"served-{form}", "base_model": approved.base_model, "base_revision": approved.revision,
        "served": about, "stages": {"train": "completed"}, BROUGHT: json_sha256([about, options, file_sha256(suite)]),
    }  # fmt: skip
    judged = begun(fields) or new_run(f"served-{form}", git_state(), fields)
    derived = judged / "suite.yaml"
    beside_suite(suite, options, derived, lambda said: print(f"serve-check: {said}", flush=True))
    candidate = Candidate(
        judged, approved.base_model, approved.revision, None, None, approved.template_arguments, approved.trained,
        brought=True,
    )  # fmt: skip
    baseline = Baseline(f"{RUN}{approved.run.name}", approved.adapter, approved.adapter_sha256)
    (metrics,) = evaluate_all(derived, [(candidate, baseline)], None)  # no answer of unknown bytes is kept
    assert isinstance(metrics, Metrics)  # of one candidate an error is raised
    say_verdict(judged, metrics)
    say_costs(metrics, about.get("bytes") or {"base": size_of(base_folder(approved))})
    return metrics


def begun(fields: dict[str, Any]) -> Path | None:
    """A run of the same check that did not end."""
    for run in list_runs():
        state = read_run(run)
        if state.get(BROUGHT) == fields[BROUGHT] and state["stages"].get("eval") != "completed":
            return run
    return None


def say_costs(metrics: Metrics, sizes: dict[str, int]) -> None:
    """Size of the weights, and tokens a second on this machine, of the form and of what was approved."""
    speeds = {}
    for arm in ("baseline", "candidate"):
        tokens, seconds = metrics.costs.get(f"tokens_{arm}"), metrics.costs.get(f"seconds_generate_{arm}")
        speeds[arm] = f"{tokens / seconds:.0f} tokens a second" if tokens and seconds else "not generated now"
    weights = f"{sizes['form'] / 1e6:,.0f} MB of weights" if "form" in sizes else "weights of unknown size"
    print(f"served: {weights}, {speeds['candidate']}")
    print(f"approved: {sizes['base'] / 1e6:,.0f} MB and its adapter, {speeds['baseline']}")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.serve_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="run whose adapter was approved (default: the newest that trained)")
    parser.add_argument("--form", required=True, choices=[*FORMS, "gguf", "endpoint"])
    parser.add_argument("--quant", choices=gguf.QUANTS, default="q4_k_m", help="of gguf (default: q4_k_m)")
    parser.add_argument("--url", help="of endpoint: the server's address, up to /v1")
    parser.add_argument("--name", help="of endpoint: the model's name there")
    parser.add_argument("--key-env", help="of endpoint: the NAME of the variable that holds the key")
    parser.add_argument("--suite", help="non-inferiority suite (default: configs/serve/served.yaml)")
    parser.add_argument("--no-cache", action="store_true", help="generate every answer, keep none for later")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    form = arguments.form
    if form == "endpoint" and not (arguments.url and arguments.name):
        raise UserError("FORM=endpoint needs URL= (the server's address, up to /v1) and NAME= (the model's name there)")
    if form == "gguf":
        gguf.found_tools()
    run = resolve_trained(arguments.run)
    suite = resolve_suite(arguments.suite).resolve() if arguments.suite else SUITE
    os.chdir(ROOT)  # task files name their data from the repository root
    if form == "gguf":
        metrics = check_gguf(run, arguments.quant, suite)
    elif form == "endpoint":
        options = {"base_url": arguments.url, "candidate": arguments.name}
        options |= {"key_env": arguments.key_env} if arguments.key_env else {}
        metrics = check_served(approved_by(run), form, suite, options)
    else:
        cache = None if arguments.no_cache else AnswerCache(FOLDER.resolve())
        metrics = check(run, form, suite, cache)
    files = reports_of(RESULTS / metrics.run)
    return Answer(EXIT_CODES[metrics.verdict], Decided.of(metrics), verdict=metrics.verdict, files=files)


if __name__ == "__main__":
    run_command(main)
