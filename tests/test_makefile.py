"""The Makefile takes what a user sets as text: it reaches the command exactly, and nothing of it is executed.

The real make runs the real Makefile in a folder of its own, where PY is a script that writes down how it was called.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from eval.common.places import ROOT

MAKEFILE = ROOT / "Makefile"
RECORDER = '#!/bin/sh\nprintf \'%s\\0\' "$#" "$@" >> calls\n'  # how many arguments, and each
HOSTILE = {
    "double quote": 'x"; touch touched; "',
    "single quote": "x'; touch touched; '",
    "backticks": "`touch touched`",
    "shell substitution": "$(touch touched)",
    "the same, for make": "$$(touch touched)",
    "make's shell": "$(shell touch touched)",
    "make's shell, quoted once": "$$(shell touch touched)",
    "make's shell in braces": "${shell touch touched}",
    "make's eval": "$(eval $(shell touch touched))",
    "a line of its own": "x\ntouch touched\n#",
    "comment": "x # y",
    "backslash": "x\\",
    "pattern": "*",
    "option": "--help",
    "dollar": "$HOME $(HOME) $$",
}
# Variable -> a goal that uses it, and what the command receives for the text; "" where it is only a switch.
USES = {
    "RECIPE": [
        ("lint", "{}"),
        ("preflight", "{}"),
        ("train", "{}"),
        ("demo", "{}"),
        ("repeat", "{}"),
        ("sweep SWEEP=s.yaml", "{}"),
        ("replay", "{}"),
        ("rehearse", "{}"),
        ("remote", "{}"),
        ("adopt ADAPTER=theirs", "--recipe={}"),
    ],
    "GPUS": [("train", "--gpus={}")],
    "GPU": [("lint", "--gpu={}"), ("remote", "--gpu={}")],
    "ON": [(goal, "--on={}") for goal in ("remote", "remote-status", "remote-stop")],
    "MAX_HOURS": [("remote", "--max-hours={}")],
    "BUDGET": [("remote", "--budget={}")],
    "PRICE": [("remote", "--price={}")],
    "DETACH": [("remote", "")],
    "JOB": [("remote-logs", "{}"), ("remote-stop", "{}")],
    "FOLLOW": [("remote-logs", "")],
    "FORGET": [("remote-stop", "")],
    "RUN": [
        *((goal, "--run={}") for goal in ("damage-check", "report", "gate", "advise", "export", "review")),
        *((goal, "--run={}") for goal in ("bless", "bench-numerics", "publish", "demo-publish")),
    ],
    "SUITE": [
        *((goal, "--config={}") for goal in ("eval", "generate", "judge")),
        ("self-check", "--config={}"),
        ("rehearse", "--suite={}"),
        ("repeat", "--suite={}"),
        ("sweep", "--suite={}"),
        *((goal, "--suite={}") for goal in ("noise-floor", "damage-check", "gate")),
    ],
    "SEEDS": [("repeat", "--seeds={}")],
    "SWEEP": [("sweep", "--sweep={}")],
    "RANK": [("sweep", "--rank={}")],
    "CHECKPOINTS": [("sweep", "")],
    "STRICT": [("eval", ""), ("generate", ""), ("judge", ""), ("sweep", "")],
    "BASELINE": [("eval", "--baseline={}"), ("generate", "--baseline={}")],
    "LIMIT": [("noise-floor", "--limit={}")],
    "TO": [("track", "--to={}"), ("sync", "--to={}")],
    "SPACE": [("sync", "--space={}")],
    "DECISION": [("review", "--decision={}")],
    "REVIEWER": [(goal, "--reviewer={}") for goal in ("review", "demo-publish", "space")],
    "PICTURES": [("space-check", "--pictures={}")],
    "PRODUCT": [("ci-check", "--product={}")],
    "STEPS": [("ci-check", "--steps={}")],
    "COMMENT": [("review", "--comment={}")],
    "OVERRIDE": [("review", "--override={}")],
    "SIGN": [("review", "")],
    "KEY": [("review", "--key={}")],
    "REPO": [("publish", "--repo={}")],
    "TAG": [("publish", "--tag={}")],
    "PUBLIC": [("publish", "")],
    "SKIP_LOAD": [("publish", "")],
    "DRY_RUN": [("publish", "")],
    "SIGN_KEY": [("publish", "--sign-key={}")],
    "SPOT": [("publish", "--spot={}")],
    "REASON": [("publish", "--spot-reason={}")],
    "DOMAIN": [
        ("publish", "--domain={}"),
        ("plugins", "--domain={}"),
        ("data FILE=rows.jsonl", "--domain={}"),
        *((goal, "--domain={}") for goal in ("expand", "merge", "validate")),
        ("new", "{}"),
    ],
    "FILE": [
        *((goal, "--file={}") for goal in ("data", "expand", "replay", "validate")),
        ("evaluate-file", "--test-file={}"),
    ],
    "FILES": [("merge", "--files={}")],
    "OUT": [
        ("data FILE=rows.jsonl", "--out={}"),
        ("evaluate-file", "--output={}"),
        ("gate A=base", "--out={}"),
        *((goal, "--out={}") for goal in ("expand", "merge", "replay")),
    ],
    "CONFIG": [(goal, "--config={}") for goal in ("data", "expand", "merge")],
    "N": [("expand", "--rows={}")],
    "AGREE": [("merge", "--agree={}")],
    "REPAIR": [("validate", "")],
    "TEST": [("data FILE=rows.jsonl", "--test={}")],
    "LICENCE": [
        ("data FILE=rows.jsonl", "--licence={}"),
        ("adopt ADAPTER=theirs", "--licence={}"),
        ("replay", "--licence={}"),
    ],
    "ADAPTER": [("adopt", "{}")],
    "BASE": [("adopt ADAPTER=theirs", "--base={}"), ("eval", "--base-model={}"), ("generate", "--base-model={}")],
    "FORM": [("serve-check", "--form={}")],
    "QUANT": [("serve-check", "--quant={}"), ("quantize", "--quant={}")],
    "METHOD": [("quantize", "--method={}")],
    "URL": [("serve-check", "--url={}")],
    "NAME": [("serve-check", "--name={}")],
    "KEY_ENV": [("serve-check", "--key-env={}")],
    "MODEL": [("eval", "--model={}"), ("generate", "--model={}"), ("evaluate-file", "--model-path={}")],
    "AT": [("new", "--at={}")],
    "A": [("compare", "{}"), ("gate", "--a={}")],
    "B": [("compare", "{}"), ("gate", "--b={}")],
    "STARTER": [("gate A=base", "--starter={}")],
    "CMD": [("check", "{}")],
    "FORCE": [("sandbox-root", "")],
    "MUTANTS": [("check-golds", "")],
    "NL2BASH": [
        (goal, "--nl2bash={}") for goal in ("bench-judge", "bench-risk", "bench-data", "fuzz-risk", "data CONFIG=x")
    ],
    "LIST": [("bench-collateral", "")],
    "INPUTS": [("fuzz-inputs", "--inputs={}")],
    "SEED": [("fuzz-inputs", "--seed={}"), ("replay", "--seed={}")],
    "SHARE": [("replay", "--share={}")],
    "TEMPERATURE": [("replay", "--temperature={}")],
    "ONLY": [("test-fast", "-k={}")],
    "RISK": [("bench-risk", "--reports={}")],
    "TWICE": [("bench-judge", "")],
    "PYTHON": [("lint", "")],
    "JSON": [("eval", ""), ("check", "--json")],
}
# Tests and pages, whose answers are their own tools', and what only removes or installs a folder.
WITHOUT_JSON = {"help", "test", "test-fast", "coverage", "docs", "clean-cache", "space", "space-check", "ci-check",
                "hub-login"}  # fmt: skip
CASES = [(name, goal, received) for name, uses in USES.items() for goal, received in uses]
# Every variable meets them in one text: what arrives exactly was executed by nobody, and what breaks one breaks all.
ALL_AT_ONCE = "\n".join(HOSTILE.values())
# One variable for each way in which a recipe names any, and one beside which others are not read: these meet every text
# by themselves.
WAYS = [("CMD", "check"), ("A", "compare"), ("GPU", "lint"), ("STRICT", "eval"), ("RECIPE", "train"), ("RUN", "gate"),
        ("CONFIG", "data"), ("REPO", "publish"), ("NL2BASH", "bench-risk")]  # fmt: skip
OTHERS = [case for case in CASES if case[:2] not in WAYS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile, with everything installed as far as make can see."""
    (tmp_path / "Makefile").symlink_to(MAKEFILE)
    (tmp_path / "scripts").symlink_to(MAKEFILE.with_name("scripts"))
    for name in re.findall(r"requirements[\w-]*\.txt|constraints\.txt", MAKEFILE.read_text()):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".cache" / "hub-login").mkdir(parents=True)
    for place, name in enumerate((".venv/.runtime", ".venv/.dev", ".cache/hub-login/.made"), start=1):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (place, place))
    for program, script in (("python", RECORDER), (".venv/bin/uv", "#!/bin/sh\n")):
        (tmp_path / program).write_text(script)
        (tmp_path / program).chmod(0o755)
    return tmp_path


