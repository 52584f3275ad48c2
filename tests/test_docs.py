"""Documentation held against the code and the files it speaks of: targets, paths, links, figures, length."""

import importlib
import json
import re
from pathlib import Path

import pytest

from eval.common.places import ROOT
from tests.figures import PAGES, TABLES, cells_of, comparison, label_of, percent, read, tables_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
DOCS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "data/*/README.md",
        "configs/*/README.md",
        "products/*/README.md",
        "eval/fixtures/*/README.md",
    )
    for path in ROOT.glob(pattern)
)
# What a run or a user makes, and names of examples.
MADE_LATER = (
    r"results/(?!bench|noise|demo|nl2bash-cpu|reasoner)|results/demo/adapter|configs/allowed_signers|configs/signing_key"
    r"|data/\.\.\.|data/own/|models/"
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(text: str) -> list[str]:
    """What is set as code: spans, fenced blocks, and indented lines."""
    fenced = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [*fenced, *re.findall(r"^    \S.*$", rest, re.MULTILINE), *re.findall(r"`([^`]+)`", rest)]


def anchors_of(text: str) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in DOCS if page.stem != "risk_rules"], ids=name_of)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    named = {word for code in code_of(page.read_text("utf-8")) for word in re.findall(r"\bmake ([a-z][a-z-]*)", code)}
    assert named <= targets


def test_every_public_target_is_explained() -> None:
    public = set(re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.MULTILINE)) - {"help"}
    assert public - set(re.findall(r"`make ([a-z][a-z-]*)", COMMANDS)) == set()


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_every_path_and_module_that_is_named_exists(page: Path) -> None:
    for code in code_of(page.read_text(encoding="utf-8")):
        for path in re.findall(r"(?<![\w./-])(?:eval|scripts|tests|configs|data|docs|results)/[\w./*-]*", code):
            if not re.match(MADE_LATER, path):
                place = ROOT / page.parent if (page.parent / path).exists() else ROOT
                assert any(place.glob(path.rstrip("/."))), path
        for run, name in re.findall(r"(-m )?(?<![\w./-])((?:eval|scripts|tests)\.\w+(?:\.\w+)*)", code):
            place = ROOT.joinpath(*name.split("."))
            exact = place.with_suffix(".py").is_file() or (place / ("__main__.py" if run else "__init__.py")).is_file()
            # or a module's function
            assert exact or (not run and place.parent.with_suffix(".py").is_file()), name


def test_architecture_names_every_room_and_what_each_offers() -> None:
    rows = dict(re.findall(r"^\| `((?:eval|scripts)/\w+)` \|.*\| (.*) \|$", ARCHITECTURE, re.MULTILINE))
    rooms = {f"{top}/{path.parent.name}" for top in ("eval", "scripts") for path in (ROOT / top).glob("*/__init__.py")}
    assert rows.keys() == rooms
    for room, offered in rows.items():
        for name in re.findall(r"`(\w+)`", offered):
            file = (ROOT / room / name).with_suffix(".py").is_file()
            assert file or hasattr(importlib.import_module(room.replace("/", ".")), name), f"{room}: {name}"


def test_architecture_lists_the_rooms_of_eval_in_the_order_of_imports() -> None:
    from tests.test_architecture import ORDER

    named = re.findall(r"^\| `eval/(\w+)` \|", ARCHITECTURE, re.MULTILINE)
    assert named == [room for room in ORDER if room in named]


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.is_file(), f"{link}: link to a file, so that the site has it too"
        if anchor:
            assert anchor in anchors_of(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_of_a_table_is_that_of_its_file(page: str) -> None:
    """`python -m tests.figures --write` mends it, after a benchmark or a new demo."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    held = tables_of("\n".join(lines))
    for name, numbers in held.items():
        rows = TABLES[name]()
        labels = [label_of(cells_of(lines[number])[0], rows) for number in numbers]
        assert sorted(map(str, labels)) == sorted(rows), f"{name}: rows are missing, unknown or there twice"
        for label, number in zip(labels, numbers, strict=True):
            figures = rows[str(label)]
            said = [cell.replace("*", "") for cell in cells_of(lines[number])[-len(figures) :]]
            assert said == figures, f"{page}, {name}: python -m tests.figures --write"
    own = {"README.md": {"blocking"}, "products/reasoner/README.md": {"reasoner"}}
    assert set(held) == own.get(page, set(TABLES).difference(*own.values()))


def test_what_the_readme_says_in_words_is_what_was_measured() -> None:
    metrics, machine = read("demo/metrics.json"), read("demo/environment.json")["machine"]
    day, damaging = metrics["provenance"]["created"][:10], comparison("executed_answers", "collateral")["candidate"]
    words = " ".join(README.split())
    assert metrics["verdict"] == "no-ship" and "The demo's verdict" in words and "is **no-ship**" in words
    assert f"{machine['cores']} cores of an {machine['cpu']} server CPU, {day}" in words
    assert f"one executed answer in {1 / damaging:.0f} damages" in words
    paired = [row for row in read("bench/verdict.json")["tables"]["paired"] if row["discordance"] == 0.1]
    for key, claim in (("pass_at_margin", "passes a gate in"), ("strict_point_rule_at_margin", "passes it in")):
        shares = [100 * row[key] for row in paired]
        assert f"{claim} {min(shares):.0f} to {max(shares):.0f} %" in words
    judge = read("bench/judge.json")
    near, pairs = judge["near_misses_robust"]["meaning"], judge["published_robust"]["all"]["accuracy"]
    assert near["count"] == 0 and f"accepted none of {near['n']} commands with one edit" in words
    assert f"agrees with {percent(pairs['rate'])} of {pairs['n']} published pairs" in words


def test_the_readme_stays_short() -> None:
    assert len([word for word in README.split() if re.search(r"\w", word)]) <= 800


def test_every_page_is_in_the_contents_of_the_site() -> None:
    contents = (ROOT / "docs/conf.py").read_text(encoding="utf-8")
    for page in DOCS:
        if page.parent.name not in (ROOT.name, "debian-keys"):
            assert json.dumps(name_of(page).removesuffix(".md")) in contents, name_of(page)


def test_the_version_is_that_of_the_changelog() -> None:
    """A released version heads the changelog; one in development has Unreleased above the last release."""
    version = re.findall(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (Unreleased|\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d)$", changes, re.MULTILINE)
    assert len(headings) == changes.count("\n## ") and headings[1:] == sorted(headings[1:], reverse=True)
    assert [version[0].endswith(".dev0"), len(version)] == [headings[0] == "Unreleased", 1]
    if headings[0] != "Unreleased":
        assert headings[0].startswith(f"{version[0]} - ")
