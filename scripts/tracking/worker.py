"""The process in which one tracker runs; started by scripts/tracking/trackers.py, not by hand.

python -m scripts.tracking.worker NAME FOLDER < run.json      exit 0: stored, 3: the library is not installed
"""

import sys
from pathlib import Path

from eval.common.errors import UserError
from eval.contracts.plugins import find
from scripts.tracking.tracker import TrackedRun, Tracker
from scripts.tracking.trackers import FAILED, NOT_INSTALLED, OURS


def main(name: str, folder: Path) -> int:
    tracked = TrackedRun.model_validate_json(sys.stdin.read())
    try:
        kind = find("trackers", name, OURS)
    except ModuleNotFoundError as error:
        print(f"needs the package {error.name}", file=sys.stderr)
        return NOT_INSTALLED
    except UserError as error:
        print(error, file=sys.stderr)
        return FAILED
    if not callable(getattr(kind, "log", None)):
        print(f"{name} has no method log (scripts/tracking/tracker.py)", file=sys.stderr)
        return FAILED
    tracker: Tracker = kind()
    tracker.log(tracked, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
