"""The figures of the documentation, from the files they come from: the PAGES repeat them.

    python -m tests.figures            what each table should say
    python -m tests.figures --write    write that into the pages, where a row's label is known

A table that is held stands below a line `<!-- figures: NAME -->`. A row is found by the longest label that
its first cell contains; its last cells are the figures. tests/test_docs.py compares.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from eval.common.places import ROOT
from tests.hostile.drive import attempts

PAGES = ("README.md", "docs/evidence.md", "products/reasoner/README.md")
SETS = {
    "known": "securecli_nl2bash_known", "unseen": "securecli_nl2bash_unseen", "free": "securecli_nl2bash_free",
    "honest": "securecli_over_refusal", "all": "executed_answers",
}  # fmt: skip
ITEMS = (100, 200, 500, 1000)
OUTCOMES = ("pass", "fail", "inconclusive")
Rows = dict[str, list[str]]


@cache
def read(path: str) -> Any:
    return json.loads((ROOT / "results" / path).read_text(encoding="utf-8"))


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def points(value: float) -> str:
    return f"{100 * value:+z.1f}".replace("-", "−")


def counted(cell: dict[str, Any], digits: int = 1) -> str:
    """`0.5 % [0.1, 1.9]`: a share with its 95 % Wilson interval."""
    return f"{percent(cell['rate'], digits)} [{100 * cell['low']:.{digits}f}, {100 * cell['high']:.{digits}f}]"


def summed(*cells: dict[str, Any]) -> dict[str, Any]:
    """Several counts as one."""
    count, n, z = sum(cell["count"] for cell in cells), sum(cell["n"] for cell in cells), 1.959964
    share, wide = count / n, z * z / n
    half = z * math.sqrt(share * (1 - share) / n + wide / n / 4)
    low, high = ((share + wide / 2 + sign * half) / (1 + wide) for sign in (-1, 1))
    return {"count": count, "n": n, "rate": share, "low": abs(low), "high": high}


def comparison(task: str, metric: str, run: str = "demo") -> dict[str, Any]:
    return next(c for c in read(f"{run}/metrics.json")["comparisons"] if (c["task"], c["metric"]) == (task, metric))


def gates(tier: str | None = None, run: str = "demo") -> Rows:
    """n, both arms, the 90 % interval, what it must be, and the outcome."""
    rows = {}
    for gate in read(f"{run}/metrics.json")["gates"]:
        if tier in (None, gate["tier"]):
            both = comparison(gate["task"], gate["metric"], run)
            low, high, limit = gate["interval"]["low"], gate["interval"]["high"], gate["threshold"]
            arms = [percent(both["baseline"]), percent(both["candidate"])]
            sign = "<" if gate["good"] == "below" else ">"
            if gate["about"] == "difference":
                spread, bound = f"{points(low)} to {points(high)} pts", f"{points(limit).removesuffix('.0')} pts"
            elif gate["about"] == "rate":
                spread, bound = f"{100 * low:.1f} to {percent(high)}", percent(limit, 0)
            else:
                arms = [f"{both['baseline']:.2f}", f"{both['candidate']:.2f}"]
                spread, bound = f"{low:.2f} to {high:.2f} nats", f"{limit:g} nats"
            rows[gate["id"]] = [f"{both['n']:,}", *arms, spread, f"{sign} {bound}", gate["outcome"]]
    return rows


def ungated() -> Rows:
    rows = {}
    for label, task, metric in (
        ("known, exact_match", SETS["known"], "exact_match"),
        ("free, exact_match", SETS["free"], "exact_match"),
        ("honest, executes_equal", SETS["honest"], "executes_equal"),
        ("harm, risky", "securecli_adversarial", "risky"),
    ):
        both = comparison(task, metric)
        spread = f"{points(both['interval']['low'])} to {points(both['interval']['high'])} pts"
        rows[label] = [f"{both['n']:,}", percent(both["baseline"]), percent(both["candidate"]), spread]
    return rows


def pairs() -> Rows:
    """Of other people's pairs: n, both arms, the 90 % interval of the difference."""
    rows = {}
    for label, task in (("held out", "pairs_held_out"), ("InterCode-ALFA", "intercode_alfa")):
        for metric in ("executes_equal", "command_only", "syntax_valid", "utilities_match", "collateral"):
            both = comparison(task, metric, "nl2bash-cpu")
            spread = f"{points(both['interval']['low'])} to {points(both['interval']['high'])} pts"
            rows[f"{label}, {metric}"] = [f"{both['n']}", percent(both["baseline"]), percent(both["candidate"]), spread]
    return rows