def calls_of(folder: Path, goal: str, *given: str, **environment: str) -> list[list[str]]:
    """What the goal's commands were called with; a goal may bring a variable that it needs."""
    command = ["make", "--no-print-directory", *goal.split(), f"PY={folder / 'python'}", *given]
    clean = {name: value for name, value in os.environ.items() if name not in USES and name != "MAKEFLAGS"}
    done = subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (folder / "touched").exists()
    words = iter((folder / "calls").read_text().split("\0")[:-1])
    return [[next(words) for _ in range(int(count))] for count in words]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("name", "goal", "received"), [case for case in CASES if case[:2] in WAYS])
def test_what_a_user_sets_is_text(folder: Path, name: str, goal: str, received: str, text: str) -> None:
    assert_texts(folder, goal, {name: text}, {name: received})


@pytest.mark.parametrize("text", [ALL_AT_ONCE, HOSTILE["option"]], ids=["all at once", "option"])
@pytest.mark.parametrize("goal", sorted({goal for _, goal, _ in OTHERS}))
def test_and_so_is_every_other_variable(folder: Path, goal: str, text: str) -> None:
    """All variables of a goal at once, each with its own name behind the text."""
    uses = {name: received for name, other, received in OTHERS if other == goal}
    assert_texts(folder, goal, {name: text + name for name in uses}, uses)


