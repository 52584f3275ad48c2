"""What must hold of every decision, whatever the scores, with one look and with many."""

import json
import random
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.config.suite_file import Suite
from eval.gates.decide import Decision, decide
from eval.run.files import write_jsonl
from tests.gate_rows import EFFECT, Pair, gate_by, scores, suite

BETTER = {"no-ship": 0, "inconclusive": 1, "ship": 2, "fail": 0, "pass": 2}
modes = st.sampled_from(["fixed", "sequential"])
# Few distinct pairs and a repetition, so that both decided and undecided cases are drawn.
pairs = st.lists(
    st.tuples(st.sampled_from([(0, 1), (1, 0), (1, 1), (0, 0)]), st.integers(1, 25)), min_size=1, max_size=6
).map(lambda runs: [pair for pair, times in runs for _ in range(times)])


def one_gate(mode: str, margin: float = 0.1) -> Suite:
    """Allows more invalid items than the default, so that some pass."""
    return suite(gate_by("noninferiority", margin=margin), mode=mode, max_invalid=0.1)


def decided(mode: str, items: list[Pair], cluster: int = 1, margin: float = 0.1) -> Decision:
    return decide(one_gate(mode, margin), scores(items, per_cluster=cluster), EFFECT)


@settings(max_examples=40, deadline=None)
@given(modes, pairs, st.integers(1, 3))
def test_swapping_the_arms_mirrors_the_interval(mode: str, items: list[Pair], cluster: int) -> None:
    one = decided(mode, items, cluster).comparisons[0].interval
    other = decided(mode, [(after, before) for before, after in items], cluster).comparisons[0].interval
    assert one is not None and other is not None
    assert one.low == pytest.approx(-other.high, abs=1e-6) and one.high == pytest.approx(-other.low, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(modes, pairs, st.integers(0, 200))
def test_an_item_turned_right_never_worsens_a_gate(mode: str, items: list[Pair], place: int) -> None:
    """Monotone in wins and losses. Items in clusters are left out: there, one more right item can also mean more
    disagreement within its cluster, and so a wider interval."""
    place %= len(items)
    before, after = decided(mode, items), decided(mode, [*items[:place], (items[place][0], 1), *items[place + 1 :]])
    assert BETTER[after.gates[0].outcome] >= BETTER[before.gates[0].outcome]
    low, high = (decision.comparisons[0].interval for decision in (before, after))
    assert low is not None and high is not None and high.low >= low.low - 1e-6


@settings(max_examples=40, deadline=None)
@given(modes, pairs, st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_order_of_lines_never_matters(mode: str, items: list[Pair], cluster: int, shuffler: random.Random) -> None:
    rows = scores(items, per_cluster=cluster)
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    one, other = decide(one_gate(mode), rows, EFFECT), decide(one_gate(mode), shuffled, EFFECT)
    assert (one.verdict, one.gates, one.comparisons) == (other.verdict, other.gates, other.comparisons)


@settings(max_examples=40, deadline=None)
@given(modes, pairs, st.integers(1, 20), st.sampled_from([(None, 1), (0, None), (None, None)]))
def test_more_invalid_items_never_turn_a_verdict_into_ship(
    mode: str, items: list[Pair], count: int, broken: Pair
) -> None:
    """Added at the end, so that the scored items keep their ids and with them their random order."""
    before, after = decided(mode, items), decided(mode, [*items, *[broken] * count])
    assert after.verdict != "ship" or before.verdict == "ship"
    assert after.verdict in (before.verdict, "inconclusive")


@settings(max_examples=80, deadline=None)
@given(modes, pairs, st.data())
def test_whatever_is_made_invalid_in_either_arm_never_turns_a_verdict_into_ship(
    mode: str, items: list[Pair], data: st.DataObject
) -> None:
    """The truth is never worse than what an invalid item is counted as, and a better item never worsens a gate."""
    hidden = list(items)
    for place in data.draw(st.lists(st.integers(0, len(items) - 1), max_size=len(items) // 10 + 1)):
        before, after = hidden[place]
        hidden[place] = data.draw(st.sampled_from([(None, after), (before, None), (None, None)]))
    assume(any(before is not None and after is not None for before, after in hidden))
    assert decided(mode, hidden).verdict != "ship" or decided(mode, items).verdict == "ship"


@settings(max_examples=40, deadline=None)
@given(modes, pairs, st.integers(1, 3))
def test_a_wider_margin_never_worsens_a_gate(mode: str, items: list[Pair], cluster: int) -> None:
    """But for the floor, where a margin above both arms' scores cannot show anything."""
    strict, lenient = (decided(mode, items, cluster, margin).gates[0] for margin in (0.1, 0.2))
    assume("floor" not in lenient.reason)
    assert BETTER[lenient.outcome] >= BETTER[strict.outcome] or "floor" in strict.reason


@settings(max_examples=40, deadline=None)
@given(modes, pairs)
def test_a_gate_passes_exactly_when_its_interval_lies_above_the_threshold(mode: str, items: list[Pair]) -> None:
    gate = decided(mode, items).gates[0]
    assert gate.interval is not None
    assume("floor" not in gate.reason)
    assert (gate.outcome == "pass") == (gate.interval.low > -0.1)
    assert (gate.outcome == "fail") == (gate.interval.high < -0.1)


def run_gates(folder: Path, tasks: int, items: int) -> tuple[float, float]:
    """CPU seconds and peak memory (MB) of `python -m eval.gates` on that many scores."""
    generator = random.Random(1)
    names = [f"t{task}" for task in range(tasks)]
    rows = []
    for task, name in enumerate(names):
        draw = partial(generator.choice, (0.0, 1.0)) if task % 2 else generator.random
        pairs = [(draw(), draw()) for _ in range(items)]
        rows += scores(pairs, task=name, categories=[f"k{item % 8}" for item in range(items)])
    write_jsonl(folder / "scores.jsonl", rows)
    gates = [gate_by("noninferiority", f"g-{name}", margin=0.03) | {"task": name} for name in names]
    judged = suite(*gates, tasks=[{"name": name} for name in names])
    (folder / "suite.yaml").write_text(json.dumps(judged.model_dump()))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "eval.gates", "--suite", folder / "suite.yaml", "--scores", folder / "scores.jsonl"],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1, 3), done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


@pytest.mark.slow
def test_deciding_five_tasks_of_two_thousand_items_is_fast(tmp_path: Path) -> None:
    """1.8 s of CPU where it was measured; 200,000 lines took 5 s and 380 MB."""
    seconds, _ = run_gates(tmp_path, tasks=5, items=2_000)
    assert seconds < 3.0 * 1.5  # a busy machine's caches


@pytest.mark.slow
def test_reading_scores_takes_little_memory() -> None:
    """Bytes a line, so that 200,000 lines stay far below 1 GB."""
    code = (
        "import resource, sys\n"
        "from eval.run.records import Score\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "row = Score(arm='baseline', task='t', sample='s', repeat=0, metric='m', value=1.0, status='scored',"
        " cluster='c')\n"
        "text = row.model_dump_json()\n"
        "rows = [Score.model_validate_json(text) for _ in range(20_000)]\n"
        "print((peak() - before) * 1024 / len(rows))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 3_500
