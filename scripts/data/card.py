"""The data card: card.md and card.html beside a dataset, made from the same facts as data.json.

    for name, content in card(dataset, facts).items(): ...

Where rows went (a picture), what the commands use, how long rows are, what was taken out with examples, and tokenised
rows with what is learned marked. Rows left out for a credential or for personal data are counted and never shown.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from eval.bash.parsing import utilities
from eval.report.escaped_text import clip, markdown_code, markdown_text, visible
from eval.report.page_templates import marked
from eval.report.svg import DARK, LIGHT, colour_rules, document, fragment, rect, text
from scripts.data.sources import Example

if TYPE_CHECKING:
    from scripts.data.pipeline import Dataset

EXAMPLES = 3  # rows shown of each stage
NEVER_SHOWN = ("secret", "personal")
MOST_UTILITIES = 20
LONGEST = 160  # letters of a text that is shown
WIDTH, ROW, LABEL = 640.0, 22.0, 96.0
STYLE = """
body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;background:var(--paper);
color:var(--ink)}table{border-collapse:collapse}td,th{padding:.2rem .6rem;border-bottom:1px solid var(--rule);
text-align:left;vertical-align:top}td.n{text-align:right}code,pre{font-size:.85em;overflow-wrap:anywhere}
pre{white-space:pre-wrap;background:var(--shade);padding:.6rem}mark{background:var(--pass);color:var(--on)}
svg{width:100%}
"""


def card(dataset: "Dataset", facts: dict[str, Any]) -> dict[str, bytes]:
    """Both forms of the card, and the picture as a file of its own for the first."""
    parts = flow(facts["stages"])
    height = ROW * len(facts["stages"])
    title = "Rows left after each stage, and rows that it left out"
    return {
        "card.md": as_markdown(dataset, facts).encode(),
        "card.html": as_page(dataset, facts, fragment(WIDTH, height, parts, title)).encode(),
        "flow.svg": document(WIDTH, height, parts, title).encode(),
    }


def flow(stages: Sequence[dict[str, Any]]) -> list[str]:
    """One bar a stage: what is left, and behind it what was left out there."""
    whole = max([stage["kept"] + stage["rejected"] for stage in stages] or [1]) or 1
    scale = (WIDTH - LABEL - 150) / whole
    parts = []
    for place, stage in enumerate(stages):
        top = place * ROW
        kept, out = stage["kept"] * scale, stage["rejected"] * scale
        parts.append(text(LABEL - 8, top + 15, stage["stage"], anchor="end"))
        parts.append(rect(LABEL, top + 3, kept, ROW - 6, "right"))
        if stage["rejected"]:
            parts.append(rect(LABEL + kept, top + 3, max(out, 1.5), ROW - 6, "fail"))
        said = f"{stage['kept']:,}" + (f"  −{stage['rejected']:,}" if stage["rejected"] else "")
        parts.append(text(LABEL + kept + out + 8, top + 15, said, "muted", 12))
    return parts


def tables(dataset: "Dataset", facts: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, head and rows of each table; numbers are right-aligned where a column's head ends with a colon."""
    commands = [row for row in dataset.train if row.commands]
    used = Counter(name for row in commands for name in set(utilities(row.gold)))
    sources = [
        [one["name"], str(one["licence"] or "not stated"), one["origin"] or one["path"] or one["kind"],
         f"{one['rows']:,}", f"{one['kept']:,}"]
        for one in facts["sources"]
    ]  # fmt: skip
    lengths = [
        ["words of a request", *quantiles(len(row.request.split()) for row in dataset.train)],
        ["letters of an answer", *quantiles(len(row.gold) for row in dataset.train)],
        ["utilities of a command", *quantiles(len(utilities(row.gold)) for row in commands)],
    ]
    if dataset.tokens and dataset.tokens.lengths:
        lengths.append(["tokens of a row", *quantiles(dataset.tokens.lengths)])
    ranked = sorted(used.items(), key=lambda one: (-one[1], one[0]))[:MOST_UTILITIES]
    return [
        ("Sources", ["source", "licence", "from", "rows:", "kept:"], sources),
        ("What was left out", ["stage", "reason", "rows:"],
         [[one["stage"], one["reason"], f"{one['rows']:,}"] for one in facts["rejected"]]),
        *([("Held-out rows whose answers are not run", ["why", "rows:"],
            [[why, f"{count:,}"] for why, count in facts["test"]["not_executed"].items()])] if "test" in facts else []),
        ("Lengths of training rows", ["", "median:", "95 %:", "longest:"], lengths),
        ("Utilities", ["utility", "training rows:"],
         [[name, f"{count:,}"] for name, count in ranked]),
    ]  # fmt: skip


