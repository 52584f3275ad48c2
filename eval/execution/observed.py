"""An execution as a record shows it: texts cut to a length, file-system changes as one line each."""

from eval.run.records import Observed, printable
from eval.sandbox import Change, Execution
from eval.sandbox.execution import to_text

LONGEST_OUTPUT, MOST_CHANGES = 2000, 40
SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def observed(run: Execution) -> Observed:
    """An execution for readers."""
    changes = [_change_line(change) for change in run.changes[:MOST_CHANGES]]
    if len(run.changes) > MOST_CHANGES:
        changes.append(f"... {len(run.changes) - MOST_CHANGES} more")
    return Observed(
        exit=run.exit,
        stdout=_cut(run.stdout),
        stderr=_cut(run.stderr),
        changes=changes,
        limits_hit=list(run.limits_hit),
    )


def _change_line(change: Change) -> str:
    after, before = change.after, change.before
    line = f"{SIGNS[change.kind]} {change.path}"
    if after and before and after.mode != before.mode:
        line += f" (mode {before.mode:o} -> {after.mode:o})"
    if after and after.target:
        line += f" -> {after.target}"
    return printable(line)


def _cut(output: bytes) -> str:
    text = printable(to_text(output))
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}\n... {len(text) - LONGEST_OUTPUT} more"
