"""Only regular files are opened, by one function: a pipe, a device or a folder in their place ends in one line."""

import ast
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.common import reading
from eval.common.errors import UserError
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.digests import file_sha256, folder_digests
from eval.run.facts import RunState, Training, first_wrong
from eval.run.files import read_json, read_jsonl, write_json
from eval.run.folder import read_data, read_run, read_training
from eval.run.records import Score
from eval.run.secret_patterns import scan_file

READERS: dict[str, Callable[[Path], object]] = {
    "bytes": reading.read_bytes,
    "text": reading.read_text,
    "JSON": read_json,
    "JSON lines": lambda path: read_jsonl(path, Score),
    "digest": file_sha256,
    "folder's digests": lambda path: folder_digests(path.parent),
    "credentials": scan_file,
    "copy": lambda path: reading.copy_regular(path, path.with_name("copy")),
    "a library's": reading.refuse_special,
}


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


MADE = {
    "a named pipe": make_pipe,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": make_socket,
    "a folder": lambda path: path.mkdir(),
}


# Digests of a folder take the folders in it for what they are.
PAIRS = [(reader, kind) for reader in READERS for kind in MADE if (reader, kind) != ("folder's digests", "a folder")]


@pytest.mark.parametrize(("reader", "kind"), PAIRS)
def test_nothing_but_a_regular_file_is_opened(
    reader: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.json"
    MADE[kind](path)
    raised: list[BaseException] = []

    def read() -> None:
        try:
            READERS[reader](path)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits"
    assert raised and isinstance(raised[0], UserError) and f"is {kind}" in str(raised[0])


def test_a_file_is_read_to_its_limit_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert reading.read_bytes(path, limit=5) == b"12345"
    with pytest.raises(UserError, match="larger than 4 bytes"):
        reading.read_bytes(path, limit=4)
    assert reading.read_bytes(Path("/proc/self/status"))  # whose size is said to be 0


def test_a_large_sparse_file_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UserError, match="larger than"):
        reading.read_bytes(path, limit=1 << 20)


