"""The steps of train.yml, performed in order in a clone, to a publication on a Hub of this machine.

Set-up, training and evaluation are stand-ins here: their result is a run made beforehand. Everything from there on is
the file's own: the shell lines, the conditions, what one job hands to the next.
"""

import importlib.metadata
import json
import os
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml

from eval.common.places import ROOT
from eval.run.digests import write_manifest
from eval.run.files import read_json
from eval.run.folder import read_run
from scripts.ci.summary import SHORT
from scripts.loopback_hub.server import serve as serve_hub
from scripts.publishing.approval import evidence_digest, present_digests
from tests import github_server
from tests.github_server import BRANCH, REPOSITORY, RUN
from tests.log_rows import gate, write_suite
from tests.run_builder import build_run, judge
from tests.test_hub_end_to_end import copy_tokenizer
from tests.test_logs_verdict import BROUGHT, listed
from tests.variant_builder import build_variant
from tests.workflow_walk import Failed, Walk, clone_of, commit, evaluate, fill

pytestmark = pytest.mark.slow
PRODUCT = {"name": "shell", "recipe": "toy", "suite": "toy", "hub_name": "toy-adapter",
           "served": {"form": "nf4", "quantize": True}}  # fmt: skip
REPO = "someone/toy-adapter"
DONE_BEFOREHAND = {
    "Install": "true",
    "System packages": "true",
    "Setup": "true",
    "Data": "true",
    "Train": "true",
    "Evaluate": '.venv/bin/python -m scripts.ci answer -- sh -c "exit $ANSWER"',
    "Quantise": 'echo "run=toy-nf4\ncode=0" >> "$GITHUB_OUTPUT"',
}
MADE_UP = " --spot 0 --spot-reason 'the answers of this run are made up' --skip-load"


def prepared(folder: Path) -> Path:
    """A clone whose main has a product and its suite, with a run of it in results/."""
    clone = clone_of(ROOT, folder / "clone")
    run = build_run(clone / "results")
    copy_tokenizer(run)
    write_manifest(run / "adapter", run / "adapter.sha256")
    judge(run)
    build_variant(run)
    products = yaml.safe_dump({"products": [PRODUCT]})
    commit(clone, {"configs/products.yaml": products, "configs/eval/toy.yaml": (run / "suite.yaml").read_text()})
    return clone


