"""A file tree for every authored sample of data/nl2bash, or the reason why running it shows nothing.

reason = unsupported_reason(row)
fixture = fixture_for(row, sandbox)               the tree; variant=1 is a second one, with other contents
"""

from eval.tasks.nl2bash_fixture.building import VARIANTS, changes_asked_of, fixture_for, gold_of, unsupported_reason

__all__ = ["VARIANTS", "changes_asked_of", "fixture_for", "gold_of", "unsupported_reason"]
