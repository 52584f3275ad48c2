"""Build the authored natural language -> safe Bash dataset: `python -m scripts.data.build_data [--check]`.

The story is `build`: load -> expand into tiers -> decontaminate -> render. The same inputs always give
the same bytes. Each shape draws from its own generator and training rows are ordered by a hash of their
ids, so adding a shape leaves all other rows as they were. `--check` writes nothing and refuses (exit 1)
when the committed files are not what the inputs give. A pipeline with other sources replaces `expand`:
whatever yields rows of this form can pass through `decontaminate`, `render` and `write`.
"""

import argparse
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import Refused, UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from scripts.data.grammar import FreeRow, Grammar, Pools, Shape, fill, load_grammar, pool_of
from scripts.data.plans import Plan, plan, planned

DATA = ROOT / "data" / "nl2bash"
SYSTEM_PROMPT = "Answer with one Bash command and nothing else."
SEED = 20240  # every draw below derives from it
TRAIN_ROWS = 12  # per known shape; a shape without slots has one row a phrasing
# Per known shape in train_small, by the plan of its command, a different phrasing each: few shapes add, and a copy that
# is taken for a change loses a file.
SMALL_ROWS: dict[Plan, int] = {"look": 3, "add": 6, "change": 3}
KNOWN_ROWS = 2  # test rows per known shape
UNSEEN_ROWS = 3  # test rows per unseen shape

Row = dict[str, Any]


def build(folder: Path) -> dict[str, bytes]:
    """File name -> bytes of every derived file, MANIFEST.json included. Writes nothing."""
    grammar = load_grammar(folder)
    tiers = expand(grammar)
    decontaminate(tiers)
    files = {f"{name}.jsonl": render(rows) for name, rows in tiers.items()}
    inputs = [*sorted((folder / "grammar").glob("*.yaml")), folder / "values.yaml", folder / "free.yaml"]
    files["MANIFEST.json"] = manifest(folder, inputs, tiers, files)
    return files


def expand(grammar: Grammar) -> dict[str, list[Row]]:
    """The rows of each tier. Tiers: train, its subset train_small, test_known, test_unseen, test_free."""
    pools = grammar.pools
    known = [shape for shape in grammar.shapes if shape.split == "known"]
    unseen = [shape for shape in grammar.shapes if shape.split == "unseen"]
    trained = [shape_rows(shape, "train", pools, TRAIN_ROWS) for shape in known]
    return {
        "train": shuffled([row for rows in trained for row in rows]),
        "train_small": shuffled([with_plan(row) for rows in trained for row in small(rows)]),
        "test_known": [row for shape in known for row in shape_rows(shape, "known", pools, KNOWN_ROWS)],
        "test_unseen": [row for shape in unseen for row in shape_rows(shape, "unseen", pools, UNSEEN_ROWS)],
        "test_free": [free_row(row) for row in grammar.free],
    }


def small(rows: list[Row]) -> list[Row]:
    """The first rows of a shape, as many as its plan has in train_small; no phrasing twice."""
    return rows[: SMALL_ROWS[plan(rows[0]["messages"][2]["content"])]]


def shuffled(rows: list[Row]) -> list[Row]:
    """The rows in an order that depends on the seed and each row's id, not on the rows around it."""
    return sorted(rows, key=lambda row: digest(f"{SEED}/{row['id']}".encode()))


def shape_rows(shape: Shape, tier: str, pools: Pools, count: int) -> list[Row]:
    """`count` distinct rows of a shape, cycling through its phrasings in an order drawn once."""
    side = "train" if tier == "train" else "test"
    phrasings = shape.train if side == "train" else shape.test
    rng = random.Random(f"{SEED}/{shape.id}/{tier}")
    order = rng.sample(range(len(phrasings)), len(phrasings))
    if side == "train":
        count = max(count, len(phrasings)) if shape.slots else len(phrasings)
    rows: list[Row] = []
    requests: set[str] = set()
    for k in range(count):
        index = order[k % len(order)]
        for _ in range(200):
            values = draw(shape, pools, side, rng)
            request = fill(phrasings[index], values)
            if request not in requests:
                break
        else:
            raise UserError(f"{shape.category}.yaml: shape {shape.id}: too few values for {count} rows")
        requests.add(request)
        source = {"category": shape.category, "shape": shape.id, "phrasing": f"{shape.id}/{side}{index}"}
        rows.append(make_row(f"{tier}-{shape.id}-{k}", request, fill(shape.command, values), source, values))
    return rows


