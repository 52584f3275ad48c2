"""Fixtures by name: built from scripts, inside a sandbox, once.

    load_fixture("project")          one of ours: eval/fixtures/project.sh
    load_fixture("icalfa-3")         a file system of InterCode-ALFA, from the scripts in the installed `icalfa` package
    load_fixture(Path("some/tree"))  a directory as it is, as the user's home folder
    derive(fixture, "name", edit)    a variant: `edit` changes a copy of the tree

Nothing of icalfa (MIT) is copied into the repository; its package is installed without its dependencies.
"""

import hashlib
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

from eval.common.errors import UserError
from eval.sandbox.execution import Limits
from eval.sandbox.opening import open_sandbox
from eval.sandbox.pool import Sandbox
from eval.sandbox.stored import CACHE, HOME, Fixture, derive, read_stored, store, with_base
from eval.sandbox.trees import lay_out

SCRIPTS = Path("eval/fixtures")
OWN = {"home": HOME, "canary": HOME, "project": f"{HOME}/project", "logs": "/var/log"}
ICALFA = tuple(f"icalfa-{number}" for number in range(1, 6))
# What the images set beside the scripts (nl2bash1.Dockerfile).
ICALFA_VARIABLES = {"icalfa-1": (("FILES", "/testbed/hello.c /testbed/FooBar.html"),)}
BUILDING = Limits(wall_seconds=60, cpu_seconds=60, processes=128, output_bytes=1 << 20)

__all__ = ["ICALFA", "OWN", "Fixture", "derive", "icalfa_folder", "load_fixture"]


def load_fixture(name: str | Path, sandbox: Sandbox | None = None) -> Fixture:
    """A fixture by name, or a folder. Built on first use, in `sandbox` (default: one of its own).

    UserError for an unknown name, an unreadable folder, or when `icalfa` is not installed.
    """
    if isinstance(name, Path) or "/" in name:
        folder = Path(name)
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: name one, or a fixture: {', '.join([*OWN, *ICALFA])}")
        where = HOME[1:]
        return store(folder.name, HOME, with_base(lambda top: _copy(folder, top / where), HOME))
    if name in OWN:
        return _built(name, OWN[name], (SCRIPTS / f"{name}.sh").read_text(encoding="utf-8"), sandbox)
    if name in ICALFA:
        script = icalfa_folder() / "docker" / f"setup_nl2b_fs_{name[-1]}.sh"
        text = script.read_text(encoding="utf-8").rstrip()
        # The published images hold their own set-up script, and some rows read it.
        keep = f"cat > /{script.name} <<'SETUP_END'\n{text}\nSETUP_END\nchmod +x /{script.name}\n"
        return _built(name, "/", f"{keep}{text}\n", sandbox)
    raise UserError(f"no fixture {name!r}: take one of {', '.join([*OWN, *ICALFA])}, or a directory")


def icalfa_folder() -> Path:
    """The folder with InterCode-ALFA's data, in the installed package. UserError when it is not installed."""
    found = find_spec("icalfa")
    if found is None or not found.submodule_search_locations:
        raise UserError("InterCode-ALFA's file systems need the package icalfa: run `make setup`")
    return Path(found.submodule_search_locations[0]) / "assets"


def _built(name: str, cwd: str, script: str, sandbox: Sandbox | None) -> Fixture:
    """The fixture that `script` makes. Which tree a script made before, under which root, is remembered in CACHE."""
    if sandbox is None:
        with open_sandbox(workers=1) as own:
            return _built(name, cwd, script, own)
    inputs = json.dumps([script, cwd, ICALFA_VARIABLES.get(name, ()), sandbox.root.digest])
    remembered = CACHE / f"{name}-{hashlib.sha256(inputs.encode()).hexdigest()[:32]}.built"
    if remembered.exists() and (fixture := read_stored(name, remembered.read_text(encoding="utf-8").strip())):
        return fixture
    empty = store("empty", "/", with_base(lambda top: None, cwd))
    execution, tree = sandbox.run_script(script, empty, BUILDING)
    if execution.exit is None:
        raise UserError(f"fixture {name}: its script ran into the limit {', '.join(execution.limits_hit)}")
    fixture = store(name, cwd, lambda top: lay_out(tree, str(top)), HOME, ICALFA_VARIABLES.get(name, ()))
    remembered.write_text(fixture.digest + "\n", encoding="utf-8")
    return fixture


def _copy(folder: Path, where: Path) -> None:
    shutil.copytree(folder, where, symlinks=True, dirs_exist_ok=True)
