"""A slice of `make fuzz-inputs`: every command with something wrong in its input ends in time, in one line."""

import json
import random
import sys

import pytest

from scripts.benchmarks import bad_inputs, fuzz_inputs
from scripts.benchmarks.fuzz_inputs import COMMANDS, Case, judge
from tests import preloaded

INPUTS = 100
CASE = Case(0, "gate", "x", ())


@pytest.fixture(scope="module")
def outcomes() -> list[fuzz_inputs.Outcome]:
    # A process of its own, with Axolotl imported: the fuzz puts ends where commands would load a model, and forks.
    code = (
        "import json, dataclasses; from scripts.benchmarks import fuzz_inputs as f; "
        "f.SECONDS = 120.0; "  # other tests take the machine meanwhile
        f"print(json.dumps([dataclasses.asdict(one) for one in f.fuzz({INPUTS}, seed=7)]))"
    )
    done = preloaded.run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    return [fuzz_inputs.Outcome(**{**row, "case": Case(**row["case"])}) for row in rows]


def test_every_bad_input_ends_as_it_should(outcomes: list[fuzz_inputs.Outcome]) -> None:
    bad = [(one.case, one.bad, one.said[-300:]) for one in outcomes if one.bad]
    assert not bad, "\n".join(map(str, bad))


def test_every_command_is_fed(outcomes: list[fuzz_inputs.Outcome]) -> None:
    assert len(outcomes) == INPUTS and {one.case.command for one in outcomes} == COMMANDS.keys()


@pytest.mark.parametrize(
    ("bad", "code", "said", "late", "memory"),
    [
        ("no end", -9, "", True, 0),
        ("traceback, exit 1", 1, "Traceback (most recent call last):\n", False, 0),
        ("memory", 2, "error: x", False, 10_000),
        ("exit 1 without an answer", 1, "", False, 0),
        ("exit 1 without an answer", 1, "error: unforeseen KeyError", False, 0),
        ("exit 99", 99, "", False, 0),
        ("several lines of error", 2, "error: a\nerror: b\n", False, 0),
        ("several lines of error", 2, "usage: x [-h]\nx: error: a\n", False, 0),
        ("nothing said", 2, "", False, 0),
        ("", 2, "error: a\n", False, 0),
        ("", 1, "error: the verdict is no-ship\n", False, 0),
    ],
)
def test_the_fuzz_sees_what_it_looks_for(bad: str, code: int, said: str, late: bool, memory: float) -> None:
    assert judge(CASE, code, said, "", late, memory) == bad


def test_the_same_seed_makes_the_same_damage() -> None:
    content = b'{"a": [1, 2], "b": {"c": "d"}}\n'
    places = [(seed, suffix) for suffix in (".json", ".jsonl", ".yaml", "") for seed in range(50)]
    made, again = ([bad_inputs.damage(random.Random(seed), content, suffix) for seed, suffix in places] for _ in "ab")
    assert made == again and len({kind for kind, _ in made}) > 40
