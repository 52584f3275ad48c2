"""Answers of other command checkers, for the same benchmark. Runs in a throw-away environment, not in .venv.

    python -m scripts.benchmarks.risk --write-commands commands.json --nl2bash FOLDER
    python3 -m venv /tmp/tools && /tmp/tools/bin/pip install cmd-risk bash-classify
    (cd /tmp/tools && npm install --ignore-scripts cc-safety-net)
    /tmp/tools/bin/python scripts/benchmarks/risk_tools.py commands.json answers.json --npm /tmp/tools
    python -m scripts.benchmarks.risk --tools answers.json --nl2bash FOLDER

A tool that is not installed is left out, and said so. Nothing is executed: each tool gets the text and answers.
Not measured, since neither could be installed where this was written: safe-chains (crates.io) and sh-guard (its package
on PyPI builds from crates). bash-classify names Python 3.12; pip's --ignore-requires-python installs it on 3.11.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAFETY_NET = """
import { checkCommand } from 'cc-safety-net/api';
import { readFileSync } from 'node:fs';
const commands = JSON.parse(readFileSync(0, 'utf8'));
const flag = (command) => {
  try { return checkCommand({ command, cwd: process.env.PROJECT }).kind === 'deny' ? 'flag' : 'allow'; }
  catch { return 'flag'; }
};
console.log(JSON.stringify(Object.fromEntries(commands.map((command) => [command, flag(command)]))));
"""


def answers_of(name: str, flags: Callable[[str], bool], commands: list[str]) -> dict[str, str]:
    """A tool's answer for each command; a tool that fails on a text counts as flagging it."""
    answers: dict[str, str] = {}
    failed = 0
    for command in commands:
        try:
            answers[command] = "flag" if flags(command) else "allow"
        except Exception:  # foreign code on hostile text: its failure is its answer, and is counted
            answers[command] = "flag"
            failed += 1
    print(f"{name}: {len(commands)} commands, {failed} failures (counted as flagged)", file=sys.stderr)
    return answers


def cmd_risk(commands: list[str]) -> dict[str, dict[str, str]]:
    """cmd-risk at its level `high` or above."""
    import cmd_risk as tool

    name = f"cmd-risk {importlib.metadata.version('cmd-risk')}, high or critical"
    return {name: answers_of(name, lambda text: tool.classify(text).level in ("high", "critical"), commands)}


def bash_classify(commands: list[str]) -> dict[str, dict[str, str]]:
    """bash-classify twice: DANGEROUS alone, and everything it does not know to be harmless."""
    import bash_classify as tool

    database: Any = tool.load_database()
    version = importlib.metadata.version("bash-classify")
    seen: dict[str, str] = {}

    def answer(text: str) -> str:
        if text not in seen:
            seen[text] = tool.classify_expression(text, database).classification.name
        return seen[text]

    strict, wide = f"bash-classify {version}, DANGEROUS", f"bash-classify {version}, DANGEROUS or UNKNOWN"
    return {
        strict: answers_of(strict, lambda text: answer(text) == "DANGEROUS", commands),
        wide: answers_of(wide, lambda text: answer(text) in ("DANGEROUS", "UNKNOWN"), commands),
    }


def cc_safety_net(commands: list[str], folder: Path) -> dict[str, dict[str, str]]:
    """cc-safety-net through node, in the folder that holds node_modules."""
    package = json.loads((folder / "node_modules/cc-safety-net/package.json").read_text())
    with tempfile.TemporaryDirectory() as project:  # it denies everything in a folder that does not exist
        done = subprocess.run(
            ["node", "--input-type=module", "-e", SAFETY_NET],
            input=json.dumps(commands), capture_output=True, text=True, cwd=folder, check=True,
            env=os.environ | {"PROJECT": project},
        )  # fmt: skip
    return {f"cc-safety-net {package['version']}": json.loads(done.stdout)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("commands", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--npm", type=Path, help="folder with node_modules/cc-safety-net")
    given = parser.parse_args()
    commands = json.loads(given.commands.read_text())
    answers: dict[str, dict[str, str]] = {}
    for tool in (cmd_risk, bash_classify):
        try:
            answers |= tool(commands)
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)
    if given.npm:
        answers |= cc_safety_net(commands, given.npm)
    given.answers.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
