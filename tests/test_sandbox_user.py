"""An ordinary user runs commands too: same probes, same results, no root.

Each case is a process of a user that exists in a mount namespace of its own alone: /etc/passwd, /etc/subuid and
/etc/subgid are laid over there, and this machine's stay as they are.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval.sandbox import load_fixture, open_sandbox
from eval.sandbox.as_root import as_root, state_folder
from eval.sandbox.execution import Execution, SandboxError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
USER = 4321
REPOSITORY = Path.cwd()
COMMAND = "id -u; ls -l; rm -r notes; touch new; chmod 000 new; ps -o user= | head -1"
# Folders that only root may enter (a checkout or a Python below /root) are opened for the time of the test.
BECOME = """
import os, subprocess, sys
home, ids, *needed = sys.argv[1:5]
program = sys.argv[5:]
mount = lambda *words: subprocess.run(["mount", *words], check=True)
for name, text in (("passwd", f"root:x:0:0::/root:/bin/sh\\nsomebody:x:{USER}:{USER}::{home}:/bin/sh\\n"),
                   ("subuid", ids), ("subgid", ids)):
    path = f"{home}/../{name}"
    open(path, "w").write(text)
    mount("--bind", path, f"/etc/{name}")
closed = "/root"
if any(path.startswith(closed + "/") for path in needed):
    held = f"{home}/../held"
    os.mkdir(held)
    mount("--bind", closed, held)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", closed)
    for path in needed:
        if path.startswith(closed + "/"):
            os.makedirs(path)
            mount("--bind", held + path[len(closed):], path)
os.umask(0o077)  # of a careful user
os.execvp("setpriv", ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *program])
""".replace("{USER}", str(USER))


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the user's with a link to the sandbox root, in one that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="ordinary-user-") as top:
        Path(top).chmod(0o755)
        folder = Path(top, "home")
        (folder / ".cache").mkdir(parents=True)
        (folder / ".cache" / "sandbox-root").symlink_to((REPOSITORY / ".cache" / "sandbox-root").resolve())
        (folder / "eval").symlink_to(REPOSITORY / "eval")
        for path in (folder, folder / ".cache"):
            os.chown(path, USER, USER)
        yield folder


def as_user(home: Path, *words: str, ids: str = "somebody:200000:65536\n") -> subprocess.CompletedProcess[str]:
    """Run `python WORDS` in `home` as the user."""
    needed = [sys.base_prefix, str(REPOSITORY)]
    return subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", BECOME, str(home), ids, *needed, sys.executable, *words],
        capture_output=True, text=True, cwd=home, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


def test_every_probe_holds_for_an_ordinary_user(home: Path) -> None:
    done = as_user(home, "-m", "eval.sandbox", "--check")
    assert done.returncode == 0, done.stderr
    assert "namespaces: 21 of 21 probes held" in done.stdout and "FAILED" not in done.stdout
    assert "pod: not usable: the pod backend needs root" in done.stdout


def test_a_command_does_the_same_for_root_and_for_an_ordinary_user(home: Path) -> None:
    done = as_user(home, "-m", "eval.sandbox", "--fixture", "home", "--", COMMAND)
    assert done.returncode == 0, done.stderr
    with open_sandbox(workers=1) as sandbox:
        expected = sandbox.run(COMMAND, load_fixture("home", sandbox))
    assert replace(Execution.from_json(json.loads(done.stdout)), seconds=expected.seconds) == expected


def test_a_user_without_subordinate_ids_is_told_in_one_line(home: Path) -> None:
    done = as_user(home, "-m", "eval.sandbox", "--check", ids="")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no user namespace for an ordinary user here" in done.stderr and "use sudo" in done.stderr


def test_root_needs_no_namespace_and_others_never_share_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert as_root() == ()
    monkeypatch.setattr("eval.sandbox.as_root.SHARED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: USER)
    assert as_root()[0] == "unshare"
    with pytest.raises(SandboxError, match="belongs to somebody else"):
        state_folder()
