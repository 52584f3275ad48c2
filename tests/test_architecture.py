"""The module layers of eval/, and the four rules that make a package named `eval` safe."""

import ast
import functools
import graphlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import slowness

EVAL = Path("eval")
# Each room, a package or a module of the top floor, may import only from those before it.
ORDER = [
    "common", "contracts", "risk", "sandbox", "config", "bash", "run", "adapters", "statistics", "judge", "execution",
    "tasks", "gates", "report", "summary", "logs", "model", "consent", "bench", "loading", "looks", "ask", "record",
    "arguments", "suite", "run_eval_suite",
]  # fmt: skip
ROOMS = sorted(path.name for path in EVAL.iterdir() if (path / "__init__.py").is_file())
WITH_MODELS = {
    "lm_tasks", "plain_tasks", "base_proof", "adapters_on_base", "generation_settings", "recording_hf", "generating",
    "effect", "answer_gaps", "neutral", "drift", "two_models", "hf", "endpoint.templates", "endpoint.vllm_backend",
}  # fmt: skip
HEAVY = {"torch", "lm_eval", "transformers", "peft", "safetensors"}
FILES = sorted(EVAL.rglob("*.py"))


def module_name(path: Path) -> str:
    """Dotted, below eval; of a package's own file the package."""
    return ".".join(path.relative_to(EVAL).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


OURS = {f"eval.{module_name(path)}" for path in FILES}


@functools.cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Imported module names; the flag says whether the statement is `import x` rather than `from x import y`.

    A contract speaks of what stands above it in types alone: there such imports do not count.
    """
    found = []
    tree = ast.parse(path.read_text())
    if path.parent.name == "contracts":
        tree.body = [node for node in tree.body if "TYPE_CHECKING" not in ast.unparse(getattr(node, "test", node))[:20]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, True) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            modules = [f"{package}.{alias.name}" for alias in node.names]
            found += [(name if name in OURS else package, False) for name in modules]
    return found


def room(name: str) -> str:
    return name.split(".")[0]


def imports_of_ours(path: Path) -> list[str]:
    return [name.removeprefix("eval.") for name, _ in imports(path) if name.startswith("eval.")]


def test_every_room_has_a_place_in_the_order_and_says_what_it_is_for() -> None:
    assert {room(module_name(path)) for path in FILES} - {""} == set(ORDER)
    for package in {path.parent for path in EVAL.rglob("*.py")}:
        said = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
        assert said, f"{package} does not say what it is for"


def test_rooms_import_only_from_rooms_above() -> None:
    """A room's `__main__` is a launcher: nothing imports it, and it stands on the top floor, whatever room names it."""
    for path in FILES:
        own = room(module_name(path)) if path.stem != "__main__" else ORDER[-1]
        for name, plain in imports(path):
            top = name.split(".")[0]
            assert top not in ("scripts", "spaces"), f"{path}: eval never imports {top}"
            assert top != "eval" or not plain, f"{path}: only `from eval.x import y`"
        for imported in imports_of_ours(path):
            above = room(imported) == own or not own or ORDER.index(room(imported)) < ORDER.index(own)
            assert above, f"{module_name(path)} imports {imported}"


@pytest.mark.parametrize("package", ROOMS)
def test_no_cycles_inside_a_room(package: str) -> None:
    inside = {module_name(path): path for path in FILES if room(module_name(path)) == package}
    needs = {name: {other for other in imports_of_ours(path) if other in inside} for name, path in inside.items()}
    # A package's own name stands for what it re-exports.
    needs[package] = set()
    graphlib.TopologicalSorter(needs).prepare()


def test_only_the_model_room_imports_models() -> None:
    for path in FILES:
        heavy = {name.split(".")[0] for name, _ in imports(path)} & HEAVY
        heavy -= {"safetensors"} if module_name(path) == "adapters.safetensors_file" else set()  # a reader of files
        assert not heavy or module_name(path) in {f"model.{name}" for name in WITH_MODELS}, f"{path} imports {heavy}"


# The domain of the default product may be named where ours are listed, and nowhere else.
NAMED = {
    ("eval/contracts/domains.py", "nl2bash"),
    ("eval/config/suite_file.py", "nl2bash"),  # the default suite
    ("eval/arguments.py", "nl2bash"),  # the same, in the help
}
OF_THE_PRODUCT = {"bash", "judge", "risk", "sandbox", "execution", "tasks", "fixtures", "schemas"}
ITS_WORDS = re.compile(r"[a-z0-9]*bash|right command|gold command|\butilit(?:y|ies)\b", re.IGNORECASE)


def test_the_core_knows_no_bash() -> None:
    files = [path for kind in ("*.py", "*.j2") for path in EVAL.rglob(kind)]
    core = [path for path in files if path.relative_to(EVAL).parts[0] not in OF_THE_PRODUCT]
    assert len(core) > 60
    found = {(str(path), word.lower()) for path in core for word in ITS_WORDS.findall(path.read_text())}
    assert found == NAMED


def test_no_module_shadows_a_library() -> None:
    libraries = set(importlib.metadata.packages_distributions()) - {"eval", "scripts", "tests", "data"}
    for path in FILES:
        if path.stem not in ("__init__", "__main__"):
            assert path.stem not in sys.stdlib_module_names
            assert path.stem not in libraries, path.stem


def test_the_story_reads_as_six_short_steps() -> None:
    text = (EVAL / "suite.py").read_text()
    functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    calls = [node.func for node in ast.walk(functions["evaluate"]) if isinstance(node, ast.Call)]
    assert [call.id for call in calls if isinstance(call, ast.Name)] == [
        "prepare", "load", "ask", "decide", "record", "render",
    ]  # fmt: skip
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions.items()}
    assert max(lengths.values()) < 20 and len(text.splitlines()) < 200


