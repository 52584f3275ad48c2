"""What `make test-fast` imports before its first test: none of the libraries that take seconds."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import all_slow

HEAVY = {"torch", "transformers", "peft", "axolotl", "lm_eval", "datasets", "trl", "gradio"}
OURS = ("eval", "scripts", "spaces", "products", "tests")
QUICK = [path for path in sorted(Path("tests").glob("test_*.py")) if not all_slow(path)]


def at_import(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements that run when a module is imported: those of no function, and not for types alone."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif (
            not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "TYPE_CHECKING" not in ast.dump(node)[:90]
        ):
            yield from at_import(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, packages around them included."""
    names = set()
    for node in at_import(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert not node.level, f"{path}: only absolute imports"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(".".join(name.split(".")[:end]) for name in names for end in range(1, name.count(".") + 2))


def reached(path: Path) -> dict[str, Path]:
    """Each heavy library that importing a file imports, and the file of ours that names it."""
    seen, waiting, found = {path}, [path], {}
    while waiting:
        here = waiting.pop()
        for name in imported(here):
            if name in HEAVY:
                found[name] = here
            for file in (Path(*name.split(".")).with_suffix(".py"), Path(*name.split("."), "__init__.py")):
                if name.split(".")[0] in OURS and file.is_file() and file not in seen:
                    seen.add(file)
                    waiting.append(file)
    return found


@pytest.mark.parametrize("path", [Path("tests/conftest.py"), *QUICK], ids=lambda path: path.stem)
def test_collecting_it_imports_no_library_that_takes_seconds(path: Path) -> None:
    assert reached(path) == {}


def test_what_is_imported_behind_a_file_is_seen() -> None:
    assert "lm_eval" in reached(Path("tests/test_served_forms.py")), "through eval/model/lm_tasks.py"
    assert len(QUICK) > 80
