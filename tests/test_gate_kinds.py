"""Gate kinds: ours say what and why, and one of an installed package goes everywhere without a line of ours changed."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from eval.common.errors import UserError
from eval.config.gate_rules import OURS, kind_of
from eval.config.suite_file import load_suite
from eval.contracts.gate import Gate
from eval.gates.comparisons import pair_scores
from eval.gates.outcomes import compare_in
from eval.gates.power_table import planned_power, power_lines
from eval.gates.self_checks import self_checks
from eval.run.files import read_jsonl, read_metrics, write_jsonl
from eval.run.metrics import GateResult
from eval.run.records import BASELINE, CANDIDATE, Score
from scripts import review
from scripts.publishing.card import EMBEDDED, render_card
from tests.gate_rows import EFFECT, gate_by, generations, scores, suite
from tests.packages import install
from tests.run_builder import SUITE, build_run, call, judge
from tests.test_card import evidence_of

THEIRS = '''
"""Two gate kinds of somebody else's."""

from typing import Literal

from pydantic import Field
from scipy.stats import binom

from eval.contracts.gate import Gate, Measured
from eval.run.metrics import Interval
from eval.statistics.paired import rate_interval


class MinMedian(Gate):
    """Passes when the lower bound of the candidate's median lies above `limit`."""

    rule: Literal["min_median"]
    limit: float = Field(description="lowest median of the candidate that may be published")

    quantity = True
    statistic = "median"

    @property
    def threshold(self):
        return self.limit

    def measure(self, pairs, comparison, terms):
        values = sorted(pairs.candidate)
        n = len(values)
        place = int(binom.ppf(terms.alpha, n, 0.5)) if n else 0  # order statistics: distribution-free
        if not place:
            return Measured(None, None)
        ends = {"low": values[place - 1], "high": values[n - place]}
        return Measured(values[n // 2], Interval(**ends, confidence=terms.confidence, method="order statistics"))


class MaxShareOfCategory(Gate):
    """Passes when of what the candidate scores 1 on, the share in one category lies surely below `limit`."""

    rule: Literal["max_share_of_category"]
    category: str
    limit: float = Field(gt=0, lt=1)

    about = "rate"
    good = "below"
    statistic = "share"

    @property
    def threshold(self):
        return self.limit

    def measure(self, pairs, comparison, terms):
        rows = zip(pairs.candidate, pairs.categories)
        hits = [category == self.category for value, category in rows if value == 1]
        if not hits:
            return Measured(None, None)
        share = sum(hits) / len(hits)
        return Measured(share, rate_interval(share, len(hits), terms.confidence))
'''
OFFERS = {"min_median": "their_gates:MinMedian", "max_share_of_category": "their_gates:MaxShareOfCategory"}
LONG = gate_by("min_median", "long-enough", metric="length", limit=10.0)
SPREAD = gate_by("max_share_of_category", "spread-out", metric="wrong", category="net", limit=0.6)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of somebody else's, in a folder on the path."""
    folder = tmp_path / "site"
    install(folder, "their-gates", {"their_gates.py": THEIRS}, {"gates": OFFERS})
    monkeypatch.syspath_prepend(str(folder))
    kind_of.cache_clear()
    yield folder
    kind_of.cache_clear()
    sys.modules.pop("their_gates", None)


def judged_by_theirs(results: Path) -> Path:
    """A run with two more metrics, a length and a mark by category, under gates of the package beside ours."""
    run = build_run(results)
    lengths, wrong = [12.0 + n % 5 for n in range(60)], [float(n % 2) for n in range(60)]
    more = [
        Score(
            arm=arm, task="translate", sample=f"s{number}", repeat=0, metric=metric, value=value, status="scored",
            reason="", cluster=f"s{number}", category=("net", "disk", "text")[number % 3],
        )
        for metric, values in (("length", lengths), ("wrong", wrong))
        for arm in (BASELINE, CANDIDATE)
        for number, value in enumerate(values)
    ]  # fmt: skip
    write_jsonl(run / "scores.jsonl", [*read_jsonl(run / "scores.jsonl", Score), *more])
    gates = [*SUITE["gates"], *({**gate, "task": "translate"} for gate in (LONG, SPREAD))]  # type: ignore[misc]
    (run / "suite.yaml").write_text(yaml.safe_dump({**SUITE, "gates": gates}))
    judge(run)
    return run


@pytest.mark.slow
def test_a_kind_of_an_installed_package_goes_through_everything(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = judged_by_theirs(tmp_path / "results")
    metrics = read_metrics(run / "metrics.json")
    theirs = {gate.id: gate for gate in metrics.gates}
    assert (metrics.verdict, theirs["long-enough"].outcome, theirs["spread-out"].outcome) == ("ship", "pass", "pass")
    assert theirs["long-enough"].reason == "all of 13 to 15 lies above 10"
    assert theirs["spread-out"].reason == "all of 19.3 to 49.9 % lies below 60 %"

    checked = load_suite(run / "suite.yaml")
    lines = power_lines(checked, planned_power(checked, {"translate": (60, 60), "refuse": (60, 60)}))
    assert "long-enough (blocking): 60 items, what it can see is not known before a run" in lines

    markdown, page = (run / "report.md").read_text(), (run / "report.html").read_text()
    drawn = (run / "figures/gates.svg").read_text()
    for text in (markdown.replace("\u00a0", " ").replace("&nbsp;", " "), page.replace("&nbsp;", " ")):
        assert "14 [13, 15]" in text and "33.3 % [19.3, 49.9]" in text
    assert "median length of the candidate, in its unit" in drawn and "long-enough" in drawn and "spread-out" in drawn

    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada", "--comment", "read it"]
    assert call(review.main, argv, capsys)[0] == 0
    card = render_card("someone/toy", EMBEDDED["models/SmolLM2-135M-Instruct"], evidence_of(run))
    assert "min_median of translate length" in card and "length (higher is better)" in card
    assert "wrong (lower is better)" in card

    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "eval.gates", "--run", str(run)]
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0 and "long-enough: all of 13 to 15 lies above 10" in again.stdout, again.stderr
    gone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert gone.returncode == 2 and "no gate min_median: there are max_rate" in gone.stderr
    assert len(gone.stderr.splitlines()) == 1


def test_what_a_kind_does_not_say_is_decided_with_care(installed: Path) -> None:
    with pytest.raises(ValueError, match="rule min_median has no anytime-valid test"):
        suite(LONG, mode="sequential")
    spread = {**SPREAD, "task": "t", "metric": "m"}
    rows = scores([(1.0, 1.0)] * 60, categories=["net", "disk"] * 30)
    checks = self_checks(suite(spread), generations(60), rows, EFFECT)
    assert all(check.ok for check in checks if check.name != "adapter effect")
    hidden = scores([(1.0, 1.0)] * 60 + [(1.0, None)], categories=["disk", "text"] * 30 + ["net"])
    pairs = pair_scores(hidden)
    checked = suite(spread, max_invalid=0.1)
    worst = checked.gates[0].at_worst(pairs)
    assert worst.candidate[-1] == 1 and compare_in(checked, worst).invalid == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('no scipy')", "min_median of their-gates 1.0 cannot be loaded: ImportError: no scipy"),
        ("MinMedian = dict", "gate min_median is not a subclass of Gate"),
        (
            "from eval.contracts.gate import Gate\nclass MinMedian(Gate): ...",
            "gate min_median lacks measure, threshold",
        ),
        (THEIRS.replace('Literal["min_median"]', 'Literal["median"]'), "rule: Input should be 'median'"),
    ],
)
def test_a_broken_kind_is_one_line(installed: Path, code: str, said: str, tmp_path: Path) -> None:
    (installed / "their_gates.py").write_text(code)
    path = tmp_path / "suite.yaml"
    path.write_text(json.dumps({"name": "s", "description": "d", "tasks": [{"name": "t"}], "gates": [LONG]}))
    with pytest.raises(UserError) as caught:
        load_suite(path)
    assert f"{path}: gates.0" in str(caught.value) and said in str(caught.value) and "\n" not in str(caught.value)


def test_every_problem_of_an_entry_keeps_its_key(tmp_path: Path) -> None:
    bad = [gate_by("superiority", "a", gain=1), gate_by("max_rate", "b", limit=2), {"id": "c"}, "no mapping"]
    path = tmp_path / "suite.yaml"
    path.write_text(json.dumps({"name": "s", "description": "d", "tasks": [{"name": "t"}], "gates": bad}))
    with pytest.raises(UserError) as caught:
        load_suite(path)
    for said in (
        "gates.0.min_gain: Field required", "gates.0.gain: Extra inputs", "gates.1.limit: Input should be less than 1",
        "gates.2: rule: name one of max_rate, ", "gates.3: Input should be a valid dictionary",
    ):  # fmt: skip
        assert said in str(caught.value), said


@pytest.mark.parametrize("rule", OURS)
def test_ours_say_what_they_are_for(rule: str) -> None:
    kind = kind_of(rule)
    assert kind.model_fields["rule"].annotation.__args__ == (rule,)  # type: ignore[union-attr]
    said = inspect.getdoc(inspect.getmodule(kind)) or ""
    assert said.startswith(f"{rule}: ") and all(word in said for word in ("\nWhy: ", "\nExample: ", "\nFormula: "))


def test_nothing_else_asks_what_a_gate_is_about() -> None:
    """`about` is written into metrics.json; what differs between kinds is theirs to say."""
    asks = re.compile(r"\.about\s*(==|!=|in\b|not\s+in\b)|isinstance\(gate\b|gate\w*\.rule\s*(==|!=|in\b)")
    files = [path for room in ("eval", "scripts") for kind in ("*.py", "*.j2") for path in Path(room).rglob(kind)]
    guilty = [str(path) for path in files if asks.search(path.read_text()) and path.parent.name != "kinds"]
    assert files and guilty == []


def test_a_rule_that_is_not_a_name_is_one_line() -> None:
    with pytest.raises(UserError, match=r"not a name: 'x\\n# Heading'"):
        kind_of("x\n# Heading")


def test_a_result_is_worded_without_its_suite() -> None:
    result = GateResult(
        id="g", task="t", metric="m", rule="max_rate", tier="blocking", estimate=0.006, interval=None, threshold=0.05,
        good="below", outcome="inconclusive", reason="r", items_needed=None,
    )  # fmt: skip
    kind = kind_of(result.rule)
    assert kind.threshold_text(result, None) == "< 5.0 %" and kind.estimate_text(result, None) == "0.6 % [unknown]"
    assert issubclass(kind, Gate) and kind.next_step(result, 40) == (
        "g: no number of items is known to settle it; 40 were scored."
    )
