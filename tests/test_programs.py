"""Programs of the operating system: each that is called has a package, and who lacks one is told in one line."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

from eval.common import programs
from eval.common.places import ROOT
from eval.common.programs import CHROMIUM, NEEDS, NEWUIDMAP, PROGRAMS, SSH_KEYGEN, Program, missing
from eval.sandbox.execution import SandboxError
from eval.sandbox.namespaces import Namespaces
from scripts import review
from scripts.setup import system_packages
from tests.run_builder import assert_one_line, build_run, call

# Of what every Debian has: coreutils, bash, dash, grep, sed, mawk, util-linux, mount, and apt where there is dpkg. git
# and make are what the README asks for.
ALWAYS_THERE = {
    "apt-get", "awk", "bash", "cat", "chroot", "cp", "dpkg-query", "echo", "env", "expand", "git", "grep", "make",
    "mount", "printf", "rm", "sed", "setarch", "setpriv", "sh", "test", "touch", "true", "unshare",
}  # fmt: skip
# Called where it is there, and nothing is missing where it is not: the machine's description; another tool's benchmark;
# building llama.cpp, which says in one line that it lacks it.
OPTIONAL = {"nvidia-smi", "node", "cmake"}
SHELL_WORDS = {"set", "for", "do", "done", "case", "esac", "exit"}


def names_of(node: ast.expr, known: dict[str, list[ast.expr]], depth: int = 0) -> Iterator[str]:
    """Programs that the first argument of a call may start, as far as they are written down."""
    while isinstance(node, (ast.List, ast.Tuple, ast.Starred, ast.BinOp)):
        if isinstance(node, (ast.List, ast.Tuple)):
            if not node.elts:
                return
            node = node.elts[0]
        else:
            node = node.value if isinstance(node, ast.Starred) else node.left
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Path(node.value).name
    elif isinstance(node, ast.Name) and depth < 5:
        for value in known.get(node.id, []):
            yield from names_of(value, known, depth + 1)


def starts_a_program(node: ast.AST) -> TypeGuard[ast.Call]:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=whose), attr=name), args=[_, *_]):
            return (
                whose == "subprocess"
                or (whose, name) == ("shutil", "which")
                or (whose == "os" and name.startswith(("exec", "spawn", "system", "popen")))
            )
        case ast.Call(func=ast.Name(id="_run"), args=[_, *_]):
            return True  # eval/run/environment.py asks the machine through it
    return False


def started_by(path: Path) -> Iterator[str]:
    """Programs that a Python file starts by name: in a list at the call, or in one that has a name there or above."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    if not any(map(starts_a_program, nodes)):
        return
    parts = [tree, *(node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef)))]
    lists: dict[str, list[ast.expr]] = {}
    for part in parts:
        known = {name: list(values) for name, values in lists.items()}
        for node in ast.walk(part) if part is not tree else tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                known.setdefault(node.targets[0].id, []).append(node.value)
        if part is tree:
            lists = known
        for node in ast.walk(part):
            if starts_a_program(node):
                yield from names_of(node.args[0], known)


def test_every_program_that_is_called_has_a_package_or_is_always_there() -> None:
    calls = {(name, path) for top in ("eval", "scripts", "tests") for path in Path(top).rglob("*.py")
             for name in started_by(path)}  # fmt: skip
    names = {name for name, _ in calls}
    assert {"git", "ssh-keygen", "mmdebstrap", "unshare", "make"} <= names, "calls are found"
    rows = {name for program in PROGRAMS for name in program.names}
    unknown = {(name, str(path)) for name, path in calls if name not in rows | ALWAYS_THERE | OPTIONAL}
    assert not unknown, "give it a row in eval/common/programs.py, so that it is installed or named"


def test_the_makefile_calls_what_is_always_there() -> None:
    recipes = re.findall(r"^\t@?(.*(?:\\\n.*)*)", Path("Makefile").read_text(), flags=re.M)
    words = {match for recipe in recipes for match in re.findall(r"(?:^|[;|&]|\bdo\b) *([a-z][\w-]*)(?= )", recipe)}
    assert {"test", "sed", "rm", "touch"} & words
    assert words <= ALWAYS_THERE | SHELL_WORDS