def damage() -> Rows:
    rows = {}
    for label, task in SETS.items():
        cells = []
        pooled = [name for key, name in SETS.items() if key != "all"] if label == "all" else [task]
        for metric in ("collateral", "stray"):
            for arm in ("baseline", "candidate"):
                parts = [comparison(name, metric) for name in pooled]
                count, n = sum(round(part[arm] * part["n"]) for part in parts), sum(part["n"] for part in parts)
                cells.append(f"{count} of {n}, {percent(count / n)}" if metric == "collateral" else str(count))
        rows[label] = cells
    return rows


def verdict_by_n() -> Rows:
    tables = read("bench/verdict.json")["tables"]
    paired = {row["n"]: row for row in tables["paired"] if row["discordance"] == 0.1}
    sequential = {r["n"]: r for r in tables["sequential"] if (r["discordance"], r["difference"]) == (0.1, 0.05)}
    rows = {
        label: [percent(paired[n][key]) for n in ITEMS]
        for label, key in (
            ("a gate here ships it", "pass_at_margin"),
            ("candidate > baseline - margin", "strict_point_rule_at_margin"),
            ("an adapter that changes nothing passes", "pass_no_change"),
            ("an adapter 5 points better passes", "pass_gain_5"),
            ("the 95 % interval covers the truth", "coverage_at_margin"),
        )
    }
    return rows | {"items a sequential run uses": [percent(sequential[n]["median_share_used"], 0) for n in ITEMS]}


def verdict_cases() -> Rows:
    """False ships here, and by the way it is usually done."""
    tables = read("bench/verdict.json")["tables"]

    def worst(table: str, key: str, **wanted: Any) -> str:
        chosen = [row for row in tables[table] if all(row[name] == value for name, value in wanted.items())]
        return percent(max(row[key] for row in chosen))

    def five(shared: float) -> list[str]:
        return [worst("suites", key, gates_at_margin=1, shared=shared) for key in ("ship", "point_rule_ship")]

    hidden = {"n": 500, "discordance": 0.1}
    heavy = {"values": "lognormal(0, 1)", "n": 30}
    return {
        "five gates, one at its margin, metrics independent": five(0.0),
        "five gates, one at its margin, metrics alike": five(0.8),
        "dependent items": [worst("clusters", "gate_at_margin"), worst("clusters", "naive_at_margin")],
        "templates that break whole": [
            worst("lost_clusters", "gate_at_margin"),
            worst("lost_clusters", "variance_at_margin"),
        ],
        "losses made invalid": [worst("hidden", key, **hidden) for key in ("counted_at_margin", "left_out_at_margin")],
        "a rate at its limit": [worst("rates", "pass_at_limit"), worst("rates", "point_rule_at_limit")],
        "a rate on clusters": [worst("clustered_rates", "gate"), worst("clustered_rates", "naive")],
        "a quantity with a heavy tail": [worst("quantities", key, **heavy) for key in ("gate_high", "t_high")],
        "sequential, one order": [worst("sequential", "pass", difference=-0.03), "–"],
        "sequential, the best of ten orders": ["not possible", worst("chosen_orders", "best")],
    }


def judge() -> Rows:
    """The robust judge, the plain one, and n."""
    found = read("bench/judge.json")
    robust, plain = found["published_robust"]["all"], found["published_plain"]["all"]
    rows = {
        key: [counted(robust[key]), counted(plain[key]), f"{plain[key]['n']}" if key == "accuracy" else "–"]
        for key in ("accuracy", "precision", "recall")
    }
    near = [found[f"near_misses_{name}"]["meaning"] for name in ("robust", "plain")]
    limits = summed(*(found["limits"][kind] for kind in ("age", "count", "newer", "size")))
    nl2bash = summed(found["nl2bash"]["negatives_tuning"], found["nl2bash"]["negatives_report"])
    for label, cells in (
        ("one edit that changes the meaning", near),
        ("one limit changed", [limits]),
        ("another fact that moves", [found["moving"]["moving"]]),
        ("another NL2Bash description", [nl2bash]),
        ("the same NL2Bash description", [found["nl2bash"]["positives_decided"]]),
    ):
        rows[label] = [*(counted(cell) for cell in cells), *["–"] * (2 - len(cells)), f"{cells[0]['n']:,}"]
    rows["another row's command"] = [counted(found["cross_pairs"], 2), "–", f"{found['cross_pairs']['n']:,}"]
    return rows


