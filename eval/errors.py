"""What can go wrong, and the exit code each kind ends with.

    ProjectError
    ├── UserError      2  bad input or a machine that is not fit: one line, no traceback
    └── Refused        1  the input is fine and the answer is no (no-ship, digest differs, not approved)

A message is one line that says what is wrong, where, and what to do. Any other exception is a bug
and keeps its traceback. Commands wrap their main function once, with `run_command`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

SHIP, NO_SHIP, CANNOT_EVALUATE, INCONCLUSIVE = 0, 1, 2, 3


class ProjectError(Exception):
    """A failure that is explained to the user in one line."""

    exit_code = CANNOT_EVALUATE


class UserError(ProjectError):
    """Bad input, a missing file or a machine that cannot do what was asked."""


class Refused(ProjectError):
    """Everything was readable, and the answer is no."""

    exit_code = NO_SHIP


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process: its return value is the exit code, errors become one line."""
    try:
        code = main() or 0
    except ProjectError as error:
        one_line = " ".join(str(error).split())
        print(f"error: {one_line}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        code = 130
    sys.exit(code)
