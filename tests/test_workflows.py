"""The workflows of .github as files: what they may do and run, and that no text from outside becomes a script."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.places import ROOT
from scripts.ci import __main__ as ci

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
PINNED = re.compile(r"uses: (?:\./\.github/actions/\w+|[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)(?:$| # zizmor)")
ZIZMOR = Path(sys.executable).with_name("zizmor")
ALLOWED = {
    "test": {"contents": "read"},
    "products": {"contents": "read"},
    "train": {"contents": "read"},
    "collect": {"contents": "read", "pull-requests": "write"},
    "publish": {"contents": "read", "actions": "read", "id-token": "write"},
}


def name_of(path: Path) -> str:
    return path.parent.name if path.stem == "action" else path.stem


def load(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def steps_of(path: Path) -> list[dict[str, Any]]:
    document = load(path)
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=name_of)
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    lines = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert lines and [line for line in lines if not PINNED.match(line)] == []


def test_one_action_has_one_version() -> None:
    pins = {re.search(r"uses: ([\w.-]+/[\w.-]+)@(.+)", line) for path in [*WORKFLOWS, *ACTIONS]
            for line in path.read_text().splitlines()} - {None}  # fmt: skip
    found = {(pin[1], pin[2]) for pin in pins if pin}
    assert len({name for name, _ in found}) == len(found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_a_job_may_do_what_it_needs_and_ends(path: Path) -> None:
    document = load(path)
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert job["permissions"] == ALLOWED[name], name
        assert job["timeout-minutes"] <= 360 and job["runs-on"] == "ubuntu-24.04"
        checkouts = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=name_of)
def test_a_script_holds_no_expression_and_knows_its_variables(path: Path) -> None:
    for step in steps_of(path):
        script = step.get("run", "")
        assert "${{" not in script, script
        known = {"PATH", "PRODUCT", "RUNNER_TEMP", "GITHUB_ACTION_PATH", *step.get("env", {})}
        used = set(re.findall(r"\$\{?([A-Z_]+)", script))
        assert used <= known, f"{step.get('name')}: {used - known}"
        assert 'run: "' not in script
        if "runs" in load(path) and script:
            assert step["shell"] == "bash"


def test_only_the_step_that_rents_a_machine_gets_a_secret() -> None:
    with_secrets = [step["name"] for path in [*WORKFLOWS, *ACTIONS] for step in steps_of(path)
                    if "secrets." in yaml.safe_dump(step)]  # fmt: skip
    assert with_secrets == ["Train and evaluate on a rented machine"]
    texts = [path.read_text() for path in [*WORKFLOWS, *ACTIONS]]
    assert sum(text.count("secrets.") for text in texts) == 2
    assert not [text for text in texts if "secrets: inherit" in text or "pull_request_target" in text]


def test_nothing_is_published_without_the_gate_of_a_person() -> None:
    jobs = load(ROOT / ".github/workflows/train.yml")["jobs"]
    publish = jobs["publish"]
    assert publish["environment"]["name"] == "publish-${{ matrix.shipped.product }}"
    assert "github.ref == 'refs/heads/main'" in publish["if"] and publish["needs"] == "collect"
    assert publish["steps"][-1]["with"]["environment"] == publish["environment"]["name"]
    by_hand = load(ROOT / ".github/workflows/publish.yml")["jobs"]["publish"]
    assert by_hand["if"] == "github.ref == 'refs/heads/main'" and "environment" not in by_hand["steps"][-1]["with"]
    names = [step.get("name") for step in steps_of(ROOT / ".github/actions/publish/action.yml")]
    assert names.index("Approval") < names.index("Publish")
    assert [step["name"] for step in jobs["train"]["steps"] if "name" in step][-1] == "Gate"


def test_every_command_is_one_that_there_is() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in [*WORKFLOWS, *ACTIONS]:
        for script in [step["run"] for step in steps_of(path) if "run" in step]:
            for words in re.findall(r"\bmake((?: [a-z][a-z-]*)+)", script):
                assert set(words.split()) <= targets, words
            for name in re.findall(r"requirements[\w-]*\.txt|\.github/[\w.-]+\.sh|eval/\w+\.py", script):
                assert (ROOT / name).is_file(), name
            for verb, rest in re.findall(r"-m scripts\.ci ([a-z-]+)([^\n]*)", script):
                given = re.sub(r"\$\{?[\w:+\-\"$ ]*\}|\"?\$[A-Z_]+\"?", "x", rest.split(" -- ")[0])
                ci.parse_arguments([verb, *given.replace('"', "").split(), *(["--", "x"] if " -- " in rest or
                                   rest.endswith(" --") else [])])  # fmt: skip


def test_the_small_jobs_have_the_packages_they_need() -> None:
    listed = (ROOT / "requirements-ci.txt").read_text()
    whole = (ROOT / "constraints.txt").read_text()
    assert "-r requirements-logs.txt" in listed and "httpx==0.28.1" in listed and "httpx==0.28.1" in whole


@pytest.mark.slow
def test_zizmor_finds_nothing() -> None:
    done = subprocess.run([ZIZMOR, "--offline", "--no-progress", ".github"], cwd=ROOT, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
