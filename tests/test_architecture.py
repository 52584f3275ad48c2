"""The module layers of eval/, and the four rules that make a package named `eval` safe."""

import ast
import graphlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

EVAL = Path("eval")
# Each module or package may import only from those before it; inside a package there are no cycles.
ORDER = [
    "error_log", "errors", "memory", "quota", "programs", "reading", "run_facts", "records", "results", "files",
    "provenance", "noise", "gate_rules", "metric_table", "strict_yaml", "hub_client", "config", "cautions",
    "template_arguments", "clusters",
    "stats", "power", "power_table", "sequential", "comparisons", "gate_outcomes", "run_folder", "gates", "self_checks",
    "earlier",
    "report", "environment", "partial_log", "candidate", "baselines", "risk", "sandbox", "canary", "tasks.nl2bash",
    "judge", "tasks.nl2bash_fixture", "tasks.intercode_alfa", "tasks.command_lines", "tasks.refusals",
    "tasks.answers", "tasks.adversarial", "tasks.over_refusal", "tasks.lm_eval_hooks", "tasks.safety_hooks",
    "tasks.own_tasks", "task_rules", "lm_tasks", "answer_cache", "evidence", "summary", "collateral", "judgements",
    "observations", "executing",
    "adapter_check", "base_proof", "adapters_on_base", "generation_settings", "recording_model", "harness", "drift",
    "looking", "suite", "run_eval_suite",
]  # fmt: skip
PACKAGES = {"report", "risk", "sandbox", "judge", "tasks.nl2bash_fixture"}
WITH_MODELS = {
    "lm_tasks", "base_proof", "adapters_on_base", "generation_settings", "recording_model", "harness", "drift",
}  # fmt: skip
HEAVY = {"torch", "lm_eval", "transformers", "peft", "safetensors"}
FILES = sorted(path for path in EVAL.rglob("*.py") if path.name != "__init__.py")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(EVAL).with_suffix("").parts)


OURS = {f"eval.{module_name(path)}" for path in FILES}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Imported module names; the flag says whether the statement is `import x` rather than `from x import y`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, True) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            modules = [f"{package}.{alias.name}" for alias in node.names]
            found += [(name if name in OURS else package, False) for name in modules]
    return found


def layer(name: str) -> str:
    """The entry of ORDER that a module belongs to: itself, or its package."""
    return next((package for package in PACKAGES if name == package or name.startswith(package + ".")), name)


def imports_of_ours(path: Path) -> list[str]:
    return [name.removeprefix("eval.") for name, _ in imports(path) if name.startswith("eval.")]


def test_every_module_has_a_place_in_the_order() -> None:
    assert {layer(module_name(path)) for path in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_modules_import_only_from_rows_above(path: Path) -> None:
    own = layer(module_name(path))
    for name, plain in imports(path):
        top = name.split(".")[0]
        assert top not in ("scripts", "spaces"), f"eval never imports {top}"
        assert top != "eval" or not plain, "only `from eval.x import y`"
    for imported in imports_of_ours(path):
        above = ORDER.index(layer(imported)) < ORDER.index(own)
        assert above or (own in PACKAGES and layer(imported) == own), f"{module_name(path)} imports {imported}"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_cycles_inside_a_package(package: str) -> None:
    inside = {module_name(path): path for path in FILES if layer(module_name(path)) == package}
    needs = {name: {other for other in imports_of_ours(path) if other in inside} for name, path in inside.items()}
    graphlib.TopologicalSorter(needs).prepare()


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_harness_imports_models(path: Path) -> None:
    heavy = {name.split(".")[0] for name, _ in imports(path)} & HEAVY
    assert not heavy or module_name(path) in WITH_MODELS


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
