"""Every utility does what its entry says: findings of use, of options, and roles of operands."""

from collections.abc import Iterator
from typing import Any

import pytest

from eval.risk import analyse
from eval.risk.catalogue import sections
from eval.risk.effects import Row, read_arguments, table
from eval.risk.findings import rules
from eval.risk.roles import ROLES
from eval.risk.special import SPECIAL
from eval.risk.utilities import EFFECTS, KINDS
from eval.risk.word import Word

ENTRIES: list[dict[str, Any]] = [entry for entries in sections("utilities").values() for entry in entries]
KEYS = {"names", "does", "operands", "options", "harmless", "finding", "looks", "verbs", "other-verbs", "output"}
KEYS |= {"stdin", "style", "unlisted", "globals", "about"}
# A value for a role that must lead to this finding, whatever the utility.
PROBES = {
    "read": ("/etc/shadow", "credential-read"),
    "write": ("/dev/sda", "device-write"),
    "delete": ("/etc/passwd", "critical-write"),
    "truncate": ("/dev/sda", "device-write"),
    "device": ("/dev/sda", "format-disk"),
    "code:sh": ("cat /etc/shadow", "credential-read"),
    "code:python": ("1", "inline-code"),
    "upload": ("/etc/shadow", "exfiltration"),
    "post": ("@/etc/shadow", "exfiltration"),
    "url": ("http://169.254.169.254/latest", "metadata-service"),
}
HAND_WRITTEN = {"sudo", "xargs", "read", "tar"}  # judged in code of their own; test_risk.py has them


def first_name(entry: dict[str, Any]) -> str:
    return str(entry["names"].split()[0])


def found(command: str) -> set[str]:
    return {finding.rule for finding in analyse(command).findings}


def test_the_table_is_large_and_names_each_utility_once() -> None:
    names = [name for entry in ENTRIES for name in entry["names"].split()]
    assert len(names) == len(set(names)) == len(table())
    assert len(names) >= 150


