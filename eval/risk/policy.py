"""From findings to one verdict, and from two passes to one.

The policy, in three sentences. The strongest action among the findings is the verdict. `allow` needs that
everything was understood: each command is in the effect table, nothing is dynamic where it matters, and the text
parses. A dynamic pass can raise a verdict and never lowers one, since not to observe a thing in one run on one
fixture does not show that it cannot happen.
"""

from collections.abc import Iterable

from eval.risk.findings import ACTIONS, SEVERITIES, VERDICTS, Assessment, Finding


def assess(findings: Iterable[Finding]) -> Assessment:
    """The verdict on findings: each (rule, span) once, strongest first, then in the order of the text."""
    seen: dict[tuple[str, tuple[int, int]], Finding] = {}
    for finding in findings:
        seen.setdefault((finding.rule, finding.span), finding)
    ordered = sorted(seen.values(), key=_strength) if len(seen) > 1 else list(seen.values())
    strongest = max((ACTIONS[finding.action] for finding in ordered), default=0)
    return Assessment(VERDICTS[strongest], tuple(ordered))


def _strength(finding: Finding) -> tuple[int, int, tuple[int, int]]:
    return -ACTIONS[finding.action], -SEVERITIES.index(finding.severity), finding.span


def combine(static: Assessment, dynamic_findings: Iterable[Finding]) -> Assessment:
    """One verdict from the static assessment and what a sandbox observed.

    Findings of both are kept and the strongest decides, so an observed deletion of a canary blocks a command that
    looked harmless, and a quiet run never clears one that did not. A sandbox that could not run is not a quiet
    run: the caller then has no dynamic findings and must say so.
    """
    return assess([*static.findings, *dynamic_findings])


def disagreement(static: Assessment, dynamic_findings: Iterable[Finding]) -> str:
    """Which pass alone saw a reason to stop: `static only`, `dynamic only`, or an empty text when they agree."""
    observed = any(finding.action != "note" for finding in dynamic_findings)
    if (static.verdict != "allow") == observed:
        return ""
    return "dynamic only" if observed else "static only"
