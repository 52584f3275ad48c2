"""The environment is made with a Python that fits, before anything is fetched, and with the torch that fits the driver.

Pythons, nvidia-smi, uv and pip are stand-ins that write down how they were called; the choice is ours.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from scripts.setup import make_venv, torch_build
from tests.test_programs import only, script

PYTHON = """
case "$*" in
  *version_info*) echo {major} {minor} {level};;
  *ensurepip*) exit {ensurepip};;
  "-m venv --clear "*) echo "$*" >> "$LOG"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; : > "$4/bin/pip";;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository on a machine with nothing on its PATH but what a test adds to `bin`."""
    for name in ("PYTHON", "VENV", "UV_TORCH_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    only(monkeypatch, tmp_path / "bin")
    for name in ("mkdir", "cp", "cat"):
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    (tmp_path / "log").touch()
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path


def python(folder: Path, name: str, version: str, ensurepip: bool = True, level: str = "final") -> str:
    """A Python of that version."""
    major, minor = version.split(".")
    text = PYTHON.format(major=major, minor=minor, level=level, ensurepip=int(not ensurepip))
    return str(script(folder / "bin", name, text.strip()))


# ------------------------------------------------------------------------------------------------------ which Python


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_first_python_counts_where_it_fits(folder: Path, version: str) -> None:
    first = python(folder, "python3", version)
    python(folder, "python3.11", "3.11")
    assert make_venv.find_python() == first


@pytest.mark.parametrize("version", ["2.7", "3.9", "3.10", "3.14", "4.0"])
def test_another_is_found_by_name_where_the_first_does_not_fit(folder: Path, version: str) -> None:
    python(folder, "python3", version)
    with pytest.raises(UserError, match=rf"3\.11 to 3\.13 is needed.* python3 is {version}.*PYTHON=python3\.11"):
        make_venv.find_python()
    newest = python(folder, "python3.12", "3.12")
    assert make_venv.find_python() == newest
    script(folder / "bin", "python3.11", "exit 127")  # pyenv's, of a version that is not chosen
    assert make_venv.find_python() == newest


def test_a_python_that_is_named_counts_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python(folder, "python3", "3.11")
    monkeypatch.setenv("PYTHON", python(folder, "mine", "3.13"))
    assert make_venv.find_python().endswith("/mine")
    monkeypatch.setenv("PYTHON", python(folder, "old", "3.10"))
    with pytest.raises(UserError, match=r"old is 3\.10"):
        make_venv.find_python()
    monkeypatch.setenv("PYTHON", "absent")
    with pytest.raises(UserError, match="absent does not start"):
        make_venv.find_python()


def test_nothing_is_fetched_before_the_python_was_looked_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python(folder, "python3", "3.10")
    with pytest.raises(UserError):
        make_venv.main()
    assert (folder / "log").read_text() == "" and not Path(".venv").exists() and capsys.readouterr().out == ""


def test_it_starts_with_an_old_python_too() -> None:
    """Ubuntu 22.04's python3 is 3.10: nothing that a newer one brought may be used before another is found."""
    from ast import parse

    for module in ("scripts/setup/make_venv.py", "scripts/setup/torch_build.py", "scripts/setup/system_packages.py",
                   "scripts/setup/fit_machine.py",
                   "eval/common/programs.py", "eval/common/errors.py", "eval/common/places.py",
                   "eval/common/error_log.py", "eval/sandbox/local_disk.py", "eval/sandbox/__init__.py"):  # fmt: skip
        parse(ROOT.joinpath(module).read_text(), feature_version=(3, 9))


# ------------------------------------------------------------------------------------------------- the environment


def test_an_environment_is_made_once_and_again_when_its_python_is_gone(folder: Path) -> None:
    python(folder, "python3", "3.12")
    make_venv.make()
    make_venv.make()
    assert (folder / "log").read_text().count("-m venv --clear") == 1
    Path(".venv/bin/python").unlink()
    Path(".venv/bin/python").symlink_to("/nowhere/python3.12")  # the image was updated
    make_venv.make()
    assert (folder / "log").read_text().count("-m venv --clear") == 2


def test_an_environment_of_a_python_that_does_not_fit_is_refused_not_filled(folder: Path) -> None:
    python(folder, "python3", "3.12")
    make_venv.make()
    Path(".venv/bin/python").write_text(Path(python(folder, "old", "3.10")).read_text())
    with pytest.raises(UserError, match=r"made with Python 3\.10: remove it \(rm -r \.venv\)"):
        make_venv.make()


def test_a_python_without_venv_gets_debians_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python(folder, "python3", "3.12", ensurepip=False)
    wanted: list[str] = []
    monkeypatch.setattr(make_venv, "install_packages", wanted.extend)
    make_venv.make()
    assert wanted == ["python3.12-venv"]


def test_another_place_for_the_environment_gets_a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python(folder, "python3", "3.12")
    monkeypatch.setenv("VENV", str(folder / "disk" / "venv"))
    make_venv.make()
    assert Path(".venv").resolve() == folder / "disk" / "venv" and Path(".venv/bin/python").is_file()
    (folder / "disk" / "venv" / "bin" / "python").unlink()  # the local disk of a pod that was stopped
    make_venv.make()
    assert Path(".venv/bin/python").is_file()
    Path(".venv").unlink()
    Path(".venv").mkdir()
    with pytest.raises(UserError, match=r"\.venv is a folder: remove it"):
        make_venv.make()


def test_on_a_network_volume_the_faster_place_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python(folder, "python3", "3.12")
    monkeypatch.setattr(make_venv, "why_not_local", lambda *_, **__: "it is on a network volume (fuse)")
    make_venv.make()
    assert "network volume (fuse)" in (said := capsys.readouterr().out) and "VENV=/root/venv" in said


