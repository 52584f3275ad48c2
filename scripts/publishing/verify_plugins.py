"""What had a say in a run that is not of this repository: shown by name, version and digest, and only with consent.

    notes = check_plugins(folder, suite, metrics)       Refused unless the suite consents; notes for the card

Code that somebody consented to is believed: it can claim proofs that it has not made. That is why the suite, which is
committed, has to hold its digest, and the card shows it.
"""

from pathlib import Path

from eval.common.errors import Refused
from eval.config.suite_file import Suite
from eval.consent import used_plugins
from eval.run.metrics import Metrics
from scripts.publishing.verify_data import AGAIN


def check_plugins(folder: Path, suite: Suite, metrics: Metrics) -> list[str]:
    """One note for each part of somebody else's package that had a say. Refused for one that the suite does not consent
    to, or that is not, byte for byte, what the evaluation used; UserError for one that is not here."""
    used = used_plugins(suite)
    if metrics.provenance.get("plugins", []) != [part.record() for part in used]:
        raise Refused(f"{folder / 'metrics.json'}: plugins are not those that the suite uses here: {AGAIN}")
    notes = []
    for part in used:
        what = f"{part.group.removesuffix('s')} {part.name} comes from {part.source}"
        if part.sha256 is None:
            raise Refused(f"{what}, whose files have no digest: install it with an ordinary client, and evaluate again")
        if suite.plugins.get(part.source) != part.sha256:
            raise Refused(
                f"{what}, and suite {suite.name} does not consent to its code: write `{part.source}: {part.sha256}` "
                "under `plugins:` of the suite, and evaluate again"
            )
        notes.append(f"The {what}, SHA-256 {part.sha256}.")
    return notes