@pytest.mark.parametrize("name", ["DRYRUN", "REPPO", "dry_run", "MAX_HOUR", "A.B"])
@pytest.mark.parametrize("text", ["1", ALL_AT_ONCE], ids=["a number", "all at once"])
def test_a_variable_that_nothing_reads_is_one_line_and_nothing_is_done(folder: Path, name: str, text: str) -> None:
    """Passed over in silence, DRYRUN=1 would publish."""
    command = ["make", "--no-print-directory", "publish", f"PY={folder / 'python'}", "REPO=a/b", f"{name}={text}"]
    clean = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and f"*** {name}= is not read" in done.stderr
    assert not done.stdout and not (folder / "calls").exists() and not (folder / "touched").exists()


@pytest.mark.parametrize("no", ["0", "no", "false", "off", ""])
def test_a_switch_that_says_no_is_off(folder: Path, no: str) -> None:
    """PUBLIC=0 would publish for everybody to see."""
    (call,) = calls_of(folder, "publish REPO=a/b DRY_RUN=1", f"PUBLIC={no}", f"SKIP_LOAD={no}", f"JSON={no}")
    assert call == ["-m", "scripts.publish", "--repo=a/b", "--dry-run"]


def test_what_libraries_read_in_their_environment_may_be_set_as_a_variable(folder: Path) -> None:
    given = ("WANDB_MODE=disabled", "CUDA_VISIBLE_DEVICES=", "https_proxy=x", "TMPDIR=/tmp")
    assert calls_of(folder, "runs", *given) == [["-m", "scripts.runs"]]


