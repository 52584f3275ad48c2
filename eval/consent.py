"""What of a suite is the code of somebody else's packages, and did the suite consent to it?

    plugins:
      my-package 1.2: 5f7c...       # the digest that `make plugins` prints: what was read is what runs, and publishes

Domains have a place of their own in a suite; trackers have no say in a verdict.
"""

from pathlib import Path

from eval.common.errors import UserError
from eval.config import gate_rules
from eval.config.suite_file import Suite, check_trackers, load_suite
from eval.contracts.plugins import OURS, Plugin, origin
from eval.model import backends


def used_plugins(suite: Suite) -> list[Plugin]:
    """The parts of a suite that installed packages offer; nothing is imported. UserError for one that is not here."""
    rules = sorted({gate.rule for gate in suite.gates})
    parts = [origin("backends", suite.backend.kind, backends.OURS)]
    parts += [origin("gates", rule, gate_rules.OURS) for rule in rules]
    return [part for part in parts if part.source != OURS]


def refuse_other_code(suite: Suite) -> None:
    """UserError for a part that nobody offers, or of a package with other bytes than the suite consented to."""
    for part in used_plugins(suite):
        consented = suite.plugins.get(part.source)
        if consented is not None and consented != part.sha256:
            raise UserError(
                f"suite {suite.name} consented to {part.source} with digest {consented}, and here it has "
                f"{part.sha256 or 'none'}: read what changed, then write the new digest into the suite"
            )


def consented_suite(path: Path) -> Suite:
    """A suite whose trackers and code of other packages are here, as it consents to."""
    suite = load_suite(path)
    check_trackers(suite)
    refuse_other_code(suite)
    return suite
