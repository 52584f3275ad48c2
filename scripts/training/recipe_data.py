"""Are the inputs a recipe names there, inside the repository, and readable to the last row, in the way it says?

    dataset_problems(recipe, root)  ->  ["datasets[0].path: data/x.jsonl: line 7 is not valid JSON; ...", ...]

Axolotl finds out after the model is downloaded and loaded, on a rented GPU. A dataset on the Hub is not looked into:
only its revision is checked.
"""

import difflib
import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from scripts.training.dataset_entries import KEYS, START, BrokenRow, Entry, inputs, read_rows, shown_path
from scripts.training.leakage import leakage_problems

FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
OF_AXOLOTL = {"human": "user", "user": "user", "assistant": "assistant", "gpt": "assistant"}
OF_AXOLOTL |= {"system": "system", "tool": "tool"}
# Types that take a row's columns as they are -> those columns
COLUMNS = {
    "alpaca": ("instruction", "output"),
    "alpaca_chat.load_qa": ("question", "answer"),
    "gpteacher": ("instruction", "response"),
    "jeopardy": ("question", "answer", "category"),
    "oasst": ("INSTRUCTION", "RESPONSE"),
    "reflection": ("instruction", "output", "reflection", "corrected"),
    "summarizetldr": ("article", "summary"),
    "completion": ("text",),
    "input_output": ("segments",),
}


def dataset_problems(recipe: dict[str, Any], root: Path, beside: Path | None = None) -> list[str]:
    """One line per problem; paths are relative to `root`, where recipes run. Data lies below it, or in the folder of
    the recipe, `beside`: a domain of its own brings both."""
    problems = []
    for key in KEYS:
        entries = recipe.get(key)
        if entries is None:
            continue
        if not isinstance(entries, list):
            problems.append(f"{key}: must be a list of datasets; start the entry with a dash")
            continue
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                problems.append(f"{key}[{i}]: must be a mapping with a path and a type; write `- path: FILE`")
            elif not isinstance(entry.get("path"), str) or not entry["path"]:
                problems.append(f"{key}[{i}].path: missing; name a file of the repository")
    for entry in inputs(recipe):
        problems += _entry_problems(entry, (root, beside or root), rl=bool(recipe.get("rl")))
    return problems or leakage_problems(recipe, root, beside)


def _entry_problems(entry: Entry, roots: tuple[Path, Path], rl: bool) -> list[str]:
    root = roots[0]
    where = entry.where if entry.role == START else f"{entry.where}.path"
    listed = entry.given.get("data_files") or []
    for name in [entry.path] * entry.is_local(root) + ([listed] if isinstance(listed, str) else listed):
        place = (root / Path(name).expanduser()).resolve()
        if not any(place.is_relative_to(inside.resolve()) for inside in roots):
            return [f"{where}: {name} is outside the repository; copy it below data/"]
    try:
        files = entry.files(root)
    except UserError as error:
        return [str(error)]
    if files is None:
        if entry.role == START:
            return [f"{where}: no such folder {entry.path}; copy the adapter into the repository"]
        if not FULL_COMMIT.fullmatch(str(entry.revision)):
            return [f"{entry.where}.revision: Hub dataset {entry.path} is not pinned; set the full 40-digit commit"]
        return _key_problems(entry, rl)
    if entry.role == START:
        there = {file.name for file in files} >= {"adapter_config.json", "adapter_model.safetensors"}
        return [] if there else [f"{where}: {entry.path} is not an adapter; name a folder with adapter_config.json"]
    return _row_problems(entry, files, root) or _key_problems(entry, rl)


@functools.cache
def known_types() -> frozenset[str]:
    """The types of dataset that Axolotl has: a module each, and a few that it knows by name."""
    package = importlib.util.find_spec("axolotl")
    places = [Path(place) / "prompt_strategies" for place in (package and package.submodule_search_locations) or []]
    modules = {file.stem for place in places for file in place.glob("[a-z]*.py")} - {"base", "jinja_template_analyzer"}
    return frozenset(modules | {"messages.chat", "messages", *COLUMNS, "explainchoice", "concisechoice"})


