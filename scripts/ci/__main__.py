"""The steps of the workflows that are not verbs of the project themselves; docs/ci.md shows where each stands.

    python -m scripts.ci products [--only NAME]                      which products, as a matrix
    python -m scripts.ci product NAME                                what the steps need to know of one
    python -m scripts.ci trained --recipe RECIPE                     the newest run of a recipe
    python -m scripts.ci answer -- COMMAND                           a command whose exit code is a verdict
    python -m scripts.ci served -- COMMAND                           the same, which makes a run of its own
    python -m scripts.ci hand-on --run RUN --out FOLDER              what of a run becomes an artifact
    python -m scripts.ci summary --title NAME --run RUN ...          the job's page
    python -m scripts.ci shipped --verdicts FOLDER                   which products may be approved
    python -m scripts.ci comment --verdicts FOLDER                   one comment on the open pull request
    python -m scripts.ci gate --title NAME --code N ...              the verdict as this step's exit code: 0, 1 or 3
    python -m scripts.ci approve --run RUN --digest D ...            a person's approval on GitHub as review.json
    python -m scripts.ci with-token --repo REPO -- COMMAND           a command with a token that nobody stored

Whatever a workflow passes on arrives as an argument or a variable, never as text of a script.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from eval.common.errors import INCONCLUSIVE, SHIP, UserError, run_command
from eval.run.files import read_json, write_json, write_text
from scripts.ci import runner
from scripts.ci.answer import ANSWERS, answer, gate, place_of
from scripts.ci.products import find_product, load_products, outputs_of
from scripts.ci.summary import render_summary, served_form, with_report

SUMMARY_FILE, VERDICT_FILE = "summary.md", "verdict.json"


def products(arguments: argparse.Namespace) -> int:
    names = [find_product(arguments.only).name] if arguments.only else [one.name for one in load_products()]
    runner.set_outputs(names=json.dumps(names))
    return 0


def product(arguments: argparse.Namespace) -> int:
    runner.set_outputs(**outputs_of(find_product(arguments.name)))
    return 0


def trained(arguments: argparse.Namespace) -> int:
    from eval.run.folder import list_runs, read_run

    for run in list_runs():
        state = read_run(run)
        if state.get("recipe") == Path(arguments.recipe).stem and state["stages"].get("train") == "completed":
            runner.set_outputs(run=run.name)
            return 0
    raise UserError(f"no trained run of {arguments.recipe} in results/: the step before ended without one")


def ask(arguments: argparse.Namespace) -> int:
    code = answer(place_of(arguments.command))
    runner.set_outputs(code=code, verdict=ANSWERS[code])
    return 0


def served(arguments: argparse.Namespace) -> int:
    """The same for a served form, whose check makes a run of its own: its name is an output too."""
    from eval.run.folder import list_runs

    before = set(list_runs())
    ask(arguments)
    made = [run for run in list_runs() if run not in before]
    if not made:
        raise UserError("the check of the served form left no run: its own line says why")
    runner.set_outputs(run=made[0].name)
    return 0


def hand_on(arguments: argparse.Namespace) -> int:
    from eval.run.folder import resolve_run
    from scripts.ci.bundle import bundle

    run = resolve_run(arguments.run)
    runner.set_outputs(evidence=bundle(run, arguments.out), run=run.name)
    return 0


def summary(arguments: argparse.Namespace) -> int:
    from eval.run.folder import resolve_run

    run = resolve_run(arguments.run)
    form = served_form(arguments.form, resolve_run(arguments.served)) if arguments.served else None
    text = render_summary(arguments.title, run, arguments.digest, arguments.environment, form)
    runner.add_summary(with_report(text, run))
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text(arguments.out / SUMMARY_FILE, text)
        code, of_form = number(arguments.code), number(arguments.served_code)
        ships = code == SHIP and (not arguments.blocking or of_form == SHIP)
        found = {"product": arguments.title, "evidence": arguments.digest, "ships": ships}
        write_json(arguments.out / VERDICT_FILE, found)
    return 0


def shipped(arguments: argparse.Namespace) -> int:
    """Which products may be approved, as a matrix; sorted, so that the same verdicts give the same jobs."""
    found = [read_json(path) for path in sorted(arguments.verdicts.rglob(VERDICT_FILE))]
    rows = [{"product": row["product"], "evidence": row["evidence"]} for row in found if row["ships"] is True]
    runner.set_outputs(shipped=json.dumps(rows))
    return 0


def comment(arguments: argparse.Namespace) -> int:
    from eval.common.reading import read_text
    from scripts.ci.comment import pull_requests, upsert
    from scripts.ci.github import GitHub

    parts = [read_text(path) for path in sorted(arguments.verdicts.rglob(SUMMARY_FILE))]
    page = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{runner.variable('GITHUB_REPOSITORY')}"
    commit, number = runner.variable("GITHUB_SHA"), runner.variable("GITHUB_RUN_ID")
    about = f"Commit {commit[:12]}, [run {number}]({page}/actions/runs/{number})."
    text = "\n".join(parts) if parts else "**No verdict.** No product was evaluated: the run says why."
    with GitHub.of_this_run() as github:
        numbers = pull_requests(github, commit, runner.variable("GITHUB_REF_NAME"))
        for pull in numbers:
            print(f"ci: comment {upsert(github, pull, f'{text}{chr(10)}{about}')} on pull request {pull}", flush=True)
    if not numbers:
        print("ci: no open pull request of this branch is at this commit; the job's summary has it all")
    return 0


def decide(arguments: argparse.Namespace) -> int:
    code, of_form = number(arguments.code), number(arguments.served_code)
    if code is None:
        raise UserError("--code is empty: the evaluation did not end with a verdict")
    ended = gate(arguments.title, code, of_form, arguments.form, bool(arguments.blocking))
    return SHIP if ended == INCONCLUSIVE and arguments.allow_inconclusive == "true" else ended


def approve(arguments: argparse.Namespace) -> int:
    from eval.run.folder import resolve_run
    from scripts.ci import approve as approvals

    run = resolve_run(arguments.run)
    if arguments.environment:
        review = approvals.approve_by_environment(run, arguments.digest, arguments.environment)
    elif text := os.environ.get("REVIEW", "").strip():
        review = approvals.take_signed(run, arguments.digest, text)
    else:
        review = approvals.approve_by_dispatch(run, arguments.digest, os.environ.get("COMMENT", "").strip())
    print(f"ci: {review.decision} by {review.shown_reviewer}, {run / 'review.json'}")
    return 0


def with_token(arguments: argparse.Namespace) -> int:
    from scripts.ci import hub_token

    return hub_token.with_token(arguments.repo, place_of(arguments.command))


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.ci", description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(word: str, does: Callable[[argparse.Namespace], int], /, **options: dict[str, object]) -> None:
        one = verbs.add_parser(word)
        one.set_defaults(does=does)
        for option, settings in options.items():
            named = option if option in ("name", "command") else f"--{option.replace('_', '-')}"
            one.add_argument(named, **settings)  # type: ignore[arg-type]

    text: dict[str, object] = {"default": ""}
    needed: dict[str, object] = {"required": True}
    rest: dict[str, object] = {"nargs": argparse.REMAINDER}
    folder: dict[str, object] = {"type": Path, "required": True}
    verb("products", products, only=text)
    verb("product", product, name={})
    verb("trained", trained, recipe=needed)
    verb("answer", ask, command=rest)
    verb("served", served, command=rest)
    verb("hand-on", hand_on, run=needed, out=folder)
    verb("summary", summary, title=needed, run=needed, digest=text, environment=text, code=text, served=text,
         served_code=text, form=text, blocking=text, out={"type": Path})  # fmt: skip
    verb("shipped", shipped, verdicts=folder)
    verb("comment", comment, verdicts=folder)
    verb("gate", decide, title=needed, code=text, served_code=text, form=text, blocking=text, allow_inconclusive=text)
    verb("approve", approve, run=needed, digest=needed, environment=text)
    verb("with-token", with_token, repo=needed, command=rest)
    return parser.parse_args(argv)


def number(text: str) -> int | None:
    """An exit code, as a step's output has it; None for the empty text of a step that did not run."""
    if text and text not in map(str, ANSWERS):
        raise UserError(f"{text[:20]!r} is not the code of a verdict: 0 ship, 1 no-ship, 3 inconclusive")
    return int(text) if text else None


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    if "run" in vars(arguments) and not arguments.run:
        raise UserError("--run is empty: the step that names the run did not")
    return int(arguments.does(arguments))


if __name__ == "__main__":
    run_command(main)
