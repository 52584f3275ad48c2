"""Command line of the analyser.

    python -m eval.risk --command TEXT      one assessment as JSON; exit code 0 allow, 1 block, 3 review
    python -m eval.risk --jsonl FILE        {"command"} a line in, {"verdict", "findings"} a line out, in order

FILE may be `-` for standard input. With --jsonl the exit code is 0 when every line was judged.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from eval.errors import INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.reading import read_text
from eval.risk.analyser import analyse

EXIT = {"allow": SHIP, "review": INCONCLUSIVE, "block": NO_SHIP}


def commands(name: str) -> Iterator[str]:
    """The commands of a JSON-lines file, in order. UserError names the line that is not as it should be."""
    path = Path(name)
    if name != "-" and not path.is_file():
        raise UserError(f"{name} is not a file: give --jsonl a file of JSON lines")
    with sys.stdin if name == "-" else StringIO(read_text(path)) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                command = json.loads(line)["command"]
            except (ValueError, KeyError, TypeError):
                raise UserError(f'{name} line {number} is not {{"command": TEXT}}') from None
            if not isinstance(command, str):
                raise UserError(f"{name} line {number}: command is not a text")
            yield command


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m eval.risk", description=(__doc__ or "").split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--command", help="one command")
    source.add_argument("--jsonl", metavar="FILE", help="JSON lines with a field `command`; - is standard input")
    given = parser.parse_args()
    if given.command is not None:
        assessment = analyse(given.command)
        print(json.dumps(assessment.as_json()))
        return EXIT[assessment.verdict]
    for command in commands(given.jsonl):
        print(json.dumps(analyse(command).as_json()))
    return SHIP


if __name__ == "__main__":
    run_command(main)
