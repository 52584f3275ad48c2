"""Run one command in a sandbox and print what it did, or check the sandbox.

python -m eval.sandbox --fixture project -- ls -l        words after -- are joined by blanks into one command
python -m eval.sandbox --check                           every probe and its result
"""

import argparse
import json
import sys
from collections.abc import Iterable

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.run.records import Record
from eval.sandbox.execution import SandboxError
from eval.sandbox.fixtures import load_fixture
from eval.sandbox.manifest import check_root
from eval.sandbox.opening import BACKENDS, fit_machine, open_sandbox
from eval.sandbox.pool import Sandbox
from eval.sandbox.probes import check
from eval.sandbox.root import FOLDER, find_root


class Probed(Record):
    """Digest of the sandbox's root, and the backends that held every probe; commands run in the first."""

    root: str
    usable: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.sandbox", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fixture", default="home", help="a fixture's name or a folder (default: home)")
    parser.add_argument("--backend", choices=BACKENDS, help="default: the strongest that works here")
    parser.add_argument("--check", action="store_true", help="print every probe and its result")
    parser.add_argument("command", nargs="*", help="after --: the command")
    arguments = parser.parse_args()
    if arguments.check:
        return check_all([arguments.backend] if arguments.backend else BACKENDS)
    if not arguments.command:
        raise UserError("no command: write it after --, as in `python -m eval.sandbox --fixture home -- ls -l`")
    with open_sandbox(arguments.backend, workers=1) as sandbox:
        execution = sandbox.run(" ".join(arguments.command), load_fixture(arguments.fixture, sandbox))
    json.dump(execution.to_json(), sys.stdout, indent=2)
    print()
    return Answer(0, execution.to_json())


def check_all(backends: Iterable[str]) -> int:
    """Print every probe of every backend. 0 when at least one passes them all."""
    fit_machine()
    root = find_root()
    check_root(FOLDER, json.loads((FOLDER / "root.json").read_text(encoding="utf-8")).get("manifest"), contents=True)
    print(f"root: {root.kind}, digest {root.digest[:16]}, {root.top}")
    usable = []
    for name in backends:
        try:
            with Sandbox(name, root, workers=1) as sandbox:
                results = check(sandbox)
        except SandboxError as error:
            print(f"{name}: not usable: {error}")
            continue
        print(f"{name}: {sum(result.passed for result in results)} of {len(results)} probes held")
        for result in results:
            print(f"  {'held  ' if result.passed else 'FAILED'} {result.title} {result.detail}".rstrip())
        usable += [name] if all(result.passed for result in results) else []
    if not usable:
        raise SandboxError("no backend is usable here: commands cannot be executed, and there is no unprotected mode")
    print(f"commands run in: {usable[0]}")
    return Answer(0, Probed(root=root.digest, usable=usable))


if __name__ == "__main__":
    run_command(main, "sandbox-check" if "--check" in sys.argv else "sandbox")
