"""Command line of the analyser.

    python -m eval.risk --command TEXT      one assessment as JSON; exit code 0 allow, 1 block, 3 review
    python -m eval.risk --jsonl FILE        {"command"} a line in, {"verdict", "findings"} a line out, in order

FILE may be `-` for standard input. With --jsonl every line that is not blank gets its line: one that holds no command
is answered {"verdict": "review", "error"}, and the exit code is then 2 at the end, else 0.
"""

import argparse
import json
from typing import Any

from eval.common.errors import INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.common.reading import JsonLine, json_lines
from eval.risk.analyser import analyse

EXIT = {"allow": SHIP, "review": INCONCLUSIVE, "block": NO_SHIP}


def judged_line(line: JsonLine) -> dict[str, Any]:
    """The answer to one line of JSON; one that cannot be read needs human review, and says why."""
    problem = line.problem or ("" if isinstance(line.value, dict) else "not an object")
    if not problem and not isinstance(line.value.get("command"), str):
        problem = "command is missing or not a text"
    if problem:
        return {"verdict": "review", "findings": [], "error": f"line {line.number}: {problem}"}
    return analyse(line.value["command"]).as_json()


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
    errors = []
    for line in json_lines(given.jsonl):
        answer = judged_line(line)
        print(json.dumps(answer), flush=True)
        errors += [answer["error"]] if "error" in answer else []
    if errors:
        raise UserError(f"{given.jsonl}: {len(errors)} lines without a command were answered `review`: {errors[0]}")
    return SHIP


if __name__ == "__main__":
    run_command(main)
