"""The command-risk benchmark: recall on dangerous commands, false alarms on ordinary ones, and speed.

    python -m scripts.benchmarks.risk --nl2bash FOLDER --reports FOLDER    results/bench/risk.json and a markdown table

FOLDER holds all.cm of NL2Bash (or set NL2BASH_DATA); the 300 commands of InterCode-ALFA come from the installed
package icalfa or from --icalfa FOLDER (its assets/datasets). Neither is part of this repository. Without them their
rows are missing from the table, and it says so. --reports names a folder of JSON-lines files with `command` and `want`
(allow, review, block): what public reports on command guards say, dangerous and ordinary. Intervals are Wilson's, 95 %.
The held-out set is checked against its digest first; only its totals are ever printed.
--tools FILE adds other tools: JSON {"name": {command: "allow" or "flag"}}, made by
scripts/benchmarks/risk_tools.py in a throw-away environment.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import thread_time
from typing import Any

from eval.common.errors import UserError, run_command
from eval.common.reading import read_bytes, read_text
from eval.risk import analyse
from eval.run.digests import verify_manifest
from eval.run.files import write_text
from eval.statistics.paired import wilson_interval
from scripts.benchmarks.fuzz_risk import worst_texts

DATA = Path("tests/data/risk")
RESULT = Path("results/bench/risk.json")


def read_commands(path: Path) -> list[str]:
    """Commands of a JSON-lines file."""
    return [json.loads(line)["command"] for line in read_bytes(path).splitlines() if line.strip()]


def nl2bash_commands(folder: Path | None) -> list[str]:
    """Every command of NL2Bash, one a line in all.cm; empty when the folder is not given."""
    if folder is None:
        return []
    file = folder / "all.cm"
    if not file.is_file():
        raise UserError(f"{file} is missing: give --nl2bash the folder that holds NL2Bash's all.cm")
    return [line for line in read_text(file).split("\n") if line.strip()]


def icalfa_commands(folder: Path | None) -> list[str]:
    """The 300 gold commands of InterCode-ALFA; empty when neither folder nor package is there."""
    if folder is None:
        found = importlib.util.find_spec("icalfa")
        if found is None or not found.submodule_search_locations:
            return []
        folder = Path(found.submodule_search_locations[0]) / "assets" / "datasets"
    rows = [row for file in sorted(folder.glob("nl2bash_fs_*.json")) for row in json.loads(read_text(file))]
    if not rows:
        raise UserError(f"{folder} holds no nl2bash_fs_*.json of icalfa")
    return [row["gold"] for row in rows]


def report_rows(folder: Path | None) -> dict[str, list[dict[str, str]]]:
    """Rows of every JSON-lines file in the folder: `dangerous` and `ordinary`; other wishes are left out."""
    if folder is None:
        return {}
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UserError(f"{folder} holds no .jsonl files: give --reports a folder of files with `command` and `want`")
    rows = [json.loads(line) for file in files for line in read_bytes(file).splitlines() if line.strip()]
    dangerous = [row for row in rows if row["want"] in ("review", "block")]
    return {"dangerous": dangerous, "ordinary": [row for row in rows if row["want"] == "allow"]}


def judge_reports(rows: Mapping[str, Sequence[dict[str, str]]]) -> dict[str, Any]:
    """Dangerous commands that are allowed, ordinary ones that are reviewed or blocked; and by kind what was missed."""
    found: dict[str, Any] = {}
    for name, wrong in (("dangerous", ("allow",)), ("ordinary", ("review", "block"))):
        verdicts = [analyse(row["command"]).verdict for row in rows[name]]
        if not verdicts:
            continue
        n = len(verdicts)
        missed = [row.get("kind", "") for row, verdict in zip(rows[name], verdicts, strict=True) if verdict in wrong]
        found[name] = {verdict: rate(verdicts.count(verdict), n) for verdict in ("allow", "review", "block")}
        found[name] |= {"flagged": rate(n - verdicts.count("allow"), n), "missed_by_kind": dict(Counter(missed))}
    return found


def rate(part: int, n: int) -> dict[str, Any]:
    """A share with its 95 % interval."""
    interval = wilson_interval(part, n, 0.95)
    return {"count": part, "n": n, "rate": part / n, "low": interval.low, "high": interval.high}


def judge(commands: Sequence[str]) -> dict[str, Any]:
    """Verdicts of a set: rates of block, and of block or review."""
    verdicts = Counter(analyse(command).verdict for command in commands)
    n = len(commands)
    return {
        "block": rate(verdicts["block"], n),
        "review": rate(verdicts["review"], n),
        "flagged": rate(verdicts["block"] + verdicts["review"], n),
    }


def bash_accepts(command: str) -> bool:
    """Whether Bash's own parser takes the text. `-n` reads and never executes."""
    bash = shutil.which("bash") or "/bin/bash"
    return subprocess.run([bash, "-n", "-c", command], capture_output=True, check=False).returncode == 0


