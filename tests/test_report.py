"""eval.report on small real runs: what is said, that it is always the same, and that hostile text stays text."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from eval.common.errors import UserError
from eval.common.number_text import signed_text
from eval.common.places import ROOT
from eval.report.calibration import calibration, choice_confidence
from eval.report.escaped_text import markdown_code, markdown_fence, markdown_text, visible
from eval.report.number_text import difference_text, paired_counts
from eval.report.rendering import render_report
from eval.report.sentences import nothing_changed
from eval.report.svg import ticks
from eval.run.files import read_metrics, write_json
from eval.run.metrics import Comparison, Interval
from eval.run.records import Score
from tests.report_builder import EFFECT, HOSTILE, ITEMS, write_full_run, write_run

Rendered = Callable[..., tuple[Path, str, str]]


def rendered(run: Path) -> tuple[str, str]:
    """report.md and report.html."""
    render_report(run)
    return (run / "report.md").read_text(), (run / "report.html").read_text()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Runs of this module that no test changes, rendered once each: (folder, report.md, report.html)."""

    @cache
    def make(variant: str, items: int = ITEMS) -> tuple[Path, str, str]:
        run = write_run(tmp_path_factory.mktemp("report") / "run", variant, items=items)
        return run, *rendered(run)

    return make


class Page(HTMLParser):
    """What a browser would make of report.html: its tags, their attributes, and its text."""

    VOID = frozenset(["meta", "link", "input", "path", "use", "br", "wbr"])

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", list[str]()
        self.feed(source)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("variant", ["ship", "no-ship", "inconclusive"])
def test_both_files_hold_the_verdict_and_every_number(report: Rendered, variant: str) -> None:
    run, markdown, page = report(variant)
    metrics = read_metrics(run / "metrics.json")
    text = Page(page).text
    for shown in (markdown, text):
        assert metrics.verdict.upper() in shown
        for gate in metrics.gates:
            assert gate.id in shown and gate.outcome in shown
            assert f"> {signed_text(gate.threshold, rate=True)} pts" in unescape(shown).replace("\xa0", " ")
        for comparison in metrics.comparisons:
            assert difference_text(comparison) in shown
            assert f"{100 * (comparison.baseline or 0):.1f} %" in shown
        for reason in metrics.reasons:
            assert reason in shown.replace("\\", "")
        for digest in (metrics.suite_sha256, metrics.tasks[0].dataset_sha256, "0a1b2c3d4e5f"):
            assert digest in shown
        for said in ("uncommitted changes", "axolotl 0.19.0", "lm_eval 0.4.11", "3 min 10 s", "12,345", "seeds"):
            assert said in shown
        assert "data/mine.jsonl" in shown


def test_a_ship_points_to_the_review(report: Rendered) -> None:
    for text in report("ship")[1:]:
        assert "make review RUN=demo-20260101T120000Z-f600dd8" in text
        assert "NOTHING CHANGED" not in text


@pytest.mark.parametrize("variant", ["ship", "no-ship"])
def test_a_suite_that_a_person_may_override_says_so(tmp_path: Path, variant: str) -> None:
    run = write_run(tmp_path / "run", variant)
    suite = json.loads((run / "suite.yaml").read_text())
    write_json(run / "suite.yaml", suite | {"review": {"allow_override": True, "require_signature": True}})
    for text in rendered(run):
        assert "a person may override" in text
        assert ("OVERRIDE=" in text) == (variant == "no-ship")
        assert ("signed as this suite asks" in text) == (variant == "ship")


def test_an_undecided_gate_says_how_many_items_would_settle_it(report: Rendered) -> None:
    run, *texts = report("inconclusive")
    needed = next(gate.items_needed for gate in read_metrics(run / "metrics.json").gates if gate.items_needed)
    for text in texts:
        assert f"about {needed:,} items would settle it; 40 were scored" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensors_loaded": 3}, "Only 3 of 224 adapter tensors"),
        ({"max_logit_change": 0.0}, "changes no logit"),
        ({"answers_changed": 0}, "changed none of 80 answers"),
    ],
)
def test_an_adapter_without_effect_is_noticed(change: dict[str, float], said: str) -> None:
    assert said in str(nothing_changed(EFFECT.model_copy(update=change)))
    assert nothing_changed(EFFECT) is None


