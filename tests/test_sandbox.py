"""The sandbox: what an execution says, limits, determinism, fixtures, the cache, and that nothing is left."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from eval.common.errors import UserError
from eval.sandbox import Execution, Limits, Sandbox, SandboxError, derive, load_fixture, open_sandbox, pool
from eval.sandbox.execution import Change, Entry
from eval.sandbox.fixtures import ICALFA, OWN
from eval.sandbox.opening import BACKENDS
from eval.sandbox.root import RECIPE
from eval.sandbox.trees import NOW
from tests.patience import PATIENCE


@pytest.fixture(scope="module", params=BACKENDS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with open_sandbox(request.param, workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Sandbox]:
    with open_sandbox("namespaces", workers=2) as opened:
        yield opened


def changed(execution: Execution) -> dict[str, str]:
    return {change.path: change.kind for change in execution.changes}


def test_output_and_exit_status(sandbox: Sandbox) -> None:
    execution = sandbox.run("echo out; echo err >&2; exit 3", load_fixture("home", sandbox))
    assert (execution.exit, execution.stdout, execution.stderr) == (3, b"out\n", b"err\n")
    assert execution.limits_hit == () and execution.changes == ()


def test_changes_are_data(sandbox: Sandbox) -> None:
    command = "rm todo.txt; echo new > shopping.txt; mkdir made; ln -s made link; chmod 700 bin/greet; mkfifo pipe"
    execution = sandbox.run(command, load_fixture("home", sandbox))
    home = "/home/user/"
    assert changed(execution) == {
        home + "bin/greet": "changed", home + "link": "added", home + "made": "added", home + "pipe": "added",
        home + "shopping.txt": "changed", home + "todo.txt": "removed",
    }  # fmt: skip
    by_path = {change.path: change for change in execution.changes}
    assert by_path[home + "link"].after == Entry("link", 0o777, None, "made", 0)
    assert by_path[home + "pipe"].after is not None and by_path[home + "pipe"].after.type == "fifo"
    greet = by_path[home + "bin/greet"]
    assert greet.before is not None and greet.after is not None
    assert (greet.before.mode, greet.after.mode) == (0o755, 0o700) and greet.before.digest == greet.after.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tar -czf a Documents", "tar -cf - Documents | gzip -9 > a"),
        ("tar -cf a Documents", "tar -cf a --sort=name --owner=0 Documents"),
        ("gzip -c todo.txt > a", "gzip -9n < todo.txt > a"),
        ("zip -q a.zip todo.txt shopping.txt", "zip -q -0 a.zip shopping.txt todo.txt"),
        ("xz -c todo.txt > a", "xz -0 -c todo.txt > a"),
        ("bzip2 -c todo.txt > a", "bzip2 -1 -c todo.txt > a"),
    ],
)
def test_archives_are_compared_by_content(namespaces: Sandbox, one: str, other: str) -> None:
    home = load_fixture("home", namespaces)
    assert namespaces.run(one, home).changes == namespaces.run(other, home).changes != ()


def test_archives_with_other_content_differ(namespaces: Sandbox) -> None:
    home = load_fixture("home", namespaces)
    one, other = (namespaces.run(f"tar -czf a.tgz {name}", home).changes for name in ("todo.txt", "shopping.txt"))
    assert one != other


@pytest.mark.parametrize(
    ("command", "limits", "hit"),
    [
        ("sleep 9", Limits(wall_seconds=0.3), "wall"),
        ("while :; do :; done", Limits(cpu_seconds=1), "cpu"),
        ("yes", Limits(output_bytes=1000), "output"),
        ("for i in $(seq 9); do head -c 1000000 /dev/zero > f$i; done; sleep 600", Limits(disk_mb=4), "disk"),
        ("head -c 3000000 /dev/zero > f", Limits(file_mb=1), "file"),
        ("for i in $(seq 9); do perl -e '$x = \"a\" x 3e7; sleep 600' & done; wait", Limits(memory_mb=100), "memory"),
        ("for i in $(seq 12); do sleep 2 & done; echo", Limits(processes=9), "processes"),
    ],
)
def test_limits(sandbox: Sandbox, command: str, limits: Limits, hit: str) -> None:
    if hit != "wall":  # however slow the machine, the other limit comes first
        limits = dataclasses.replace(limits, wall_seconds=PATIENCE)
    execution = sandbox.run(command, load_fixture("home", sandbox), limits)
    assert hit in execution.limits_hit
    assert execution.exit is None or hit in ("file", "processes")
    assert len(execution.stdout) <= limits.output_bytes


def test_a_limit_of_ours_is_not_an_exit_status(sandbox: Sandbox) -> None:
    home = load_fixture("home", sandbox)
    assert sandbox.run("kill -9 $$", home).exit == 137
    assert sandbox.run("exit 137", home).limits_hit == ()


def test_runs_repeat_exactly(sandbox: Sandbox) -> None:
    command = (
        "date; ls -la --full-time; touch new; stat new; tar -czf a.tgz Documents; md5sum a.tgz; hostname; uname -a; "
        "who; find . -mtime -4 | sort; git init -q r && cd r && git commit -q --allow-empty -m m && git log; env"
    )
    home = load_fixture("home", sandbox)
    # Inode numbers and places on a disk are the machine's; everything else repeats.
    command += " | grep -v -E 'Inode|Device'"
    first, second = (sandbox.run(command.replace("stat new", "stat new | grep -v Inode"), home) for _ in range(2))
    assert first.exit == 0 and (first.stdout, first.changes) == (second.stdout, second.changes)


def test_the_clock_stands_still(sandbox: Sandbox) -> None:
    execution = sandbox.run("date +%s; sleep 1.1; date +%s; touch f; stat -c %Y f", load_fixture("home", sandbox))
    assert execution.stdout.split() == [b"%d" % NOW, b"%d" % NOW, b"%d" % (NOW - 1)]
    assert f"#define NOW {NOW}L" in RECIPE[1].read_text()


def test_results_come_in_input_order(sandbox: Sandbox) -> None:
    home = load_fixture("home", sandbox)
    tasks = [(f"sleep 0.{9 - n}; echo {n}", home) for n in range(8)]
    results = sandbox.run_many(tasks)
    assert [result.stdout for result in results if isinstance(result, Execution)] == [b"%d\n" % n for n in range(8)]


def test_golds_are_cached_under_everything_they_depend_on(namespaces: Sandbox, tmp_path: Path) -> None:
    home = load_fixture("home", namespaces)
    command = "date; head -c 4 /dev/urandom | xxd -p; printf '\\377'"
    first = namespaces.run(command, home, cache=tmp_path)
    assert namespaces.run(command, home, cache=tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 1
    other = derive(home, "other", lambda top: (top / "home/user/extra").write_text("x") and None)
    assert namespaces.run(command, other, cache=tmp_path).stdout != first.stdout
    assert namespaces.run(command, home, Limits(cpu_seconds=2), cache=tmp_path).stdout != first.stdout
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["one bit", "cut off", "empty"])
def test_a_damaged_gold_runs_again_and_that_is_said(
    damage: str, namespaces: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = load_fixture("home", namespaces)
    first = namespaces.run("echo answer", home, cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    content = kept.read_bytes()
    place = content.index(b"answer")
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    kept.write_bytes({"one bit": flipped, "cut off": content[:-9], "empty": b""}[damage])
    assert namespaces.run("echo answer", home, cache=tmp_path).stdout == first.stdout
    assert "is damaged: its command runs again" in capsys.readouterr().err
    assert namespaces.run("echo answer", home, cache=tmp_path).stdout == first.stdout
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "command", ["echo " + "x" * (128 << 10), "echo \ud800", "echo \0"], ids=["long", "half", "nul"]
)
def test_what_no_program_can_be_given_is_the_commands_fault(command: str, sandbox: Sandbox) -> None:
    execution = sandbox.run(command, load_fixture("home", sandbox))
    assert (execution.exit, execution.stdout, execution.limits_hit) == (126, b"", ())
    assert execution.stderr.startswith(b"bash: ")


def test_the_longest_command_runs(sandbox: Sandbox) -> None:
    command = "echo " + "x" * ((128 << 10) - 6)
    assert len(sandbox.run(command, load_fixture("home", sandbox)).stdout) == (128 << 10) - 5


@pytest.mark.parametrize("depth", [17, 98], ids=["longer than a path", "far longer"])
def test_deep_long_names_count_against_the_command(depth: int, sandbox: Sandbox) -> None:
    script = f"import os\nfor _ in range({depth}):\n os.mkdir('d' * 250)\n os.chdir('d' * 250)\nopen('f', 'w')"
    execution = sandbox.run(f'python3 -c "{script}"', load_fixture("home", sandbox), Limits(wall_seconds=PATIENCE))
    assert (execution.exit, execution.limits_hit, execution.changes) == (None, ("disk",), ())


def test_buffers_of_sockets_count_as_memory(namespaces: Sandbox) -> None:
    script = """
