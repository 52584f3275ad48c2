"""The module layers of eval/, and the four rules that make a package named `eval` safe."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

EVAL = Path("eval")
# Each module may import only from those before it.
ORDER = [
    "errors", "records", "provenance", "config", "stats", "run_folder", "gates", "figures", "report_text", "report",
    "environment", "generation_log", "tasks.nl2bash", "tasks.lm_eval_hooks", "lm_tasks", "harness",
    "suite", "run_eval_suite",
]  # fmt: skip
HEAVY = {"torch", "lm_eval", "transformers", "peft", "safetensors"}
FILES = sorted(path for path in EVAL.rglob("*.py") if path.name != "__init__.py")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(EVAL).with_suffix("").parts)


def imports(path: Path) -> list[tuple[str, bool]]:
    """Imported module names; the flag says whether the statement is `import x` rather than `from x import y`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, True) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            found += (
                [(f"eval.{alias.name}", False) for alias in node.names] if package == "eval" else [(package, False)]
            )
    return found


def test_every_module_has_a_place_in_the_order() -> None:
    assert sorted(module_name(path) for path in FILES) == sorted(ORDER)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_modules_import_only_from_rows_above(path: Path) -> None:
    place = ORDER.index(module_name(path))
    for name, plain in imports(path):
        top = name.split(".")[0]
        assert top not in ("scripts", "spaces"), f"eval never imports {top}"
        if top == "eval":
            imported = name.removeprefix("eval.")
            assert not plain, "only `from eval.x import y`"
            assert ORDER.index(imported) < place, f"{module_name(path)} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_harness_imports_models(path: Path) -> None:
    heavy = {name.split(".")[0] for name, _ in imports(path)} & HEAVY
    assert not heavy or module_name(path) in ("lm_tasks", "harness")


def test_no_module_shadows_a_library() -> None:
    libraries = set(importlib.metadata.packages_distributions()) - {"eval", "scripts", "tests", "data"}
    for path in FILES:
        assert path.stem not in sys.stdlib_module_names
        assert path.stem not in libraries, path.stem


def test_tests_are_flat() -> None:
    assert not Path("tests/eval").exists()


def test_the_launcher_replaces_the_first_path_and_works_from_elsewhere(tmp_path: Path) -> None:
    launcher = Path("eval/run_eval_suite.py").resolve()
    assert len(launcher.read_text().splitlines()) <= 15
    done = subprocess.run([sys.executable, launcher, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--config" in done.stdout, done.stderr


@pytest.mark.parametrize("module", ["eval.gates", "eval.report", "eval.suite", "scripts.train", "scripts.publish"])
def test_help_is_quick(module: str) -> None:
    code = f"import time; t = time.time(); import {module}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
