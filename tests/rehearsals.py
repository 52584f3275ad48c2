"""Several rehearsals in one process, which imports, opens the sandbox and reads the test sets once for all of them.

    walked = rehearsals.walked(folder, suite, [recipe, ...])      -> {"recipe": Walked(code, out, err, folder), ...}

Each is what `python -m scripts.training.rehearse` does, with a few rows of each dataset and, where the base is not at
hand, a tokenizer of fewer words. Its workers are forked from the server of tests/preloaded.py, and so is the process.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.common.errors import run_command
from tests import preloaded
from tests.patience import PATIENCE

ROWS = 60  # of each dataset; all rows are read by tests/test_recipes.py


@dataclass(frozen=True)
class Walked:
    """How one rehearsal ended."""

    code: int
    out: str
    err: str
    folder: Path


def walked(folder: Path, suite: Path, recipes: Sequence[Path]) -> dict[str, Walked]:
    """How each recipe's rehearsal ended, by its name. AssertionError when the process did not get to the end."""
    command = [sys.executable, "-m", "tests.rehearsals", str(folder), str(suite), *map(str, recipes)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = preloaded.run(command, PATIENCE * len(recipes), env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    ended = [json.loads((folder / f"{recipe.stem}.json").read_text()) for recipe in recipes]
    return {recipe.stem: Walked(**one, folder=folder / recipe.stem) for recipe, one in zip(recipes, ended, strict=True)}


def main(folder: Path, suite: Path, recipes: list[Path]) -> None:
    """Rehearse them one after the other, and leave beside each one's folder how it ended."""
    from scripts.training import exchanges, launch, recipe_base, rehearse, stand_in
    from tests.small_tokenizer import small_tokenizer

    exchanges.MOST_ROWS = recipe_base.REHEARSED = ROWS
    launch.subprocess = preloaded  # type: ignore[assignment]
    stand_in.EMBEDDED = folder / "tokenizer"
    small_tokenizer(stand_in.EMBEDDED)
    for recipe in recipes:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                run_command(lambda recipe=recipe: rehearse.rehearse(recipe, suite, folder) and 0)  # type: ignore[misc]
            except SystemExit as ended:
                code = int(ended.code or 0)
        said = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
        (folder / f"{recipe.stem}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), list(map(Path, sys.argv[3:])))
