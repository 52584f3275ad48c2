"""spaces.trainer without a server: who may, what is on a list, what is taken out of a log, what is decided on."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.run.digests import file_sha256
from eval.run.files import write_json
from eval.run.secret_patterns import find_secrets
from scripts.publishing.approval import read_review
from spaces.trainer import choices, reports
from spaces.trainer.access import SIGN_IN, Access, Denied, access_from
from spaces.trainer.choices import Order
from spaces.trainer.recipe_facts import estimate_of, facts_of, last_rehearsal
from spaces.trainer.redaction import Redactor
from spaces.trainer.runner import LONGEST_LINE, lines
from tests.run_builder import build_run
from tests.test_secrets import SAMPLES

SPACE = {"SYSTEM": "spaces", "SPACE_ID": "ada/page", **dict.fromkeys(SIGN_IN, "set"), "SPACE_ALLOWED": "ada, Bob"}
RECIPES = choices.recipes_in(choices.RECIPES)


def request(name: Any = "ada", expires: Any = None, **session: Any) -> Any:
    """What Gradio hands to a handler for a user with this session."""
    found = {"expires_at": time.time() + 60 if expires is None else expires, "userinfo": {"preferred_username": name}}
    return SimpleNamespace(request=SimpleNamespace(scope={"session": {"oauth_info": found} | session}))


# ------------------------------------------------------------------------------------------------------------ access


def test_a_space_lets_in_whom_it_names_and_nobody_else() -> None:
    access = access_from(SPACE)
    assert (access.user(request()), access.user(request("BOB"))) == ("ada", "BOB")
    for other in (
        request("eve"), request("ada2"), request(""), request(None), request(["ada"]), request("ada,bob"),
        request(expires=time.time() - 1), request(expires="later"), request(oauth_info=None), request(oauth_info=[]),
        SimpleNamespace(request=SimpleNamespace(scope={})), SimpleNamespace(), None,
    ):  # fmt: skip
        with pytest.raises(Denied):
            access.user(other)


@pytest.mark.parametrize("allowed", ["", " ", ",", " , "])
def test_an_empty_list_lets_nobody_in(allowed: str) -> None:
    access = access_from(SPACE | {"SPACE_ALLOWED": allowed})
    for name in ("ada", "", allowed):
        with pytest.raises(Denied, match="SPACE_ALLOWED"):
            access.user(request(name))


@pytest.mark.parametrize("missing", [*SIGN_IN, "SYSTEM"])
def test_a_space_that_cannot_tell_who_somebody_is_does_not_start(missing: str) -> None:
    for value in ({}, {missing: ""}):
        with pytest.raises(UserError):
            access_from({name: text for name, text in SPACE.items() if name != missing} | value)


def test_a_name_that_no_account_can_have_is_refused() -> None:
    with pytest.raises(UserError, match="SPACE_ALLOWED"):
        access_from(SPACE | {"SPACE_ALLOWED": "ada; bob"})


def test_on_this_machine_the_owner_is_the_user() -> None:
    assert Access(owner="Ada").user(None) == "Ada"


# -------------------------------------------------------------------------------------------------------------- argv


def order(**changes: Any) -> Order:
    return Order(**{"kind": "train", "recipe": "smollm2-135m-cpu", "suite": "demo", "user": "Ada"} | changes)


def test_the_commands_are_those_of_make() -> None:
    train = choices.first_command(order())
    assert train[1:] == ["-m", "scripts.training.train", "--", str(RECIPES["smollm2-135m-cpu"])]
    assert choices.first_command(order(kind="rehearse"))[2] == "scripts.training.rehearse"
    evaluate = choices.evaluation_command(order(), Path("results/a-run"))
    assert evaluate[1:] == [
        str(ROOT / "eval/run_eval_suite.py"), "--run=results/a-run", f"--config={ROOT / 'configs/eval/demo.yaml'}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "../train/smollm2-135m-cpu"}, {"recipe": str(RECIPES["smollm2-135m-cpu"])}, {"recipe": ""},
        {"recipe": "--help"}, {"recipe": "smollm2-135m-cpu; touch x"}, {"suite": "../train/smollm3-3b-qlora"},
        {"suite": "$(touch x)"}, {"kind": "publish"}, {"where": "elsewhere"}, {"where": ""},
    ],
)  # fmt: skip
def test_what_is_on_no_list_becomes_no_command(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="choose one of"):
        choices.first_command(order(**changes))


def test_a_rented_machine_is_offered_where_it_can_be_rented(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"axolotl": True, "scripts.remote": True}
    monkeypatch.setattr(choices.importlib.util, "find_spec", lambda name: found.get(name))
    assert list(choices.places()) == ["here", "hf-jobs", "runpod"]
    rented = order(where="hf-jobs", max_hours=1.5, budget=4.0)
    assert choices.first_command(rented)[1:] == [
        "-m", "scripts.remote", "start", "--on=hf-jobs", "--max-hours=1.5", "--budget=4", "--", "smollm2-135m-cpu",
    ]  # fmt: skip
    for wrong in ({"max_hours": 0.0}, {"budget": 0.0}, {"budget": 1e9}, {"max_hours": -1.0}, {"kind": "rehearse"}):
        with pytest.raises(UserError):
            choices.first_command(rented.model_copy(update=wrong))
    rows = [
        {"job": "sct-a", "recipe": "configs/train/smollm2-135m-cpu.yaml", "phase": "running"},
        {"job": "sct-b", "recipe": "configs/train/smollm2-135m-cpu.yaml", "phase": "done"},
        {"job": "sct-c", "recipe": "configs/train/smollm3-3b-qlora.yaml", "phase": "running"},
    ]
    ended = choices.end_commands(rented, {"result": {"jobs": rows}})
    assert [command[-1] for command in ended] == ["sct-a"] and "stop" in ended[0]
    found["axolotl"] = False
    assert "here" not in choices.places()
    with pytest.raises(UserError, match="no place"):
        choices.first_command(order())


# --------------------------------------------------------------------------------------------------------- redaction


def test_a_credential_of_every_kind_is_taken_out_of_a_line() -> None:
    for sample in (text for texts in SAMPLES.values() for text in texts):
        clean = Redactor({}).line(f"before {sample} after")
        assert find_secrets("log", clean) == [] and clean.startswith("before ") and " removed]" in clean, sample


def test_a_key_below_its_name_is_taken_out_too() -> None:
    redactor, key = Redactor({}), "0f" * 20
    given = ["wandb: paste your API key", f"  {key}", "step 1", "step 2", f"commit {key}"]
    assert [redactor.line(line) for line in given] == [given[0], "[W&B key removed]", *given[2:]]


def test_values_of_this_machines_variables_are_taken_out() -> None:
    variables = {"HF_TOKEN": "correct horse", "A_KEY": "correct horse battery", "HOME": "/root", "PIN_SECRET": "12"}
    redactor = Redactor(variables)
    clean = redactor.line("a correct horse battery, then correct horse, in /root with 12")
    assert clean == "a [A_KEY removed], then [HF_TOKEN removed], in /root with 12"


def test_a_private_key_is_left_out_to_its_end() -> None:
    redactor, kind = Redactor({}), "OPENSSH PRIVATE" + " KEY-----"
    given = [f"x -----BEGIN {kind}", "b3BlbnNzaC1rZXk", "AAAA", f"-----END {kind}", "y"]
    assert list(map(redactor.line, given)) == ["x [private key removed]", "", "", "", "y"]


def test_a_long_line_is_left_out_whole_and_a_progress_bar_makes_lines(tmp_path: Path) -> None:
    file = tmp_path / "output"
    long = "x" * (LONGEST_LINE + 100_000)
    file.write_text(f"one\r 10%|\r 20%|\n{long} tail\nlast\n{long}\nend without a break")
    with file.open("rb") as stream:
        found = list(lines(stream))
    left_out = f"[a line of more than {LONGEST_LINE} bytes was left out]"
    assert found == ["one", " 10%|", " 20%|", left_out, "last", left_out, "end without a break"]


# ------------------------------------------------------------------------------------------- what is known beforehand


def test_every_recipe_can_be_shown(tmp_path: Path) -> None:
    assert len(RECIPES) >= 5
    for path in RECIPES.values():
        assert {"Base", "Adapter", "GPU", "Memory"} <= {name for name, _ in facts_of(path).rows}
        assert estimate_of(path, "here", 0, 0, tmp_path).rows[-1] == ("Money", "none: this machine")
    assert ("Budget", "5.00 US dollars") in estimate_of(path, "runpod", 2, 5).rows


def test_the_estimate_is_what_a_run_of_this_very_recipe_took(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    estimate = estimate_of(run / "recipe.yaml", "here", 0, 0, tmp_path)
    assert "not been trained" in estimate.note  # another name
    (tmp_path / "toy.yaml").write_bytes((run / "recipe.yaml").read_bytes())
    estimate = estimate_of(tmp_path / "toy.yaml", "here", 0, 0, tmp_path)
    assert [name for name, _ in estimate.rows] == ["Training", "Answers of both arms", "Money"]
    assert "2 cores of a CPU" in estimate.note


def test_a_rehearsal_counts_for_the_recipe_that_was_rehearsed(tmp_path: Path) -> None:
    recipe, folder = tmp_path / "toy.yaml", tmp_path / "rehearsals"
    recipe.write_text("base_model: x\n")
    assert "not rehearsed" in last_rehearsal(recipe, folder).summary
    (folder / "toy").mkdir(parents=True)
    steps = [{"step": "lint", "said": "fine"}, {"step": "publish, dry run", "said": "refused, as it should be"}]
    facts = {"recipe_sha256": file_sha256(recipe), "steps": steps}
    failed = [{"step": "data", "said": "failed: row 3"}]
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "good"), ({"steps": steps[:1]}, "unsure"), ({"recipe_sha256": "0"}, "unsure"), ({"steps": failed}, "bad"),
        ({"steps": 3}, "bad"),
    ]  # fmt: skip
    for change, tone in cases:
        write_json(folder / "toy" / "rehearsal.json", facts | change)
        assert last_rehearsal(recipe, folder).tone == tone


# ----------------------------------------------------------------------------------------------------------- reports


def test_a_decision_is_about_the_bytes_that_were_shown(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    shown = reports.show("toy", tmp_path)
    assert (shown.verdict, shown.approvable, shown.review) == ("ship", True, "") and "<html" in shown.report
    report = (run / "report.html").read_text()
    (run / "report.html").write_text(report + " ")
    for seen in (shown.seen, "", "0" * 64):
        with pytest.raises(UserError, match="changed since it was shown"):
            reports.decide("toy", seen, "approve", "ada", "read", tmp_path)
    assert not (run / "review.json").exists()
    (run / "report.html").write_text(report)
    review = reports.decide("toy", shown.seen, "approve", "ada", "read", tmp_path)
    assert review == read_review(run) and (review.reviewer, review.comment) == ("ada", "read")
    assert reports.show("toy", tmp_path).review.startswith("Already decided: approve by ada")


def test_what_is_no_ship_can_only_be_rejected(tmp_path: Path) -> None:
    run = build_run(tmp_path, candidate_right=2)
    shown = reports.show("toy", tmp_path)
    assert not shown.approvable
    with pytest.raises(Refused, match="only a ship"):
        reports.decide("toy", shown.seen, "approve", "ada", "", tmp_path)
    assert not (run / "review.json").exists()
    assert reports.decide("toy", shown.seen, "reject", "ada", "", tmp_path).decision == "reject"


def test_a_run_is_named_and_never_a_path(tmp_path: Path) -> None:
    build_run(tmp_path / "results")
    build_run(tmp_path / "elsewhere", "other")
    for name in ("../elsewhere/other", str(tmp_path / "elsewhere/other"), "", "nothing"):
        with pytest.raises(UserError, match="no evaluated run"):
            reports.show(name, tmp_path / "results")
    with pytest.raises(UserError, match="approve or reject"):
        reports.decide("toy", "", "publish", "ada", "", tmp_path / "results")


# --------------------------------------------------------------------------------------------------------- as a Space


def test_the_space_says_what_hugging_face_reads() -> None:
    _, front, _ = (ROOT / "spaces/trainer/README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(front)
    assert (facts["sdk"], facts["hf_oauth"]) == ("gradio", True) and (ROOT / facts["app_file"]).is_file()
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line.count("==") == 1
    )
    assert facts["sdk_version"] == pinned["gradio"]
    assert len(facts["short_description"]) <= 60 and facts["colorFrom"] in ("green", "gray")
    ours = {line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()}
    for line in (ROOT / "spaces/trainer/requirements.txt").read_text().splitlines():
        name, _, version = line.split("#")[0].strip().partition("==")
        assert not name or f"{name}=={version}" in ours or pinned.get(name) == version, line


def test_nothing_of_a_page_is_written_to_be_read_by_others(tmp_path: Path) -> None:
    from spaces.trainer.jobs import Jobs

    jobs = Jobs(tmp_path / "jobs")
    assert jobs.folder.stat().st_mode & 0o077 == 0 and jobs.latest() is None


def test_nothing_imports_the_page() -> None:
    for top in ("eval", "scripts"):
        for path in (ROOT / top).rglob("*.py"):
            assert not re.search(r"^\s*(from|import) spaces\b", path.read_text(), re.MULTILINE), path


@pytest.mark.slow
def test_the_page_starts_without_a_training_stack() -> None:
    """A free Space has none; and who asks for --help does not wait for Gradio."""
    code = (
        "import sys; from spaces.trainer import choices, door, jobs, recipe_facts, reports, runner, serve, views\n"
        "print(sorted({'torch', 'axolotl', 'transformers', 'gradio', 'lm_eval'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_files_and_functions_of_the_page_stay_short() -> None:
    for path in (ROOT / "spaces").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 40, f"{path}: {node.name}"
