"""A notebook's code cells, run one after the other by Python alone: Jupyter's packages are no part of the environment.

    python -m tests.notebook --write        the outputs of notebooks/quickstart.ipynb as they are now

Cells print, and nothing else: no magics, no display.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from eval.common.places import ROOT

QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
LEFT_OUT = "trains"  # tag of a cell for people, which takes minutes


def run_cells(path: Path) -> dict[str, str]:
    """What each code cell prints, by its id, but for those with the tag LEFT_OUT. Starts in the notebook's folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed, before = {}, Path.cwd()
    os.chdir(path.parent)
    try:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code" and LEFT_OUT not in cell["metadata"].get("tags", ()):
                with contextlib.redirect_stdout(io.StringIO()) as said:
                    exec(compile("".join(cell["source"]), f"{path.name}, cell {cell['id']}", "exec"), names)
                printed[cell["id"]] = said.getvalue()
    finally:
        os.chdir(before)
    return printed


def kept(cell: dict[str, Any]) -> str:
    """What a cell printed when its output was kept."""
    return "".join(line for output in cell["outputs"] for line in output["text"])


def write(path: Path) -> None:
    """Keep what every cell prints now."""
    printed, notebook = run_cells(path), json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if text := printed.get(cell.get("id"), ""):
            cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(True)}]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write(QUICKSTART)