# ------------------------------------------------------------------------------------------------------ which torch

UV = """
echo "uv $*" >> "$LOG"
[ -z "$UV_FAILS" ] || {{ printf 'error: no fetch\\n  Caused by: a\\n  Caused by: %s\\n' "$UV_FAILS" >&2; exit 2; }}
printf "__version__ = '2.13.0+x'\\ncuda: Optional[str] = {uv}\\n" > "{version}"
"""
PIP = """
echo "pip $*" >> "$LOG"
printf "__version__ = '2.13.0'\\ncuda: Optional[str] = {pip}\\n" > "{version}"
"""


def machine(folder: Path, driver: str | None, uv: str = "'12.9'", pip: str = "'13.0'") -> Path:
    """An environment, and a GPU with that driver; uv and pip bring torch built for that CUDA. Returns its binaries."""
    if driver:
        script(folder / "bin", "nvidia-smi", f"echo {driver}")
    version = folder / "venv/lib/python3.12/site-packages/torch/version.py"
    version.parent.mkdir(parents=True)
    script(folder / "venv", "unused")
    script(folder / "venv/bin", "uv", UV.format(uv=uv, version=version).strip())
    script(folder / "venv/bin", "pip", PIP.format(pip=pip, version=version).strip())
    return folder / "venv/bin"


def calls(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_without_a_gpu_the_build_for_cpus_is_asked_for(folder: Path) -> None:
    """Even on a host whose kernel has NVIDIA's module: only a GPU that answers counts."""
    torch_build.install("torch==2.13.0", machine(folder, None, uv="None"))
    (call,) = calls(folder)
    assert "--torch-backend cpu torch==2.13.0" in call


def test_with_a_driver_uv_chooses_by_it(folder: Path) -> None:
    torch_build.install("torch==2.13.0", machine(folder, "570.124.06"))
    (call,) = calls(folder)
    assert "--torch-backend auto torch==2.13.0" in call


def test_what_is_there_and_fits_is_kept_and_what_does_not_fit_is_replaced(folder: Path) -> None:
    binaries = machine(folder, "570.124.06")
    version = folder / "venv/lib/python3.12/site-packages/torch/version.py"
    version.write_text("__version__ = '2.13.0+cu126'\ncuda: Optional[str] = '12.6'\n")
    torch_build.install("torch==2.13.0", binaries)
    assert calls(folder) == []
    version.write_text("__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\n")
    torch_build.install("torch==2.13.0", binaries)
    assert "--reinstall-package torch" in calls(folder)[0]


def test_without_pytorchs_index_pip_is_asked_and_the_reason_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV_FAILS", "Name or service not known")
    torch_build.install("torch==2.13.0", machine(folder, None))
    assert [call.split()[0] for call in calls(folder)] == ["uv", "pip"] and calls(folder)[1].endswith("torch==2.13.0")
    assert "Name or service not known" in (said := capsys.readouterr().out) and "several GB" in said


def test_a_build_that_the_driver_cannot_run_ends_the_setup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_FAILS", "no route")
    binaries = machine(folder, "570.124.06")
    with pytest.raises(UserError, match=r"CUDA 13\.0, which needs driver 580 .*here is 570\.124\.06.*cu126"):
        torch_build.install("torch==2.13.0", binaries)


def test_a_gpu_and_a_build_for_cpus_ends_the_setup(folder: Path) -> None:
    with pytest.raises(UserError, match=r"built without CUDA, and here is a GPU with driver 580\.95"):
        torch_build.install("torch==2.13.0", machine(folder, "580.95.05", uv="None"))


def test_a_build_that_is_named_is_taken_or_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_TORCH_BACKEND", "cpu")
    binaries = machine(folder, "580.95.05", uv="None")
    torch_build.install("torch==2.13.0", binaries)
    assert "--torch-backend cpu" in calls(folder)[0]
    monkeypatch.setenv("UV_FAILS", "no such build")
    with pytest.raises(UserError, match=r"no torch==2\.13\.0 for UV_TORCH_BACKEND=cpu: no such build; `env -u"):
        torch_build.install("torch==2.13.0", binaries)


@pytest.mark.parametrize(
    ("driver", "cuda", "fits"),
    [
        ("570.86.15", "13.0", False),
        ("580.65.06", "13.2", True),
        ("570.86.15", "12.9", True),
        ("525.60.13", "12.6", True),
        ("520.61.05", "12.6", False),
        ("570.86.15", None, False),
        (None, None, True),
        (None, "13.0", True),
    ],
)
def test_a_driver_runs_every_build_of_its_major_version(driver: str | None, cuda: str | None, fits: bool) -> None:
    assert (torch_build.misfit(driver, cuda) is None) == fits


@pytest.mark.parametrize("says", ["No devices were found", "NVIDIA-SMI has failed because it couldn't", ""])
def test_a_driver_that_lists_no_gpu_is_none(folder: Path, says: str) -> None:
    script(folder / "bin", "nvidia-smi", f'echo "{says}"; exit 9')
    assert torch_build.nvidia_driver() is None


def test_two_gpus_have_one_driver(folder: Path) -> None:
    script(folder / "bin", "nvidia-smi", "printf '570.86.15\\n570.86.15\\n'")
    assert torch_build.nvidia_driver() == "570.86.15"


def test_the_pinned_uv_knows_the_option() -> None:
    """The real uv of this environment; what it downloads is not asked for."""
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run([uv, "pip", "install", "--help"], capture_output=True, text=True, env={**os.environ})
    assert "--torch-backend" in done.stdout and "UV_TORCH_BACKEND" in done.stdout and "cu126" in done.stdout
