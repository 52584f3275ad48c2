"""What a step of GitHub Actions says to the steps after it, and to people: outputs, the job's summary, annotations.

Elsewhere the variables that name these files are not set; then everything is only printed.
"""

import os
import re
from pathlib import Path

from eval.common.errors import UserError

LARGEST_SUMMARY = 1_000_000  # bytes; GitHub shows none larger than 1 MiB


def variable(name: str) -> str:
    """A variable that GitHub sets for every step. UserError where it is missing: this is no such step."""
    value = os.environ.get(name, "")
    if not value:
        raise UserError(f"{name} is not set: this command runs in a step of GitHub Actions (docs/ci.md)")
    return value


def set_outputs(**values: object) -> None:
    """Outputs of this step, one line each, for `steps.<id>.outputs.<name>`. ValueError for a value of several lines."""
    lines = []
    for name, value in values.items():
        text = str(value)
        if len(text.splitlines()) > 1:
            raise ValueError(f"output {name} has several lines")
        lines.append(f"{name}={text}\n")
        print(f"ci: {name}={text}", flush=True)
    append("GITHUB_OUTPUT", "".join(lines))


def add_summary(text: str) -> None:
    """Put markdown on the job's page. What would be too large for it is cut, and says so."""
    whole = text.encode()
    if len(whole) > LARGEST_SUMMARY:
        text = whole[:LARGEST_SUMMARY].decode(errors="ignore") + "\n\n(cut: the artifact has all of it)\n"
    append("GITHUB_STEP_SUMMARY", text + "\n")


def append(name: str, text: str) -> None:
    if path := os.environ.get(name):
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text)


def annotate(level: str, title: str, message: str) -> None:
    """A line that GitHub shows at the top of the run. `level`: error, warning or notice."""
    print(f"::{level} title={escaped(title, properties=True)}::{escaped(message)}", flush=True)


def mask(secret: str) -> None:
    """Have the runner replace a secret in every log that follows."""
    print(f"::add-mask::{escaped(secret)}", flush=True)


def escaped(text: str, properties: bool = False) -> str:
    """Text in a workflow command, as GitHub's own toolkit writes it: nothing in it is a command of its own."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return re.sub(r"[:,]", lambda sign: f"%{ord(sign[0]):02X}", text) if properties else text
