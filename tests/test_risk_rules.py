"""Every rule is raised by its bad examples, not by its good ones, and the page that lists the rules is up to date."""

from collections.abc import Iterator

from eval.risk import analyse
from eval.risk.findings import rules
from scripts.risk_rules import PAGE, page, raised_by

WITHOUT_EXAMPLES = {"too-large"}  # test_risk_robust.py has the texts


def examples(kind: str) -> Iterator[tuple[str, str]]:
    for rule in rules().values():
        yield from ((rule.id, command) for command in getattr(rule, kind))


def raises(rule: str, command: str) -> bool:
    return rule in {finding.rule for finding in analyse(command).findings}


def test_a_bad_example_raises_its_rule() -> None:
    assert [(rule, command) for rule, command in examples("bad") if not raises(rule, command)] == []


def test_a_good_example_does_not() -> None:
    assert [(rule, command) for rule, command in examples("good") if raises(rule, command)] == []


def test_every_rule_has_examples_of_both_kinds() -> None:
    for rule in rules().values():
        if rule.section != "observed" and rule.id not in WITHOUT_EXAMPLES:
            assert rule.bad and (rule.good or rule.action == "note"), rule.id


def test_every_rule_is_raised_somewhere() -> None:
    places = raised_by()
    assert [name for name in rules() if not places.get(name)] == []


def test_the_page_of_rules_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m scripts.risk_rules"