def quantiles(values: Iterable[int]) -> list[str]:
    """Median, 95 % and largest."""
    ordered = sorted(values) or [0]
    places = (len(ordered) // 2, int(0.95 * (len(ordered) - 1)), -1)
    return [f"{ordered[place]:,}" for place in places]


def summary(facts: dict[str, Any]) -> str:
    """One sentence: how much there is."""
    split, tokens = facts["split"], facts.get("tokens") or {}
    counted = (
        f"; {tokens['tokens']:,} tokens, {tokens['trained_tokens']:,} of them learned" if "tokens" in tokens else ""
    )
    dropped = "".join(
        f"; {rows:,} rows are dropped in training: {why}" for why, rows in tokens.get("dropped", {}).items()
    )
    held = facts.get("test")
    tests = f", {held['rows']:,} to test with ({held['executed']:,} of them by running the answers)" if held else ""
    return (
        f"{split['train']:,} rows to train on, {split['validation']:,} for validation{tests}, in {split['groups']:,} "
        f"groups that stay on one side, the largest of {split['largest']:,} rows{counted}{dropped}."
    )


def examples(dataset: "Dataset") -> list[tuple[str, list[tuple[str, Example]]]]:
    """By stage, a few rows that were left out, each with its reason."""
    return [(stage, rows) for stage, rows in dataset.examples.items() if rows and stage not in NEVER_SHOWN]


def as_markdown(dataset: "Dataset", facts: dict[str, Any]) -> str:
    lines = [
        f"# Dataset {facts['name']}",
        "",
        markdown_text(summary(facts)),
        "",
        "![Rows left after each stage](flow.svg)",
    ]
    for title, head, rows in tables(dataset, facts):
        marks = ["--:" if name.endswith(":") else "---" for name in head]
        body = [[markdown_text(cell) for cell in row] for row in rows]
        lines += ["", f"## {title}", ""]
        lines += [f"| {' | '.join(row)} |" for row in ([name.rstrip(":") for name in head], marks, *body)]
    lines += ["", "## Examples of what was left out"]
    for stage, taken in examples(dataset):
        lines += ["", f"**{stage}**", ""]
        for reason, row in taken:
            asked, gold = (markdown_code(clip(" ".join(said.split()), LONGEST)) for said in (row.request, row.gold))
            lines.append(f"- {markdown_text(reason)}: {asked} → {gold}")
    if dataset.tokens and dataset.tokens.shown:
        lines += ["", "## As it is trained", "", "What is learned stands between ⟦ and ⟧.", ""]
        lines += [f"    {line}" for row in dataset.tokens.shown for line in (*visible(marked(row)).split("\n"), "")]
    return "\n".join(lines) + "\n"


def as_page(dataset: "Dataset", facts: dict[str, Any], picture: str) -> str:
    """A page that needs nothing from elsewhere, and runs nothing."""
    body = [f"<h1>Dataset {shown(facts['name'])}</h1><p>{shown(summary(facts))}</p>{picture}"]
    for title, head, rows in tables(dataset, facts):
        numeric = [name.endswith(":") for name in head]
        cells = [
            "".join(f"<td{' class=n' * right}>{shown(cell)}</td>" for cell, right in zip(row, numeric, strict=True))
            for row in rows
        ]
        top = "".join(f"<th>{shown(name.rstrip(':'))}</th>" for name in head)
        body.append(f"<h2>{title}</h2><table><tr>{top}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>")
    body.append("<h2>Examples of what was left out</h2>")
    for stage, taken in examples(dataset):
        said = (f"<li>{shown(why)}: {code(one.request)} → {code(one.gold)}</li>" for why, one in taken)
        body.append(f"<h3>{shown(stage)}</h3><ul>{''.join(said)}</ul>")
    if dataset.tokens and dataset.tokens.shown:
        body.append("<h2>As it is trained</h2><p>What is learned is marked.</p>")
        body += [f"<pre>{''.join(map(span, row['spans']))}</pre>" for row in dataset.tokens.shown]
    colours = (f":root{{{variables(LIGHT)}}}@media (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}"
               + colour_rules({name: f"var(--{name})" for name in LIGHT}))  # fmt: skip
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width"><title>Dataset {shown(facts["name"])}'
        f"</title><style>{colours}{STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


def shown(said: str) -> str:
    return escape(visible(said))


def code(said: str) -> str:
    return f"<code>{shown(clip(' '.join(said.split()), LONGEST))}</code>"


def span(one: dict[str, Any]) -> str:
    """Learned tokens are marked; a line break stays one."""
    said = "\n".join(shown(line) for line in one["text"].split("\n"))
    return f"<mark>{said}</mark>" if one["trained"] else said
