"""The ladder: the rules in order, and the verdict on one file system.

`decide(pair)` first makes sure that both commands could run, then compares the file-system changes, then climbs.
The first rule that accepts decides; where none does, the outputs differ and the answer is reject. Every rule can be
switched off by name (scripts/benchmarks/judge.py measures what each contributes).

What this cannot see: effects outside the file system and the output (network, other processes, time), and commands
that agree here and differ elsewhere. For the second, eval/judge/scenes.py asks perturbed copies.
"""

import re
from collections.abc import Collection
from typing import Any

from eval.bash.parsing import known_utilities, utilities
from eval.judge import asked
from eval.judge import rules as rungs
from eval.judge.pair import Pair
from eval.judge.rules import Rule
from eval.judge.verdicts import Verdict
from eval.sandbox.execution import Execution

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        rungs.exact, rungs.whitespace, rungs.line_order, rungs.path_spelling, rungs.effects_only, rungs.report,
        rungs.volatile, rungs.units, rungs.labels, rungs.columns, rungs.names, rungs.drawing, asked.numbered,
        asked.located, asked.matching_files, asked.letter_case, asked.addresses, asked.dumps, asked.checksums,
        asked.described, asked.sort_key, asked.files_only, rungs.same_query, rungs.fields, rungs.fewer,
        rungs.contained, rungs.summary, rungs.similar,
    )
}  # fmt: skip
# Switchable too, but not rules of a Pair: equal spelling (before any run), nothing to see, contents of written files.
OTHERS = ("same_text", "nothing_observable", "contents")
ALL = frozenset(RULES) | frozenset(OTHERS)
# For the published protocol only: near-misses pass them. Gates go without.
LENIENT = frozenset(("fields", "fewer", "contained", "summary", "similar"))
ROBUST = ALL - LENIENT
# These compare parts: where no copy changes what the gold shows, they were never put to the test.
PARTIAL = frozenset(
    ("units", "columns", "names", "drawing", "numbered", "located", "matching_files", "sort_key", "files_only")
)
COVERED = "all_masked"  # undecided: what moves by itself covers all that could tell the two apart
# By which rules the contents of a written file may agree.
CONTENT_RULES = ("exact", "whitespace", "line_order", "path_spelling", "volatile", "units")

MOST_TEXT, TIMES_THE_GOLD = 64 << 10, 16  # characters of output that a candidate may show: so much beside so many times
MAX_MESSAGE = 2000  # bytes of output of a failed command searched for a reason
NO_NETWORK = {"curl": (6, 7, 28), "wget": (4,)}  # exit codes that say so even where the tool is told to be silent
NOT_FOUND = re.compile(r"(?:line \d+: |^|: )([\w.+/-]+): (?:command )?not found", re.MULTILINE)
NOT_OFFERED = re.compile(
    r"Could not resolve host|Temporary failure in name resolution|Network is unreachable|no servers could be reached"
    r"|communications error|connection timed out|Couldn't connect|Failed to connect|Function not implemented"
    r"|Operation not permitted|/proc (?:is not|must be) mounted|[Nn]o /proc|/dev/fd/\d+: No such file"
    r"|/proc/[\w/]{1,200}'?: No such file|must be run from a terminal|not a tty|Inappropriate ioctl"
)


def decide(pair: Pair, rules: Collection[str] = ALL) -> Verdict:
    """The verdict on one file system."""
    gold, candidate = pair.gold_runs[0], pair.candidate_runs[0]
    evidence = {"exit": [gold.exit, candidate.exit]}
    if "same_query" in rules and candidate.exit is not None and rungs.same_query(pair):
        return Verdict("accept", "same_query", evidence)  # needs no output: it may ask what the sandbox does not offer
    if blocked := cannot_compare(pair):
        return blocked
    before, after = pair.effects
    if before != after:
        if by := same_contents(pair, rules):
            return Verdict("undecided", COVERED, evidence) if pair.covered else accepted("contents", evidence, by)
        paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return Verdict("reject", "effects", evidence | {"paths": paths[:5]})
    if pair.hidden and pair.contents is not None and not same_contents(pair, rules):
        if pair.covered:
            return Verdict("undecided", COVERED, evidence | {"paths": pair.hidden[:5]})
        return Verdict("reject", "effects", evidence | {"paths": pair.hidden[:5]})
    if "nothing_observable" in rules and not before and not any(text.strip() for text in pair.outputs):
        return Verdict("undecided", "nothing_observable", evidence)
    within = not says_far_too_much(pair)
    for name, rule in RULES.items():
        if name in rules and (within or name == "effects_only") and rule(pair):
            return Verdict("undecided", COVERED, evidence | {"by": name}) if pair.covered else accepted(name, evidence)
    if pair.all_moves and pair.candidate_moves:
        return Verdict("undecided", COVERED, evidence)
    return Verdict("reject", "output", evidence)


def says_far_too_much(pair: Pair) -> bool:
    """Is the candidate's output longer than any other way to write the gold's? Then no rule has to read it."""
    one, two = map(len, pair.outputs)
    return two > MOST_TEXT + TIMES_THE_GOLD * one


def accepted(rule: str, evidence: dict[str, Any], by: str = "") -> Verdict:
    return Verdict("accept", rule, evidence | ({"by": by} if by else {}))


def same_contents(pair: Pair, rules: Collection[str]) -> str:
    """The rule by which the contents of files that both wrote agree; empty when none does."""
    if "contents" not in rules or pair.contents is None:
        return ""
    return next((name for name in CONTENT_RULES if name in rules and RULES[name](pair.contents)), "")


def cannot_compare(pair: Pair) -> Verdict | None:
    """Limits and what the sandbox does not offer. A candidate that runs into a limit where its gold does not is
    rejected: it does something else."""
    gold, candidate = pair.gold_runs[0], pair.candidate_runs[0]
    if gold.exit is None or gold.limits_hit:
        return Verdict("unsupported", "gold_limit", {"limits": list(gold.limits_hit)})
    if reason := not_offered(pair.gold, gold, missing_is_ours=True):
        return Verdict("unsupported", "gold_needs_more", {"reason": reason})
    if candidate.exit is None or candidate.limits_hit:
        return Verdict("reject", "candidate_limit", {"limits": list(candidate.limits_hit)})
    if reason := not_offered(pair.candidate, candidate, missing_is_ours=False):
        return Verdict("unsupported", "candidate_needs_more", {"reason": reason})
    return None


def not_offered(command: str, run: Execution, missing_is_ours: bool) -> str:
    """Why the sandbox could not give this command what it needs; empty when it could.

    A tool that is missing is our gap for a gold, and for a candidate when the name is a known utility; an invented
    name is the candidate's own fault.
    """
    if run.exit == 0 and run.stdout:
        return ""
    text = (run.stderr + run.stdout[:MAX_MESSAGE]).decode(errors="replace")
    for name in NOT_FOUND.findall(text):
        if missing_is_ours or name.rsplit("/", 1)[-1] in known_utilities():
            return f"{name} is not installed in the sandbox"
    if any(run.exit in NO_NETWORK.get(name, ()) for name in utilities(command)):
        return "no network"
    match = NOT_OFFERED.search(text)
    return match.group(0) if match else ""
