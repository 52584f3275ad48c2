"""A run as two offline W&B runs in one group, in FOLDER/wandb/offline-run-*; `make sync` pushes them.

An offline run is a file that is read once, at the push: it cannot be changed afterwards. So a part's id is the digest
of its content. What is there already is left alone; an older one of the same run that was never pushed is removed.

Off: console, git, code, packages, machine and host metadata, crash reports (which W&B sends from offline runs too).
"""

import json
import shutil
from collections import defaultdict
from pathlib import Path

import wandb

from scripts.tracking.sync import MARK, is_pushed, read_mark
from scripts.tracking.tracker import PROJECT, Part, TrackedRun


class WeightsAndBiases:
    """See Tracker."""

    def log(self, tracked: TrackedRun, folder: Path) -> None:
        """Write the parts that are not there yet."""
        for part in tracked.parts:
            identity = run_id(tracked, part)
            mark = {"run": tracked.name, "job": part.job, "id": identity}
            stored = [found for found in folder.glob("wandb/offline-run-*") if read_mark(found) == mark]
            if not stored:
                remove_earlier(folder, tracked, part, identity)
                write_part(tracked, part, identity, folder)
                (written,) = folder.glob(f"wandb/offline-run-*-{identity}")
                (written / MARK).write_text(json.dumps(mark) + "\n")


def run_id(tracked: TrackedRun, part: Part) -> str:
    return tracked.content_sha256(part)[:16]


def remove_earlier(folder: Path, tracked: TrackedRun, part: Part, identity: str) -> None:
    """Other contents of this part that nobody pushed, and a torn attempt at this one."""
    for found in folder.glob("wandb/offline-run-*"):
        mark = read_mark(found)
        same_part = (mark.get("run"), mark.get("job")) == (tracked.name, part.job)
        torn = not mark and found.name.endswith(identity)
        if torn or (same_part and not is_pushed(found)):
            shutil.rmtree(found)


def write_part(tracked: TrackedRun, part: Part, identity: str, folder: Path) -> None:
    settings = wandb.Settings(
        mode="offline",
        root_dir=str(folder),
        console="off",
        silent=True,
        quiet=True,
        disable_code=True,
        save_code=False,
        disable_git=True,
        disable_job_creation=True,
        host="",
        username="",
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_viewer=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    linked = {"training_run": run_id(tracked, tracked.training)} if part.job == "eval" and tracked.training else {}
    run = wandb.init(
        project=PROJECT,
        id=identity,
        name=f"{tracked.name}.{part.job}",
        group=tracked.name,
        job_type=part.job,
        config={**part.settings, **linked},
        settings=settings,
    )
    for axis in ("step", "second"):
        rows: dict[float, dict[str, float]] = defaultdict(dict)
        own = [series for series in part.series if series.axis == axis]
        for series in own:
            run.define_metric(series.name, step_metric=axis)
            for x, value in series.points:
                rows[x][series.name] = value
        for x in sorted(rows):
            run.log({axis: x, **rows[x]})
    run.summary.update({**part.values, **part.labels})
    evidence = wandb.Artifact(f"{part.job}-{identity}", type="evaluation" if part.job == "eval" else "training")
    for path in part.files:
        evidence.add_file(path)
    run.log_artifact(evidence)
    run.finish()