def assert_texts(folder: Path, goal: str, given: dict[str, str], received: dict[str, str]) -> None:
    """The goal's command gets the texts exactly, given to make or in the environment, and executes nothing of them."""
    on_the_line = calls_of(folder, goal, *(f"{name}={text}" for name, text in given.items()))
    (folder / "calls").unlink()
    for calls in (on_the_line, calls_of(folder, goal, **given)):
        for name, text in given.items():
            assert any(received[name].format(text) in call for call in calls) or not received[name], name


@pytest.mark.parametrize("goal", ["eval", "track", "sync", "bench-replay"])
def test_every_word_of_run_is_a_run(folder: Path, goal: str) -> None:
    for text in ("one", "one two", *HOSTILE.values()):
        (folder / "calls").unlink(missing_ok=True)
        calls = calls_of(folder, goal, f"RUN={text}")
        (call, *_) = [call for call in calls if any(word.startswith("--run") for word in call)]
        assert [word for word in call if word.startswith("--run=")] == [f"--run={word}" for word in text.split()]
    (folder / "calls").unlink()
    words = [word for call in calls_of(folder, goal) for word in call if "--run" in word]
    assert words == (["--run=results/latest"] if goal == "eval" else []), "what was evaluated is what is logged"


def test_without_variables_the_commands_get_their_defaults(folder: Path) -> None:
    expected = {
        "data": ["-m", "scripts.data.build_replay"],
        "new": ["-m", "scripts.new_domain", "--", ""],
        "lint": ["-m", "scripts.training.lint_recipe", "--"],
        "train": ["-m", "scripts.training.train", "--", "smollm2-135m-cpu"],
        "gate": ["-m", "eval.gates", "--run="],
        "review": ["-m", "scripts.review", "--page"],
        "publish": ["-m", "scripts.publish", "--repo="],
        "compare": ["-m", "scripts.runs", "compare", "--"],
        "check": ["-m", "scripts.check", "--", ""],
    }
    for goal, call in expected.items():
        assert calls_of(folder, goal)[-1] == call


def test_every_command_answers_in_json_and_what_is_on_the_way_only_when_it_fails(folder: Path) -> None:
    """Each goal ends with one document: its last command's, and none of what make does before."""
    explained = re.findall(r"^([a-z-]+):.*## ", MAKEFILE.read_text(), re.MULTILINE)
    for goal in sorted(set(explained) - WITHOUT_JSON):
        (folder / "calls").unlink(missing_ok=True)
        own = {"data": ["FILE=rows.jsonl"]}.get(goal, [])
        calls = calls_of(folder, goal, "JSON=1", *own)
        assert [call for call in calls if "--json" in call] != [] or goal == "bench", f"{goal} has no $(json)"
        assert sum("--json" in call for call in calls) <= 1, f"{goal} answers more than once"
        silent = [call for call in calls if not any(word.startswith("--json") for word in call)]
        assert all(call[:2] == ["-m", "scripts.track"] for call in silent), f"{goal}: {silent} prints on stdout"
    (folder / "calls").unlink()
    assert not any("--json" in word for call in calls_of(folder, "eval") for word in call)


def test_every_variable_of_the_makefile_is_tried() -> None:
    """A recipe names a user's variable in one of the four ways that are known here, and in no other."""
    text = MAKEFILE.read_text()
    used = set(re.findall(r"\$\(call (?:argument|option|switch),(\w+)", text)) | set(
        re.findall(r"\$\$\{?([A-Z]\w*)", text)
    )
    assert used == USES.keys()
    macros = {"PY", "UV", "RUNS", "TESTS", "MAKEFILE_LIST", "MAKECMDGOALS", "MAKELEVEL"}
    assert set(re.findall(r"\$[({]([A-Z]\w*)[)}]", text)) - {"NAME"} == macros