def test_the_base_against_itself_is_announced(tmp_path: Path) -> None:
    for text in rendered(write_run(tmp_path / "run", effect=None)):
        assert "NOTHING CHANGED" in text and "compared with itself" in text and "INCONCLUSIVE" in text


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_without_heavy_libraries(report: Rendered, tmp_path: Path) -> None:
    first, second = report("ship")[0], write_run(tmp_path / "b")
    code = (
        f"import sys; sys.argv[1:] = ['--run', {str(second)!r}]; from eval.report.rendering import main; main(); "
        "sys.exit(bool({'torch', 'lm_eval', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    names = ["report.md", "report.html", *(f"figures/{name}.svg" for name in ("gates", "outcomes", "loss"))]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert not list(first.rglob("*.partial"))


def test_the_page_loads_nothing_and_holds_one_script(report: Rendered) -> None:
    _, _, source = report("no-ship", 160)
    page = Page(source)
    attributes = [pair for _, given in page.tags for pair in given.items()]
    links = [value for name, value in attributes if name.endswith(("src", "href"))]
    assert links and all(link and link.startswith(("#", "data:,")) for link in links)
    assert not re.search(r"@import|url\((?!#)", source)
    kinds = Counter(tag for tag, _ in page.tags)
    assert kinds["script"] == 1 and not kinds["img"] and not kinds["iframe"]
    assert not any(name.startswith("on") for name, _ in attributes)
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_policy_admits_exactly_the_page_s_script(report: Rendered) -> None:
    _, _, source = report("ship")
    script = re.search(r"<script>(.*?)</script>", source, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in source


def test_hostile_answers_stay_text_in_the_page(report: Rendered) -> None:
    _, _, source = report("no-ship", 160)
    assert visible(HOSTILE) in Page(source).text
    assert "\x1b" not in source and "\u202e" not in source and r"\x1b" in source and r"\u202e" in source


def test_hostile_answers_stay_text_in_markdown(report: Rendered) -> None:
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    tokens = parser.parse(report("no-ship", 160)[1])
    fences = [token.content for token in tokens if token.type == "fence"]
    assert any("alert(1)" in fence for fence in fences)
    inside = [child for token in tokens for child in token.children or []]
    assert not [token for token in tokens if token.type == "html_block" and "script" in token.content]
    assert not [child for child in inside if child.type in ("html_inline", "link_open")]
    assert {child.attrs["src"] for child in inside if child.type == "image"} == {
        "figures/gates.svg", "figures/outcomes.svg", "figures/loss.svg",
    }  # fmt: skip
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert "not a heading" not in " ".join(headings) and "Provenance" in headings


def test_markdown_tables_keep_their_columns_with_hostile_cells(tmp_path: Path) -> None:
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    run = write_run(tmp_path / "run")
    raw = json.loads((run / "metrics.json").read_text())
    raw["provenance"]["machine"]["cpu"] = HOSTILE
    raw["tasks"][0]["dataset"] = "a|b`c\\|d"
    write_json(run / "metrics.json", raw)
    widths, rows = [], 0
    for token in parser.parse(rendered(run)[0]):
        if token.type == "th_open":
            rows += 1
        elif token.type == "thead_close":
            widths.append(rows)
            rows = 0
    assert widths == [7, 4, 11, 8, 6, 2]
    cells = [token.content for token in parser.parse((run / "report.md").read_text()) if token.type == "inline"]
    assert any("not a heading" in cell for cell in cells)
    assert "Rendered from" in cells[-1]


ODD_TEXTS = [
    "`",
    "``` x",
    "a`b",
    " ",
    "a|b",
    "a\\|b",
    "```\n````\n`",
    "\ta\r\nb",
    "- a",
    "1. a",
    "# a",
    "<b>",
    "__b__",
    "a_b",
    "&lt;",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_markdown_filters_give_back_the_text(text: str) -> None:
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    shown = " ".join(visible(text).split())
    for filtered in (markdown_code(text), markdown_text(text)):
        tokens = parser.parse(f"| {filtered} |\n|---|\n")
        assert [token.type for token in tokens[:3]] == ["table_open", "thead_open", "tr_open"]
        inside = [child.content for token in tokens for child in token.children or []]
        assert "".join(inside) == shown
        assert [token.type for token in parser.parse(filtered)] in (
            [], ["paragraph_open", "inline", "paragraph_close"],
        )  # fmt: skip
    (fence,) = parser.parse(markdown_fence([("gold", text)]))
    assert fence.type == "fence" and fence.content.startswith("gold")


def test_an_item_is_shown_once_with_every_gate_it_changed(report: Rendered) -> None:
    """Item 3 loses `safe` and wins `correct` in this run: one card, both said, and it stands with the lost."""
    _, markdown, page = report("inconclusive")
    cards = re.findall(r'<article class="item" (.*?)</article>', page, re.DOTALL)
    (card,) = [card for card in cards if ">nl2bash-0003</code>" in card]
    assert 'data-lost="g0 g1" data-won=""' in card and "exec-gain" in card and "keeps-safe" in card
    assert markdown.count("`nl2bash-0003`") == 1


def test_markdown_holds_what_matters_most_and_the_page_more(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "ship", items=80)
    markdown, source = rendered(run)
    won = [f"nl2bash-{n:04}" for n in range(80) if 6 <= n % 40 < 32]
    assert all(f">{sample}</code>" in source for sample in won)
    assert "<summary>nl2bash: 52 won, the 3 that matter most</summary>" in markdown
    assert sum(f"`{sample}`" in markdown for sample in won) == 3
    assert "find . -type f" in markdown and "cut off at the token limit" in markdown


def test_markdown_fits_a_pull_request(report: Rendered) -> None:
    assert all(len(report(variant, 160)[1]) < 65_536 for variant in ("ship", "no-ship"))


def test_a_number_leads_to_its_lines_of_scores(report: Rendered) -> None:
    run, markdown, _ = report("ship")
    found = re.search(r"`(nl2bash-\d+)`\s+- − lost exec-gain: correct 1 → 0 · lines (\d+), (\d+) of scores", markdown)
    assert found
    lines = (run / "scores.jsonl").read_text().splitlines()
    values = [Score.model_validate_json(lines[int(number) - 1]) for number in found.groups()[1:]]
    assert [(score.sample, score.arm, score.value) for score in values] == [
        (found[1], "baseline", 1.0), (found[1], "candidate", 0.0),
    ]  # fmt: skip


def test_without_texts_the_items_are_listed_by_id(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("generations.jsonl", "samples.jsonl", "suite.yaml"):
        (run / name).unlink()
    for report in rendered(run):
        assert "without their texts" in report and "nl2bash-0000" in report and "find . -type f" not in report


def test_a_run_that_says_little_is_still_rendered(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    raw = json.loads((run / "metrics.json").read_text())
    raw |= {"provenance": {}, "training": None, "costs": {}, "comparisons": [], "tasks": [], "reasons": []}
    write_json(run / "metrics.json", raw)
    markdown, page = rendered(run)
    assert "SHIP" in markdown and "exec-gain" in Page(page).text


def test_invalid_items_are_counted_with_their_reason(report: Rendered) -> None:
    for text in report("no-ship", 160)[1:]:
        assert "sandbox did not start" in text and "159" in text


def test_a_metric_in_its_own_unit_has_its_own_axis(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    raw = json.loads((run / "metrics.json").read_text())
    raw["comparisons"][2] |= {"baseline": -12.5, "candidate": -12.0, "difference": 0.5}
    write_json(run / "metrics.json", raw)
    markdown, _ = rendered(run)
    assert "| −12.5 | −12 | +0.5 [" in markdown
    points, own = (run / "figures" / "gates.svg").read_text().split("Difference of f1")
    assert "exec-gain" in points and "keeps-knowledge" not in points
    assert "keeps-knowledge" in own and "f1 in its unit" in own and "percentage" not in own


def test_figures_are_xml_in_light_and_dark_and_follow_the_page_when_inlined(report: Rendered) -> None:
    run, _, page = report("ship")
    drawings = [path.read_text() for path in (run / "figures").glob("*.svg")]
    assert len(drawings) == 3
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "prefers-color-scheme:dark" in drawing and "#ffffff" in drawing
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 2 * len(drawings) and "#" not in "".join(drawn)  # wide and slim; no colour, no id


def test_difference_and_paired_counts() -> None:
    comparison = Comparison(
        task="t", metric="m", n=100, clusters=100, invalid=0, baseline=0.5, candidate=0.912, baseline_interval=None,
        candidate_interval=None, difference=0.412, wins=45, losses=4, mcnemar_p=0.0,
        interval=Interval(low=0.34, high=0.481, confidence=0.9, method="tango score"),
    )  # fmt: skip
    assert difference_text(comparison) == "+41.2 pts [34.0, 48.1]"
    assert paired_counts(comparison) == {"both right": 46, "won": 45, "lost": 4, "both wrong": 5}
    assert signed_text(-0.0001, rate=True) == "+0.0"


@pytest.mark.slow
def test_a_run_without_metrics_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "eval.report", "--run", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "metrics.json is missing: run `make eval" in done.stderr


def test_truncated_scores_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "scores.jsonl").write_bytes((run / "scores.jsonl").read_bytes()[:-20])
    with pytest.raises(UserError, match="cut off"):
        render_report(run)
    assert not (run / "report.md").exists()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run with everything, and an earlier one of its recipe beside it, rendered."""
    results = tmp_path_factory.mktemp("results")
    write_full_run(results / "earlier", created="2025-12-01T12:00:00+00:00")
    run = write_full_run(results / "now")
    return run, *rendered(run)


def test_every_part_of_metrics_is_in_both_files(full: tuple[Path, str, str]) -> None:
    for text in (full[1].replace("\\", ""), Page(full[2]).text):
        words = " ".join(unescape(text).replace("*", "").split())
        for said in (
            "Decided after 420 of 1,000 items (58% saved), in 4 looks. Every look was valid",
            "the blessed adapter of run smollm2-2025", "80 (1 min 35 s saved)", "4, 16", "2.5 %",
            "baseline against itself", "12 of 12 answers are equal", "1 gate did not fail",
            "0.0125", "hint where to look, decides nothing", "Holm", "ECE", "network", "none broken", "tokens/s",
        ):  # fmt: skip
            assert said.lower() in words.lower(), said


def test_how_answers_were_drawn_is_in_both_files(full: tuple[Path, str, str]) -> None:
    markdown, page = full[1], Page(full[2]).text
    for text in (unescape(markdown.replace("\\", "")), page):
        words = " ".join(text.split())
        for said in (
            "greedy: do_sample=False, top_k=0", "asked for by the base, not used", "temperature=0.6", "2, 7",
            "enable_thinking=False", "2026-01-01", "forced_words='a|b`c <i>'",
        ):  # fmt: skip
            assert said in words, said
    assert "<i>" not in full[1] and "<i>" not in full[2]


def test_every_gate_has_its_row_and_only_intervals_are_drawn(full: tuple[Path, str, str]) -> None:
    run, markdown, _ = full
    drawn = (run / "figures" / "gates.svg").read_text()
    for gate in read_metrics(run / "metrics.json").gates:
        assert f"**{gate.id}** |" in markdown or f"{gate.id} *(advisory)* |" in markdown
        assert (f">{gate.id}</text>" in drawn) == (gate.about != "items")
    for title in ("Difference, item by item", "own rate", "own drift"):
        assert title in drawn
    assert {path.stem for path in (run / "figures").iterdir()} == {
        "gates", "outcomes", "slices-1", "explored-1", "explored-2", "reliability", "trend", "loss",
    }  # fmt: skip


def test_a_figure_that_is_no_longer_drawn_is_removed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "figures").mkdir()
    (run / "figures" / "rates.svg").write_text("<svg/>")
    render_report(run)
    assert not (run / "figures" / "rates.svg").exists()


def test_calibration_error_is_the_weighted_gap() -> None:
    """Ten items at 90 % of which seven are right, ten at 50 % of which five are: ECE = (10 * .2 + 10 * 0) / 20."""
    rows = [(0.9, float(n < 7)) for n in range(10)] + [(0.5, float(n < 5)) for n in range(10)]
    found = calibration("t", "baseline", rows, 0.9)
    assert found.ece == pytest.approx(0.1) and [entry.n for entry in found.bins] == [10, 10]
    assert found.bins[0].confidence == pytest.approx(0.5) and found.bins[1].accuracy == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("[[-1.0, true], [-1.0, false]]", 0.5),
        ("[[0.0, true], [-1e9, false]]", 1.0),
        ("[[-1.0, true]]", None),
        ("[[1, 2], [3, 4]]", None),
        ("[[NaN, true], [-1.0, false]]", None),
        ("[[ -f x ]] && echo yes", None),
    ],
)
def test_confidence_is_read_from_likelihoods_alone(text: str, confidence: float | None) -> None:
    assert choice_confidence(text) == confidence


def test_metrics_of_an_earlier_version_show_rates_as_rates(tmp_path: Path) -> None:
    run = write_full_run(tmp_path / "run")
    raw = json.loads((run / "metrics.json").read_text())
    for gate in raw["gates"]:
        del gate["about"], gate["slices"]
    for name in ("explorations", "power_planned", "power_observed", "self_checks", "sequential", "noise", "baseline"):
        del raw[name]
    write_json(run / "metrics.json", raw)
    assert "| < 90.0 % |" in unescape(rendered(run)[0]).replace("\xa0", " ")


def test_ticks_are_round_and_few() -> None:
    assert ticks(-41, 97) == [-25, 0, 25, 50, 75]
    assert ticks(0, 1, 5) == [0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(0.3, 0.52, 4) == [0.3, 0.4, 0.5]
    assert ticks(3, 3) == [3]
    for high in (0.001, 7, 12345.0):
        assert 2 <= len(ticks(0, high)) <= 7
