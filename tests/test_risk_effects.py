"""Every row of the effect table does what it says: findings of use, of options, and roles of operands."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.risk import analyse
from eval.risk.effects import EFFECTS, FLAG, Row, read_arguments, table
from eval.risk.findings import rules
from eval.risk.roles import ROLES
from eval.risk.special import SPECIAL
from eval.risk.words import Word

ENTRIES: list[dict[str, Any]] = yaml.safe_load(Path("eval/risk/effects.yaml").read_text())
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
    return str(entry["cmd"].split()[0])


def found(command: str) -> set[str]:
    return {finding.rule for finding in analyse(command).findings}


def test_the_table_is_large_and_names_each_utility_once() -> None:
    names = [name for entry in ENTRIES for name in entry["cmd"].split()]
    assert len(names) == len(set(names)) == len(table())
    assert len(names) >= 150


@pytest.mark.parametrize("entry", ENTRIES, ids=first_name)
def test_a_row_is_well_formed(entry: dict[str, Any]) -> None:
    assert set(entry["does"].split()) <= EFFECTS
    listed = entry.get("flags", "").split()
    assert len(FLAG.findall(entry.get("flags", ""))) == len(listed), "an option is not understood"
    named = [value for _flag, kind, value in FLAG.findall(entry.get("flags", "")) if kind == "!"]
    named += [value[5:] for _flag, kind, value in FLAG.findall(entry.get("flags", "")) if value.startswith("rule:")]
    named += [rule for rule in entry.get("sub", {}).values() if rule != "ok"]
    named += [rule for rule in (entry.get("rule"), entry.get("sub-else")) if rule]
    for rule in named:
        assert rule.removesuffix("?") in (SPECIAL if rule.endswith("?") else rules()), rule


@pytest.mark.parametrize(
    "entry", [one for one in ENTRIES if "rule" in one and not one["rule"].endswith("?")], ids=first_name
)
def test_a_finding_of_every_use(entry: dict[str, Any]) -> None:
    for name in entry["cmd"].split():
        assert entry["rule"] in found(f"{name} x"), name


@pytest.mark.parametrize("entry", [one for one in ENTRIES if "!" in one.get("flags", "")], ids=first_name)
def test_options_that_are_findings(entry: dict[str, Any]) -> None:
    for flag, kind, rule in FLAG.findall(entry["flags"]):
        if kind == "!":
            for name in entry["cmd"].split():
                assert rule in found(f"{name} {flag} x y"), f"{name} {flag}"


@pytest.mark.parametrize("entry", [one for one in ENTRIES if "=" in one.get("flags", "")], ids=first_name)
def test_values_of_options_have_their_role(entry: dict[str, Any]) -> None:
    name = first_name(entry)
    if name in HAND_WRITTEN:
        return
    for flag, kind, role in FLAG.findall(entry["flags"]):
        if kind == "=" and role in PROBES:
            value, rule = PROBES[role]
            assert rule in found(f"{name} {flag} '{value}' x"), f"{name} {flag}"
        if kind == "=" and role.startswith("rule:"):
            assert role[5:] in found(f"{name} {flag} x y"), f"{name} {flag}"


@pytest.mark.parametrize("entry", ENTRIES, ids=first_name)
def test_operands_have_their_role(entry: dict[str, Any]) -> None:
    roles = entry.get("args", "ignore*").split()
    for name in entry["cmd"].split():
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


@pytest.mark.parametrize("entry", [one for one in ENTRIES if "sub" in one], ids=first_name)
def test_subcommands(entry: dict[str, Any]) -> None:
    name = first_name(entry)
    for sub, rule in entry["sub"].items():
        if rule == "ok":
            assert analyse(f"{name} {sub}").verdict == "allow", sub
        elif not rule.endswith("?"):
            assert rule in found(f"{name} {sub} x"), sub
    if "sub-else" in entry:
        assert entry["sub-else"] in found(f"{name} nosuchsubcommand x")


def test_every_role_is_known() -> None:
    for one in table().values():
        named = {*one.lead, *one.tail, one.many} | {value for kind, value in one.flags.values() if kind == "="}
        for role in named - set(ROLES) - {"", "command", "pattern", "archive"}:
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
