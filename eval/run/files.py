"""Reading and writing the files of a run.

Files are written whole, to a temporary name that is then renamed, so that a reader never sees half a file. A file
that is missing, broken or cut off is a UserError that says where.

    python -m eval.run.files      writes the JSON Schemas of eval/schemas/ again
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.run.facts import LARGEST_NUMBER, Facts, first_wrong
from eval.run.metrics import Metrics
from eval.run.records import Generation, Item, Judgement, Observation, Record, Score

AnyRecord = TypeVar("AnyRecord", bound=Record)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file: temporary name, flush to disk, rename. A link of either name is replaced, not followed."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with partial.open("xb") as stream:  # x: what comes up under this name meanwhile is not written to
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)  # on a full disk, half a file only takes more of it
        error.filename = str(path)  # a write that fails does not say where
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole. ValueError for NaN."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """A JSON file's text, indented. NaN is refused (ValueError): JSON has none."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines, whole."""
    write_text(path, "".join(record.model_dump_json() + "\n" for record in records))


def read_json(path: Path) -> Any:
    """Parse a JSON file. UserError when it is missing or broken, or has a key twice: readers differ in which counts."""
    try:
        return json.loads(
            read_bytes(path).decode("utf-8"), object_pairs_hook=unique, parse_float=_number, parse_constant=_number
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:  # no JSON, no UTF-8, a key twice, a number of thousands of digits
        problem = str(error)
    raise UserError(f"{path} is not valid JSON ({problem}): restore it or run the stage before again")


def _number(digits: str) -> float:
    """A float that can be computed with. ValueError for one too large, NaN and infinities, which JSON has not."""
    value = float(digits)
    if not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"{digits[:40]} is not a number that can be computed with")
    return value


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. ValueError when it names a key twice."""
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"key {key[:100]!r} is given twice")
        value[key] = item
    return value


def read_facts(path: Path, kind: type[Facts]) -> dict[str, Any]:
    """A JSON file of a run, once what is read of it has its types. UserError names the key that has not."""
    value = read_json(path)
    if wrong := first_wrong(kind, value):
        raise UserError(f"{path}: {wrong}: restore the file, or run the stage that writes it again")
    return dict(value)


def read_jsonl(path: Path, kind: type[AnyRecord]) -> list[AnyRecord]:
    """Parse JSON lines of one kind. UserError names the first bad line; an empty file is one too."""
    try:
        lines = read_bytes(path).split(b"\n")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `make eval` first") from None
    if lines[-1]:
        raise UserError(f"{path}:{len(lines)}: the last line is cut off: run `make eval` again")
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}:{number}: {first_problem(error)}") from None
    if not records:
        raise UserError(f"{path} is empty: run `make eval` again")
    return records


def read_metrics(path: Path) -> Metrics:
    """metrics.json of a run. UserError when it is missing, broken or of another schema version."""
    try:
        return Metrics.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; run `make eval` to write it again") from None


def first_problem(error: ValidationError) -> str:
    """`key.path: what is wrong` for the first problem pydantic found."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


SCHEMAS: dict[str, type[Record]] = {
    "metrics": Metrics,
    "score": Score,
    "generation": Generation,
    "sample": Item,
    "judgement": Judgement,
    "observation": Observation,
}

if __name__ == "__main__":
    folder = ROOT / "eval" / "schemas"
    folder.mkdir(exist_ok=True)
    for name, kind in SCHEMAS.items():
        write_json(folder / f"{name}.schema.json", kind.model_json_schema())
        print(folder / f"{name}.schema.json")