def test_every_step_from_a_push_to_the_hub(tmp_path: Path) -> None:
    clone, artifacts = prepared(tmp_path), tmp_path / "artifacts"
    artifacts.mkdir()
    (clone / "bin").mkdir()
    (clone / "bin/python").write_text(f'#!/bin/sh\nexec "{clone}/.venv/bin/python" "$@"\n')
    (clone / "bin/python").chmod(0o755)
    with github_server.serve() as github, serve_hub(tmp_path / "hub") as hub:
        hub.store.create(REPO, private=True)
        hub.trusted[REPO] = github.identity
        github.open_pull(7)
        environment = {**os.environ, **github.environment, **hub.environment, "HF_HOME": str(tmp_path / "home"),
                       "PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "ANSWER": "0"}  # fmt: skip
        del environment["HF_TOKEN"]
        contexts = {
            "github": {"ref": f"refs/heads/{BRANCH}", "run_id": RUN, "token": github.token, "repository": REPOSITORY},
            "vars": {"HUB_OWNER": "someone"},
        }
        walk = Walk(clone, artifacts, contexts, environment, DONE_BEFOREHAND, {"Publish": MADE_UP})

        names = json.loads(walk.job("train.yml", "products")["names"])
        assert names == ["shell"]
        walk.job("train.yml", "train", matrix={"product": "shell"})
        quantised = ["Quantise", "Hand on the variant"]
        assert walk.performed[-7:] == ["Run", "Evaluate", *quantised, "Hand on", "Summary", "Gate"]
        kept = sorted(path.name for path in (artifacts / "variant-shell/toy-nf4/model").iterdir())
        assert "model.safetensors" in kept and not (artifacts / "variant-shell/toy-nf4/adapter").exists()
        collected = walk.job("train.yml", "collect", needs={"train": {"result": "success"}})
        (shipped,) = json.loads(collected["shipped"])
        assert "shell: SHIP" in github.comments[0]["body"] and len(github.comments) == 1

        other_machine(clone)
        approval = {"collect": {"result": "success", "outputs": collected}}
        with pytest.raises(Failed, match="nobody approved publish-shell") as refused:
            walk.job("train.yml", "publish", matrix={"shipped": shipped}, needs=approval)
        assert (refused.value.step, refused.value.code) == ("Approval", 1)
        repository = hub.store.get(REPO)
        assert repository and not repository.tags

        other_machine(clone)
        github.approve("publish-shell", f"fine {shipped['evidence'][:SHORT]}")
        walk.job("train.yml", "publish", matrix={"shipped": shipped}, needs=approval)
        record = read_json(artifacts / "publication-shell" / "publication.json")
        repository = hub.store.get(REPO)
        assert repository and repository.tags == {"toy": record["commit"]}
        assert (record["reviewer"], record["publisher"]) == ("ada", "a trusted publisher (OIDC)")
        assert shipped["evidence"] == evidence_digest(present_digests(clone / "results/toy"))
        (token,) = hub.exchanged
        assert f"::add-mask::{token}" in walk.said and walk.said.count(token) == 1 and github.token not in walk.said

        walk.environment = environment | {"ANSWER": "3"}
        (clone / "handed-on").rename(tmp_path / "before")
        (clone / "results/toy/review.json").unlink()
        with pytest.raises(Failed) as gate:
            walk.job("train.yml", "train", matrix={"product": "shell"})
        assert (gate.value.step, gate.value.code) == ("Gate", 3)
        assert json.loads(walk.job("train.yml", "collect", needs={"train": {"result": "failure"}})["shipped"]) == []
        assert len(github.comments) == 1
    assert read_run(clone / "results/toy")["run"] == "toy"


# What is not listed cannot be imported, unless the listed packages bring it along.
FEW = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
"""


@cache
def few() -> str:
    """FEW with the modules of every other package: looked for here once, and not by each Python that starts."""
    allowed = {normal(line.partition("==")[0]) for line in listed("requirements-logs.txt")} | set(BROUGHT)
    modules = importlib.metadata.packages_distributions()
    return FEW.format(blocked={name for name, owners in modules.items() if not set(map(normal, owners)) & allowed})


def normal(package: str) -> str:
    return re.sub("[-_.]+", "-", package).lower()


@pytest.mark.parametrize(("b", "allow", "ended"), [("candidate", "true", ""), ("base", "", "Decide")])
def test_the_gate_for_other_repositories_decides_with_few_packages(
    b: str, allow: str, ended: str, tmp_path: Path
) -> None:
    """The action's own steps in somebody else's folder; the second time both logs are one, which decides nothing."""
    logs, python = ROOT / "tests/data/logs/lm_eval", tmp_path / "ship-gate/bin/python"
    (tmp_path / "few").mkdir()
    (tmp_path / "few/sitecustomize.py").write_text(few())
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{tmp_path}/few" exec "{ROOT}/.venv/bin/python" "$@"\n')
    python.chmod(0o755)
    suite = write_suite(tmp_path / "suite.yaml", gate("small_choice", "acc", margin=0.9))
    action = ROOT / ".github/actions/gate"
    document = yaml.safe_load((action / "action.yml").read_text())
    given = {"a": str(logs / "base"), "b": str(logs / b), "suite": str(suite), "allow-inconclusive": allow}
    inputs = {key: value.get("default", "") for key, value in document["inputs"].items()} | given
    environment = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(action)}
    (tmp_path / "theirs").mkdir()
    walk = Walk(tmp_path / "theirs", tmp_path, {"inputs": inputs}, environment, {"Install": "true"})
    try:
        steps = walk.steps(document["runs"]["steps"], walk.contexts, {})
    except Failed as failed:
        assert ended and failed.step == ended, walk.said
        assert "A and B are both" in walk.said and "Traceback" not in walk.said
        return
    assert not ended and (tmp_path / "theirs/verdict/report.html").is_file()
    outputs = {key: fill(one["value"], {"steps": steps}) for key, one in document["outputs"].items()}
    assert outputs in ({"verdict": "ship", "exit-code": "0"}, {"verdict": "inconclusive", "exit-code": "3"}), walk.said
    assert "blocking gate" in (tmp_path / "summary.md").read_text()


def other_machine(clone: Path) -> None:
    """The next job starts on another machine, where nothing of this one is."""
    shutil.rmtree(clone / "results/toy", ignore_errors=True)
    shutil.rmtree(clone / "verdicts", ignore_errors=True)


def test_expressions_are_read_as_github_reads_them() -> None:
    contexts = {"github": {"ref": "refs/heads/main"}, "steps": {"hand-on": {"outputs": {"code": ""}}}, "inputs": {}}
    assert evaluate("github.ref == 'refs/heads/main' && inputs.x != ''", contexts) is False
    assert evaluate("steps.hand-on.outputs.code || '3'", contexts) == "3"
    assert evaluate("!cancelled() && github.ref != ''", contexts) is True
