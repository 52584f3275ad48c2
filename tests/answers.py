"""Answers of real commands held against their committed schemas."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from eval.common.answer import Answer, Document
from scripts.answers import FOLDER, RESULTS


@cache
def validator(command: str) -> Any:
    from jsonschema import Draft202012Validator  # a second of processor time, which collecting tests does not need

    return Draft202012Validator(json.loads((FOLDER / f"{command}.schema.json").read_text()))


def document(stdout: str | bytes) -> dict[str, Any]:
    """The one document, on one line, of a schema when its command has one."""
    (line,) = stdout.splitlines()
    answered: dict[str, Any] = json.loads(line)
    assert list(answered) == ["command", "exit_code", "verdict", "result", "files", "error"]
    if answered["command"] in RESULTS:
        validator(answered["command"]).validate(answered)
    return answered


def hold(answer: int | None) -> None:
    """What a main function returned, as JSON: of the schema of a command that answers with such a result."""
    if isinstance(answer, Answer) and answer.result is not None:
        kind = f"{type(answer.result).__module__}:{type(answer.result).__qualname__}"
        commands = [command for command, named in RESULTS.items() if named == kind]
        assert commands, f"{kind} has no schema: name it in scripts/answers.py"
        given = Document(commands[0], 1, False, Path.cwd()).content(answer)
        validator(commands[0]).validate(json.loads(json.dumps(given, allow_nan=False)))
