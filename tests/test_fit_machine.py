"""A machine that cannot be set up is told so in one line, before anything is downloaded or written."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from scripts.setup import fit_machine, make_venv, sandbox_root, torch_build
from tests.run_builder import assert_one_line
from tests.test_programs import only, script

UBUNTU = 'NAME="Ubuntu"\nVERSION_ID="{}"\nID=ubuntu\nID_LIKE=debian\n'
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux"\nVERSION_ID="{}"\nID=debian\n'
PLENTY = 10**15  # bytes; no disk has them


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository on a machine without a GPU, whose Python fits."""
    for name in ("PYTHON", "VENV", "UV_TORCH_BACKEND", "UV_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    only(monkeypatch, tmp_path / "bin")
    script(tmp_path / "bin", "python3", "echo 3 12 final; touch called")
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path


def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the set-up says to this machine; it has done nothing by then."""
    with pytest.raises(UserError) as refused:
        make_venv.main()
    assert list((folder / "repository").iterdir()) == [] and capsys.readouterr().out == ""
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("system", "processor", "said"),
    [
        ("Darwin", "arm64", "macOS cannot run this"),
        ("Darwin", "x86_64", "macOS cannot run this"),
        ("FreeBSD", "amd64", "FreeBSD cannot run this"),
        ("Linux", "aarch64", "the processor is aarch64"),
        ("Linux", "i686", "the processor is i686"),
    ],
)
def test_another_system_or_processor_is_refused(
    system: str, processor: str, said: str, folder: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    assert said in refusal(folder, capsys)
    monkeypatch.setattr(sys, "argv", ["sandbox_root"])
    with pytest.raises(UserError, match=said):
        sandbox_root.main()


def test_a_processor_of_another_kind_ends_the_real_command_in_one_line(tmp_path: Path) -> None:
    """`setarch` lets the kernel call this processor an i686, for one process and its children."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = ["setarch", "i686", sys.executable, "-m", "scripts.setup.make_venv"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert_one_line(done.stderr, "the processor is i686", "x86-64")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("here", "said"),
    [("glibc 2.27", "glibc 2.27"), ("glibc 2.17.1", "glibc 2.17"), ("musl", "Alpine"), (None, "Alpine")],
)
def test_a_c_library_that_torch_cannot_use_is_refused(
    here: str | None, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: here)
    assert said in (line := refusal(folder, capsys)) and "glibc 2.28" in line


@pytest.mark.parametrize("here", ["glibc 2.28", "glibc 2.36", "glibc 2.41.1", "glibc 3.0"])
def test_a_newer_c_library_fits(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: here)
    fit_machine.refuse_platform()


def test_a_driver_that_no_build_of_torch_knows_is_refused_before_the_download(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(folder / "bin", "nvidia-smi", "echo 470.256.02")
    assert "driver 470.256.02 is too old" in (said := refusal(folder, capsys)) and "525.60.13" in said
    monkeypatch.setenv("UV_TORCH_BACKEND", "cpu")  # who names a build wants no GPU, or knows of one
    fit_machine.refuse_unfit(Path(".venv"))


@pytest.mark.parametrize(
    ("driver", "old"),
    [("450.36.06", True), ("520.61.05", True), ("525.60", True), ("525.60.13", False), ("570.124.06", False),
     ("580.65.06", False), (None, False)],
)  # fmt: skip
def test_the_oldest_driver_is_that_of_cuda_12(driver: str | None, old: bool) -> None:
    assert bool(torch_build.too_old(driver)) is old


def test_a_disk_without_room_is_refused_with_what_would_help(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real disk, which has less than is asked for."""
    monkeypatch.setattr(fit_machine, "ROOM_CPU", PLENTY)
    said = refusal(folder, capsys)
    assert "the environment may need" in said and str(folder / "repository") in said and "VENV=FOLDER" in said


@pytest.mark.parametrize(
    ("variable", "said"),
    [("VENV", "the environment"), ("UV_CACHE_DIR", "uv's cache"), ("XDG_CACHE_HOME", "uv's cache"),
     ("TMPDIR", "temporary files")],
)  # fmt: skip
def test_each_place_that_is_written_to_is_looked_at(
    variable: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc is a file system without room."""
    fit_machine.refuse_full_disks(Path(".venv"), 1)
    monkeypatch.setenv(variable, "/proc/somewhere/deeper" if variable != "TMPDIR" else "/proc")
    monkeypatch.setattr(fit_machine.tempfile, "gettempdir", lambda: os.environ.get("TMPDIR", str(folder)))
    with pytest.raises(UserError, match=f"0.0 GB free in /proc, and {said} may need"):
        fit_machine.refuse_full_disks(Path(".venv"), 1)


def test_with_a_gpu_more_room_is_asked_for_and_none_once_torch_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_machine, "ROOM_CPU", 1)
    monkeypatch.setattr(fit_machine, "ROOM_GPU", PLENTY)
    fit_machine.refuse_unfit(Path(".venv"))
    script(folder / "bin", "nvidia-smi", "echo 570.124.06")
    with pytest.raises(UserError, match="may need"):
        fit_machine.refuse_unfit(Path(".venv"))
    version = Path(".venv/lib/python3.12/site-packages/torch/version.py")
    version.parent.mkdir(parents=True)
    version.touch()
    fit_machine.refuse_unfit(Path(".venv"))


@pytest.mark.parametrize(
    ("release", "said"),
    [
        (UBUNTU.format("22.04"), "add-apt-repository -y ppa:deadsnakes/ppa"),
        (UBUNTU.format("24.04"), "apt-get install python3.11 python3.11-venv, or 3.12"),
        (DEBIAN.format("13"), "apt-get install python3.11 python3.11-venv, or 3.12, or 3.13"),
        (DEBIAN.format("11"), "uv python install 3.11"),
        ("ID=fedora\n", "uv python install 3.11"),
        ("", "uv python install 3.11"),
    ],
)
def test_the_way_to_a_python_that_fits_is_that_of_the_system(release: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(release)
    assert said in fit_machine.how_to_get_python(tmp_path / "os-release")
    assert "uv python install" in fit_machine.how_to_get_python(tmp_path / "absent")


def test_python_3_10_of_ubuntu_22_04_is_told_the_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "os-release").write_text(UBUNTU.format("22.04"))
    monkeypatch.setattr(make_venv, "how_to_get_python", lambda: fit_machine.how_to_get_python(folder / "os-release"))
    script(folder / "bin", "python3", "echo 3 10 final")
    script(folder / "bin", "python3.11", "echo 3 11 candidate")  # of Ubuntu's own archive
    said = refusal(folder, capsys)
    assert "python3 is 3.10; python3.11 is 3.11, a candidate and no release" in said and "deadsnakes" in said
