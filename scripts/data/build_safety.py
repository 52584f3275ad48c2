"""Build the safety tests and the training rows for safe behaviour: `python -m scripts.data.build_safety [--check]`.

The story is `build`: load -> expand -> decontaminate -> render, with the rendering, writing and checking of
`scripts.data.build_data`. The same inputs always give the same bytes; each shape draws from its own generator.
`--check` writes nothing and refuses (exit 1) when the committed files are not what the inputs give.
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from scripts.data.build_data import SEED, Row, make_row, manifest, render, run_build, shuffled, with_plan
from scripts.data.grammar import Shape, fill, pool_of
from scripts.data.plans import Plan, plan
from scripts.data.safety_inputs import Honest, Inputs, Prompt, load_inputs, set_of, slots_of

DATA = ROOT / "data" / "safety"
ROWS = 5  # training rows per shape; a shape without slots has one row a phrasing
# Per shape in train_small, a different phrasing each. A small model that is taught more refusals refuses honest work.
SMALL_REFUSALS = 2
SMALL_ROWS: dict[Plan, int] = {"look": 4, "add": 4, "change": 2}


def build(folder: Path) -> dict[str, bytes]:
    """File name -> bytes of every derived file, MANIFEST.json included. Writes nothing. UserError for bad input."""
    tiers = expand(load_inputs(folder))
    decontaminate(tiers)
    files = {f"{name}.jsonl": render(rows) for name, rows in tiers.items()}
    files["MANIFEST.json"] = manifest(folder, sorted(folder.glob("*.yaml")), tiers, files)
    return files


def expand(inputs: Inputs) -> dict[str, list[Row]]:
    """The rows of the two tests and of train; train_small has few rows of each shape."""
    trained = {shape.category for shape in inputs.shapes}
    rows = [(shape, shape_rows(shape, inputs.pools)) for shape in inputs.shapes]
    return {
        "adversarial": in_turn([adversarial_row(prompt, prompt.category in trained) for prompt in inputs.prompts]),
        "over_refusal": in_turn([over_refusal_row(honest) for honest in inputs.honest]),
        "train": shuffled([row for _, some in rows for row in some]),
        "train_small": shuffled([with_plan(row) for shape, some in rows for row in some[: small_rows(shape)]]),
    }


def small_rows(shape: Shape) -> int:
    """Every ask of a contrast set, and fewer rows of what changes something than of what only looks."""
    if set_of(shape):
        return len(shape.train)
    return SMALL_REFUSALS if shape.command.startswith("#") else SMALL_ROWS[plan(shape.command)]


def in_turn(rows: list[Row]) -> list[Row]:
    """One row of each category in turn, so that the first n rows of a test are a fair sample of it."""
    seen: Counter[str] = Counter()
    places = []
    for row in rows:
        places.append(seen[row["category"]])
        seen[row["category"]] += 1
    return [row for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]


def adversarial_row(prompt: Prompt, trained: bool) -> Row:
    """System and user only. `tier` says whether the category has training rows."""
    return {
        "id": prompt.id,
        "messages": make_row("", prompt.text, "", {}, {})["messages"][:2],
        "category": prompt.category,
        "source": prompt.source,
        "expected": prompt.expected,
        "tier": "trained" if trained else "held_out",
    }


def over_refusal_row(honest: Honest) -> Row:
    """With the command as the last message; `fixture` is null where no fixture holds what the command needs."""
    messages = make_row("", honest.request, honest.command, {}, {})["messages"]
    return {"id": honest.id, "messages": messages, "category": honest.category, "fixture": honest.fixture}


def shape_rows(shape: Shape, pools: dict[str, list[str]]) -> list[Row]:
    """Up to ROWS distinct rows of a shape, cycling through its phrasings in an order drawn once."""
    rng = random.Random(f"{SEED}/safety/{set_of(shape) or shape.id}")
    order = rng.sample(range(len(shape.train)), len(shape.train))
    rows: list[Row] = []
    requests: set[str] = set()
    for k in range(max(ROWS, len(order))):
        index = order[k % len(order)]
        for _ in range(50):
            values: dict[str, str] = {}
            for slot in slots_of(shape.train[index]):
                draws = random.Random(f"{SEED}/safety/{set_of(shape)}/{k}/{slot}") if set_of(shape) else rng
                values[slot] = draws.choice([one for one in pools[pool_of(slot)] if one not in values.values()])
            request = fill(shape.train[index], values)
            if request not in requests:
                requests.add(request)
                source = {"category": shape.category, "shape": shape.id, "phrasing": f"{shape.id}/train{index}"}
                rows.append(make_row(f"safety-{shape.id}-{k}", request, fill(shape.command, values), source, values))
                break
    return rows


def decontaminate(tiers: dict[str, list[Row]]) -> None:
    """Raise UserError when a request stands in two rows, train_small being a part of train."""
    seen: dict[str, str] = {}
    problems = []
    for row in (row for name, rows in tiers.items() if name != "train_small" for row in rows):
        request = " ".join(row["messages"][1]["content"].casefold().split())
        if request in seen:
            problems.append(f"rows {seen[request]} and {row['id']} have one request")
        seen[request] = row["id"]
    if problems:
        raise UserError("; ".join(problems))


def main(argv: Sequence[str] | None = None) -> int:
    return run_build(build, DATA, argv)


if __name__ == "__main__":
    run_command(main, "data")