def test_a_tree_with_a_pipe_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "x")
    with pytest.raises(UserError, match="named pipe"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy", copy_function=reading.copy_regular)


# Readers of the project's own files, of what they wrote themselves a moment before, or of /proc.
OWN_FILES = {
    "eval/common/quota.py",  # of the kernel: /proc and /sys
    "eval/common/reading.py", "eval/run/files.py", "eval/common/errors.py", "eval/common/error_log.py",
    "eval/execution/canary.py", "eval/run/environment.py", "eval/bash/parsing.py",
    "eval/risk/catalogue.py", "eval/report/page_templates.py", "eval/tasks/intercode_alfa/rows.py",
    # start before anything is installed
    "scripts/setup/make_venv.py", "scripts/setup/torch_build.py", "scripts/setup/fit_machine.py",
    "scripts/risk_rules.py", "scripts/setup/sandbox_root.py", "scripts/hooks.py",
    "eval/common/wrong_use.py",  # our Makefile
    "scripts/training/launch.py",  # train.log, which Axolotl writes in a run's own folder
    "spaces/trainer/page.py",  # its style sheet
    "scripts/publishing/hub_upload.py",  # hands the client the path of a file that it has just compared
}  # fmt: skip
OWN_FOLDERS = (
    "eval/sandbox/",
    "eval/judge/",
    "eval/tasks/nl2bash/fixture/",
    "scripts/loopback_hub/",
    "scripts/benchmarks/",
)
READING = {"read_text", "read_bytes"}


def reads(tree: ast.AST) -> list[int]:
    """Lines that open a path for reading without eval/common/reading.py."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        method = isinstance(node.func, ast.Attribute)
        place = 0 if method else 1  # where the mode stands
        mode = next((word.value for word in node.keywords if word.arg == "mode"), None) or (
            node.args[place] if len(node.args) > place else None
        )
        text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else "r"
        opens = (
            name == "open"
            and not set(text) & set("wxa")
            and not ast.unparse(node.func).startswith(("os.", "tarfile.", "webbrowser."))
        )
        if (name in READING and method) or opens:
            found.append(node.lineno)
    return found


def test_no_module_opens_a_users_path_past_the_one_function() -> None:
    for path in [path for top in ("eval", "scripts", "spaces", "products") for path in Path(top).rglob("*.py")]:
        if str(path) not in OWN_FILES and not str(path).startswith(OWN_FOLDERS):
            lines = reads(ast.parse(path.read_text()))
            assert not lines, f"{path}:{lines[0]}: use eval.common.reading.read_bytes, read_text or open_regular"


def test_the_search_for_readers_finds_each_way() -> None:
    for text in (
        "open(p)",
        "p.open()",
        "p.open('rb')",
        "p.read_text()",
        "p.read_bytes()",
        "open(p, mode='r')",
        "io.open(p)",
    ):
        assert reads(ast.parse(text)), text
    for text in ("p.open('wb')", "open(p, 'w')", "read_bytes(p)", "os.open(p, 1)"):
        assert not reads(ast.parse(text)), text


BOMBS = {
    "expand": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
    "stands inside": "a: &a [*a]\n",
    "keys by": "a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(50)) + "}\n"
    + "".join(f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 30)}]}}\n" for n in range(5)),
    "longer than": "a: " + "x" * (2 << 20),
    "nested": "[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("words", BOMBS)
def test_a_yaml_text_that_would_take_gigabytes_is_refused(words: str) -> None:
    with pytest.raises(BrokenYaml, match=words):
        parse_yaml(BOMBS[words])


def test_an_alias_used_a_few_times_is_fine() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")["c"] == [{"x": 1}, {"x": 1}]


WRONG = {
    "run.json": [("run", 3), ("created", "soon"), ("created", None), ("base_model", []), ("stages", []),
                 ("stages", {"train": 1}), ("git", "x"), ("git", {"commit": 1}), ("recipe", 1), ("seed", "42"),
                 ("tracking", [])],
    "train.json": [("completed", "yes"), ("steps", "3"), ("curve", {}), ("curve", [1]), ("curve", [[1, 2, 3]]),
                   ("seconds", []), ("series", []), ("series", {"x": [["a", 1]]}), ("system", []),
                   ("system", {"columns": ["s", "x"], "rows": [[1.0]], "mean": {}, "peak": {}})],
}  # fmt: skip
GOOD = {
    "run.json": {"run": "a", "created": "2025-01-01T00:00:00+00:00", "base_model": "b", "stages": {}, "more": [1]},
    "train.json": {"completed": True, "steps": 3, "seconds": 1, "curve": [[1, 0.5]], "more": {}},
}
READ = {"run.json": read_run, "train.json": read_training}


@pytest.mark.parametrize(("name", "key", "value"), [(name, *pair) for name, pairs in WRONG.items() for pair in pairs])
def test_a_wrong_type_in_a_run_file_is_named_with_its_key(name: str, key: str, value: object, tmp_path: Path) -> None:
    write_json(tmp_path / name, GOOD[name])
    assert READ[name](tmp_path) == GOOD[name]
    write_json(tmp_path / name, {**GOOD[name], key: value})
    with pytest.raises(UserError, match=f"{name}: {key}"):
        READ[name](tmp_path)


@pytest.mark.parametrize("value", [{}, [1], [{"path": 3}], [{"path": "x", "rows": "9"}], None])
def test_a_wrong_data_json_is_named(value: object, tmp_path: Path) -> None:
    write_json(tmp_path / "data.json", value)
    with pytest.raises(UserError, match=r"data\.json"):
        read_data(tmp_path)


def test_what_no_type_is_right_for_is_no_run() -> None:
    for value in ([], None, "x", 3):
        assert first_wrong(RunState, value) and first_wrong(Training, value)


@pytest.mark.parametrize("number", ["1e308", "-1e308", "1e999", "NaN", "Infinity", "1e101"])
def test_a_number_that_nothing_can_be_computed_of_is_refused(number: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(f'{{"a": [{number}]}}')
    with pytest.raises(UserError, match="not a number that can be computed with"):
        read_json(tmp_path / "x.json")
    line = (
        '{"arm":"baseline","task":"t","sample":"s","repeat":0,"metric":"m","value":%s,"status":"scored","cluster":"c"}'
    )
    (tmp_path / "x.jsonl").write_text(line % number + "\n")
    with pytest.raises(UserError, match=r"x\.jsonl:1"):
        read_jsonl(tmp_path / "x.jsonl", Score)
