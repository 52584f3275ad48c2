"""The images: what goes in, what their entry does with a volume, a signal and RunPod, and when they are healthy.

Images are not built here (docs/containers.md says where they were). The entry and the health check are run as they are,
on a small repository that stands in for the image's.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from eval.common.places import ROOT
from tests.patience import PATIENCE
from tests.test_programs import script

DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENTER, HEALTH = ROOT / "scripts/container/enter.sh", ROOT / "scripts/container/health.sh"
MAKEFILE = """
hello:
\t@echo "hello from $(CURDIR), NAME=$(NAME)"
fails:
\t@exit 3
waits:
\t@trap 'echo saved > saved; exit 130' TERM; touch begun; sleep 60 & wait
help:
\t@echo the verbs
"""
STAMPED = ("requirements.txt", "requirements-model.txt", "requirements-overrides.txt", "constraints.txt")
KEY = "ssh-ed25519 AAAAexample somebody"
SECRET = "hf_" + "notARealToken0123456789"  # in two, so that nobody takes it for one


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A committed repository with an environment beside it, as the image has both."""
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / ".gitignore").write_text("/.venv\n/models\n")
    for name in STAMPED:
        (folder / name).write_text("one==1\n")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "all"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True)
    script(folder / "models", "file")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / ".runtime").touch()
    os.utime(folder / ".venv" / ".runtime", (0, 0))
    (tmp_path / "volume").mkdir()
    return folder


def environment_of(image: Path, more: Mapping[str, str]) -> dict[str, str]:
    folder = image.parent
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "home").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "MAKE", "MFLAGS"))}
    ours = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "SECURECLI_IMAGE": str(image),
        "SECURECLI_VOLUME": str(folder / "volume"),
        "HF_TOKEN": SECRET,
    }
    return {**kept, **ours, **more}


def enter(image: Path, *verb: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = ["sh", str(ENTER), *verb]
    environment = environment_of(image, more)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def test_a_verb_runs_in_a_working_copy_on_the_volume_and_gives_its_code(image: Path) -> None:
    copy = image.parent / "volume" / "securecli-tuner"
    first = enter(image, "hello", "NAME=a b")
    assert (first.returncode, first.stdout) == (0, f"hello from {copy}, NAME=a b\n")
    assert "a new working copy" in first.stderr and (copy / "models" / "file").is_file()
    assert (copy / ".venv").resolve() == image / ".venv"
    (copy / "results").mkdir()
    second = enter(image, "fails")
    assert second.returncode == 2 and "new working copy" not in second.stderr and (copy / "results").is_dir()
    assert enter(image).stdout == "the verbs\n"


def test_the_environment_is_up_to_date_for_a_clone_of_the_same_requirements(image: Path) -> None:
    """Otherwise the first verb would install 4 GB again."""
    enter(image, "hello")
    copy, stamp = image.parent / "volume" / "securecli-tuner", image / ".venv" / ".runtime"
    assert all(stamp.stat().st_mtime >= (copy / name).stat().st_mtime for name in STAMPED)
    os.utime(stamp, (0, 0))
    (copy / STAMPED[0]).write_text("one==2\n")
    enter(image, "hello")
    assert stamp.stat().st_mtime == 0


def test_a_working_copy_of_another_commit_is_kept_and_named(image: Path) -> None:
    enter(image, "hello")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    commit = ["commit", "--quiet", "--allow-empty", "--message", "more"]
    subprocess.run(["git", *identity, "-C", str(image), *commit], check=True)
    assert "another commit than the image" in enter(image, "hello").stderr


def test_without_a_volume_it_works_and_says_what_that_means(image: Path) -> None:
    done = enter(image, "hello", SECURECLI_VOLUME=str(image.parent / "absent"))
    assert done.stdout == f"hello from {image}, NAME=\n" and "ends with this container" in done.stderr


def test_a_torn_working_copy_is_made_anew(image: Path) -> None:
    partial = image.parent / "volume" / "securecli-tuner.partial"
    (partial / ".git").mkdir(parents=True)  # a kill while cloning
    assert enter(image, "hello").returncode == 0 and not partial.exists()


def test_a_signal_reaches_the_verb_which_saves(image: Path) -> None:
    copy = image.parent / "volume" / "securecli-tuner"
    for more in ({}, {"RUNPOD_POD_ID": "pod1"}):
        script(image.parent / "bin", "runpodctl")
        for name in ("begun", "saved"):
            (copy / name).unlink(missing_ok=True)
        process = subprocess.Popen(["sh", str(ENTER), "waits"], env=environment_of(image, more), start_new_session=True)
        try:
            wait_for(copy / "begun")
            process.send_signal(signal.SIGTERM)
            wait_for(copy / "saved")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(path: Path) -> None:
    """Until a file is there."""
    code = f"from pathlib import Path; import time\nwhile not Path({str(path)!r}).exists(): time.sleep(0.02)"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, timeout=PATIENCE)