def draw(shape: Shape, pools: Pools, side: str, rng: random.Random) -> dict[str, str]:
    """A value for each slot, no two alike within a row."""
    values: dict[str, str] = {}
    for slot in shape.slots:
        choices = [value for value in pools[pool_of(slot)][side] if value not in values.values()]
        if not choices:
            raise UserError(f"{shape.category}.yaml: shape {shape.id}: no value is left for slot {{{slot}}}")
        values[slot] = rng.choice(choices)
    return values


def free_row(row: FreeRow) -> Row:
    name = row.id if row.id.startswith("free-") else f"free-{row.id}"
    source = {"category": row.category, "shape": name, "phrasing": row.id}
    values = {str(index): value for index, value in enumerate(row.values)}
    return make_row(name, row.request, row.command, source, values)


def make_row(name: str, request: str, command: str, source: dict[str, str], values: dict[str, str]) -> Row:
    """The form of every row; `source` holds category, shape and phrasing."""
    messages = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": request},
        {"role": "assistant", "content": command},
    ]
    return {"id": name, "messages": messages, **source, "values": values}


def with_plan(row: Row) -> Row:
    """The row with the mark of its command's plan at the start of its answer, unless that is a refusal."""
    *asked, answer = row["messages"]
    if answer["content"].startswith("#"):
        return row
    return {**row, "messages": [*asked, {**answer, "content": planned(answer["content"])}]}


def decontaminate(tiers: dict[str, list[Row]]) -> None:
    """Raise UserError if a test request was trained, or one request has two different commands."""
    problems = []
    seen: dict[str, tuple[str, str, str]] = {}
    for tier, rows in tiers.items():
        if tier == "train_small":  # a subset of train
            continue
        for row in rows:
            request = " ".join(row["messages"][1]["content"].casefold().split())
            command = row["messages"][2]["content"]
            if request not in seen:
                seen[request] = (row["id"], command, tier)
                continue
            other, other_command, other_tier = seen[request]
            if other_tier == "train" and tier != "train":
                problems.append(f"test row {row['id']} has the request of train row {other}")
            if other_command != command:
                problems.append(f"rows {other} and {row['id']} answer one request with two commands")
    if problems:
        raise UserError("; ".join(problems))


def render(rows: Sequence[Row]) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest(
    folder: Path,
    inputs: Iterable[Path],
    tiers: dict[str, list[Row]],
    files: dict[str, bytes],
    system_prompt: str | None = SYSTEM_PROMPT,
) -> bytes:
    """What was built from what. Paths are relative to the manifest; no time, no machine."""
    content = {
        "schema_version": 1,
        "seed": SEED,
        "source": "authored for this project",
        "licence": "MIT",
        **({"system_prompt": system_prompt} if system_prompt else {}),
        "files": [
            {"path": f"{name}.jsonl", "sha256": digest(files[f"{name}.jsonl"]), "rows": len(rows)}
            for name, rows in tiers.items()
        ],
        "inputs": [
            {"path": path.relative_to(folder).as_posix(), "sha256": digest(read_bytes(path))} for path in inputs
        ],
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Each file whole or not at all; the manifest last, so that it never describes files to come."""
    for name, content in files.items():
        temporary = folder / f".{name}.part"
        temporary.write_bytes(content)
        temporary.replace(folder / name)


def check(folder: Path, files: dict[str, bytes]) -> None:
    written = {path.name: read_bytes(path) for path in folder.iterdir() if path.name in files}
    stale = ", ".join(name for name, content in files.items() if written.get(name) != content)
    if stale:
        raise Refused(f"{folder}: not what the inputs give: {stale}; run `make data` and commit the result")


def run_build(build: Callable[[Path], dict[str, bytes]], data: Path, argv: Sequence[str] | None) -> int:
    """The command line of a builder: write what `build` gives, or with --check only compare."""
    parser = argparse.ArgumentParser(description=f"Build data/{data.name} from its authored YAML files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    parser.add_argument("--data", type=Path, default=data, help="folder of the authored files")
    options = parser.parse_args(argv)
    files = build(options.data)
    if options.check:
        check(options.data, files)
        print(f"{len(files)} files of {options.data.name} are as built from the inputs")
        return 0
    write(options.data, files)
    for name, content in files.items():
        rows = content.count(b"\n")
        print(options.data / name, f"({rows} rows)" if name.endswith(".jsonl") else "")
    return Answer(0, files=[options.data / name for name in files])


def main(argv: Sequence[str] | None = None) -> int:
    return run_build(build, DATA, argv)


if __name__ == "__main__":
    run_command(main, "data")