def options(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(option, kind, what) of an entry."""
    return [(option, *what.removesuffix("replaces").strip().partition(" ")[::2]) for option, what in all_options(entry)]


def all_options(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return list(entry.get("options", {}).items())


def below(entry: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every verb that has an entry of its own, with the words that lead to it."""
    for key, verb in entry.get("verbs", {}).items():
        if isinstance(verb, dict):
            first = f"{name} {key.split(',')[0].strip()}"
            yield first, verb
            yield from below(verb, first)


VERBS = [found for entry in ENTRIES for found in below(entry, entry["names"].split()[0])]


def test_a_verb_does_what_its_entry_says() -> None:
    for words, verb in VERBS:
        assert set(verb) <= KEYS - {"names", "does"}, words
        for option, kind, what in options(verb):
            if kind == "finding":
                assert what in rules() and what in found(f"{words} {option} x"), f"{words} {option}"
            if kind == "value" and what in PROBES:
                value, rule = PROBES[what]
                assert rule in found(f"{words} {option} '{value}' x"), f"{words} {option}"
            if what.startswith("rule:"):
                between = "=" if kind == "attached" else " "
                assert what[5:] in found(f"{words} {option}{between}x y"), f"{words} {option}"


def test_an_entry_is_well_formed() -> None:
    for entry in ENTRIES:
        name = first_name(entry)
        assert set(entry) <= KEYS, name
        assert set(entry["does"].split()) <= EFFECTS, name
        assert all(option.startswith("-") for option in entry.get("harmless", "").split()), name
        assert {kind for _option, kind, _what in options(entry)} <= KINDS, name
        named = [what for _option, kind, what in options(entry) if kind == "finding"]
        named += [what[5:] for _option, _kind, what in options(entry) if what.startswith("rule:")]
        named += [verb for verb in entry.get("verbs", {}).values() if isinstance(verb, str)]
        named += [verb["finding"] for _words, verb in below(entry, "") if "finding" in verb]
        named += [rule for rule in (entry.get("finding"), entry.get("other-verbs")) if rule]
        for rule in named:
            assert rule.removesuffix("?") in (SPECIAL if rule.endswith("?") else rules()), f"{name}: {rule}"


def test_a_finding_of_every_use() -> None:
    for entry in [one for one in ENTRIES if not one.get("finding", "?").endswith("?")]:
        for name in entry["names"].split():
            assert entry["finding"] in found(f"{name} x"), name


def test_options_that_are_findings() -> None:
    for entry in ENTRIES:
        for option, kind, rule in options(entry):
            if kind == "finding":
                for name in entry["names"].split():
                    assert rule in found(f"{name} {option} x y"), f"{name} {option}"


def test_values_of_options_have_their_role() -> None:
    for entry in [one for one in ENTRIES if first_name(one) not in HAND_WRITTEN]:
        name = first_name(entry)
        for option, kind, role in options(entry):
            if kind == "value" and role in PROBES:
                value, rule = PROBES[role]
                assert rule in found(f"{name} {option} '{value}' x"), f"{name} {option}"
            if kind == "value" and role.startswith("rule:"):
                assert role[5:] in found(f"{name} {option} x y"), f"{name} {option}"


def test_operands_have_their_role() -> None:
    for entry in ENTRIES:
        roles = entry.get("operands", "ignore*").split()
        for name in entry["names"].split():
            if name in HAND_WRITTEN or name == "tar":
                continue
            for place, role in enumerate(roles):
                plain = role.removesuffix("*")
                if plain not in PROBES or (place and roles[0] in ("command", "edit*")):
                    continue
                value, rule = PROBES[plain]
                before = ["x"] * place
                words = [name, *before, f"'{value}'"] + ["x"] * (len(roles) - place - 1)
                assert rule in found(" ".join(words)), f"{words}"


def test_verbs() -> None:
    for entry in [one for one in ENTRIES if "looks" in one or "verbs" in one]:
        name = first_name(entry)
        for verb in entry.get("looks", "").split(","):
            assert analyse(f"{name} {verb.strip()}").verdict == "allow", f"{name} {verb}"
        for verb, rule in entry.get("verbs", {}).items():
            if isinstance(rule, str) and not rule.endswith("?"):
                assert all(rule in found(f"{name} {one.strip()} x") for one in verb.split(",")), f"{name} {verb}"
        if "other-verbs" in entry and not entry["other-verbs"].endswith("?"):
            assert entry["other-verbs"] in found(f"{name} nosuchverb x"), name


def test_an_option_that_is_not_listed_is_not_understood() -> None:
    for entry in ENTRIES:
        name = first_name(entry)
        harmless = entry.get("unlisted") in ("harmless", "reads") or name in {"dd", "read", "xargs"}
        assert ("unknown-option" in found(f"{name} --nosuchoption x")) != harmless, name


def test_every_role_is_known() -> None:
    for one in table().values():
        valued = {what.rstrip("!") for kind, what in one.options.values() if kind in ("value", "attached")}
        named = {*one.lead, *one.tail, one.many} | {what.removeprefix("pair ") for what in valued}
        for role in named - set(ROLES) - {"", "command", "pattern", "archive", "pair", "rest"}:
            assert role.startswith(("code:", "rule:")) or role.removeprefix("rule?:") in SPECIAL, (one.name, role)


def words(text: str) -> list[Word]:
    return [Word(part, 0, 0, 0) for part in text.split()]


def row(name: str) -> Row:
    return table()[name]


@pytest.mark.parametrize("spelling", ["-rf x", "-fr x", "-f -r x", "--recursive x", "--recurs x", "x -r", "-R x"])
def test_options_are_read_as_getopt_does(spelling: str) -> None:
    use = read_arguments(row("rm"), words(f"rm {spelling}"))
    assert "recursive" in use.marks and [word.text for word in use.operands] == ["x"]


def test_a_double_dash_ends_the_options() -> None:
    use = read_arguments(row("rm"), words("rm -- -r"))
    assert not use.marks and [word.text for word in use.operands] == ["-r"]


@pytest.mark.parametrize(
    "text", ["curl -odest u", "curl -o dest u", "curl --output=dest u", "curl --output dest u", "curl -so dest u"]
)
def test_values_attached_or_apart(text: str) -> None:
    use = read_arguments(row("curl"), words(text))
    assert [(role, word.text) for role, word in use.found if role == "download"] == [("download", "dest")]


def test_a_wrapper_hands_on_what_follows_its_own_options() -> None:
    use = read_arguments(row("timeout"), words("timeout -s KILL 5 rm -rf x"))
    assert [word.text for word in use.rest or []] == ["rm", "-rf", "x"]
