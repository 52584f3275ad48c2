"""What the analyser says about a command, as types, and the catalogue of its rules.

A rule (folder rules/, one file a section) has an action: `block` and `review` decide, `note` only informs. The
verdict is the strongest action among the findings, so a verdict is never a sum of scores that nobody can explain.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from eval.risk.catalogue import sections

Verdict = Literal["allow", "review", "block"]
ACTIONS = {"note": 0, "review": 1, "block": 2}
VERDICTS: tuple[Verdict, ...] = ("allow", "review", "block")
SEVERITIES = ("info", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of rules/. `mitre` is an ATT&CK technique, `owasp` an entry of the agentic top ten.

    `bad` are commands that raise the rule, `good` near relatives that do not; tests/test_risk_rules.py runs both.
    """

    id: str
    action: str
    severity: str
    mitre: str
    owasp: str
    explanation: str
    section: str
    bad: tuple[str, ...] = ()
    good: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason. `span` is (start, end) in characters of the analysed text; end is exclusive."""

    rule: str
    severity: str
    span: tuple[int, int]
    explanation: str
    mitre: str
    owasp: str

    @property
    def action(self) -> str:
        """`block`, `review` or `note`, from the catalogue."""
        return rules()[self.rule].action

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values, for JSON lines."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "span": list(self.span),
            "explanation": self.explanation,
            "mitre": self.mitre,
            "owasp": self.owasp,
        }


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict on one command and every reason for it, strongest first, then by place in the text."""

    verdict: Verdict
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """The assessment as plain values, for JSON lines."""
        return {"verdict": self.verdict, "findings": [finding.as_json() for finding in self.findings]}


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its id. ValueError for an id that two sections have."""
    found: dict[str, Rule] = {}
    for section, entries in sections("rules").items():
        for name, entry in entries.items():
            if name in found:
                raise ValueError(f"rules/{section}.yaml: {name} is also in {found[name].section}.yaml")
            bad, good = tuple(entry.get("bad", ())), tuple(entry.get("good", ()))
            keys = {key: entry[key] for key in RULE_KEYS}
            found[name] = Rule(id=name, section=section, bad=bad, good=good, **keys)
    return found


RULE_KEYS = ("action", "severity", "mitre", "owasp", "explanation")


def make_finding(rule: str, start: int, end: int, detail: str = "") -> Finding:
    """A finding of a catalogued rule; `detail` names what was found. KeyError for a rule that is not catalogued."""
    entry = rules()[rule]
    explanation = f"{entry.explanation}: {_short(detail)}" if detail else entry.explanation
    return Finding(rule, entry.severity, (start, end), explanation, entry.mitre, entry.owasp)


def _short(detail: str) -> str:
    plain = "".join(letter if letter.isprintable() else "…" for letter in detail[:120])
    return plain if len(detail) <= 120 else plain + "…"
