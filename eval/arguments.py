"""What the command line of an evaluation says: its options, and who is compared with whom."""

import argparse
from pathlib import Path

from eval.adapters.adopt import run_named
from eval.common.errors import UserError
from eval.config.suite_file import Suite, load_suite, resolve_suite
from eval.consent import refuse_other_code
from eval.model.answer_cache import FOLDER
from eval.model.backends import base_brought
from eval.run.answered import answered
from eval.run.baselines import Baseline, resolve_baseline
from eval.run.candidate import Candidate, brought, candidate_of, self_check, whole_model
from eval.run.folder import resolve_run

Pairs = list[tuple[Candidate, Baseline]]


def parse_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="eval/run_eval_suite.py", description=description)
    suite = "suite name or file (default: configs/eval/nl2bash.yaml; with --judge that of the answers)"
    parser.add_argument("--config", "--suite", help=suite)
    parser.add_argument("--run", action="append", help="run or adapter's folder (default: the newest run); repeatable")
    parser.add_argument("--baseline", help="base, blessed or run:RUN instead of the suite's: shown, never published")
    parser.add_argument("--self-check", action="store_true", help="compare the base with itself")
    parser.add_argument("--model", help="compare a whole model with --base-model: folder, or org/name@commit")
    parser.add_argument("--base-model", default="models/SmolLM2-135M-Instruct", help="with --self-check and --model")
    parser.add_argument("--strict", action="store_true", help="refuse a blocking gate that has too few items")
    parser.add_argument("--cache", type=Path, default=FOLDER, help="folder of kept answers (default: .cache/answers)")
    parser.add_argument("--no-cache", action="store_true", help="generate every answer, keep none for later")
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--generate", action="store_true", help="only what needs the model: every answer, no sandbox")
    half.add_argument("--judge", action="store_true", help="only the rest: score the answers of --generate, no model")
    return parser.parse_args()


def compared(arguments: argparse.Namespace) -> tuple[Path, Pairs]:
    """The suite, and the two arms of every evaluation."""
    if arguments.judge:
        return answered_pairs(arguments)
    path = resolve_suite(arguments.config)
    suite = load_suite(path)
    candidates = candidates_of(arguments, suite)
    asked = arguments.baseline or suite.baseline
    return path, [(candidate, resolve_baseline(asked, candidate)) for candidate in candidates]


def answered_pairs(arguments: argparse.Namespace) -> tuple[Path, Pairs]:
    """The runs whose answers are judged, all under one suite: that which is named, or that of the first."""
    if arguments.baseline or arguments.model or arguments.self_check:
        raise UserError("--judge takes no --baseline, --model or --self-check: the answers are there already")
    runs = [resolve_run(name) for name in dict.fromkeys(arguments.run or [None])]
    path = resolve_suite(arguments.config) if arguments.config else runs[0] / "suite.yaml"
    return path, [answered(run, path) for run in runs]


def candidates_of(arguments: argparse.Namespace, suite: Suite) -> list[Candidate]:
    """What is evaluated: the adapters of the runs named, what the backend brings, or the base against itself."""
    refuse_other_code(suite)
    base = None if arguments.run else base_brought(suite)
    if arguments.self_check:
        return [self_check(base or arguments.base_model)]
    if arguments.model:
        return [whole_model(arguments.model, arguments.base_model)]
    if base is not None:
        return [brought(base, suite.backend.model_dump(), suite.name)]
    return [candidate_of(run) for run in dict.fromkeys(run_named(name) for name in arguments.run or [None])]
