"""The process in which one tracker runs; started by scripts/tracking/trackers.py, not by hand.

python -m scripts.tracking.worker NAME FOLDER < run.json      exit 0: stored, 3: the library is not installed
"""

import importlib
import sys
from pathlib import Path

from scripts.tracking.finished_run import TrackedRun

NOT_INSTALLED = 3


def main(name: str, folder: Path) -> int:
    tracked = TrackedRun.model_validate_json(sys.stdin.read())
    try:
        tracker = importlib.import_module(f"scripts.tracking.to_{name}")
    except ModuleNotFoundError as error:
        print(f"needs the package {error.name}", file=sys.stderr)
        return NOT_INSTALLED
    tracker.log(tracked, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