def parse_failures(commands: Sequence[str]) -> dict[str, Any]:
    """Commands that do not parse, all of them and those that Bash's own parser takes."""
    failed = [command for command in commands if any(one.rule == "unparsable" for one in analyse(command).findings)]
    valid = sum(map(bash_accepts, failed))
    return {"all": rate(len(failed), len(commands)), "valid_bash": rate(valid, len(commands))}


def timing(commands: Sequence[str]) -> dict[str, float]:
    """Microseconds a command, one core, processor time of this thread: median and 99th percentile."""
    for command in commands[:500]:
        analyse(command)
    seconds = []
    for command in commands:
        start = thread_time()
        analyse(command)
        seconds.append(thread_time() - start)
    seconds.sort()
    return {"median_us": statistics.median(seconds) * 1e6, "p99_us": seconds[int(len(seconds) * 0.99)] * 1e6}


def worst_case() -> dict[str, Any]:
    """Milliseconds of processor time of the slowest 10 kB text; the best of three runs of each."""
    times: dict[str, float] = {}
    for text in worst_texts():
        runs = []
        for _ in range(3):
            start = thread_time()
            analyse(text)
            runs.append(thread_time() - start)
        times[f"{text[:16]}…{text[5000:5016]}"] = min(runs) * 1e3
    slowest = max(times, key=lambda text: times[text])
    return {"ms": times[slowest], "text": slowest, "texts": len(times)}


def measure(
    nl2bash: Sequence[str], icalfa: Sequence[str], reports: Mapping[str, Sequence[dict[str, str]]]
) -> dict[str, Any]:
    """Every number of the benchmark."""
    problems = verify_manifest(DATA, DATA / "MANIFEST.sha256")
    if problems:
        raise UserError(f"{DATA}: {problems[0]}: the held-out set is locked; restore it from git")
    development, held_out = read_commands(DATA / "development.jsonl"), read_commands(DATA / "held_out.jsonl")
    result: dict[str, Any] = {"development": judge(development), "held_out": judge(held_out)}
    if icalfa:
        result["icalfa"] = judge(icalfa) | {"parse_failures": parse_failures(icalfa)}
    if nl2bash:
        result["nl2bash"] = judge(nl2bash) | {"parse_failures": parse_failures(nl2bash)}
    if reports:
        result["reports"] = judge_reports(reports)
    result["time"] = timing((nl2bash or icalfa or development)[:6000])
    result["worst_10kb"] = worst_case()
    return result


SETS = {
    "development": "dangerous, development",
    "held_out": "dangerous, held out",
    "icalfa": "ordinary, InterCode-ALFA",
    "nl2bash": "ordinary, NL2Bash",
}
REPORTS = {"reports_dangerous": "dangerous, public reports", "reports_ordinary": "ordinary, public reports"}


def percent(value: dict[str, Any]) -> str:
    """`1.2 % [0.9, 1.5]`"""
    return f"{100 * value['rate']:.2f} % [{100 * value['low']:.2f}, {100 * value['high']:.2f}]"


def _own(result: dict[str, Any], key: str, verdict: str) -> dict[str, Any]:
    """The analyser's own rate on a set that other tools saw, too."""
    found: dict[str, Any] = (result[key] if key in SETS else result["reports"][key.removeprefix("reports_")])[verdict]
    return found


