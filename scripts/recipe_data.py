"""Are the dataset files a recipe names there, inside the repository, and readable to the last row?

    dataset_problems(recipe, root)  ->  ["datasets[0].path: data/x.jsonl: line 7 is not JSON; ...", ...]

Axolotl finds out after the model is downloaded and loaded, on a rented GPU. Only .jsonl files are read row
by row; other formats must exist and not be empty.
"""

import json
import re
from pathlib import Path
from typing import Any

from eval.reading import open_regular

FILE_SUFFIXES = {".jsonl", ".json", ".csv", ".parquet", ".arrow", ".txt"}
BUILDERS = {"json", "csv", "parquet", "arrow", "text"}
FULL_COMMIT = re.compile(r"[0-9a-f]{40}")


def dataset_problems(recipe: dict[str, Any], root: Path) -> list[str]:
    """One line per problem; paths are relative to `root`, where recipes run."""
    problems = []
    for key in ("datasets", "test_datasets"):
        entries = recipe.get(key)
        if entries is None:
            continue
        if not isinstance(entries, list):
            problems.append(f"{key}: must be a list of datasets; start the entry with a dash")
            continue
        for i, entry in enumerate(entries):
            if isinstance(entry, dict):
                problems += _entry_problems(entry, f"{key}[{i}]", root)
            else:
                problems.append(f"{key}[{i}]: must be a mapping with a path and a type; write `- path: FILE`")
    return problems


def _entry_problems(entry: dict[str, Any], where: str, root: Path) -> list[str]:
    path = entry.get("path")
    if not isinstance(path, str) or not path:
        return [f"{where}.path: missing; name a file of the repository"]
    if path in BUILDERS:
        files = entry.get("data_files")
        names = [files] if isinstance(files, str) else files if isinstance(files, list) else []
        if not names:
            return [f"{where}.data_files: missing; path: {path} needs the files it reads"]
        return [line for name in names for line in _file_problems(str(name), entry, f"{where}.data_files", root)]
    if _names_a_file(path, root):
        return _file_problems(path, entry, f"{where}.path", root)
    if "://" in path:
        return [f"{where}.path: {path} is outside the repository; fetch it with `make data`"]
    if not FULL_COMMIT.fullmatch(str(entry.get("revision"))):
        return [f"{where}.revision: Hub dataset {path} is not pinned; set the full 40-digit commit"]
    return []


def _names_a_file(path: str, root: Path) -> bool:
    """Whether `path` is meant as a file: `org/name` is a Hub dataset unless such a folder exists."""
    return path.startswith((".", "/", "~")) or Path(path).suffix in FILE_SUFFIXES or (root / path).exists()


def _file_problems(name: str, entry: dict[str, Any], where: str, root: Path) -> list[str]:
    file = (root / Path(name).expanduser()).resolve()
    if not file.is_relative_to(root.resolve()):
        return [f"{where}: {name} is outside the repository; copy it below data/"]
    if not file.exists():
        return [f"{where}: no such file {name}; run `make data`"]
    if file.is_dir():
        return [] if any(file.iterdir()) else [f"{where}: {name} is an empty folder; run `make data`"]
    if file.stat().st_size == 0:
        return [f"{where}: {name} is empty; run `make data`"]
    what = _first_bad_row(file, entry) if file.suffix == ".jsonl" else None
    return [f"{where}: {name}: {what}; run `make data` again"] if what else []


def _first_bad_row(file: Path, entry: dict[str, Any]) -> str | None:
    """What is wrong with the first bad line of a JSONL file, or None."""
    rows = 0
    with open_regular(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            rows += 1
            try:
                row = json.loads(line)
            except ValueError:  # truncated, not JSON, or not UTF-8
                return f"line {number} is not valid JSON"
            if not isinstance(row, dict):
                return f"line {number} is not a JSON object"
            what = _chat_problem(row, entry) if entry.get("type") == "chat_template" else None
            if what:
                return f"line {number} {what}"
    return None if rows else "has no rows"


def _chat_problem(row: dict[str, Any], entry: dict[str, Any]) -> str | None:
    """What keeps a chat row from training the assistant: no turns, no text, a last turn by someone else."""
    field = entry.get("field_messages") or "messages"
    turns = row.get(field)
    if not isinstance(turns, list) or not turns:
        return f"has no {field}"
    mappings = entry.get("message_property_mappings")
    names = {"role": "role", "content": "content"} | (mappings if isinstance(mappings, dict) else {})
    for turn in turns:
        if not isinstance(turn, dict) or not isinstance(turn.get(names["role"]), str):
            return f"has a turn without {names['role']}"
        if not isinstance(turn.get(names["content"]), str):
            return f"has a turn without {names['content']}"
    last = turns[-1]
    if last[names["role"]] not in _assistant_names(entry):
        return f"ends with a turn by {last[names['role']]}, not by the assistant"
    return None if last[names["content"]].strip() else "ends with an empty answer"


def _assistant_names(entry: dict[str, Any]) -> set[str]:
    """The roles that Axolotl reads as the assistant: its own two, or those of the `roles` mapping."""
    roles = entry.get("roles")
    return set(roles.get("assistant") or []) if isinstance(roles, dict) else {"assistant", "gpt"}
