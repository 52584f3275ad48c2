"""What each command answers under `--json`, as JSON Schemas: eval/schemas/answers/<command>.schema.json.

    python -m scripts.answers        writes the schemas again

RESULTS names, for each command, the model that its `result` is an instance of. A command that is not in it answers with
the same document and no result. How a command comes to answer is told in docs/extending.md.
"""

import importlib
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from eval.common.errors import run_command
from eval.common.places import ROOT
from eval.run.files import write_json
from eval.run.records import Record

FOLDER = ROOT / "eval" / "schemas" / "answers"
Result = TypeVar("Result", bound=BaseModel)
Verdict = Literal["ship", "no-ship", "inconclusive", "allow", "review", "block"]
# Command -> module:model
RESULTS = {
    "setup": "scripts.setup.installed:Installed",
    "tracking-setup": "scripts.setup.installed:Installed",
    "sandbox-check": "eval.sandbox.__main__:Probed",
    "lint": "scripts.training.lint_recipe:Linted",
    "preflight": "scripts.training.preflight:Fitness",
    "rehearse": "scripts.training.rehearse:Rehearsed",
    "train": "scripts.training.train:Trained",
    "sweep": "scripts.sweep:Swept",
    "remote": "scripts.remote.answered:JobRow",
    "remote-status": "scripts.remote.answered:Jobs",
    "remote-logs": "scripts.remote.answered:JobRow",
    "remote-stop": "scripts.remote.answered:Stopped",
    "adopt": "eval.adapters.adopt:Adopted",
    "eval": "eval.run.decided:Evaluated",
    "judge": "eval.run.decided:Evaluated",
    "generate": "eval.run.decided:Answered",
    "self-check": "eval.run.decided:Evaluated",
    "gate": "eval.run.decided:Decided",
    "demo": "eval.run.decided:Decided",
    "serve-check": "eval.run.decided:Decided",
    "quantize": "eval.run.decided:Decided",
    "damage-check": "scripts.damage_check:Damaged",
    "noise-floor": "scripts.noise_floor:Measured",
    "evaluate-file": "scripts.evaluate_file:AnsweredFile",
    "review": "scripts.review:Reviewed",
    "publish": "scripts.publish:Published",
    "demo-publish": "scripts.demo_publish:PublishedHere",
    "bless": "eval.run.baselines:Blessings",
    "runs": "scripts.runs:Listed",
    "compare": "scripts.runs:Compared",
    "track": "scripts.track:Logged",
    "sync": "scripts.track:Pushed",
    "plugins": "scripts.plugins:Plugged",
    "check": "scripts.check:Checked",
    "secrets": "scripts.hooks:Searched",
    "lock": "scripts.setup.lock:Locked",
    "check-golds": "scripts.check_golds:Golds",
    "new": "scripts.new_domain:Made",
    "data": "scripts.data.own_rows:Prepared",
    "expand": "scripts.teachers.expand:Expanded",
    "merge": "scripts.teachers.merge:Merged",
    "validate": "scripts.teachers.validate:Validated",
    "report": "eval.run.decided:Decided",
    "advise": "scripts.advise:Advice",
    "repeat": "scripts.repeat:RepeatedVerdict",
    "export": "scripts.export:Exported",
    "replay": "scripts.replay:Mixed",
}


class Document(Record, Generic[Result]):
    """The one document on stdout of a command under `--json`."""

    command: str
    exit_code: int = Field(description="0 ship or done, 1 no-ship or refused, 2 could not be done, 3 inconclusive")
    verdict: Verdict | None
    result: Result | None = Field(description="null when it could not be done, or there is nothing to tell")
    files: list[str] = Field(description="written, or written before and still current; below the working directory")
    error: str | None = Field(description="one line: what is wrong, where, what to do")


def document_of(command: str) -> type[Document[Any]]:
    """The model of a command's document. KeyError for one that has no result."""
    module, _, name = RESULTS[command].partition(":")
    kind = getattr(importlib.import_module(module), name)
    return Document[kind]  # type: ignore[valid-type]


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema of a command's document."""
    return {**document_of(command).model_json_schema(), "title": f"make {command} JSON=1"}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for command in RESULTS:
        path = FOLDER / f"{command}.schema.json"
        write_json(path, schema_of(command))
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    run_command(main)
