"""The questions of the judge's benchmark: published pairs, near-misses, cross pairs, and pairs from NL2Bash.

Every list is deterministic. Where a case needs a truth ("does this edit matter?"), executions decide: two commands
differ when, on some file system asked, their output or what they change is not the same byte for byte.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from eval.bash.parsing import normalise, utilities
from eval.common.errors import UserError
from eval.common.reading import read_text
from eval.judge.scenes import Question, Runs, Scene, set_scenes
from eval.judge.spelling import canonical
from eval.judge.verdicts import Case
from eval.run.digests import text_sha256
from eval.sandbox.execution import Execution
from eval.tasks.intercode_alfa.rows import Row

ROTATION = 10  # negatives of the published table: the gold of the row this many further
UNSEEN = "unseen"  # seed of copies that only the truth is taken from
OWN_FIXTURES = ("home", "project", "logs")


@dataclass(frozen=True)
class Labelled:
    """A case and whether its candidate is right; `kind` groups cases in a table."""

    case: Case
    right: bool
    kind: str


def published(rows: list[Row]) -> list[Labelled]:
    """300 pairs (gold, second gold) and 300 (gold, gold of the row rotated by ten), by file system."""
    pairs = [Labelled(Case(row.request, row.gold, row.second, row.fixture), True, row.fixture) for row in rows]
    for row in rows:
        other = rows[(row.number + ROTATION) % len(rows)]
        pairs.append(Labelled(Case(row.request, row.gold, other.gold, row.fixture), False, row.fixture))
    return pairs


def cross_pairs(rows: list[Row]) -> list[Case]:
    """Golds of two different rows of one file system, each unordered pair once, none with equal text."""
    pairs = []
    for index, row in enumerate(rows):
        for other in rows[index + 1 :]:
            if other.fixture == row.fixture and canonical(other.gold, "") != canonical(row.gold, ""):
                pairs.append(Case(row.request, row.gold, other.gold, row.fixture))
    return pairs


def differing(runs: Runs, cases: list[Case], rejected: list[bool]) -> list[bool]:
    """For each case: does the candidate run on the given file system, and differ from its gold somewhere?

    `rejected`: the robust judge saw a difference; the others are compared byte by byte on every scene, and on as many
    copies that the judge never sees (another seed), so that what it overlooks counts against it. False where the gold
    is volatile, and where the candidate fails without showing or changing anything: nobody takes it for right.
    """
    questions = [Question(case.request, case.gold, case.fixture) for case in cases]
    scenes = set_scenes(runs, dict.fromkeys(questions))
    passed = dict.fromkeys(q for q, is_rejected in zip(questions, rejected, strict=True) if not is_rejected)
    unseen = set_scenes(runs, passed, UNSEEN)
    jobs = [
        (index, scene)
        for index, question in enumerate(questions)
        for scene in (scenes[question][:1] if rejected[index] else [*scenes[question], *unseen[question][1:]])
    ]
    done = runs.get([(cases[index].candidate, scene.fixture) for index, scene in jobs])
    differs: dict[int, bool] = defaultdict(bool)
    works: dict[int, bool] = defaultdict(bool)
    for (index, scene), run in zip(jobs, done, strict=True):
        differs[index] |= rejected[index] or not same(scene, run)
        works[index] |= bool(run.exit == 0 or run.stdout or run.changes)
    steady = [not scenes[question][0].is_volatile for question in questions]
    return [differs[index] and works[index] and steady[index] for index in range(len(cases))]


def same(scene: Scene, run: Execution) -> bool:
    gold = scene.gold_runs[0]
    return (gold.stdout, gold.changes) == (run.stdout, run.changes)


def half_of(gold: str) -> str:
    """Which half of the golds a case belongs to: rules are tuned on `tuning` only, `report` is what counts."""
    return "tuning" if int(text_sha256(gold)[0], 16) % 2 == 0 else "report"


def read_nl2bash(folder: Path) -> dict[str, list[str]]:
    """Descriptions (lower case, single blanks) with their different commands, as they come in NL2Bash.

    NL2Bash (Lin et al., LREC 2018, MIT) is read where it is and never copied. UserError when it is not there.
    """
    try:
        texts = read_text(folder / "all.nl").split("\n")
        commands = read_text(folder / "all.cm").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: give the folder of NL2Bash's all.nl and all.cm") from None
    found: dict[str, list[str]] = {}
    for text, command in zip(texts, commands, strict=False):
        key, command = " ".join(text.lower().strip(" .").split()), command.strip()
        known = found.setdefault(key, [])
        if command and normalise(command) is not None and command not in known:
            known.append(command)
    return found


def nl2bash_pairs(folder: Path, count: int) -> list[Labelled]:
    """`count` pairs of commands with one description, and as many with different descriptions but equal utilities.

    A negative takes the description and gold of a positive and the command of the description whose digest is next
    among those with the same utilities in the same order: the nearest that is wrong by its text.
    """
    described = read_nl2bash(folder)
    peers: dict[tuple[str, ...], list[tuple[str, str, str]]] = defaultdict(list)
    for text, commands in described.items():
        for command in commands:
            peers[utilities(command)].append((text_sha256(command), text, command))
    for group in peers.values():
        group.sort()
    multiple = [text for text, commands in described.items() if len(commands) > 1]
    multiple.sort(key=text_sha256)
    found = []
    for text in multiple[:count]:
        gold, second = described[text][:2]
        fixture = OWN_FIXTURES[int(text_sha256(text)[:4], 16) % len(OWN_FIXTURES)]
        found.append(Labelled(Case(text, gold, second, fixture), True, half_of(gold)))
        group = peers[utilities(gold)]
        start = next(place for place, (_, _, command) in enumerate(group) if command == gold)
        for step in range(1, len(group)):
            _, other_text, other = group[(start + step) % len(group)]
            if other_text != text and other not in described[text]:
                found.append(Labelled(Case(text, gold, other, fixture), False, half_of(gold)))
                break
    return found