def test_the_page_and_the_products_are_above_everything() -> None:
    """`scripts` imports no page, and a page no product; modules of the page have no cycle."""
    for path in Path("scripts").rglob("*.py"):
        tops = {name.split(".")[0] for name, _ in imports(path)}
        assert not tops & {"spaces", "products", "tests"}, f"{path} imports {tops}"
    page = {
        path.stem: path for path in Path("spaces/trainer").glob("*.py") if path.stem not in ("__init__", "__main__")
    }
    needs = {}
    for name, path in page.items():
        found = [imported for imported, _ in imports(path)]
        assert not [one for one in found if one.split(".")[0] in ("products", "tests")], path
        ours = [one.split(".") for one in found if one.startswith("spaces.trainer.")]
        needs[name] = {parts[2] for parts in ours if parts[2] in page}
    graphlib.TopologicalSorter(needs).prepare()


LONGEST = 300  # lines of a module
LONGER = {"scripts/benchmarks/fuzz_inputs.py"}


def test_modules_are_short() -> None:
    for top in ("eval", "scripts", "spaces", "products"):
        for path in Path(top).rglob("*.py"):
            lines = len(path.read_text().splitlines())
            assert lines <= LONGEST or str(path) in LONGER, (
                f"{path} has {lines} lines: split it where a seam is natural"
            )


def test_a_backend_is_known_by_its_contract_alone() -> None:
    """Outside of eval/model nobody reaches for the model class of one backend."""
    inside = re.compile(r"\.lm\b|from eval\.model import .*\b(hf|two_arms)\b|from eval\.model\.(hf|two_arms)")
    for path in (*FILES, *Path("scripts").rglob("*.py"), *Path("spaces").rglob("*.py")):
        found = None if path.is_relative_to(EVAL / "model") else inside.search(path.read_text())
        assert found is None, f"{path}: {found[0]}"


def test_tests_are_flat() -> None:
    assert not Path("tests/eval").exists()


@pytest.mark.slow
def test_the_launcher_replaces_the_first_path_and_works_from_elsewhere(tmp_path: Path) -> None:
    launcher = Path("eval/run_eval_suite.py").resolve()
    assert len(launcher.read_text().splitlines()) <= 15
    done = subprocess.run([sys.executable, launcher, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--config" in done.stdout, done.stderr


QUICK = ["eval.gates", "eval.report", "eval.suite", "scripts.training.train", "scripts.publish"]
HELP_SECONDS = 3.0  # of processor time; the slowest of these took 1.8


@pytest.mark.slow
@pytest.mark.parametrize("module", QUICK)
def test_help_is_quick(module: str) -> None:
    code = (
        "import resource, runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit as ended: assert not ended.code\n"
        "spent = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('seconds', spent.ru_utime + spent.ru_stime, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said, seconds, torch = done.stdout.split()[-3:] if done.stdout else ["", "0", ""]
    assert (said, torch) == ("seconds", "False"), done.stdout + done.stderr
    assert float(seconds) < HELP_SECONDS * slowness(), seconds
