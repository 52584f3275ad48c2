"""No accident ends like an answer: whatever a command meets ends in one line and exit 2, its traceback in a log."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.common import error_log, errors
from eval.common.errors import run_command
from eval.common.reading import read_bytes

TOKEN = "sesame-0penly-\u00e9"
LETTERS = "caf\u00e9 \u2014 \u65e5"


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(error_log, "FOLDER", tmp_path / "errors")
    return tmp_path / "errors"


def ended(main: Callable[[], int | None], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    with pytest.raises(SystemExit) as code:
        run_command(main)
    assert isinstance(code.value.code, int)
    return code.value.code, capsys.readouterr().err


def fails(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


def endless(n: int = 0) -> int:
    return endless(n + 1)


class Panic(BaseException):
    """As libraries written in Rust raise it."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), ValueError("a\nb"), RecursionError(), MemoryError(), Panic("index"), AssertionError(),
     OSError(5, "io"), TimeoutError(), UnicodeEncodeError("ascii", "\u00e9", 0, 1, "no"), Unprintable(),
     ModuleNotFoundError("x", name="x")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_was_not_foreseen_is_one_line_exit_2_and_a_log(
    error: BaseException, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = ended(fails(error), capsys)
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err
    (log,) = logs.iterdir()
    assert str(log) in err and log.stat().st_mode & 0o777 == 0o600
    assert type(error).__name__ in log.read_text()


def test_an_endless_recursion_names_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = ended(endless, capsys)
    assert code == 2 and "tests/test_errors.py:" in err


def test_a_file_that_breaks_while_it_is_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = ended(lambda: len(read_bytes(Path("/proc/self/mem"))), capsys)
    assert (code, err) == (2, "error: /proc/self/mem: Input/output error: check the path\n")


def test_a_file_error_names_the_path_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(28, "No space left on device", str(tmp_path / "x"))
    code, err = ended(fails(full), capsys)
    assert (code, err) == (2, f"error: {tmp_path / 'x'}: No space left on device: free some space, then run the same "
                              "command again\n")  # fmt: skip


def test_the_home_of_a_user_who_is_not_there_is_a_wrong_path(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(lambda: Path("~nobody-of-that-name/x").expanduser() and None, capsys)
    assert code == 2 and "no user of this machine" in said and not logs.exists()


def test_no_credential_reaches_terminal_or_log(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import scripts  # registers the patterns

    assert scripts.redact_credentials in error_log.REDACTORS
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    shaped = "gh" + "p_" + "Ab3" * 14
    signed = "https://host/x?X-Amz-Signature=0a1b2c3d&y=1"
    code, err = ended(fails(RuntimeError(f"{TOKEN} {TOKEN!a} {shaped} {signed}")), capsys)
    text = err + "".join(path.read_text() for path in logs.iterdir())
    assert code == 2 and "[removed]" in text
    for secret in (TOKEN, ascii(TOKEN)[1:-1], shaped, "0a1b2c3d"):
        assert secret not in text


def test_where_no_log_can_be_written_the_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(error_log, "FOLDER", Path("/proc/errors"))
    monkeypatch.setattr(error_log.tempfile, "gettempdir", lambda: "/proc")
    code, err = ended(fails(KeyError("x")), capsys)
    assert code == 2 and "no file:" in err and err.count("\n") == 1


def test_only_the_newest_logs_stay(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_log, "KEPT", 3)
    written = [error_log.write_log(KeyError(number)) for number in range(6)]
    assert sorted(map(str, logs.iterdir())) == written[-3:]


COMMAND = """
import sys
sys.argv[0] = sys.orig_argv[0] = "-m"
import eval, scripts
{before}
from eval.common import error_log
error_log.FOLDER = __import__("pathlib").Path({folder!r})
from eval.common.errors import run_command
from eval.common.reading import read_bytes
def main():
    {body}
run_command(main)
"""


def run_script(
    tmp_path: Path, body: str, before: str = "", redirect: str = "", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    code = COMMAND.format(folder=str(tmp_path / "errors"), body=body, before=before)
    command = ["bash", "-c", f'"$0" -c "$1" {redirect}; exit ${{PIPESTATUS[0]}}', sys.executable, code]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False, timeout=120)


def test_an_exception_while_modules_are_imported_ends_the_same_way(tmp_path: Path) -> None:
    moved = (
        "from eval.common import error_log as e; from pathlib import Path; "
        "e.FOLDER = Path(sys.executable).parent / 'x' / '..'"
    )
    done = run_script(tmp_path, "pass", before=f"{moved}\nimport not_there_at_all", TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert (
        done.stderr.startswith(b"error: the package not_there_at_all is not installed")
        and b"Traceback" not in done.stderr
    )


@pytest.mark.parametrize("setting", [{"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_terminal_that_knows_ascii_only_ends_nothing(tmp_path: Path, setting: dict[str, str]) -> None:
    body = f"print({LETTERS!a}); print({LETTERS!a}, file=sys.stderr); return 3"
    done = run_script(tmp_path, body, **setting)
    assert done.returncode == 3 and done.stdout and b"Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    done = run_script(tmp_path, "print('x\\n' * 500_000)", redirect="| head -1")
    assert (done.returncode, done.stdout, done.stderr) == (errors.BROKEN_PIPE, b"x\n", b"")


@pytest.mark.parametrize("redirect", ["> /dev/full", "> /dev/full 2>&1"])
def test_a_full_disk_under_stdout_takes_the_answer_back(tmp_path: Path, redirect: str) -> None:
    done = run_script(tmp_path, "print('ship'); return 0", redirect=redirect)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and done.stderr.count(b"\n") <= 1


def test_a_closed_stdout_is_nowhere(tmp_path: Path) -> None:
    assert run_script(tmp_path, "print('ship'); return 3", redirect=">&-").returncode == 3


# Workers whose stderr is their parent's log; the others run in an environment of their own.
NO_BOUNDARY = {"eval/sandbox/worker.py", "scripts/training/train_worker.py", "scripts/training/ranks.py",
               "scripts/tracking/worker.py", "scripts/serving/llama_side.py",
               "scripts/benchmarks/risk_tools.py", "eval/run/files.py",
               "eval/model/endpoint/vllm_server.py"}  # fmt: skip


def test_every_entry_point_has_the_boundary() -> None:
    for path in [path for top in ("eval", "scripts", "spaces") for path in Path(top).rglob("*.py")]:
        tree = ast.parse(path.read_text())
        runs = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)
        if (runs or path.name == "__main__.py") and str(path) not in NO_BOUNDARY:
            assert "run_command(" in path.read_text(), f"{path} can end with Python's own exit 1"
