"""The page's pieces as HTML: from facts to text, and nothing else. What a model, a log or a file says is escaped."""

import re
from collections.abc import Iterable
from html import escape

from eval.report.charts import loss_figure
from eval.report.escaped_text import visible
from eval.run.metrics import Verdict
from spaces.trainer.jobs import Job
from spaces.trainer.recipe_facts import Estimate, Facts, LastRehearsal
from spaces.trainer.reports import Shown

MARKS = {"ok": "✓", "warn": "!", "FAIL": "✕", "note": "·"}
TONES = {"ok": "good", "warn": "unsure", "FAIL": "bad", "note": "quiet"}
VERDICT_TONES: dict[Verdict | None, str] = {"ship": "good", "no-ship": "bad", "inconclusive": "unsure", None: "quiet"}
CHECKED = re.compile(r"(ok|warn|FAIL|note)\s+([^:]{1,60}):? ?(.*)")
PROGRESS = re.compile(r"^train: step (\d{1,9})/(\d{1,9}), loss", re.MULTILINE)


def text(words: object) -> str:
    """Escaped, with what cannot be seen made visible."""
    return escape(visible(str(words)))


def header(user: str, where: str) -> str:
    """Title, and who is asking."""
    return (
        '<header class="top"><h1>SecureCLI-Tuner</h1><p>Train an adapter, and decide whether it is good enough.</p>'
        f'<p class="quiet">{text(where)} · <strong>{text(user)}</strong></p></header>'
    )


def denied(why: str) -> str:
    return (
        '<header class="top"><h1>SecureCLI-Tuner</h1><p>Train an adapter, and decide whether it is good enough.</p>'
        f"</header>{notice(why, 'bad')}"
    )


def notice(words: str, tone: str = "good") -> str:
    """One sentence that says what came of a click; empty for none."""
    return f'<p class="notice {tone}" role="status">{text(words)}</p>' if words else ""


def facts(found: Facts, estimate: Estimate, rehearsal: LastRehearsal) -> str:
    """Three cards about a recipe: what it is, what it costs, how its last rehearsal went."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in found.rows)
    costs = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in estimate.rows)
    steps = "".join(
        f'<li class="{"bad" if said.startswith("failed") else "good"}"><b>{text(name)}</b> {text(said)}</li>'
        for name, said in rehearsal.steps
    )
    more = f"<details><summary>{len(rehearsal.steps)} steps</summary><ul class=checks>{steps}</ul></details>"
    return (
        f'<div class="cards"><section><h3>Recipe</h3><dl>{rows}</dl></section>'
        f'<section><h3>Time and money</h3><dl>{costs}</dl><p class="quiet">{text(estimate.note)}</p></section>'
        f'<section><h3>Rehearsal</h3><p class="{rehearsal.tone}"><b>{text(rehearsal.summary)}</b></p>'
        f"{more if steps else ''}</section></div>"
    )


def checks(lines: Iterable[str]) -> str:
    """What `make preflight` printed: one line a check, then whether the machine is fit."""
    items, last = [], ""
    for line in lines:
        found = CHECKED.fullmatch(line.strip())
        if found is None:
            last = line.strip() or last
            continue
        kind, name, said = found.groups()
        items.append(
            f'<li class="{TONES[kind]}"><i aria-label="{kind}">{MARKS[kind]}</i><span><b>{text(name)}</b> {text(said)}'
            "</span></li>"
        )
    tone = "good" if last.startswith("fit ") else "bad"
    return f'<ul class="checks">{"".join(items)}</ul>{notice(last, tone)}'


def job(shown: Job | None) -> str:
    """What runs, or how the last job ended, with the loss so far."""
    if shown is None:
        return '<section class="job"><p class="quiet">No job yet. Choose a recipe above and start it.</p></section>'
    order, losses, log = shown.order, shown.losses(), shown.log(1 << 20)
    head = f"{order.recipe} · {order.kind} · started {shown.started} UTC by {order.user}"
    if shown.running:
        status, tone = str(shown.state.get("step", "starting")), "running"
    else:
        status = shown.outcome
        tone = outcome_tone(status)
    parts = [f'<p class="status {tone}"><b>{text(status)}</b></p><p class="quiet">{text(head)}</p>']
    steps = PROGRESS.findall(log)
    if steps:
        done, planned = map(int, steps[-1])
        share = 100 * done / max(planned, 1)
        loss = f", loss {losses[-1][1]:.3f}" if losses else ""
        parts.append(
            f'<div class="bar" role="progressbar" aria-valuenow="{share:.0f}" aria-valuemin="0" aria-valuemax="100">'
            f'<i style="width:{share:.1f}%"></i></div><p class="quiet">step {done:,} of {planned:,}{loss}</p>'
        )
    if len(losses) > 1:
        parts.append(f"<figure>{loss_figure(losses).inline()}<figcaption>Training loss by step</figcaption></figure>")
    if shown.state.get("run"):
        parts.append(f'<p class="quiet">run {text(shown.state["run"])}</p>')
    return f'<section class="job" data-running="{str(shown.running).lower()}">{"".join(parts)}</section>'


def outcome_tone(outcome: str) -> str:
    if outcome in ("done", "verdict: ship"):
        return "good"
    return "bad" if "failed" in outcome or outcome == "verdict: no-ship" else "unsure"


def log(shown: Job | None) -> str:
    """The end of a job's log, scrolled to its last line."""
    words = shown.log() if shown else ""
    return f'<div class="log"><pre>{text_lines(words)}</pre></div>' if words else ""


def text_lines(words: str) -> str:
    return "\n".join(text(line) for line in words.splitlines())


def verdict(shown: Shown) -> str:
    """Verdict and reasons of a run, and what was decided about it."""
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in shown.reasons)
    said = notice(shown.review, "unsure") if shown.review else ""
    only = "" if shown.approvable else '<p class="quiet">Only a ship can be approved here.</p>'
    return (
        f'<div class="verdict {VERDICT_TONES[shown.verdict]}">{text(shown.verdict or "no verdict")}</div>'
        f'<ul class="reasons">{reasons}</ul>{said}{only}'
    )


def report(shown: Shown) -> str:
    """The report in a sandboxed frame of an origin of its own: what a model wrote cannot reach the page."""
    if not shown.report:
        return notice(f"{shown.run} has no report.html: run `make report`", "bad")
    return (
        f'<iframe class="report" sandbox="allow-scripts" referrerpolicy="no-referrer" '
        f'title="Report of {text(shown.run)}" srcdoc="{escape(shown.report)}"></iframe>'
    )
