"""How good is the execution judge? The numbers behind docs/judge.md.

    python -m scripts.benchmarks.judge [--nl2bash FOLDER] [--twice]     (make bench-judge)

Writes results/bench/judge.json and judge.md: the published table (plain and robust), what each rung contributes,
near-misses, edited limits, facts that move by themselves, cross pairs, pairs from NL2Bash (where its folder is given),
seconds. Undecided and unsupported are counted as they are; only the published table, which knows accept and nothing
else, takes them for "not accepted".
With --twice everything is judged again by fresh executions, and verdicts, deciding rules and file systems must be the
same bytes. The evidence beside them may name what a candidate drew at random.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.common.errors import Refused, run_command
from eval.judge.judging import judge_many
from eval.judge.ladder import ALL, LENIENT, OTHERS, ROBUST, RULES
from eval.judge.scenes import Runs
from eval.judge.verdicts import Case, Verdict
from eval.run.digests import json_sha256
from eval.run.files import write_json, write_text
from eval.sandbox import Sandbox, open_sandbox
from eval.statistics.paired import wilson_interval
from eval.tasks.intercode_alfa.rows import load_rows
from scripts.benchmarks.judge_cases import Labelled, cross_pairs, differing, half_of, nl2bash_pairs, published
from scripts.benchmarks.limit_cases import limit_misses, moving_pairs
from scripts.benchmarks.near_misses import near_misses

RESULTS = Path("results/bench")
CONFIDENCE, RESAMPLES = 0.95, 2000
PAIRS = 1000  # of NL2Bash, each kind
LADDER = [*OTHERS[:1], *list(RULES)[:4], OTHERS[1], *list(RULES)[4:6], OTHERS[2], *list(RULES)[6:]]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.judge", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--nl2bash", type=Path, help="folder with NL2Bash's all.nl and all.cm")
    parser.add_argument("--twice", action="store_true", help="judge everything twice and compare the verdicts")
    parser.add_argument("--backend", choices=["namespaces", "pod"])
    arguments = parser.parse_args()
    with open_sandbox(arguments.backend) as sandbox:
        answer, verdicts = measure(sandbox, arguments.nl2bash)
        answer["verdicts_sha256"] = json_sha256(verdicts)
        if arguments.twice:
            _, again = measure(sandbox, arguments.nl2bash)
            answer["twice_differing"] = [[one, two] for one, two in zip(verdicts, again, strict=True) if one != two]
        answer["seconds"] = seconds(sandbox)
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / "judge.json", answer)
    write_text(RESULTS / "judge.md", table(answer))
    print(table(answer))
    print(f"written: {RESULTS / 'judge.json'}, {RESULTS / 'judge.md'}")
    if differing_twice := answer.get("twice_differing"):
        raise Refused(f"{len(differing_twice)} verdicts of the second pass differ, see judge.json: not deterministic")
    return 0


def measure(sandbox: Sandbox, nl2bash: Path | None) -> tuple[dict[str, Any], list[Any]]:
    """Every part but the seconds, and every verdict in order."""
    runs, rows, said = Runs(sandbox), load_rows(), list[Any]()

    def judged(cases: Sequence[Case], robust: bool, note: str) -> list[Verdict]:
        begin = time.monotonic()
        verdicts = judge_many(sandbox, cases, robust=robust, runs=runs)
        said.extend(
            [note, case.gold, case.candidate, verdict.verdict, verdict.rule, verdict.evidence.get("on")]
            for case, verdict in zip(cases, verdicts, strict=True)
        )
        counted = dict(Counter(verdict.verdict for verdict in verdicts))
        print(f"  {note}: {len(cases)} cases, {time.monotonic() - begin:.0f} s, {counted}", flush=True)
        return verdicts

    answer: dict[str, Any] = {"sandbox": sandbox.identity}
    pairs = published(rows)
    for mode in ("plain", "robust"):
        verdicts = judged([pair.case for pair in pairs], mode == "robust", f"published, {mode}")
        answer[f"published_{mode}"] = {
            kind: rates([(p, v) for p, v in zip(pairs, verdicts, strict=True) if kind in ("all", p.kind)])
            for kind in ("all", *sorted({pair.kind for pair in pairs}))
        }
        answer[f"halves_{mode}"] = by_row(pairs, verdicts)
    answer["refused"] = [
        [v.verdict, v.rule, p.case.gold, p.case.candidate, v.evidence.get("on")]
        for p, v in zip(pairs, verdicts, strict=True)
        if p.right and v.verdict != "accept"
    ]

    edits = near_misses(rows)
    cases = [Case(edit.request, edit.gold, edit.candidate, edit.fixture) for edit in edits]
    robust = judged(cases, True, "near-misses, robust")
    kept = [index for index, differs in enumerate(differing(runs, cases, rejections(robust))) if differs]
    plain = judged([cases[index] for index in kept], False, "near-misses, plain")
    answer["near_misses_robust"] = near_miss_rates([(edits[i], robust[i]) for i in kept])
    answer["near_misses_plain"] = near_miss_rates([(edits[i], v) for i, v in zip(kept, plain, strict=True)])
    meaning = [cases[index] for index in kept if edits[index].kind != "presentation"]
    answer["ladder"] = ladder(sandbox, runs, pairs, meaning)

    limits, moving = limit_misses(rows), moving_pairs()
    verdicts = judged([miss.case for miss in limits], True, "limits, robust")
    answer["limits"] = wrong_rates([(miss.kind, miss.case, v) for miss, v in zip(limits, verdicts, strict=True)])
    verdicts = judged(moving, True, "moving, robust")
    answer["moving"] = wrong_rates([("moving", case, v) for case, v in zip(moving, verdicts, strict=True)])

    crossed = cross_pairs(rows)
    verdicts = judged(crossed, True, "cross pairs, robust")
    accepted = [case for case, v in zip(crossed, verdicts, strict=True) if v.verdict == "accept"]
    wrong = differing(runs, accepted, [False] * len(accepted))
    answer["cross_pairs"] = proportion(sum(wrong), len(crossed) - wrong.count(False)) | {
        "the_same_everywhere": wrong.count(False),
        "accepted": [[case.gold, case.candidate] for case, is_wrong in zip(accepted, wrong, strict=True) if is_wrong],
    }
    answer["nl2bash"] = held_out(runs, judged, nl2bash) if nl2bash else "not measured: give --nl2bash FOLDER"
    return answer, said


def rejections(verdicts: list[Verdict]) -> list[bool]:
    return [verdict.verdict == "reject" for verdict in verdicts]


def rates(rows: list[tuple[Labelled, Verdict]]) -> dict[str, Any]:
    """Precision, recall, F1 and accuracy of "accept", with 95 % intervals (Wilson; F1 by a seeded bootstrap)."""
    marks = [(pair.right, verdict.verdict == "accept") for pair, verdict in rows]

    def f1(sample: list[tuple[bool, bool]]) -> float:
        hit = sum(right and said for right, said in sample)
        return 2 * hit / max(1, sum(right for right, _ in sample) + sum(said for _, said in sample))

    chance = random.Random(0)
    values = sorted(f1(chance.choices(marks, k=len(marks))) for _ in range(RESAMPLES))
    low, high = values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES)]
    positives = [said for right, said in marks if right]
    chosen = [right for right, said in marks if said]
    return {
        "accuracy": proportion(sum(right == said for right, said in marks), len(marks)),
        "precision": proportion(sum(chosen), len(chosen)),
        "recall": proportion(sum(positives), len(positives)),
        "f1": {"rate": f1(marks), "low": low, "high": high},
        "verdicts_right": dict(sorted(Counter(v.verdict for p, v in rows if p.right).items())),
        "verdicts_wrong": dict(sorted(Counter(v.verdict for p, v in rows if not p.right).items())),
        "rules": dict(sorted(Counter(f"{v.verdict} {v.rule}" for p, v in rows if p.right).items())),
    }


def proportion(count: int, n: int) -> dict[str, Any]:
    if n == 0:
        return {"count": 0, "n": 0, "rate": None, "low": None, "high": None}
    interval = wilson_interval(count, n, CONFIDENCE)
    return {"count": count, "n": n, "rate": count / n, "low": interval.low, "high": interval.high}


def near_miss_rates(rows: list[tuple[Any, Verdict]]) -> dict[str, Any]:
    """Accepted share of edits that change the meaning, in all, by half and by kind; presentation edits apart."""
    groups: dict[str, list[Verdict]] = {}
    for edit, verdict in rows:
        shown = edit.kind == "presentation"
        keys = ["presentation"] if shown else ["meaning", f"half {half_of(edit.gold)}", edit.kind]
        for key in keys:
            groups.setdefault(key, []).append(verdict)
    answer: dict[str, Any] = {
        key: proportion(sum(v.verdict == "accept" for v in found), len(found))
        | {"undecided_or_unsupported": sum(v.verdict in ("undecided", "unsupported") for v in found)}
        for key, found in sorted(groups.items())
    }
    answer["accepted"] = [
        [verdict.rule, edit.edit, edit.gold, edit.candidate]
        for edit, verdict in rows
        if verdict.verdict == "accept" and edit.kind != "presentation"
    ]
    return answer


def wrong_rates(rows: list[tuple[str, Case, Verdict]]) -> dict[str, Any]:
    """Accepted share of pairs that are wrong by construction, by kind, and which."""
    answer: dict[str, Any] = {}
    for kind in sorted({kind for kind, _, _ in rows}):
        found = [verdict.verdict for name, _, verdict in rows if name == kind]
        counted = dict(sorted(Counter(found).items()))
        answer[kind] = proportion(found.count("accept"), len(found)) | {"verdicts": counted}
    answer["accepted"] = [[v.rule, case.gold, case.candidate] for _, case, v in rows if v.verdict == "accept"]
    return answer


def by_row(pairs: list[Labelled], verdicts: list[Verdict]) -> dict[str, Any]:
    """Accuracy of the published pairs by half: rules were tuned on rows with an even number, odd ones count."""
    marks = [((verdict.verdict == "accept") == pair.right) for pair, verdict in zip(pairs, verdicts, strict=True)]
    rows = len(marks) // 2
    return {
        name: proportion(sum(half), len(half))
        for name, half in (
            ("even rows (tuning)", [mark for place, mark in enumerate(marks) if place % rows % 2 == 0]),
            ("odd rows (report)", [mark for place, mark in enumerate(marks) if place % rows % 2 == 1]),
        )
    }


def ladder(sandbox: Sandbox, runs: Runs, pairs: list[Labelled], misses: list[Case]) -> list[dict[str, Any]]:
    """Rungs added one by one: accuracy of the published table and near-misses accepted, both plain."""
    steps, active = [], set[str]()
    for rung in LADDER:
        active.add(rung)
        verdicts = judge_many(sandbox, [p.case for p in pairs], robust=False, rules=active, runs=runs)
        right = sum((v.verdict == "accept") == p.right for p, v in zip(pairs, verdicts, strict=True))
        passed = judge_many(sandbox, misses, robust=False, rules=active, runs=runs)
        accepted = sum(verdict.verdict == "accept" for verdict in passed)
        steps.append(
            {"rung": rung, "lenient": rung in LENIENT, "accuracy": right / len(pairs)}
            | {"near_misses": accepted / len(misses)}
        )
        print(f"  ladder, {rung}: accuracy {right / len(pairs):.3f}", flush=True)
    return steps


def held_out(runs: Runs, judged: Any, folder: Path) -> dict[str, Any]:
    """Pairs of NL2Bash by half: accepted share of the positives and of the negatives that truly differ."""
    pairs = nl2bash_pairs(folder, PAIRS)
    cases = [pair.case for pair in pairs]
    said = judged(cases, True, "NL2Bash, robust")
    differs = differing(runs, cases, rejections(said))
    kept = [i for i, pair in enumerate(pairs) if pair.right or differs[i]]
    asked, verdicts = [pairs[i] for i in kept], [said[i] for i in kept]
    answer: dict[str, Any] = {}
    for half in ("tuning", "report"):
        for name, right in (("positives", True), ("negatives", False)):
            found = [v for p, v in zip(asked, verdicts, strict=True) if p.kind == half and p.right == right]
            answer[f"{name}_{half}"] = proportion(sum(v.verdict == "accept" for v in found), len(found)) | {
                "verdicts": dict(sorted(Counter(v.verdict for v in found).items()))
            }
    decided = [v for p, v in zip(asked, verdicts, strict=True) if p.right and v.verdict in ("accept", "reject")]
    answer["positives_decided"] = proportion(sum(v.verdict == "accept" for v in decided), len(decided))
    return answer


def seconds(sandbox: Sandbox) -> dict[str, float]:
    """Wall seconds for the 300 second golds as candidates, golds cached; with and without the shortcut same_text."""
    cases = [Case(row.request, row.gold, row.second, row.fixture) for row in load_rows()]
    found = {}
    for mode, rules in (("plain", ALL), ("robust", ROBUST)):
        for name, active in ((mode, rules), (f"{mode}_all_run", rules - {"same_text"})):
            runs = Runs(sandbox)
            judge_many(sandbox, [], runs=runs)
            begin = time.monotonic()
            judge_many(sandbox, cases, robust=mode == "robust", rules=active, runs=runs)
            found[name] = round(time.monotonic() - begin, 2)
    return found


def table(answer: dict[str, Any]) -> str:
    """The markdown tables of docs/judge.md, from judge.json."""

    def share(value: dict[str, Any]) -> str:
        if value["rate"] is None:
            return "none"
        counted = f" ({value['count']}/{value['n']})" if "n" in value else ""
        return f"{100 * value['rate']:.1f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}]{counted}"

    lines = [f"Sandbox: `{answer['sandbox']}`. Intervals are 95 %.", ""]
    for mode in ("plain", "robust"):
        lines += [f"### Published pairs, {mode}", "", "| file system | accuracy | precision | recall | F1 |"]
        lines += ["|---|---|---|---|---|"]
        for kind, row in answer[f"published_{mode}"].items():
            cells = " | ".join(share(row[name]) for name in ("accuracy", "precision", "recall", "f1"))
            lines.append(f"| {kind} | {cells} |")
        lines.append("")
    lines += ["### Published pairs by half", "", "| rows | plain accuracy | robust accuracy |", "|---|---|---|"]
    for key, plain in answer["halves_plain"].items():
        lines.append(f"| {key} | {share(plain)} | {share(answer['halves_robust'][key])} |")
    lines += ["", "### Rungs, cumulative", "", "| rung | accuracy | near-misses accepted |"]
    lines += ["|---|--:|--:|"]
    for step in answer["ladder"]:
        name = f"{step['rung']} (lenient)" if step["lenient"] else step["rung"]
        lines.append(f"| {name} | {step['accuracy']:.3f} | {100 * step['near_misses']:.1f} % |")
    lines += ["", "### Wrong candidates accepted", "", "| set | plain | robust |", "|---|---|---|"]
    for key in (key for key in answer["near_misses_robust"] if key != "accepted"):
        plain, robust = (share(answer[f"near_misses_{mode}"][key]) for mode in ("plain", "robust"))
        lines.append(f"| near-misses: {key} | {plain} | {robust} |")
    for part in ("limits", "moving"):
        lines += [f"| {part}: {key} | | {share(row)} |" for key, row in answer[part].items() if key != "accepted"]
    lines.append(f"| cross pairs | | {share(answer['cross_pairs'])} |")
    if isinstance(answer["nl2bash"], dict):
        lines += ["", "### NL2Bash, robust", "", "| set | accepted | verdicts |", "|---|---|---|"]
        for key, row in answer["nl2bash"].items():
            lines.append(f"| {key} | {share(row)} | {row.get('verdicts', '')} |")
    lines += ["", "### Seconds for 300 candidates, golds cached", "", "| mode | seconds |", "|---|--:|"]
    lines += [f"| {name} | {value} |" for name, value in answer["seconds"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_command(main)
