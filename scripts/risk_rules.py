"""Write docs/risk_rules.md: every rule of the risk analyser, its examples, and what raises it.

    python -m scripts.risk_rules

What raises a rule is read from the code and the tables, never written by hand: functions whose code names the rule,
and utilities whose entry does. tests/test_risk_rules.py fails when the page is behind.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from eval.common.errors import run_command
from eval.common.places import ROOT
from eval.risk.catalogue import sections
from eval.risk.findings import Rule, rules
from eval.run.files import write_text

PAGE = ROOT / "docs/risk_rules.md"
CODE = (*sorted((ROOT / "eval/risk").glob("*.py")), ROOT / "eval/execution/canary.py")
MOST_UTILITIES = 6


def raised_by() -> dict[str, list[str]]:
    """Where each rule is named: `file: function` in the code, then `utilities/section: name, name, ...`."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    known = rules().keys()
    for file in CODE:
        for function, text in _strings(ast.parse(file.read_text(encoding="utf-8"))):
            place = f"{file.name}: {function}"
            if text in known and place not in places[text]:
                places[text].append(place)
    for section, entries in sections("utilities").items():
        utilities: defaultdict[str, list[str]] = defaultdict(list)
        for entry in entries:
            for word in sorted(set(_words(entry)) & known):
                utilities[word].append(entry["names"].split()[0])
        for rule, names in utilities.items():
            shown = ", ".join(names[:MOST_UTILITIES]) + (", ..." if len(names) > MOST_UTILITIES else "")
            places[rule].append(f"utilities/{section}: {shown}")
    return places


def _strings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every text constant, with the function (or constant of the module) that holds it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            holder = node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            holder = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        else:
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                yield holder, inner.value


def _words(value: Any) -> Iterator[str]:
    """Every word of an entry's values, `rule:` before a rule left out."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _words(one)
    elif isinstance(value, str):
        yield from (word.removeprefix("rule:") for word in value.split())


def page() -> str:
    """The page as markdown."""
    places = raised_by()
    lines = ["# Rules of the command-risk analyser", "", "Written by `python -m scripts.risk_rules` from"]
    lines += ["`eval/risk/rules/` and `eval/risk/utilities/`; the policy is in [risk.md](risk.md).", ""]
    section = ""
    for rule in rules().values():
        if rule.section != section:
            section = rule.section
            lines += [f"## {section}", ""]
        lines += _entry(rule, places[rule.id])
    return "\n".join(lines).rstrip() + "\n"


def _entry(rule: Rule, places: list[str]) -> list[str]:
    facts = f"*{rule.action}*, {rule.severity}, {rule.mitre}, {rule.owasp}"
    lines = [f"### {rule.id}", "", f"{rule.explanation[:1].upper()}{rule.explanation[1:]}. {facts}.", ""]
    if rule.bad or rule.good:
        shown = [f"bad:  {_shown(one)}" for one in rule.bad] + [f"good: {_shown(one)}" for one in rule.good]
        lines += ["```", *shown, "```", ""]
    return [*lines, "Raised by " + "; ".join(f"`{place}`" for place in places) + ".", ""]


def _shown(command: str) -> str:
    return command if command.isprintable() and command.strip() else repr(command)


def main() -> int:
    """Command line."""
    write_text(PAGE, page())
    print(f"written: {PAGE.relative_to(ROOT)}, {len(rules())} rules")
    return 0


if __name__ == "__main__":
    run_command(main)