def risk() -> Rows:
    """n, blocked, blocked or sent to review."""
    found = read("bench/risk.json")
    sets = {
        "dangerous, development": found["development"], "dangerous, held out": found["held_out"],
        "dangerous, public reports": found["reports"]["dangerous"], "ordinary, InterCode-ALFA": found["icalfa"],
        "ordinary, NL2Bash": found["nl2bash"], "ordinary, public reports": found["reports"]["ordinary"],
    }  # fmt: skip
    return {
        label: [f"{cells['block']['n']:,}", counted(cells["block"], 2), counted(cells["flagged"], 2)]
        for label, cells in sets.items()
    }


def risk_tools() -> Rows:
    found = read("bench/risk.json")
    order = ("development", "held_out", "reports_dangerous", "icalfa", "nl2bash", "reports_ordinary")
    ours = {**found, **{f"reports_{kind}": found["reports"][kind] for kind in ("dangerous", "ordinary")}}
    rows = {
        "this analyser, block": [percent(ours[name]["block"]["rate"]) for name in order],
        "this analyser, block or review": [percent(ours[name]["flagged"]["rate"]) for name in order],
    }
    return rows | {tool: [percent(cells[name]["rate"]) for name in order] for tool, cells in found["tools"].items()}


def sandbox() -> Rows:
    backends = read("bench/sandbox.json")["backends"]
    both = [backends["namespaces"], backends["pod"]]
    one = [backend["one_run"] for backend in both]
    memory = [backend["leaks"]["memory_mb"] for backend in both]
    machine = read("bench/sandbox.json")["machine"]
    left = ["none" if backend["leaks"]["before"] == backend["leaks"]["after"] else "some" for backend in both]
    return {
        "measured on": [f"{machine['cpu']}, {machine['cores']} cores"] * 2,
        "one run of true": [f"{run['total_ms']:.1f} ms" for run in one],
        "of it the command": [f"{run['command_ms']:.1f} ms" for run in one],
        "times a bare bash": [f"{run['command_over_bare']:.1f}" for run in one],
        "of it copying, comparing, clearing": [f"{run['copy_ms']:.1f} ms" for run in one],
        "300 ordinary commands, 4 workers": [f"{backend['candidates']['seconds']:.1f} s" for backend in both],
        "workers' memory after 1,000 and 10,000 runs": [f"{mb[0]:.1f} and {mb[-1]:.1f} MB" for mb in memory],
        "left behind by 10,000 runs": left,
        "hostile attempts": [str(len(attempts()))] * 2,
    }


def publishing() -> Rows:
    steps = read("bench/publish.json")["steps"]
    return {name: [f"{step['seconds']:.1f} s", f"{step['peak_mb']} MB"] for name, step in steps.items()}


TABLES: dict[str, Callable[[], Rows]] = {
    "blocking": lambda: gates("blocking"), "reasoner": lambda: gates(run="reasoner"),
    "gates": gates, "ungated": ungated, "damage": damage,
    "verdict-by-n": verdict_by_n, "verdict-cases": verdict_cases, "judge": judge, "risk": risk,
    "risk-tools": risk_tools, "sandbox": sandbox, "publishing": publishing, "pairs": pairs,
}  # fmt: skip


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def label_of(cell: str, rows: Rows) -> str | None:
    """The longest label that a first cell contains; None for a row of which nothing is known."""
    plain = cell.replace("`", "").replace("*", "")
    return max((label for label in rows if label in plain), key=len, default=None)


def tables_of(text: str) -> dict[str, list[int]]:
    """Name of each held table -> the numbers of its rows' lines, header and rule left out."""
    lines, found = text.splitlines(), {}
    for number, line in enumerate(lines):
        if marker := re.fullmatch(r"<!-- figures: ([\w-]+) -->", line.strip()):
            start = next(n for n in range(number, len(lines)) if lines[n].startswith("|")) + 2
            end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
            found[marker.group(1)] = list(range(start, end))
    return found


def write(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    for name, numbers in tables_of("\n".join(lines)).items():
        rows = TABLES[name]()
        for number in numbers:
            cells = cells_of(lines[number])
            if label := label_of(cells[0], rows):
                figures = rows[label]
                bold = [f"**{cell}**" if cell in OUTCOMES else cell for cell in figures]
                lines[number] = f"| {' | '.join([*cells[: -len(bold)], *bold])} |"
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        for name in PAGES:
            write(ROOT / name)
    else:
        for name, table in TABLES.items():
            print(f"\n{name}")
            for label, cells in table().items():
                print(f"| {label} | {' | '.join(cells)} |")
