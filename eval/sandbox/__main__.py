"""Run one command in a sandbox and print what it did, or check the sandbox.

    python -m eval.sandbox --fixture project -- ls -l        words after -- are joined by blanks into one command
    python -m eval.sandbox --check                           every probe and its result
"""

import argparse
import json
import sys

from eval.errors import UserError, run_command
from eval.sandbox import load_fixture, open_sandbox


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.sandbox", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fixture", default="home", help="a fixture's name or a folder (default: home)")
    parser.add_argument("--backend", choices=["namespaces", "pod"], help="default: the strongest that works here")
    parser.add_argument("--check", action="store_true", help="print every probe and its result")
    parser.add_argument("command", nargs="*", help="after --: the command")
    arguments = parser.parse_args()
    if not arguments.command:
        raise UserError("no command: write it after --, as in `python -m eval.sandbox --fixture home -- ls -l`")
    with open_sandbox(arguments.backend, workers=1) as sandbox:
        execution = sandbox.run(" ".join(arguments.command), load_fixture(arguments.fixture, sandbox))
    json.dump(execution.to_json(), sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    run_command(main)