def _key_problems(entry: Entry, rl: bool) -> list[str]:
    """What is wrong with how an entry says it is to be read, whatever its rows are."""
    given, problems = entry.given, []
    kind = given.get("type")
    if not kind:
        problems.append(f"{entry.where}.type: missing; set chat_template, or another type that Axolotl knows")
    elif isinstance(kind, str) and kind.startswith("sharegpt"):
        pass  # Axolotl's own line says what to use instead
    elif isinstance(kind, str) and not rl and kind.split(":")[0].split(".load")[0] not in known_types():
        near = difflib.get_close_matches(kind, known_types(), n=1)
        hint = f"did you mean {near[0]}?" if near else "set chat_template"
        problems.append(f"{entry.where}.type: Axolotl knows no type {kind}; {hint}")
    for key in ("shards", "preprocess_shards"):
        number = given.get(key)
        if number is not None and not (isinstance(number, int) and number > 0):
            problems.append(f"{entry.where}.{key}: {number} is not a number of parts; set one above 0")
    if isinstance(given.get("shards"), int) and not 0 <= int(given.get("shards_idx") or 0) < max(given["shards"], 1):
        problems.append(f"{entry.where}.shards_idx: {given['shards_idx']} is not in 0 to {given['shards'] - 1}")
    return problems


def _row_problems(entry: Entry, files: list[Path], root: Path) -> list[str]:
    """What is wrong with the first bad row, or with all rows together; at most one line."""
    chat = entry.given.get("type") == "chat_template"
    columns = COLUMNS.get(str(entry.given.get("type")), ()) if not entry.given.get("field") else ()
    rows, seen = 0, set[str]()
    for file in files:
        name = shown_path(file, root)
        name = entry.path if len(files) == 1 and not (root / entry.path).is_dir() else name
        try:
            for where, row in read_rows(file, entry.given):
                rows += 1
                if not isinstance(row, dict):
                    raise BrokenRow(f"{where} is not a JSON object")
                if what := _chat_problem(row, entry.given, seen) if chat else None:
                    raise BrokenRow(f"{where} {what}")
                if absent := [column for column in columns if row.get(column) is None]:
                    key, kind = f"{entry.where}.type", entry.given["type"]
                    return [f"{key}: {name}: {where} has no {absent[0]}, which {kind} needs; set the type of its rows"]
        except BrokenRow as error:
            return [f"{entry.where}.path: {name}: {error}; run `make data` again"]
    if not rows:
        return [f"{entry.where}.path: {entry.path}: has no rows; run `make data` again"]
    return _untrained_roles(entry, seen) if chat else []


def _chat_problem(row: dict[str, Any], given: dict[str, Any], seen: set[str]) -> str | None:
    """What keeps a chat row from training the assistant: no turns, no text, a last turn by someone else.

    Notes every role that occurs in `seen`, as the model will see it.
    """
    field = given.get("field_messages") or "messages"
    turns = row.get(field)
    if not isinstance(turns, list) or not turns:
        return f"has no {field}"
    role, content = turn_names(given)
    known = roles_of(given)
    for turn in turns:
        if not isinstance(turn, dict) or not isinstance(turn.get(role), str):
            return f"has a turn without {role}"
        if not isinstance(turn.get(content), str):
            return f"has a turn without {content}"
        seen.add(known.get(turn[role]) or turn[role])
    last = turns[-1]
    if known.get(last[role], last[role]) != "assistant":
        return f"ends with a turn by {last[role]}, not by the assistant"
    return None if last[content].strip() else "ends with an empty answer"


def turn_names(given: dict[str, Any]) -> tuple[str, str]:
    """The keys of a turn that hold its role and its text; Axolotl knows an old way to say it and a new one."""
    old = {"role": given.get("message_field_role"), "content": given.get("message_field_content")}
    mappings = given.get("message_property_mappings")
    names = {name: value for name, value in old.items() if value} | (mappings if isinstance(mappings, dict) else {})
    return str(names.get("role") or "role"), str(names.get("content") or "content")


def roles_of(given: dict[str, Any]) -> dict[str, str]:
    """Role in the data -> role for the model: Axolotl's own list, or the entry's `roles` in its place."""
    roles = given.get("roles")
    if not isinstance(roles, dict):
        return OF_AXOLOTL
    return {str(source): str(target) for target, names in roles.items() for source in names or []}


def _untrained_roles(entry: Entry, seen: set[str]) -> list[str]:
    """A role to train that no row has teaches nothing."""
    known, asked = roles_of(entry.given), entry.given.get("roles_to_train")
    if asked is not None and not (isinstance(asked, list) and asked and all(isinstance(one, str) for one in asked)):
        return [f"{entry.where}.roles_to_train: must be a list of roles; set [assistant]"]
    for role in asked or ["assistant"]:
        if known.get(role, role) not in seen:
            near = difflib.get_close_matches(role, sorted(seen | known.keys()), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(seen))}"
            return [f"{entry.where}.roles_to_train: no row has a turn by {role}; {hint}"]
    return []