def table(result: dict[str, Any]) -> str:
    """The result as markdown."""
    lines = ["| set | n | block | block or review |", "|---|--:|--:|--:|"]
    for key, title in SETS.items():
        if key in result:
            one = result[key]
            lines.append(f"| {title} | {one['block']['n']:,} | {percent(one['block'])} | {percent(one['flagged'])} |")
        else:
            lines.append(f"| {title} | not measured: no data | | |")
    for key in ("icalfa", "nl2bash"):
        if key in result:
            failures = result[key]["parse_failures"]
            lines.append("")
            lines.append(
                f"{SETS[key]}: does not parse {percent(failures['all'])}; "
                f"of valid Bash {percent(failures['valid_bash'])}."
            )
    for name, wrong in (("dangerous", "allow"), ("ordinary", "review"), ("ordinary", "block")):
        if found := result.get("reports", {}).get(name, {}).get(wrong):
            lines.append("")
            lines.append(f"Public reports, {name} (n = {found['n']:,}): {wrong} {percent(found)}.")
    lines.append("")
    lines.append(
        f"Time: median {result['time']['median_us']:.0f} µs, 99th percentile {result['time']['p99_us']:.0f} µs; "
        f"slowest text of 10 kB {result['worst_10kb']['ms']:.0f} ms."
    )
    if "tools" in result:
        titles = SETS | REPORTS
        keys = [key for key in titles if key in next(iter(result["tools"].values()))]
        lines += ["", "| flagged | " + " | ".join(titles[key] for key in keys) + " |", "|---|" + "--:|" * len(keys)]
        ours = {
            "this analyser, block": {key: _own(result, key, "block") for key in keys},
            "this analyser, block or review": {key: _own(result, key, "flagged") for key in keys},
        }
        for name, sets in (ours | result["tools"]).items():
            lines.append(f"| {name} | " + " | ".join(f"{100 * sets[key]['rate']:.1f} %" for key in keys) + " |")
    return "\n".join(lines)


def other_tools(file: Path, sets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Rates of other tools' answers, by tool and set. A command a tool has no answer for is an error."""
    answers = json.loads(read_text(file))
    try:
        return {
            name: {
                key: rate(sum(given[one] == "flag" for one in commands), len(commands))
                for key, commands in sets.items()
                if commands
            }
            for name, given in answers.items()
        }
    except KeyError as error:
        raise UserError(f"{file} has no answer for {error.args[0]!r}") from None


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nl2bash", type=Path, default=os.environ.get("NL2BASH_DATA"), help="folder with all.cm")
    parser.add_argument("--icalfa", type=Path, help="icalfa's assets/datasets, when the package is not installed")
    parser.add_argument("--reports", type=Path, help="folder of JSON-lines files with `command` and `want`")
    parser.add_argument("--tools", type=Path, help="answers of other tools, JSON")
    parser.add_argument("--write-commands", type=Path, metavar="FILE", help="only write every command, for risk_tools")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    nl2bash = nl2bash_commands(Path(given.nl2bash) if given.nl2bash else None)
    icalfa = icalfa_commands(given.icalfa)
    sets = {
        "development": read_commands(DATA / "development.jsonl"),
        "held_out": read_commands(DATA / "held_out.jsonl"),
        "icalfa": icalfa,
        "nl2bash": nl2bash,
    }
    for name, rows in report_rows(given.reports).items():
        sets[f"reports_{name}"] = [row["command"] for row in rows]
    if given.write_commands:
        given.write_commands.write_text(json.dumps(sorted({one for commands in sets.values() for one in commands})))
        return 0
    reports = report_rows(given.reports)
    result = measure(nl2bash, icalfa, reports)
    if given.tools:
        result["tools"] = other_tools(given.tools, sets)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(given.out, json.dumps(result, indent=1) + "\n")
    print(table(result))
    print(f"\nwritten: {given.out}")
    return 0


if __name__ == "__main__":
    run_command(main)