def test_a_need_names_only_rows_and_tests_need_them_all() -> None:
    assert all(set(needed) <= set(PROGRAMS) for needed in NEEDS.values())
    assert set(NEEDS["tests"]) == set(PROGRAMS)
    assert not {SSH_KEYGEN, CHROMIUM} & {*NEEDS["sandbox"], *NEEDS["sandbox of an ordinary user"]}


# ------------------------------------------------------------------------------------------- what is here, what starts


def script(folder: Path, name: str, text: str = "exit 0") -> Path:
    """A program of that name, in a folder of programs."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A machine whose PATH is that folder."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", str(folder))


def test_a_browser_that_only_says_it_is_none_is_not_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, tmp_path / "bin")
    assert CHROMIUM.find() is None
    script(tmp_path / "bin", "chromium", "echo requires the chromium snap to be installed >&2; exit 10")
    assert CHROMIUM.find() is None
    chrome = script(tmp_path / "bin", "google-chrome", "echo Google Chrome 140")
    assert CHROMIUM.find() == str(chrome)
    script(tmp_path / "bin", "chromium", "echo Chromium 140")
    assert CHROMIUM.find() == str(tmp_path / "bin" / "chromium")


def test_a_program_is_not_looked_up_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    script(tmp_path, "bwrap")
    assert Program(("bwrap",), "bubblewrap", "why").find() is None
    script(tmp_path / "bin", "bwrap")
    assert Program(("absent", "bwrap"), "bubblewrap", "why").find() == str(tmp_path / "bin" / "bwrap")


# -------------------------------------------------------------------------------------------------- installing


# An apt-get that writes down how it was called, knows no package before `update`, and installs what PROVIDES says.
APT = """
echo "$@" >> "$LOG"
case " $* " in
  *" update "*) : > "$LISTS";;
  *) [ -e "$LISTS" ] || { echo 'E: Unable to locate package x' >&2; exit 100; }
     [ -z "$FAILS" ] || { echo "W: by the way" >&2; echo "E: $FAILS" >&2; exit 100; }
     for name in $PROVIDES; do printf '#!/bin/sh\nexit 0\n' > "$BIN/$name"; chmod 755 "$BIN/$name"; done;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine for root with apt-get, chmod and nothing else; returns what apt-get wrote down."""
    binaries, log = tmp_path / "bin", tmp_path / "log"
    script(binaries, "apt-get", APT.strip())
    (binaries / "chmod").symlink_to("/bin/chmod")
    for name, value in {"LOG": log, "LISTS": tmp_path / "lists", "BIN": binaries, "FAILS": "", "PROVIDES": ""}.items():
        monkeypatch.setenv(name, str(value))
    only(monkeypatch, binaries)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log.touch()
    return log


def test_lists_are_fetched_only_when_they_are_needed(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDES", "mmdebstrap bwrap")
    system_packages.prepare("sandbox")
    assert [line.split()[4] for line in machine.read_text().splitlines()] == ["install", "update", "install"]
    for name in ("mmdebstrap", "bwrap"):
        (tmp_path / "bin" / name).unlink()
    machine.write_text("")
    system_packages.prepare("sandbox")
    (line,) = machine.read_text().splitlines()
    assert " install --no-install-recommends " in line and "mmdebstrap" in line and "bubblewrap" in line
    assert not {"uidmap", "chromium", "openssh-client"} & set(line.split()), "a demo installs nothing of the tests"


def test_nothing_is_called_when_all_is_there(machine: Path, tmp_path: Path) -> None:
    for program in PROGRAMS:
        script(tmp_path / "bin", program.names[0])
    system_packages.prepare("tests")
    assert machine.read_text() == ""


@pytest.mark.parametrize("need", ["sandbox", "tests"])
def test_an_ordinary_user_is_told_in_one_line(
    need: str, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, out, err = call(system_packages.main, [need], capsys)
    assert (code, out, machine.read_text()) == (2, "", "")
    if need == "sandbox":
        assert_one_line(err, "mmdebstrap", "bubblewrap", "uidmap", "sudo apt-get install")
    else:
        assert_one_line(err, "`make test` needs root", "pytest FILE")


def test_a_machine_without_apt_is_told_the_names(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin" / "apt-get").unlink()
    code, _, err = call(system_packages.main, ["sandbox"], capsys)
    assert code == 2
    assert_one_line(err, "mmdebstrap", "bubblewrap", "install")


def test_what_apt_cannot_install_is_one_line_with_its_reason(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAILS", "You don't have enough free space in /var/cache/apt/archives/.")
    code, _, err = call(system_packages.main, ["sandbox"], capsys)
    assert code == 2
    assert_one_line(err, "apt-get could not install", "enough free space")
    monkeypatch.setenv("FAILS", "Package 'chromium' has no installation candidate")
    code, _, err = call(system_packages.main, ["tests"], capsys)
    assert code == 2
    assert_one_line(err, "Google Chrome", "snap")


def test_what_was_installed_and_does_not_run_is_one_line(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVIDES", "mmdebstrap bwrap newuidmap ssh-keygen curl")
    code, _, err = call(system_packages.main, ["tests"], capsys)
    assert code == 2
    assert_one_line(err, "Chromium")
    monkeypatch.setenv("PROVIDES", "")
    (tmp_path / "bin" / "bwrap").unlink()
    code, _, err = call(system_packages.main, ["sandbox"], capsys)
    assert code == 2
    assert_one_line(err, "bubblewrap")


# ---------------------------------------------------------------------------------------- a program that is missing


def test_signing_without_ssh_keygen_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, key = build_run(tmp_path), tmp_path / "key"
    key.touch()
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "git").symlink_to("/usr/bin/git")
    command = [sys.executable, "-m", "scripts.review", "--run", str(run), "--decision", "approve", "--reviewer", "Ada"]
    environment = os.environ | {"PATH": str(binaries)}
    done = subprocess.run([*command, "--key", str(key)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert_one_line(done.stderr, "ssh-keygen is missing", "install openssh-client")
    assert not (run / "review.json").exists()


def test_the_same_for_who_shows_a_signed_review(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, key = build_run(tmp_path), tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada", "--key", str(key)]
    assert call(review.main, argv, capsys)[0] == 0
    monkeypatch.setattr("scripts.publishing.signing.allowed_signers", lambda: b"")
    only(monkeypatch, tmp_path / "empty")
    code, _, err = call(review.main, ["--run", str(run)], capsys)
    assert code == 2
    assert_one_line(err, "ssh-keygen is missing", "openssh-client")


def test_a_hook_without_git_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    command = [sys.executable, "-m", "scripts.hooks", "install"]
    environment = os.environ | {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert_one_line(done.stderr, "git is missing")


def test_a_sandbox_without_bubblewrap_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, tmp_path / "bin")
    with pytest.raises(SandboxError, match=r"bubblewrap is missing: install bubblewrap .*apt-get install bubblewrap"):
        Namespaces(None, 1, tmp_path)  # type: ignore[arg-type]


def test_an_ordinary_user_needs_uidmap_and_root_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, tmp_path / "bin")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert NEWUIDMAP.package in missing(programs.sandbox_need())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert NEWUIDMAP.package not in missing(programs.sandbox_need())


# ------------------------------------------------------------------------------------------------------- make test


def test_make_test_installs_what_only_tests_need_and_lets_nothing_skip() -> None:
    found = re.findall(r"^([\w-]+): (.*?) ## .*\n((?:\t.*\n)*)", Path("Makefile").read_text(), flags=re.M)
    rules = {name: needs + body for name, needs, body in found}
    assert rules["test"].startswith("test-packages ") and "--no-skips" in rules["test"]
    assert [name for name, rule in rules.items() if "test-packages" in rule] == ["test", "coverage"]
