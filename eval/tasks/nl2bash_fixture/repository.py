"""The git repository of a row: one of a few built in the sandbox (repository.sh), with the names the gold uses.

A revision such as `b7e9a13` is a tag of that name: git looks for a name before it takes one for a commit's id.
"""

import hashlib
import random
from pathlib import Path

from eval.errors import UserError
from eval.sandbox.execution import Limits
from eval.sandbox.pool import Sandbox
from eval.sandbox.stored import CACHE, HOME, Fixture, read_stored, store, with_base
from eval.sandbox.trees import lay_out
from eval.tasks.nl2bash_fixture.contents import lines_with
from eval.tasks.nl2bash_fixture.reading import Reading

SCRIPT = Path(__file__).with_name("repository.sh")
CWD = f"{HOME}/project"
BUILDING = Limits(wall_seconds=90, cpu_seconds=90, processes=128)
SIDES = 6  # branches of the repository beside `work`


def base_repository(sandbox: Sandbox, dirty: bool, variant: int) -> Fixture:
    """The repository before a row names its parts; built on first use, then read from the fixture store."""
    settings = f"DIRTY={'1' if dirty else ''}\nVARIANT={variant}\n"
    script = settings + SCRIPT.read_text(encoding="utf-8")
    inputs = hashlib.sha256(f"{script}\0{sandbox.root.digest}".encode()).hexdigest()
    remembered = CACHE / f"nl2bash-git-{inputs[:32]}.built"
    if remembered.exists() and (fixture := read_stored("nl2bash-git", remembered.read_text(encoding="utf-8").strip())):
        return fixture
    empty = store("empty", CWD, with_base(lambda top: None, CWD))
    execution, tree = sandbox.run_script(script, empty, BUILDING)
    if execution.exit != 0:
        said = execution.stderr.decode(errors="replace").strip().splitlines() or [f"exit {execution.exit}"]
        raise UserError(f"the repository of the git rows could not be built: {said[-1]}")
    fixture = store("nl2bash-git", CWD, lambda top: lay_out(tree, str(top)), HOME)
    remembered.write_text(fixture.digest + "\n", encoding="utf-8")
    return fixture


def needs_clean(reading: Reading) -> bool:
    """`git switch BRANCH` refuses where it would overwrite changes."""
    return any(call[:2] == ["git", "switch"] for call in reading.calls)


def name_parts(top: Path, reading: Reading, rng: random.Random) -> None:
    """Give branches and revisions the names of the gold, and put the words it greps into tracked files."""
    packed = top / CWD[1:] / ".git/packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines()
    known = {name: commit for commit, _, name in (line.partition(" ") for line in lines if line[:1] not in "#^")}
    kept = {"refs/heads/work": known["refs/heads/work"]}
    sides = rng.sample(range(SIDES), SIDES)
    commits = rng.sample(range(5, 45), 8)
    for call in reading.calls:
        for branch in branches_of(call):
            kept[f"refs/heads/{branch}"] = known[f"refs/heads/b{sides.pop()}"]
        for revision in revisions_of(call):
            kept[f"refs/tags/{revision}"] = known[f"refs/tags/r{commits.pop()}"]
    for spare in ("stable", "next"):
        kept[f"refs/heads/{spare}"] = known[f"refs/heads/b{sides.pop()}"]
    text = "".join(f"{commit} {name}\n" for name, commit in sorted(kept.items()))
    packed.write_text(f"# pack-refs with: peeled fully-peeled sorted \n{text}", encoding="utf-8")
    if reading.words:
        _write_words(top / CWD[1:], reading, rng)


def _write_words(project: Path, reading: Reading, rng: random.Random) -> None:
    for word in reading.words:
        for name in ("main.py", "docs/guide/part.md", "router.go", "lib/staged.txt", "docs/loose.txt", "build/out.js"):
            path = project / name
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                for line in rng.sample(lines_with(word, [], rng), 6):
                    lines.insert(rng.randrange(len(lines) + 1), line)
                path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def branches_of(call: list[str]) -> list[str]:
    """Branches that must exist for this call."""
    words = [word for word in call[2:] if not word.startswith("-")]
    if call[:2] == ["git", "diff"] and len(words) == 2:
        return words
    return words if call[:2] == ["git", "switch"] and "-c" not in call else []


def revisions_of(call: list[str]) -> list[str]:
    """Revisions that must exist for this call."""
    words = [word.partition(":")[0] for word in call[2:] if not word.startswith("-")]
    return words if call[:2] == ["git", "show"] else []
