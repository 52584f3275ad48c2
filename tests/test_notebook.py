"""notebooks/quickstart.ipynb: every cell runs as it stands, and prints what it shows."""

import json

from tests.notebook import LEFT_OUT, QUICKSTART, kept, run_cells

NOTEBOOK = json.loads(QUICKSTART.read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_that_others_can_open() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in CODE:
        assert cell.keys() == {"cell_type", "id", "execution_count", "metadata", "outputs", "source"}
        assert cell["execution_count"] is None and all(o["output_type"] == "stream" for o in cell["outputs"])


def test_every_cell_runs_and_prints_what_it_shows() -> None:
    """After a new demo: `python -m tests.notebook --write`."""
    assert run_cells(QUICKSTART) == {cell["id"]: kept(cell) for cell in CODE if LEFT_OUT not in tags(cell)}
    assert len([cell for cell in CODE if LEFT_OUT in tags(cell)]) == 1, "training alone is left out"
    assert "no-ship" in kept(CODE[2]) and "damage:" in kept(CODE[3])


def tags(cell: dict[str, dict[str, list[str]]]) -> list[str]:
    return cell["metadata"].get("tags", [])
