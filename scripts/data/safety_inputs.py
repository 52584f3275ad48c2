"""The authored inputs of data/safety: loading them and checking that they are sound.

`load_inputs(folder)` reads the six YAML files and returns them as plain data, or raises one UserError that names
every problem found. The forms are told in the comment at the head of each file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from scripts.data.grammar import SLOT, Shape, entry_problems, fill, load_yaml, mask, parses, pool_of, repeated

LEAST_PHRASINGS = 4
LEAST_ASKS = 2  # of a contrast set
REFUSAL = "# Refused: "
EXPECTED = ("refuse", "ignore")
FIXTURES = ("project", "home", "logs", "none")
CHOICE = re.compile(r"\[([^\[\]]*)\]")
PROMPT = re.compile(r"(T\d{4}(?:\.\d{3})?) (\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A request that must not get what it asks for. `expected`: refuse, or ignore the planted part."""

    id: str
    category: str
    source: str
    expected: str
    text: str


@dataclass(frozen=True)
class Honest:
    """A request that looks scary, and its command. `fixture` is a tree it can run in, or None."""

    id: str
    category: str
    fixture: str | None
    request: str
    command: str


@dataclass(frozen=True)
class Inputs:
    """Everything authored. Training shapes have no test phrasings; `pools` fill their slots."""

    prompts: list[Prompt]
    honest: list[Honest]
    shapes: list[Shape]
    pools: dict[str, list[str]]


def load_inputs(folder: Path) -> Inputs:
    """Everything authored under `folder`. Raises UserError with all problems in one message."""
    problems: list[str] = []
    pools = load_pools(folder / "train_values.yaml", problems)
    shapes = load_refusals(folder / "train_refusals.yaml", problems)
    shapes += load_honest(folder / "train_honest.yaml", problems)
    shapes += load_contrast(folder / "train_contrast.yaml", problems)
    prompts = load_adversarial(folder / "adversarial.yaml", problems)
    honest = load_over_refusal(folder / "over_refusal.yaml", problems)
    if not problems:
        problems += shape_problems(shapes, pools)
    if problems:
        raise UserError("; ".join(problems))
    return Inputs(prompts, honest, shapes, pools)


def load_pools(path: Path, problems: list[str]) -> dict[str, list[str]]:
    content = load_yaml(path, dict, problems)
    problems += [f"{path.name}: {problem}" for problem in entry_problems(content, set(), set(content))]
    return content


def load_refusals(path: Path, problems: list[str]) -> list[Shape]:
    """Shapes whose answer is their category's refusal, or the command of their own for an honest part."""
    shapes = []
    for category, entry in load_yaml(path, dict, problems).items():
        where = f"{path.name}: {category}:"
        if not isinstance(entry, dict) or set(entry) != {"refusal", "shapes"} or not isinstance(entry["shapes"], dict):
            problems.append(f"{where} should be a mapping of `refusal` and `shapes`")
            continue
        if not re.fullmatch(re.escape(REFUSAL) + r"[^\n#]+\.", str(entry["refusal"])):
            problems.append(f"{where} the refusal should be one line: {REFUSAL}reason.")
        for name, content in entry["shapes"].items():
            if isinstance(content, list):
                content = {"command": entry["refusal"], "train": content}
            shapes += _shape(name, category, content, where, problems)
    return shapes


def load_honest(path: Path, problems: list[str]) -> list[Shape]:
    """Shapes of honest requests that look scary; their category is `honest`."""
    shapes = []
    for name, content in load_yaml(path, dict, problems).items():
        shapes += _shape(name, "honest", content, f"{path.name}:", problems)
    return shapes


def load_contrast(path: Path, problems: list[str]) -> list[Shape]:
    """One shape for each command of a set, `set.0` and on: its asks with that alternative of every `[a|b]`."""
    shapes = []
    for name, content in load_yaml(path, dict, problems).items():
        where = f"{path.name}: set {name}:"
        found = entry_problems(content, set(), {"commands", "asks"})
        if not found:
            commands, asks = content["commands"], content["asks"]
            found += [
                f"an ask needs {len(commands)} alternatives everywhere: {ask!r}"
                for ask in asks
                if {part.count("|") + 1 for part in CHOICE.findall(ask)} != {len(commands)}
            ]
        if found:
            problems += [f"{where} {problem}" for problem in found]
            continue
        for number, command in enumerate(commands):
            train = tuple(version(ask, number) for ask in asks)
            shapes.append(Shape(f"{name}.{number}", "honest", "known", command, train, ()))
    return shapes


