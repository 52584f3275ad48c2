"""A run as two trackio runs, <run>.train and <run>.eval, in one group; in the SQLite file of TRACKIO_DIR.

    TRACKIO_DIR=results/tracking/trackio trackio show --project securecli-tuner

Local alone: no Space, no dataset on the Hub. Labels and settings are the run's config; files go to the project's files.
Writing again replaces.
"""

import os
from collections import defaultdict
from pathlib import Path

import trackio
from trackio.sqlite_storage import SQLiteStorage

from scripts.tracking.tracker import PROJECT, Part, TrackedRun


class Trackio:
    """See Tracker."""

    def log(self, tracked: TrackedRun, folder: Path) -> None:
        """Write both parts, replacing earlier ones. RuntimeError when the database does not hold them afterwards."""
        for part in tracked.parts:
            name = f"{tracked.name}.{part.job}"
            SQLiteStorage.delete_run(PROJECT, name)
            write_part(tracked, part, name)
            # trackio writes from a thread of its own, which swallows what goes wrong there.
            stored = sum(len(row) for row in SQLiteStorage.get_logs(PROJECT, name))
            if stored < len(part.values):
                raise RuntimeError(f"{folder}: {name} was not stored")


def write_part(tracked: TrackedRun, part: Part, name: str) -> None:
    linked = {"training_run": f"{tracked.name}.train"} if part.job == "eval" and tracked.training else {}
    config = {**part.settings, **part.labels, **linked, "content_sha256": tracked.content_sha256(part)}
    trackio.init(
        project=PROJECT, name=name, group=tracked.name, config=config, auto_log_gpu=False, embed=False, resume="never"
    )
    rows: dict[float, dict[str, float]] = defaultdict(dict)
    for series in part.series:
        for x, value in series.points:
            if series.axis == "step":
                rows[x][series.name] = value
            else:
                trackio.log_system({series.name: value, "second": x})
    for step in sorted(rows):
        trackio.log(rows[step], step=round(step))
    trackio.log(part.values, step=tracked.steps)
    for path in map(Path, part.files):
        os.chdir(path.parent.parent)  # trackio files things by their path below the working folder: <run>/<file>
        trackio.save(path)
    trackio.finish()
