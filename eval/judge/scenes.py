"""The file systems a candidate is judged on: the given one, and perturbed copies chosen by the gold and the request.

A scene is one file system with what the gold did there. All candidates of one gold share its scenes. Which copy came
out of which edit is remembered in COPIES, gold executions in GOLDS: both are caches and can be deleted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from eval.judge.hints import Hints, missing_operands, read_hints
from eval.judge.limits import read_limits
from eval.judge.perturb import Edit, both, new_contents, new_tree, with_edges, with_operands
from eval.run.digests import files_sha256, json_sha256
from eval.sandbox.execution import Execution, SandboxError
from eval.sandbox.fixtures import load_fixture
from eval.sandbox.pool import Sandbox
from eval.sandbox.stored import Fixture, derive, read_stored

COPIES, GOLDS = Path(".cache/judge/copies"), Path(".cache/judge/golds")
OPERAND_ROUNDS = 3  # creating one missing operand may uncover the next, or show that another kind was meant
ATTEMPTS = 3  # a broken worker is replaced: its run is repeated before the judge gives up
SEED = "1"
EDITORS = ("perturb.py", "hints.py", "edges.py", "limits.py", "file_contents.py")  # what decides what a copy holds
REFUSED = re.compile(r"Is a directory|Not a directory|Directory not empty|omitting directory")


@dataclass(frozen=True)
class Question:
    """What all candidates of one gold share."""

    request: str
    gold: str
    fixture: str | Fixture
    more: tuple[Fixture, ...] = ()

    @property
    def hints(self) -> Hints:
        return read_hints(self.gold, self.request)


@dataclass(frozen=True)
class Scene:
    """One file system with what the gold did there: two runs of it where they differ, else one."""

    name: str
    fixture: Fixture
    gold_runs: tuple[Execution, ...]

    @property
    def is_volatile(self) -> bool:
        return len(self.gold_runs) > 1


@dataclass
class Runs:
    """Every execution by (command, fixture, repeat), so that none is done twice. Golds are also kept on disk."""

    sandbox: Sandbox
    done: dict[tuple[str, str, int], Execution] = field(default_factory=dict)
    scenes: dict[tuple["Question", str], list["Scene"]] = field(default_factory=dict)

    def get(self, wanted: Iterable[tuple[str, Fixture]], repeat: int = 0, gold: bool = False) -> list[Execution]:
        """Executions in the order wanted; those not yet known run together, on all cores. SandboxError."""
        jobs = list(wanted)
        new = {(command, fixture.digest): (command, fixture) for command, fixture in jobs}
        new = {key: job for key, job in new.items() if (*key, repeat) not in self.done}
        kept = GOLDS / str(repeat) if gold else None
        for attempt in range(ATTEMPTS):
            broken: SandboxError | None = None
            settling = [(settled(command), fixture) for command, fixture in new.values()]
            for key, run in zip(list(new), self.sandbox.run_many(settling, cache=kept), strict=True):
                if isinstance(run, SandboxError):
                    broken = run
                    continue
                self.done[*key, repeat] = run
                del new[key]
            if broken and attempt == ATTEMPTS - 1:
                raise broken
        return [self.done[command, fixture.digest, repeat] for command, fixture in jobs]


def settled(command: str) -> str:
    """The command; where Bash would not wait for a reader that it feeds (`tee >(wc -l)`), behind a pipe that ends when
    the reader has: else the command races with itself and now and then shows less."""
    return f"{{ {command}\n}} | cat; exit ${{PIPESTATUS[0]}}" if ">(" in command else command


def set_scenes(runs: Runs, questions: Iterable[Question], seed: str = SEED) -> dict[Question, list[Scene]]:
    """For each question the given fixture first, then its copies, the sharpest first; the gold run on each.

    Copies on which the gold hits a limit are left out: they say nothing about it. Another `seed` makes other copies.
    """
    asked = list(questions)
    new = [q for q in asked if (q, seed) not in runs.scenes]
    for q, found in make_scenes(runs, new, seed).items() if new else ():
        runs.scenes[q, seed] = found
    return {q: runs.scenes[q, seed] for q in asked}


def given_scenes(runs: Runs, questions: Iterable[Question]) -> dict[Question, list[Scene]]:
    """For each question the given fixture alone: enough for candidates that it rejects, which are most."""
    asked = list(questions)
    given = {q: base_fixture(q.fixture, runs.sandbox) for q in asked}
    golds = run_golds(runs, [(q, given[q]) for q in asked], asked)
    return {q: [Scene("given", given[q], golds[q, given[q].digest])] for q in asked}


def make_scenes(runs: Runs, asked: list[Question], seed: str) -> dict[Question, list[Scene]]:
    """The scenes of questions whose copies are not known yet."""
    scenes = given_scenes(runs, asked)
    given = {q: scenes[q][0].fixture for q in asked}
    starts = create_operands(runs, given, {q: scenes[q][0].gold_runs[0] for q in asked})
    copies = [(q, "another", fixture) for q in asked for fixture in q.more]
    copies += [
        (q, name, fixture)
        for q in asked
        if not q.more  # whoever made several trees for this gold knows better what has to differ
        for name, fixture in perturbed(q, starts[q], starts[q] != given[q], seed)
    ]
    # A gold that failed on the given files may move by itself once its operands are there.
    volatile = [q for q in asked if scenes[q][0].is_volatile or starts[q] != given[q]]
    more = run_golds(runs, [(q, fixture) for q, _, fixture in copies], volatile)
    for q, name, fixture in copies:
        found = more[q, fixture.digest]
        if found[0].exit is not None and not found[0].limits_hit:
            scenes[q].append(Scene(name, fixture, found))
    return scenes


def run_golds(
    runs: Runs, wanted: list[tuple[Question, Fixture]], twice: list[Question]
) -> dict[tuple[Question, str], tuple[Execution, ...]]:
    """The gold on each fixture, by question and fixture digest; for questions in `twice` a second time."""
    once = runs.get([(q.gold, fixture) for q, fixture in wanted], gold=True)
    found: dict[tuple[Question, str], tuple[Execution, ...]] = {
        (q, fixture.digest): (run,) for (q, fixture), run in zip(wanted, once, strict=True)
    }
    chosen = set(twice)
    repeated = [(q, fixture) for q, fixture in wanted if q in chosen]
    again = runs.get([(q.gold, fixture) for q, fixture in repeated], repeat=1, gold=True)
    for (q, fixture), two in zip(repeated, again, strict=True):
        one = found[q, fixture.digest][0]
        if (one.stdout, one.stderr, one.exit, one.changes) != (two.stdout, two.stderr, two.exit, two.changes):
            found[q, fixture.digest] = (one, two)
    return found


def create_operands(
    runs: Runs, given: dict[Question, Fixture], first: dict[Question, Execution]
) -> dict[Question, Fixture]:
    """Each fixture with what the gold complained was missing; the fixture itself where nothing was.

    The gold's own messages say what it misses. Where it then refuses the kind of thing created (rmdir of a full
    folder, rm of a folder), the kind is changed: full folder, empty folder, file.
    """
    starts, latest = dict(given), dict(first)
    kinds: dict[Question, dict[str, str]] = {q: {} for q in given}
    for _ in range(OPERAND_ROUNDS):
        tried = {}
        for q, run in latest.items():
            new = {
                path: "folder" if folder else "file"
                for path, folder in missing_operands(run, q.request, q.gold, given[q].cwd).items()
                if path not in kinds[q]
            }
            message = run.stderr.decode(errors="replace")
            if not new and kinds[q] and run.exit != 0 and REFUSED.search(message):
                new = {path: "empty" if kind == "folder" else "file" for path, kind in kinds[q].items()}
                if "Not a directory" in message:
                    new = dict.fromkeys(kinds[q], "folder")
            if new and kinds[q] | new != kinds[q]:
                kinds[q] |= new
                edit = with_operands(kinds[q], q.hints, given[q].cwd, given[q].home)
                tried[q] = copy_of(given[q], f"operands {sorted(kinds[q].items())}", q, edit)
        if not tried:
            break
        starts |= tried
        again = runs.get([(q.gold, fixture) for q, fixture in tried.items()], gold=True)
        latest = dict(zip(tried, again, strict=True))
    return starts


def perturbed(question: Question, start: Fixture, created: bool, seed: str) -> list[tuple[str, Fixture]]:
    """The perturbed copies of one question; `created` says that operands were added to the given fixture."""
    contents, tree = new_contents(question.hints, seed), new_tree(question.hints, seed, start.cwd, question.gold)
    edges = with_edges(question.hints, read_limits(question.gold), start.cwd, question.gold)
    again = f"{seed}, again"  # other contents than beside the new tree: what one hides by chance the other may show
    copies = [
        ("tree and contents", copy_of(start, f"tree and contents {seed}", question, both(tree, contents, edges))),
        ("contents", copy_of(start, f"contents {again}", question, new_contents(question.hints, again))),
        ("tree", copy_of(start, f"tree {seed}", question, both(tree, edges))),
    ]
    return [*copies, ("operands", start)] if created else copies


def copy_of(base: Fixture, name: str, question: Question, edit: Edit) -> Fixture:
    """An edited copy of a fixture; made once for the same fixture, question and edit."""
    key = json_sha256([base.digest, name, question.request, question.gold, edits_digest()])
    remembered = COPIES / key
    if remembered.exists() and (known := read_stored(name, remembered.read_text(encoding="utf-8"))):
        return known
    made = derive(base, name, edit)
    COPIES.mkdir(parents=True, exist_ok=True)
    partial = remembered.with_suffix(".partial")
    partial.write_text(made.digest, encoding="utf-8")
    partial.rename(remembered)
    return made


@cache
def edits_digest() -> str:
    """Digest of the code that edits: another perturb.py makes other copies."""
    folder = Path(__file__).parent
    return files_sha256(folder / name for name in EDITORS)


_fixtures: dict[str, Fixture] = {}


def base_fixture(name: str | Fixture, sandbox: Sandbox) -> Fixture:
    """A fixture itself, or by name or folder, read once for a process."""
    if isinstance(name, Fixture):
        return name
    if name not in _fixtures:
        _fixtures[name] = load_fixture(name, sandbox)
    return _fixtures[name]
