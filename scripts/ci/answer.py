"""A command whose exit code is an answer, as a step that only fails where there is none; the gate's step fails later.

    code = answer([sys.executable, "eval/run_eval_suite.py", "--run", "X"])      0, 1 or 3; anything else ends this too

make turns every code of its commands into 2, so that a workflow asks for a verdict by the commands themselves.
"""

import subprocess
from collections.abc import Sequence

from eval.common.errors import INCONCLUSIVE, NO_SHIP, SHIP, UserError
from eval.common.places import ROOT
from scripts.ci.runner import annotate

ANSWERS = {SHIP: "ship", NO_SHIP: "no-ship", INCONCLUSIVE: "inconclusive"}


def answer(command: Sequence[str]) -> int:
    """Exit code of a command, once it is an answer. UserError when it could not be started or gave none."""
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise UserError(f"{command[0]}: {error.strerror}: is .venv set up here?") from None
    if code not in ANSWERS:
        raise UserError(f"{' '.join(command[:4])} ... ended with {code}, which is no verdict: its own line says why")
    return code


def said_of(code: int, name: str, form: str = "") -> tuple[str, str, str]:
    """Level, title and sentence of an annotation for an answer. `form`: a served form's, of the product `name`."""
    what = f"the {form} form of {name}" if form else name
    if code == SHIP:
        return "notice", "ship", f"{what} passed every blocking gate"
    if code == NO_SHIP:
        return "error", "no-ship", f"{what} must not ship: the summary names the gates that failed"
    few = "its intervals still contain a threshold, so that more items may decide; this is neither a pass nor a failure"
    return "warning", "inconclusive", f"{what} is not decided: {few}, and nothing is published"


def gate(name: str, code: int, served: int | None, form: str, blocking: bool) -> int:
    """The exit code of the gate's step, after it has said what the answers mean.

    The served form's answer counts only where it is `blocking`, and only once the adapter itself ships.
    """
    annotate(*said_of(code, name))
    if served is None:
        return code
    level, title, sentence = said_of(served, name, form)
    if not blocking and served != SHIP:
        level, sentence = "warning", f"{sentence}; the adapter itself is judged without it"
    annotate(level, f"{form}: {title}", sentence)
    return code or (served if blocking else SHIP)


def place_of(command: Sequence[str]) -> list[str]:
    """The words of a command as a step runs it: at the repository's root, without the `--` before them."""
    words = list(command[1:] if command and command[0] == "--" else command)
    if not words:
        raise UserError(f"no command: put it after `--`, as it is run in {ROOT}")
    return words
