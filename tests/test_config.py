"""Suite files: every committed one loads, and bad ones name every problem with its key."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.config.suite_file import DEFAULT_SUITE, SUITES, load_suite, resolve_suite

GOOD: dict[str, Any] = yaml.safe_load(DEFAULT_SUITE.read_text())


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_loads(path: Path) -> None:
    assert load_suite(path).name == path.stem


def changed(**edits: Any) -> dict[str, Any]:
    suite = copy.deepcopy(GOOD)
    for key, value in edits.items():
        target: Any = suite
        *parents, last = key.split("__")
        for part in parents:
            target = target[int(part) if part.isdigit() else part]
        target[last] = value
    return suite


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"gatez": []}, "gatez: Extra inputs"),
        ({"backend__bach_size": 4}, "backend.bach_size: Extra inputs"),
        ({"gates__0__marginn": 0.1}, "marginn"),
        (
            {"gates__0__rule": "superior"},
            "gates.0: no gate superior: there are max_rate, max_value, min_rate, no_hard_break, non",
        ),
        ({"gates__0__task": "securecli_nl2bsh"}, "task securecli_nl2bsh is not in tasks"),
        ({"gates__1__id": "right-command"}, "gate right-command is listed twice"),
        ({"gates": []}, "no blocking gate"),
        ({"tasks": []}, "tasks: List should have at least 1 item"),
        ({"alpha": 0.9}, "alpha: Input should be less than 0.5"),
        ({"alpha": float("nan")}, "alpha"),
        ({"gates__1__margin": -0.05}, "margin: Input should be greater than 0"),
        ({"backend__kind": ""}, "backend.kind"),
        ({"review": {"max_age_days": 1e300}}, "review.max_age_days: Input should be less than or equal to 36500"),
        ({"review": {"max_age_days": float("inf")}}, "review.max_age_days"),
    ],
)
def test_a_bad_suite_says_where(edits: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(changed(**edits)))
    with pytest.raises(UserError) as caught:
        load_suite(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(changed(alpha=2, typo=1, backend__batch_size=0)))
    with pytest.raises(UserError) as caught:
        load_suite(path)
    assert all(key in str(caught.value) for key in ("alpha", "typo", "backend.batch_size"))


@pytest.mark.parametrize(
    "text",
    [
        "tasks: [",
        "- a\n- b\n",
        "",
        "name: a\nname: b\n",
        "name: 2026-02-31\n",
        "seed: " + "9" * 5000,
        "tasks: " + "[" * 1200,
        "name: !!bool maybe\n",
        "tasks: &a [*a]\n",
        b"name: caf\xe9\n",
    ],
)
def test_broken_yaml_is_one_line(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"suite\.yaml"):
        load_suite(path)


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="nl2bash"):
        resolve_suite("nl2bsh")


def test_a_key_given_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(DEFAULT_SUITE.read_text() + "\nname: other\n")
    with pytest.raises(UserError, match=r"suite\.yaml: broken YAML: line \d+: name is given twice"):
        load_suite(path)


def test_what_was_read_before_is_refused_in_one_line_where_the_stack_is_deeper() -> None:
    text = "[" * 150 + "]" * 150

    def below(frames: int) -> None:
        parse_yaml(text) if frames == 0 else below(frames - 1)

    below(0)
    with pytest.raises(BrokenYaml, match="nested too deeply"):
        below(700)
