"""Performs the jobs of a workflow file on this machine: their `run:` steps in order, with bash, as a runner does.

    walk = Walk(clone, artifacts, {"github": {...}, "vars": {...}}, environment)
    outputs = walk.job("train.yml", "train", matrix={"product": "shell"})       Failed when a step does

Expressions are evaluated, artifacts are folders, a local action's steps are performed. Checking out and setting Python
up is what the clone is; a step may be given a stand-in, by its name: another script, or more words at the end of its
own.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
NAME = re.compile(r"'[^']*'|\b(?:github|steps|needs|matrix|inputs|vars|secrets)(?:\.[\w-]+)+")
HERE_ALREADY = ("actions/checkout", "actions/setup-python")


class Failed(Exception):
    """A step ended with another code than 0."""

    def __init__(self, step: str, code: int, said: str) -> None:
        super().__init__(f"step {step!r} ended with {code}:\n{said}")
        self.step, self.code = step, code


@dataclass
class Walk:
    """One run of a workflow in a clone. `scripts`: instead of a step's own; `more`: at the end of a step's own."""

    clone: Path
    artifacts: Path
    contexts: dict[str, Any]
    environment: Mapping[str, str]
    scripts: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    performed: list[str] = field(default_factory=list)
    said: str = ""

    def job(self, workflow: str, name: str, **contexts: Any) -> dict[str, Any]:
        """Perform one job; what it hands on. None of it when its condition does not hold."""
        job = yaml.safe_load((self.clone / ".github/workflows" / workflow).read_text())["jobs"][name]
        around = self.contexts | contexts
        if not holds(job.get("if", ""), around):
            return {}
        steps = self.steps(job["steps"], around, job.get("env", {}))
        return {key: fill(text, around | {"steps": steps}) for key, text in job.get("outputs", {}).items()}

    def steps(self, steps: list[dict[str, Any]], contexts: dict[str, Any], env: dict[str, str]) -> dict[str, Any]:
        """Perform steps in order; their outputs by id, and whatever else expressions may name."""
        done: dict[str, Any] = {}
        for step in steps:
            around = contexts | {"steps": done}
            if not holds(step.get("if", ""), around):
                continue
            given = {key: str(fill(value, around)) for key, value in (env | step.get("env", {})).items()}
            options = {key: fill(value, around) for key, value in step.get("with", {}).items()}
            if "run" in step:
                done[step.get("id", "")] = {"outputs": self.script(step, given)}
            elif step["uses"].startswith("./"):
                action = yaml.safe_load((self.clone / step["uses"] / "action.yml").read_text())
                defaults = {key: value.get("default", "") for key, value in action["inputs"].items()}
                self.steps(action["runs"]["steps"], contexts | {"inputs": defaults | options}, {})
            elif not step["uses"].startswith(HERE_ALREADY):
                self.hand(step["uses"].split("/")[1].split("@")[0], options)
        return done

    def script(self, step: dict[str, Any], env: dict[str, str]) -> dict[str, str]:
        """Run one step's script; its outputs."""
        name = step["name"]
        outputs = self.artifacts / "outputs"
        outputs.write_text("")
        files = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(self.artifacts / "summary.md")}
        text = self.scripts.get(name, f"{step['run']}{self.more.get(name, '')}")
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", text], cwd=self.clone, env={**self.environment, **env, **files},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.said += done.stdout
        self.performed.append(name)
        if done.returncode:
            raise Failed(name, done.returncode, done.stdout)
        return dict(line.split("=", 1) for line in outputs.read_text().splitlines())

    def hand(self, action: str, options: dict[str, Any]) -> None:
        """An artifact, kept or fetched."""
        if action == "upload-artifact":
            target = self.artifacts / options["name"]
            shutil.rmtree(target, ignore_errors=True)
            paths = [self.clone / line.strip() for line in options["path"].splitlines() if line.strip()]
            for path in paths:
                if path.is_dir():
                    shutil.copytree(path, target, dirs_exist_ok=True)
                else:
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, target)
        elif action == "download-artifact":
            pattern = options.get("name") or options["pattern"]
            for found in sorted(path for path in self.artifacts.iterdir() if fnmatch.fnmatch(path.name, pattern)):
                inside = "" if options.get("name") else found.name
                shutil.copytree(found, self.clone / options["path"] / inside, dirs_exist_ok=True)
        else:
            raise AssertionError(f"no step of this kind is known: {action}")


def fill(text: Any, contexts: dict[str, Any]) -> Any:
    """A value of the file with its expressions evaluated; a lone expression keeps its type."""
    if not isinstance(text, str):
        return text
    whole = PLACE.fullmatch(text.strip())
    if whole:
        return evaluate(whole[1], contexts)
    return PLACE.sub(lambda found: str(evaluate(found[1], contexts)), text)


def holds(condition: str, contexts: dict[str, Any]) -> bool:
    """Whether an `if:` does; an empty one holds."""
    found = PLACE.fullmatch(condition.strip())
    return bool(evaluate(found[1] if found else condition, contexts)) if condition else True


def evaluate(expression: str, contexts: dict[str, Any]) -> Any:
    """An expression of the workflows here: names, texts, ==, !=, &&, ||, !cancelled() and fromJSON()."""

    def python(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith("'") else f"named({found[0]!r})"

    def named(path: str) -> Any:
        value: Any = contexts
        for part in path.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return value

    text = NAME.sub(python, " ".join(expression.split()))
    text = text.replace("!cancelled()", "True").replace("&&", " and ").replace("||", " or ")
    return eval(text, {"__builtins__": {}}, {"named": named, "fromJSON": json.loads})  # of a file of this repository


def clone_of(root: Path, clone: Path) -> Path:
    """A clone of what is committed, on a branch main of its own, with the environment and models of this one."""
    subprocess.run(["git", "clone", "--quiet", "--shared", root, clone], check=True)
    git(clone, "checkout", "--quiet", "-B", "main")
    for name in (".venv", "models", ".cache"):
        (clone / name).symlink_to((root / name).resolve())
    return clone


def commit(clone: Path, files: Mapping[str, str]) -> None:
    """Commit these files on the clone's main."""
    for name, text in files.items():
        (clone / name).write_text(text)
    git(clone, "add", *files)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    git(clone, *who, "commit", "--quiet", "--message", "for the walk")


def git(clone: Path, *arguments: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "-C", clone, *arguments], env=clean, check=True)
