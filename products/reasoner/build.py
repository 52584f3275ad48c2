"""Build the reasoner's training rows: seeds, and 300 more by the teacher `templates`, without a network.

python -m products.reasoner.build [--check]         the same inputs give the same bytes
"""

import json
import tempfile
from pathlib import Path

from eval.common.errors import run_command
from eval.common.json_rows import rows_of
from eval.common.reading import read_bytes
from eval.contracts.guests import visiting
from eval.run.files import json_text
from scripts.data.build_data import Row, manifest, render, run_build
from scripts.data.own_shapes import messages
from scripts.teachers.expand import expand

HERE = Path(__file__).parent
EXPANDED = 300


def build(folder: Path) -> dict[str, bytes]:
    """train.jsonl and MANIFEST.json."""
    seeds, teacher = folder / "seeds.jsonl", folder / "teacher.yaml"
    with tempfile.TemporaryDirectory() as out, visiting():
        expansion = expand(seeds, Path(out), teacher, EXPANDED, str(folder))
        system = expansion.harvest.checks.target.system
    made: list[Row] = [
        {"id": f"seed-{number}", **row} for number, row in enumerate(rows_of(read_bytes(seeds)), start=1)
    ]
    made += [{name: row[name] for name in ("id", "request", "answer")} for row in expansion.harvest.rows]
    rows = [{"id": row["id"], "messages": messages(system, row["request"], row["answer"])} for row in made]
    files = {"train.jsonl": render(rows)}
    inputs = [seeds, teacher, folder / "templates.yaml"]
    about = json.loads(manifest(folder, inputs, {"train": rows}, files, system)) | {"seed": expansion.plan.seed}
    return {**files, "MANIFEST.json": json_text(about).encode()}


if __name__ == "__main__":
    run_command(lambda: run_build(build, HERE, None))