import os, socket, time
while True:
    kept = []
    kept = [end for _ in range(100) for end in socket.socketpair()]
    if os.fork():
        time.sleep(99)
"""
    execution = namespaces.run(
        f"python3 -c '{script}'", load_fixture("home", namespaces), Limits(wall_seconds=PATIENCE)
    )
    assert (execution.exit, execution.limits_hit) == (None, ("memory",))


def test_a_grown_folder_tells_the_next_run_nothing(sandbox: Sandbox) -> None:
    home = load_fixture("home", sandbox)
    sizes = "stat -c '%s %n' / /tmp /home ~ ~/*"
    clean = sandbox.run(sizes, home).stdout
    for folder in ("/tmp", "/", "~", "~/Documents"):
        many = f"cd {folder} && seq -f 'a-name-that-makes-a-folder-grow-%g' 300 | xargs touch; cd ~; {sizes}"
        for _ in range(sandbox.workers):
            assert sandbox.run(many, home, Limits(wall_seconds=PATIENCE)).stdout != clean, folder
        assert [sandbox.run(sizes, home).stdout for _ in range(sandbox.workers)] == [clean] * sandbox.workers


def test_an_execution_survives_json() -> None:
    change = Change("/a\udcff", "added", None, Entry("file", 0o644, "00", None, 1))
    execution = Execution(None, b"\xff\x00", b"e", (change,), ("wall",), 1.5, "pod")
    assert Execution.from_json(execution.to_json()) == execution


@pytest.mark.parametrize("name", [*OWN, *ICALFA])
def test_fixtures_are_built_and_do_not_change(namespaces: Sandbox, name: str) -> None:
    fixture = load_fixture(name, namespaces)
    assert load_fixture(name, namespaces) == fixture
    listing = namespaces.run("pwd; find . -xdev -newermt @0 2>/dev/null | head -40 | wc -l", fixture)
    where, count = listing.stdout.split()
    assert where.decode() == fixture.cwd and int(count) > 8


def test_a_derived_fixture_differs_where_it_was_edited(namespaces: Sandbox) -> None:
    logs = load_fixture("logs", namespaces)

    def edit(top: Path) -> None:
        (top / "var/log/app/app.log").write_text("one line\n")
        (top / "etc").mkdir()
        (top / "etc/app.conf").write_text("port=1\n")

    edited = derive(logs, "edited", edit)
    assert edited.digest != logs.digest == load_fixture("logs", namespaces).digest
    execution = namespaces.run(
        "wc -l < app/app.log; cat /etc/app.conf; ls /etc/passwd; echo x >> /etc/app.conf", edited
    )
    assert execution.stdout == b"1\nport=1\n/etc/passwd\n" and changed(execution) == {"/etc/app.conf": "changed"}
    assert derive(logs, "same", lambda top: None).digest == logs.digest


def test_a_fixture_may_lie_over_the_root(sandbox: Sandbox) -> None:
    def edit(top: Path) -> None:
        for path in ("usr/share/fonts/a.ttf", "etc/hosts", "var/spool/mail/user", "opt/tool/bin/run"):
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text(path)

    over = derive(load_fixture("home", sandbox), "over", edit)
    for _ in range(2):
        execution = sandbox.run("cat /etc/hosts; ls /usr/share/fonts /usr/bin/env; echo x > /opt/tool/y", over)
        assert b"etc/hosts" in execution.stdout and b"a.ttf" in execution.stdout and b"/usr/bin/env" in execution.stdout
        assert changed(execution) == {"/opt/tool/y": "added"}
    plain = sandbox.run("cat /etc/hosts; ls /opt /usr/share/fonts", load_fixture("home", sandbox))
    assert b"localhost" in plain.stdout and b"a.ttf" not in plain.stdout and b"tool" not in plain.stdout


def test_a_folder_is_a_fixture(namespaces: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("hello")
    assert namespaces.run("cat inner/file", load_fixture(tmp_path, namespaces)).stdout == b"hello"


def test_an_unknown_fixture_is_refused() -> None:
    with pytest.raises(UserError, match="no fixture 'nowhere'"):
        load_fixture("nowhere")


def test_a_broken_sandbox_is_an_error_and_never_an_execution(namespaces: Sandbox) -> None:
    home = load_fixture("home", namespaces)
    with open_sandbox("namespaces", workers=1) as broken:
        (worker,) = broken.processes()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(SandboxError, match="ended by itself"):
            broken.run("true", home)
        assert broken.run("echo back", home).stdout == b"back\n"


def test_nothing_is_left(sandbox: Sandbox) -> None:
    home = load_fixture("home", sandbox)
    mounts = Path("/proc/self/mounts").read_text()
    descriptors = [psutil.Process(worker).num_fds() for worker in sandbox.processes() if worker]
    sandbox.run_many([("(setsid sleep 99 &); nohup sleep 99 & touch /tmp/x", home)] * 20)
    assert not [p for p in psutil.process_iter(["uids"]) if p.info["uids"].real in sandbox.users()]
    assert [psutil.Process(worker).num_fds() for worker in sandbox.processes() if worker] == descriptors
    assert Path("/proc/self/mounts").read_text() == mounts


def test_machines_that_share_a_kernel_share_no_user_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A chroot or a container with a /run of its own sees no lock of the others."""
    claims = []
    for name in ("one", "one", "other"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setattr(pool, "state_folder", lambda name=name: tmp_path / name)
        claims.append(pool._claim_uid())
    assert len({uid for uid, _ in claims}) == 3
    # Whoever took every name cannot keep a sandbox from opening: the locks decide then.
    first = claims[0][0]
    monkeypatch.setattr(pool, "FIRST_UID", first)
    monkeypatch.setattr(pool, "LAST_UID", first)
    uid, held = pool._claim_uid()
    assert uid == first
    with pytest.raises(SandboxError, match="all 1 sandbox users are in use"):
        pool._claim_uid()
    for _, both in [*claims, (uid, held)]:
        for one in both:
            one.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_killing_the_harness_leaves_nothing(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker ends what it is at, and nobody gets that worker's user id before."""
    monkeypatch.setattr(pool, "FIRST_UID", pool.LAST_UID)  # an id which no sandbox of another test takes meanwhile
    code = (
        "import sys; from eval.sandbox import *; from eval.sandbox import pool; pool.FIRST_UID = pool.LAST_UID\n"
        f"s = open_sandbox({backend!r}, workers=1); f = load_fixture('home', s)\n"
        "print(s.users()[0], s.processes()[0], flush=True); s.run('(setsid sleep 99 &); sleep 9', f, Limits(2))"
    )
    harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    user, worker = map(int, harness.stdout.readline().split())
    time.sleep(0.3)
    harness.kill()
    harness.wait()
    with pytest.raises(SandboxError, match="all 1 sandbox users are in use"):
        pool._claim_uid()
    psutil.Process(worker).wait(timeout=PATIENCE)
    assert not [process for process in psutil.process_iter(["uids"]) if process.info["uids"].real == user]
    assert not Path(f"/run/securecli-tuner/{user}").exists()
    assert not Path(f".cache/sandbox-root/workers/{user}").exists()
    taken, claims = pool._claim_uid()
    assert taken == user
    for claim in claims:
        claim.close()


def test_the_command_line(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "eval.sandbox"]
    done = subprocess.run([*call, "--fixture", "home", "--", "cat todo.txt; exit 4"], capture_output=True, text=True)
    assert done.returncode == 0 and '"exit": 4' in done.stdout and "buy milk" in done.stdout
    refused = subprocess.run([*call, "--fixture", "nowhere", "--", "true"], capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stderr.startswith("error: no fixture")


def test_every_probe_holds(sandbox: Sandbox) -> None:
    from eval.sandbox.probes import check

    assert [result for result in check(sandbox) if not result.passed] == []
