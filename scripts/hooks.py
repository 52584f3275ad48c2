"""What must not be committed: credentials, large files, broken recipes, Python that ruff refuses.

    python -m scripts.hooks install      a pre-commit hook in this clone (`make hooks`); works without a network
    python -m scripts.hooks check        what the hook runs: one line a problem, exit 1 when there is one
    python -m scripts.hooks tree         credentials in every file that git tracks here (`make secrets`)

The hook looks at what is staged, not at the working tree, and only at files that the commit adds or changes. It is
plain and starts the project's own Python: pre-commit's environments would be a second set of pinned tools, fetched from
the network. `git commit --no-verify` goes around it: it saves from mistakes and stops nobody. `make secrets` searches
every tracked file once more, and `make test` with it.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import NO_SHIP, UserError, run_command
from eval.common.places import ROOT
from eval.common.programs import how_to_install
from eval.common.reading import read_bytes
from eval.run.records import Record
from eval.run.secret_patterns import find_secrets, redact, scan_file

LARGEST_BYTES = 5_000_000
RECIPES = "configs/train/"
# These hold made-up credentials on purpose: what leaks them is caught.
MADE_UP = ("eval/fixtures/canary.sh",)
MARK = "# SecureCLI-Tuner pre-commit hook"


def check(repository: Path) -> list[str]:
    """Every problem of what is staged in a repository, one line each: `FILE: what; what to do`."""
    names = git(repository, "diff", "--cached", "--name-only", "--diff-filter=ACMR", "-z").split("\0")
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder)
        for name in filter(None, names):
            kind = git(repository, "--literal-pathspecs", "ls-files", "--stage", "--", name)[:6]
            if not kind.startswith("100"):
                continue  # a link or a submodule has no content of its own
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                subprocess.run(["git", "-C", str(repository), "show", f":{name}"], stdout=target, check=True)
            problems += check_file(repository, name, path)
    return problems


def check_file(repository: Path, name: str, staged: Path) -> list[str]:
    """Problems of one staged file: `name` is its path in the repository, `staged` a copy of what would be committed."""
    size = staged.stat().st_size
    if size > LARGEST_BYTES:
        limit = LARGEST_BYTES / 1e6
        return [f"{name}: {size / 1e6:.1f} MB, more than {limit:g}; keep it out of git, or add it to .gitignore"]
    problems = []
    if name not in MADE_UP:
        problems += [f"{found}; remove it from the commit, and revoke it" for found in scan_file(staged, name)]
    if name.startswith(RECIPES) and name.endswith((".yaml", ".yml")):
        from scripts.training.lint_recipe import lint_recipe  # most of the seconds of a commit that has no recipe

        problems += [line.replace(str(staged), name) for line in lint_recipe(staged, root=repository)]
    if name.endswith(".py"):
        problems += check_python(repository, name, read_bytes(staged))
    return problems


def check_tree(repository: Path) -> list[str]:
    """Credentials in the tracked files of a repository as they lie on the disk, and in their names; one line each."""
    problems = []
    for name in filter(None, git(repository, "ls-files", "-z").split("\0")):
        path = repository / name
        found = [] if path.is_symlink() or not path.is_file() or name in MADE_UP else scan_file(path, name)
        problems += [f"{one}; revoke it, and remove it from the file and from git's history" for one in found]
        if find_secrets(name, name):
            problems.append(f"the name of {redact(name)} holds a credential; revoke it, and rename the file")
    return problems


def check_python(repository: Path, name: str, content: bytes) -> list[str]:
    """What ruff says about a file that is or will be `name`: its first complaint, or that it is not formatted."""
    ruff = [sys.executable, "-m", "ruff"]
    where = ["--stdin-filename", name, "-"]
    concise = ["check", "--quiet", "--no-cache", "--output-format", "concise"]
    linted = subprocess.run([*ruff, *concise, *where], cwd=repository, input=content, capture_output=True, check=False)
    if linted.returncode != 0:
        said = (linted.stdout or linted.stderr).decode(errors="replace").strip().split("\n")
        return [f"{said[0]}; see `ruff check {name}`"]
    form = ["format", "--check", "--quiet", "--no-cache", *where]
    if subprocess.run([*ruff, *form], cwd=repository, input=content, capture_output=True, check=False).returncode != 0:
        return [f"{name}: not formatted; run `ruff format {name}`"]
    return []


def install(repository: Path) -> Path:
    """Write the hook into a clone; safe to repeat. UserError when another hook is there already."""
    hook = (repository / git(repository, "rev-parse", "--git-path", "hooks").strip() / "pre-commit").resolve()
    if hook.is_file() and MARK not in hook.read_text(errors="replace"):
        raise UserError(f"{hook} is another hook: move it, or let it call `python -m scripts.hooks check`")
    hook.parent.mkdir(parents=True, exist_ok=True)
    python = shlex.quote(sys.executable)
    hook.write_text(
        f"#!/bin/sh\n{MARK}\n"
        f'[ -x {python} ] || {{ echo "error: {sys.executable} is gone: run make hooks again" >&2; exit 1; }}\n'
        f"PYTHONPATH={shlex.quote(str(ROOT))} exec {python} -m scripts.hooks check\n"
    )
    hook.chmod(0o755)
    return hook


def git(repository: Path, *arguments: str) -> str:
    """Output of a git command. UserError outside a repository, or without git."""
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError(f"git is missing: {how_to_install(['git'])}") from None
    if done.returncode != 0:
        raise UserError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip() or 'failed'}")
    return done.stdout.decode(errors="surrogateescape")


class Searched(Record):
    """What must not be committed, one line each, without the credential itself."""

    problems: list[str]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.hooks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("install", "check", "tree"))
    what = parser.parse_args(argv).what
    repository = Path(git(Path.cwd(), "rev-parse", "--show-toplevel").rstrip("\n"))
    if what == "install":
        hook = install(repository)
        print(f"hook: {hook}")
        return Answer(0, files=[hook])
    problems = check(repository) if what == "check" else check_tree(repository)
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    if what == "tree" and not problems:
        print("secrets: no credential in the files that git tracks")
    result, error = Searched(problems=problems), problems[0] if problems else None
    return Answer(NO_SHIP if problems else 0, result, error=error)


if __name__ == "__main__":
    run_command(main, "secrets" if "tree" in sys.argv else "hooks")
