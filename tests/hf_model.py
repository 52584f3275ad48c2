"""The backend `hf`, loaded as an evaluation does. Torch is imported when it is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.config.suite_file import Suite
from eval.contracts.backend import Arms


def load_hf(
    suite: Suite,
    base: Path | str,
    candidate: Path | None = None,
    baseline: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Any:
    """Both arms under the settings of a suite."""
    from eval.model import hf

    return hf.load(suite.backend, Arms(str(base), None, candidate, baseline, arguments or {}), suite.seed)
