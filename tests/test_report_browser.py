"""report.html and the page of a comparison in a real browser: wide and on a phone, light and dark, filters used."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from eval.report.rendering import render_report
from scripts.runs import main as runs_main
from tests.browser import Browser, browser_path, open_browser
from tests.report_builder import write_full_run
from tests.run_builder import build_run

pytestmark = pytest.mark.skipif(browser_path() is None, reason="no Chromium here: apt-get install chromium")

SHOWN_ITEMS = "[...document.querySelectorAll('.item')].filter(item => !item.hidden).length"
OVERFLOW = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !e.closest('.scroll') && getComputedStyle(e).display !== 'none';
}).map(e => e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.slice(0, 40))"""
# WCAG 2.2, 1.4.3: text against what is behind it, 4.5 to 1 (3 to 1 for large text); every element that holds text.
CONTRAST = """(() => {
  const rgb = (text) => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
    canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const known = new Map();
  const ratio = (front, back) => {
    const key = front + back;
    if (!known.has(key)) {
      const [a, b] = [light(rgb(front)), light(rgb(back))].sort((x, y) => y - x);
      known.set(key, (a + .05) / (b + .05));
    }
    return known.get(key);
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)' && colour !== 'transparent') return colour;
    }
    return 'white';
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || ['SCRIPT', 'OPTION'].includes(element.tagName) || element.matches('.f-on')) continue;
    const style = getComputedStyle(element);
    const front = element.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const large = parseFloat(style.fontSize) >= 24;
    const found = ratio(front, behind(element));
    if (found < (large ? 3 : 4.5)) low.push(`${found.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return low;
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with everything in it, and the comparison of two runs."""
    results = tmp_path_factory.mktemp("results")
    write_full_run(results / "earlier-20251201T120000Z-0123456", created="2025-12-01T12:00:00+00:00")
    run = write_full_run(results / "a-run-with-a-rather-long-name-20260101T120000Z-f600dd8")
    render_report(run)
    others = tmp_path_factory.mktemp("others")
    build_run(others, "one")
    build_run(others, "two", candidate_right=40)
    runs_main(["compare", "one", "two"], others)
    return {"report": run / "report.html", "compare": others / "compare" / "one--two.html"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize("page", ["report", "compare"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_fits_its_screen_and_shows_something(
    browser: Browser, pages: dict[str, Path], page: str, width: int, dark: bool
) -> None:
    browser.show(pages[page], width, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("visualViewport.width") <= width  # a phone zooms out of a page that is too wide
    assert browser.value(OVERFLOW) == []
    picture = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    colours = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    assert picture.width == width and len(colours) > 50
    _, paper = colours[0]
    assert (max(paper) < 60) if dark else (min(paper) > 220)
    assert browser.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, pages: dict[str, Path], dark: bool) -> None:
    for page in pages.values():
        browser.show(page, 1280, dark=dark)
        browser.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert browser.value(CONTRAST) == []


def test_wide_tables_scroll_in_a_box_of_their_own(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["report"], 390)
    boxes = browser.value(
        "[...document.querySelectorAll('.scroll')]"
        ".map(b => [b.scrollWidth > b.clientWidth, getComputedStyle(b).overflowX])"
    )
    assert any(wide for wide, _ in boxes) and all(overflow == "auto" for _, overflow in boxes)


def test_a_phone_sees_the_slim_figures_and_a_desk_the_wide_ones(browser: Browser, pages: dict[str, Path]) -> None:
    seen = (
        "[...document.querySelectorAll('figure svg')]"
        ".filter(s => s.getBoundingClientRect().width > 0).map(s => s.viewBox.baseVal.width)"
    )
    browser.show(pages["report"], 390)
    assert set(browser.value(seen)) == {344}
    browser.show(pages["report"], 1280)
    assert set(browser.value(seen)) == {880}


def choose(browser: Browser, **fields: str) -> int:
    """Set fields of the filter as a reader would; the number of items then shown."""
    for name, value in fields.items():
        browser.value(
            f"(() => {{ const field = document.querySelector('#filter').elements['{name}']; field.value = {value!r};"
            " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
    shown = int(browser.value(SHOWN_ITEMS))
    assert browser.value("document.querySelector('#filter output').textContent").startswith(f"{shown} of ")
    return shown


def test_the_filters_leave_what_they_say(browser: Browser, pages: dict[str, Path]) -> None:
    source = pages["report"].read_text()
    cards = re.findall(r'data-lost="(.*?)" data-won="(.*?)" data-category="(.*?)"', source)
    browser.show(pages["report"], 1280)
    assert browser.value(SHOWN_ITEMS) == len(cards) > 30
    gate = browser.value("document.querySelector('#filter').elements.gate.options[1].value")
    assert choose(browser, gate=gate) == sum(gate in (lost + " " + won).split() for lost, won, _ in cards)
    assert choose(browser, outcome="lost") == sum(gate in lost.split() for lost, _, _ in cards) > 0
    assert choose(browser, gate="") == sum(bool(lost) for lost, _, _ in cards)
    here = [category for lost, _, category in cards if lost]
    assert choose(browser, category=here[0]) == here.count(here[0]) > 0
    assert choose(browser, category="", outcome="", words="PRINTF '%S %P\\N' | sort -rn | head -n 7") > 0
    assert choose(browser, words="no answer says this") == 0
    browser.value("document.querySelector('#filter button').click()")
    browser.value("new Promise(done => setTimeout(done))")  # after the page's own, which applies the filter
    assert browser.value("document.querySelector('#filter').elements.words.value") == ""
    assert choose(browser) == len(cards)


def test_a_count_in_the_table_leads_to_its_items(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["report"], 1280)
    link = "document.querySelector('a[data-outcome=lost]')"
    count = int(browser.value(f"{link}.textContent"))
    browser.value(f"{link}.click()")
    assert choose(browser) == count
    assert browser.value("[...document.querySelectorAll('.item:not([hidden])')].every(i => i.dataset.lost)")


def test_a_hostile_answer_runs_nothing(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["report"], 1280)
    assert "alert(1)" in browser.value("document.body.textContent")
    assert browser.value("document.scripts.length") == 1 and browser.value("document.images.length") == 0
    assert browser.errors == []
    # Even where escaping failed, the policy would hold: a handler put into the page is blocked and said to be.
    browser.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = true\">')")
    browser.wait_for_error("Content Security Policy")
    assert browser.value("window.ran") is None
