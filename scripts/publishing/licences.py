"""May an adapter of this base, trained on this data, be published under the base's licence? Raises Refused.

The adapter carries the base's licence. It is known and permissive, and so is that of every dataset: no licence
here asks that a work made with it be shared alike or not be sold. A licence that is not listed is not judged bad;
nobody looked at it, so a person has to, and then adds it here. This is a check of stated names, no legal advice.
"""

from typing import Any

from eval.common.errors import Refused
from scripts.publishing.card import Base

# SPDX identifiers in lower case, as the Hub writes them.
BASES = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "cc0-1.0", "cc-by-4.0", "unlicense"}
DATA = BASES | {"cc0", "cc-by-3.0", "odc-by", "odc-by-1.0", "cdla-permissive-2.0", "public-domain", "pddl"}


def check_licences(base: Base, data: list[dict[str, Any]]) -> None:
    """Refused when the base's licence or a dataset's (a row of data.json) is not stated or not listed."""
    if base.licence not in BASES:
        raise Refused(
            f"the licence of {base.hub_id} is {base.licence!r}: add the base to scripts/publishing/card.py once its "
            "licence is known to allow adapters"
        )
    for row in data:
        licence = row.get("licence")
        if not isinstance(licence, str) or licence.lower().replace(" ", "-") not in DATA:
            raise Refused(
                f"data.json: the licence of {row.get('path')} is {licence!r}: state it in MANIFEST.json beside the "
                f"data and train again, or add it to scripts/publishing/licences.py if an adapter of it may be "
                f"{base.licence}"
            )
