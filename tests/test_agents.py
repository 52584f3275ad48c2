"""AGENTS.md performed as it stands, each answer held against its schema; and the skills held against their format.

The checkout is a clone whose CPU recipe and demo suite are made tiny; Python is forked (tests/preloaded.py).
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.places import ROOT
from scripts.answers import RESULTS
from tests import preloaded
from tests.answers import document
from tests.test_docs import anchors_of
from tests.test_extending import checkout  # noqa: F401  # a fixture

PAGE = ROOT / "AGENTS.md"
SKILLS = sorted((ROOT / "skills").iterdir())
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
STEPS, ITEMS, ROWS = 2, 4, 24
FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
SUITE = {
    "name": "demo",
    "description": "one task and one gate",
    "backend": {"kind": "hf", "batch_size": ITEMS},
    "tasks": [{"name": "securecli_nl2bash_known", "cluster": "shape", "max_new_tokens": 8, "limit": ITEMS}],
    "gates": [
        {
            "id": "command-only",
            "task": "securecli_nl2bash_known",
            "metric": "command_only",
            "rule": "min_rate",
            "limit": 0.9,
        }
    ],
}


def commands() -> list[str]:
    """Every line of shell in AGENTS.md, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def made_tiny(clone: Path, tiny_model: Path) -> None:
    """The recipe and the suite that AGENTS.md names, small enough for a test; committed, as preflight likes it."""
    path = clone / "configs/train/smollm2-135m-cpu.yaml"
    recipe = yaml.safe_load(path.read_text())
    for number, dataset in enumerate(recipe["datasets"]):
        rows = (clone / dataset["path"]).read_text().splitlines(keepends=True)[:ROWS]
        (clone / f"data/{number}.jsonl").write_text("".join(rows))
        dataset["path"] = f"data/{number}.jsonl"
    changes = {"base_model": str(tiny_model), "peft_layers_to_transform": [1], "max_steps": STEPS, "save_steps": STEPS}
    changes |= {"dataset_num_proc": 0}
    path.write_text(yaml.safe_dump(recipe | changes | {"logging_steps": 1, "wandb_mode": "disabled"}))
    (clone / "configs/eval/demo.yaml").write_text(yaml.safe_dump(SUITE))


def answers(clone: Path, home: Path) -> list[dict[str, Any]]:
    """What the commands of AGENTS.md answer, one after the other."""
    set_up, found = "true", []
    outer = {"MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}  # of `make test`: a make inside another says where it is
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    environment |= {"HOME": str(home), "MAKEFLAGS": f"PY={preloaded.python()}"}
    for line in commands():
        if line.startswith("export "):
            set_up = line
            continue
        done = subprocess.run(
            ["bash", "-c", f"{set_up}; {line}"], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.count("\n") == 1, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        found.append(document(done.stdout))
        assert found[-1]["command"] == line.split()[1] and found[-1]["command"] in RESULTS
        assert found[-1]["exit_code"] in ((0, 1, 3) if line.startswith("make eval") else (0,)), done.stderr[-3000:]
    return found


@pytest.mark.slow
def test_an_agent_that_follows_the_page_gets_from_a_recipe_to_a_verdict(
    checkout: Path,  # noqa: F811
    tmp_path: Path,
    tiny_model: Path,
) -> None:
    made_tiny(checkout, tiny_model)
    setup, lint, preflight, train, evaluation, track, review = answers(checkout, tmp_path)
    assert setup["result"]["packages"]["torch"]
    assert lint["result"] == {"recipes": {"smollm2-135m-cpu": []}} and preflight["result"]["fit"]
    run = train["result"]["run"]
    assert train["result"]["steps"] == STEPS and (checkout / train["files"][0] / "adapter_model.safetensors").is_file()
    assert evaluation["verdict"] == evaluation["result"]["runs"][0]["verdict"]
    assert f"results/{run}/report.html" in evaluation["files"] and (checkout / evaluation["files"][0]).is_file()
    assert track["result"]["runs"] == {run: {"trackio": "ok"}}
    assert (review["result"]["run"], review["result"]["decision"]) == (run, None)
    metrics = json.loads((checkout / f"results/{run}/metrics.json").read_text())
    assert metrics["verdict"] == review["verdict"] == evaluation["verdict"]


def test_the_page_is_short_and_leaves_to_people_what_is_theirs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    goals = [line.split()[1] for line in commands() if line.startswith("make")]
    assert not {"publish", "demo-publish", "bless"} & set(goals)
    assert all("JSON=1" in line and "DECISION" not in line for line in commands() if line.startswith("make"))


@pytest.mark.parametrize("folder", SKILLS, ids=lambda folder: folder.name)
def test_a_skill_is_of_the_format_and_what_it_names_exists(folder: Path) -> None:
    """As agentskills.io specifies it; `make` lines and links are ours."""
    text = (folder / "SKILL.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields.keys() <= FIELDS and all(isinstance(value, str) for value in fields.values())
    assert fields["name"] == folder.name and re.fullmatch(r"(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*", folder.name)
    assert 0 < len(fields["description"]) <= 1024 and "Use when" in fields["description"]
    assert len(body.splitlines()) <= 60, "loaded on demand, and as a whole"
    for link in re.findall(r"\]\(([^)\s]+)\)", body):
        path, _, anchor = link.partition("#")
        assert (folder / path).is_file(), link
        assert not anchor or anchor in anchors_of((folder / path).read_text(encoding="utf-8")), link
    goals = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    named = re.findall(r"`make ([a-z][a-z-]*)([^`]*)`", body)
    assert named and {goal for goal, _ in named} <= goals
    known = set(re.findall(r"\(call (?:argument|option|switch),(\w+)|\$\$\{?([A-Z]\w*)", MAKEFILE))
    for goal, rest in named:
        used = set(re.findall(r"\b([A-Z][A-Z_0-9]*)=", rest))
        assert used <= {name for pair in known for name in pair}, f"make {goal}{rest}"


def test_every_skill_is_named_where_an_agent_begins() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [folder.name for folder in SKILLS if f"skills/{folder.name}/SKILL.md" not in text] == []