def version(ask: str, number: int) -> str:
    """An ask with one alternative of each `[a|b]`."""
    return CHOICE.sub(lambda match: match[1].split("|")[number], ask)


def set_of(shape: Shape) -> str:
    """The contrast set that a shape is one side of; empty for any other."""
    name, dot, _ = shape.id.rpartition(".")
    return name if dot else ""


def _shape(name: str, category: str, content: Any, where: str, problems: list[str]) -> list[Shape]:
    found = entry_problems(content, {"command"}, {"train"})
    problems += [f"{where} shape {name}: {problem}" for problem in found]
    return [] if found else [Shape(name, category, "known", content["command"], tuple(content.get("train", ())), ())]


def shape_problems(shapes: list[Shape], pools: dict[str, list[str]]) -> list[str]:
    """Ids, phrasing counts, slots without a pool, pools without a slot, and commands that do not parse."""
    found = [f"shape id {name} is used twice" for name in repeated([shape.id for shape in shapes])]
    texts = [mask(text) for shape in shapes for text in shape.train]
    found += [f"the phrasing {text!r} occurs twice" for text in repeated(texts)]
    used: set[str] = set()
    for shape in shapes:
        least = LEAST_ASKS if set_of(shape) else LEAST_PHRASINGS
        if len(shape.train) < least:
            found.append(f"shape {shape.id} needs {least} phrasings or more")
        for phrasing in shape.train:
            slots = slots_of(phrasing)
            used |= {pool_of(slot) for slot in slots}
            if missing := set(shape.slots) - set(slots):
                found.append(f"shape {shape.id}: {phrasing!r} lacks the slot {{{sorted(missing)[0]}}} of the command")
        sample = {slot: pools.get(pool_of(slot), ["x"])[0] for slot in shape.slots}
        if not parses(fill(shape.command, sample)):
            found.append(f"shape {shape.id}: the command is not valid Bash")
    found += [f"slot {{{name}}} has no pool in train_values.yaml" for name in sorted(used - set(pools))]
    found += [f"pool {name} is used by no phrasing" for name in sorted(set(pools) - used)]
    return found


def slots_of(text: str) -> list[str]:
    return list(dict.fromkeys(pool + digits for pool, digits in SLOT.findall(text)))


def load_adversarial(path: Path, problems: list[str]) -> list[Prompt]:
    """Each prompt starts with its ATT&CK technique."""
    prompts: list[Prompt] = []
    for category, entry in load_yaml(path, dict, problems).items():
        found = entry_problems(entry, {"harm", "expected"}, {"prompts"})
        if not found and entry["expected"] not in EXPECTED:
            found = [f"expected is {entry['expected']!r}, use {' or '.join(EXPECTED)}"]
        problems += [f"{path.name}: {category}: {problem}" for problem in found]
        for number, text in enumerate([] if found else entry.get("prompts", []), start=1):
            match = PROMPT.fullmatch(text)
            if match is None:
                problems.append(f"{path.name}: {category}: prompt {number} should start with a technique like T1485")
                continue
            source = f"{entry['harm']} / {match[1]}"
            prompts.append(Prompt(f"{category}-{number:02}", category, source, entry["expected"], match[2]))
    return prompts


def load_over_refusal(path: Path, problems: list[str]) -> list[Honest]:
    """Each row is [fixture, request, command]."""
    rows: list[Honest] = []
    for category, entries in load_yaml(path, dict, problems).items():
        for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
            where = f"{path.name}: {category}: row {number}"
            if not isinstance(entry, list) or [type(part) for part in entry] != [str] * 3 or entry[0] not in FIXTURES:
                problems.append(f"{where} should be [fixture, request, command], fixture one of {', '.join(FIXTURES)}")
                continue
            fixture, request, command = entry
            if not parses(command) or "\n" in command:
                problems.append(f"{where}: the command is not one line of valid Bash")
            place = None if fixture == "none" else fixture
            rows.append(Honest(f"{category}-{number:02}", category, place, request, command))
    return rows
