"""What had a say in a run that is not of this repository: shown by name, version and digest, and only with consent.

    notes = check_plugins(folder, suite, metrics)       Refused unless the suite consents; notes for the card

Code that somebody consented to is believed: it can claim proofs that it has not made. That is why the suite, which is
committed, has to hold its digest, and the card shows it.
"""

from pathlib import Path

from eval.common.errors import Refused
from eval.config.suite_file import Suite
from eval.record import plugins_of
from eval.run.metrics import Metrics
from scripts.publishing.verify_data import AGAIN


def check_plugins(folder: Path, suite: Suite, metrics: Metrics) -> list[str]:
    """One note for each part of somebody else's code that had a say. Refused for one that the suite does not consent
    to, or that is not, byte for byte, what the evaluation used; UserError for one that is not here."""
    used = plugins_of(suite)
    if metrics.provenance.get("plugins", []) != used:
        raise Refused(f"{folder / 'metrics.json'}: plugins are not those that the suite uses here: {AGAIN}")
    notes = []
    for plugin in used:
        what, source, digest = f"{str(plugin['group'])[:-1]} {plugin['name']}", plugin["source"], plugin["sha256"]
        if digest is None:
            raise Refused(f"{what} comes from {source}, whose files have no digest: install it with an ordinary client")
        if plugin["group"] == "backends" and suite.backend.sha256 != digest:
            raise Refused(
                f"{what} comes from {source}, and suite {suite.name} does not consent to its code: write `sha256: "
                f"{digest}` beside its name in the suite, and evaluate again"
            )
        notes.append(f"The {what} comes from {source}, SHA-256 {digest}.")
    return notes
