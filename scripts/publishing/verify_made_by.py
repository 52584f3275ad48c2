"""Did the adapter that goes up give the answers? Every row of generations.jsonl names the bytes that were loaded.

    check_made_by(metrics, folder)      Refused at the first row that names others, or none

The digests were taken of what the evaluation had in memory, so that files exchanged while it ran, or after it, show.

Not protected against: digests that were written by hand; spot_answers.py asks the model itself.
"""

from pathlib import Path

from eval.common.errors import Refused
from eval.run.digests import file_sha256, settings_sha256
from eval.run.files import read_jsonl
from eval.run.metrics import Metrics
from eval.run.records import BASELINE, CANDIDATE, Generation
from scripts.publishing.verify_data import AGAIN, mapping


def check_made_by(metrics: Metrics, folder: Path, model: str | None = None) -> None:
    """Refused unless every answer was given by the adapter that goes up (by the baseline, for its arm), on the base and
    under the settings that metrics.json names. `model`: digest of the whole model that goes up in its place."""
    base = metrics.provenance.get("base_tensors_sha256")
    if not base or metrics.generation is None:
        raise Refused(f"{folder / 'metrics.json'} does not say which base answered, and under which settings: {AGAIN}")
    settings = settings_sha256(metrics.generation)
    adapters = {
        CANDIDATE: model or file_sha256(folder / "adapter.sha256"),
        BASELINE: mapping(metrics.provenance.get("baseline")).get("adapter_sha256"),
    }
    for row in read_jsonl(folder / "generations.jsonl", Generation):
        for name, expected, said in (
            ("base_tensors_sha256", base, "was given on another base than metrics.json names"),
            ("adapter_sha256", adapters.get(row.arm), "was not given by the adapter of this arm"),
            ("settings_sha256", settings, "was given under other settings than metrics.json names"),
        ):
            if getattr(row, name) != expected:
                where = f"{folder / 'generations.jsonl'}: {row.arm} of {row.task}: {row.sample}"
                raise Refused(f"{where} {said}: {AGAIN}")
