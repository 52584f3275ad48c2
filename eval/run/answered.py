"""A run that is answered and not judged: `make generate` was there, maybe on another machine.

    candidate, baseline = answered(run, suite_path)

Nothing of a model is read: base and adapter are names and digests here. Publishing reads their bytes.
"""

from pathlib import Path

from eval.common.errors import UserError
from eval.run.baselines import Baseline
from eval.run.candidate import Candidate
from eval.run.digests import file_sha256
from eval.run.generated import read_generated


def answered(run: Path, suite: Path) -> tuple[Candidate, Baseline]:
    """Both arms as they answered. UserError where not all is there, or it was asked for another suite."""
    generated = read_generated(run)
    if generated.files.get("suite.yaml") != file_sha256(suite):
        raise UserError(
            f"{run.name} answered another suite than {suite}: judge it without SUITE=, by its own, or generate again"
        )
    what = generated.compared
    adapter = None if what.is_base or what.model or what.brought else run / "adapter"
    candidate = Candidate(
        run,
        what.base_model,
        what.revision,
        adapter,
        what.adapter_sha256,
        model=what.model,
        brought=what.brought,
        generated=generated,
    )
    return candidate, Baseline(what.baseline, None, what.baseline_sha256)
