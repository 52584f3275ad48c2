"""What a stranger's text costs its reader: patterns, parsers and the judge are given ever more of the worst of it."""

import functools
import re
import time
from pathlib import Path

import pytest

from eval.bash.answers import carried_verdict, commands_in
from eval.bash.parsing import LONGEST_COMMAND, normalise, score_sample
from eval.bash.refusals import is_refusal
from eval.execution.canary import Trace, findings_of
from eval.judge.ladder import ALL, decide
from eval.judge.pair import Pair
from eval.risk.syntax import MAX_CHARACTERS
from eval.sandbox import Execution
from tests.growth import LINEAR, Use, growth, patterns, slowest

GOLDS_ALONE = "eval.tasks.nl2bash.fixture."  # reads the commands of data/, which nobody else writes
MODULES = sorted(".".join(path.with_suffix("").parts) for path in Path("eval").rglob("*.py")
                 if re.search(r"\bre\.", path.read_text(encoding="utf-8")))  # fmt: skip
RISKY = [module for module in MODULES if module.startswith("eval.risk.")]
READ = [module for module in MODULES if not f"{module}.".startswith(("eval.risk.", GOLDS_ALONE))]
TOO_STEEP = 3 * LINEAR  # for eight times the text; quadratic would be 64
SECONDS = 2.0


@functools.cache
def known() -> tuple[list[Use], list[str]]:
    """Every pattern, and where one cannot be read: seconds, so not where tests are collected."""
    return patterns(Path("eval"))


def uses_of(module: str) -> list[Use]:
    return [use for use in known()[0] if use.where.startswith(f"{module}:")]


def test_every_module_with_a_pattern_is_tried() -> None:
    assert {use.where.split(":")[0] for use in known()[0]} <= set(MODULES)
    assert sum(map(bool, map(uses_of, RISKY))) > 3 and sum(map(bool, map(uses_of, READ))) > 20


@pytest.mark.parametrize("module", READ)
def test_a_pattern_takes_no_more_than_linear_time(module: str) -> None:
    steep = [(use.where, *growth(use)) for use in uses_of(module)]
    assert [found for found in steep if found[1] > TOO_STEEP] == []


@pytest.mark.parametrize("module", RISKY)
def test_a_pattern_of_the_analyser_is_quick_on_the_longest_text_it_takes(module: str) -> None:
    slow = [(use.where, *slowest(use, MAX_CHARACTERS)) for use in uses_of(module)]
    assert [found for found in slow if found[1] > SECONDS] == []


def test_patterns_that_are_made_from_tables_are_known() -> None:
    """They are handed to a function as text, so that no test reads them: each belongs to a word of a command, or to one
    bounded name or line."""
    assert {where.split(":")[0] for where in known()[1]} == {
        "eval.adapters.adapter_tensors", "eval.adapters.name_patterns", "eval.judge.queries",
        "eval.run.secret_patterns", "eval.risk.repository", "eval.risk.special", "eval.risk.variables",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "anchored"),
    [
        (r"cannot touch[^\n]*/etc[^\n]*denied", False),
        (r"\d+ files", False),
        (r"(?:a|b|ab)*c", True),
        (r"\s*;?$", False),
        (r"\[[^\]]*\]", False),
        (r"\w+\s*\w+\s*=", True),
    ],
)
def test_a_steep_pattern_is_found(pattern: str, anchored: bool) -> None:
    """By the attacks that every pattern is tried with, too."""
    for every in (False, True):
        assert growth(Use("here", re.compile(pattern), anchored), every)[0] > TOO_STEEP, every


@pytest.mark.parametrize(("pattern", "anchored"), [(r"\w+=", True), (r"(?<!\d)\d+ files", False), (r"^a+$", False)])
def test_a_linear_pattern_is_none(pattern: str, anchored: bool) -> None:
    assert growth(Use("here", re.compile(pattern), anchored), every=True)[0] <= TOO_STEEP


UNITS = [
    "cannot touch /etc ", "/root ", "'/etc/x': ", "chown: changing ownership of '", "line 1: /etc/", "Could not ", "a",
    "\n", " ", "1", "1:", ": ", "(", "a (b) = ", "File: a -> ", "total 1\n", "12:00:00 ", "2026-01-15T", "Jan 15 ",
    "-rw-r--r-- 1 a b 1 ", "├── ", "a/../", "./a ", "00000000  61 ", "1000000000000", "x\t", "\0", "\u2028", "é",
    "\x85", "/proc/a", ": not found\n", "a: b: not found\n", "4.0K ", "=\n", "'", "\\", "SHA256 (", "_=", "user\n",
]  # fmt: skip


@pytest.mark.parametrize("size", [1 << 20])
@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_judging_a_mebibyte_of_output_ends_soon(unit: str, size: int) -> None:
    text = (unit * (size // len(unit.encode()))).encode()
    gold = Execution(0, b"some line of an answer\n2 more\n", b"", (), (), 0.1, "namespaces")
    hostile = [Execution(code, text, text, (), (), 0.1, "namespaces") for code in (0, 1)]
    for run in hostile:
        begin = time.thread_time()
        pair = Pair("list the files by size", "ls -l", "ls", (gold,), (run,), cwd="/home/user")
        assert decide(pair, ALL).verdict != "accept"
        findings_of("ls", Trace(run, {}))
        assert time.thread_time() - begin < SECONDS


@pytest.mark.parametrize(
    "unit", ["a|", "|", "))", "a=(", "$[", "<<a\n", "`", "```\n", "“", "\"'", "ls; ", "a: b\n", "1. "]
)
def test_scoring_a_long_answer_ends_soon(unit: str) -> None:
    answer = unit * (LONGEST_COMMAND // len(unit))
    begin = time.thread_time()
    for text in (answer, answer * 10):
        score_sample("ls -l", text)
        normalise(text)
        is_refusal(text)
        commands_in(text)
    assert time.thread_time() - begin < 5 * SECONDS
    carried_verdict(answer)
    assert time.thread_time() - begin < 10 * SECONDS
