"""A run as TensorBoard event files: FOLDER/<run>/train and FOLDER/<run>/eval.

    tensorboard --logdir results/tracking/tensorboard

Curves and metrics are scalars (single precision: the exact numbers are in metrics.json), the report and every label
are texts, the recipe is the hyperparameters of the evaluation, so that the HParams page shows runs side by side.
Writing again replaces. Files carry the run's time and no host name.
"""

import shutil
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from eval.common.reading import read_text
from scripts.tracking.tracker import Part, TrackedRun


class TensorBoard:
    """See Tracker."""

    def log(self, tracked: TrackedRun, folder: Path) -> None:
        """Write both parts whole, replacing earlier ones."""
        partial = folder / f"{tracked.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)  # not there already: a link of this name is not followed
        for part in tracked.parts:
            write_part(tracked, part, partial / part.job)
        shutil.rmtree(folder / tracked.name, ignore_errors=True)
        partial.rename(folder / tracked.name)


def write_part(tracked: TrackedRun, part: Part, folder: Path) -> None:
    writer = EventFileWriter(str(folder))
    seconds = tracked.created_ms / 1000

    def add(summary: Summary, step: int) -> None:
        writer.add_event(Event(wall_time=seconds, step=step, summary=summary))

    for series in part.series:
        for x, value in series.points:
            add(scalar_pb(series.name, value), round(x))
    for name, value in part.values.items():
        add(scalar_pb(name, value), tracked.steps)
    for name, label in part.labels.items():
        add(text_pb(name, label), tracked.steps)
    for path in map(Path, part.files):
        if path.suffix == ".md":
            add(text_pb(path.stem, read_text(path)), tracked.steps)
        elif path.suffix == ".sha256":
            add(text_pb(path.name, read_text(path)), tracked.steps)
    if part.job == "eval":
        trained = tracked.training.settings if tracked.training else {}
        settings = {**trained, **part.settings, "content_sha256": tracked.content_sha256(part)}
        known = {name: value for name, value in settings.items() if value is not None}
        add(hparams_pb(known, trial_id=tracked.name, start_time_secs=seconds), 0)
    writer.close()
    for path in folder.glob("events.out.tfevents.*"):
        path.rename(folder / f"events.out.tfevents.{tracked.created_ms // 1000:010d}.{part.job}")