@pytest.mark.parametrize("stops", [True, False])
def test_on_runpod_the_pod_is_stopped_after_a_verb_and_never_started_again(image: Path, stops: bool) -> None:
    log = image.parent / "log"
    (image.parent / "bin").mkdir()
    script(image.parent / "bin", "runpodctl", f'echo "runpodctl $*" >> {log}; exit {int(not stops)}')
    script(image.parent / "bin", "sleep", f'echo "sleep $*" >> {log}')
    done = enter(image, "fails", RUNPOD_POD_ID="pod1")
    assert log.read_text() == "runpodctl pod stop pod1\nsleep infinity\n"
    assert "ended with code 2" in done.stderr and ("it bills until then" in done.stderr) is not stops


def test_a_key_opens_ssh_once_and_the_environment_is_written_nowhere(image: Path) -> None:
    script(image.parent / "bin", "sshd")
    script(image.parent / "bin", "ssh-keygen", "echo $* > $HOME/host_key")
    script(image.parent / "bin", "service", "cat $HOME/host_key > $HOME/service; echo $* >> $HOME/service")
    for _ in range(2):
        enter(image, "hello", PUBLIC_KEY=KEY)
    home = image.parent / "home"
    assert (home / ".ssh/authorized_keys").read_text() == f"{KEY}\n"
    assert (home / "service").read_text() == "-A\nssh start\n"
    assert (home / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    written = [path for path in image.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(written) > 20 and not any(SECRET.encode() in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "healthy"),
        ({"NVIDIA_VISIBLE_DEVICES": "void"}, "healthy"),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, "unhealthy: the GPU does not answer nvidia-smi"),
        ({"SECURECLI_ROOM_KB": "999999999999"}, "KB free in"),
        ({"SECURECLI_VOLUME": "/proc"}, "unhealthy: 0 KB free in /proc"),
    ],
)
def test_a_container_says_whether_it_is_healthy(image: Path, more: dict[str, str], said: str) -> None:
    environment = environment_of(image, more)
    script(image.parent / "bin", "nvidia-smi", "exit 9")
    done = subprocess.run(["sh", str(HEALTH)], env=environment, capture_output=True, text=True)
    assert said in done.stdout and done.stdout.count("\n") == 1
    assert done.returncode == int(not done.stdout.startswith("healthy"))


def test_an_environment_whose_python_is_gone_is_not_healthy(image: Path) -> None:
    (image / ".venv/bin/python").unlink()
    (image / ".venv/bin/python").symlink_to("/nowhere/python3.12")
    done = subprocess.run(["sh", str(HEALTH)], env=environment_of(image, {}), capture_output=True, text=True)
    assert done.returncode == 1 and "does not start" in done.stdout


# --------------------------------------------------------------------------------------------------- the Dockerfile


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_is_committed_is_sent_and_no_stage_names_a_secret() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules == ["**", "!.git"]
    assert re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) == [
        ". /context",
        "--from=source /source /opt/securecli-tuner",
        "--from=source /source /opt/securecli-tuner",
    ]
    names = re.findall(r"^(?:ARG|ENV) (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(names) == 9 and not re.search(r"TOKEN|SECRET|PASSWORD|API_KEY", " ".join(names))


@pytest.mark.parametrize("target", ["ci", "pod"])
def test_each_image_enters_by_a_verb_and_knows_its_health(target: str) -> None:
    stage = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    (own,) = [text for text in stage if text.split("\n")[0].endswith(f"AS {target}")]
    for word in ("HEALTHCHECK", "container/health.sh", "ENTRYPOINT", "container/enter.sh", 'CMD ["help"]'):
        assert word in own
    assert f"securecli-tuner:{target} of" in own and "> /etc/container-image" in own  # eval/run/environment.py reads it
    assert "JUPYTER_DISABLE=1" in own and "HF_HOME=/workspace/data" in own and "WORKDIR /opt/" in own


def test_the_pods_base_is_pinned_by_digest() -> None:
    assert re.search(r"^ARG POD_BASE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
