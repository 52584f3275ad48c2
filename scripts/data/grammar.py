"""The authored grammar of request and command pairs: loading it and checking that it is sound.

A shape is one command with slots and several phrasings of the request for it. A slot `{file2}` draws
from the pool `file`. `load_grammar(folder)` reads `grammar/*.yaml`, `values.yaml` and `free.yaml` and
returns them as plain data, or raises one UserError that names every problem found.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter_bash
import yaml
from tree_sitter import Language, Node, Parser

from eval.common.errors import UserError
from eval.common.reading import read_text

SLOT = re.compile(r"\{([a-z]+)(\d*)\}")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C where it was built, ten times faster
SUBCOMMANDS = {"git", "ip", "xargs"}  # their first plain word says what they do
BASH = Parser(Language(tree_sitter_bash.language()))
OPERATORS = {"|", "||", "&&", ";", "&", "<", ">", ">>"}
LEAST_PHRASINGS = {"known": (6, 3), "unseen": (0, 4)}  # (train, test) phrasings of a shape

Pools = dict[str, dict[str, list[str]]]


@dataclass(frozen=True)
class Shape:
    """One command and the ways to ask for it. `known` shapes are trained, `unseen` ones only tested."""

    id: str
    category: str
    split: str
    command: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def slots(self) -> list[str]:
        """Slot names in the order in which the command first uses them."""
        return list(dict.fromkeys(pool + digits for pool, digits in SLOT.findall(self.command)))


@dataclass(frozen=True)
class FreeRow:
    """A pair written by hand, outside the grammar. `values` are its literal arguments."""

    id: str
    category: str
    request: str
    command: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    shapes: list[Shape]
    pools: Pools
    free: list[FreeRow]


def pool_of(slot: str) -> str:
    return slot.rstrip("0123456789")


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with each slot replaced by its value; a slot without one stays as it is."""
    return SLOT.sub(lambda match: values.get(match[1] + match[2], match[0]), text)


def parses(command: str) -> bool:
    """Does tree-sitter's Bash grammar accept `command`?"""
    return not BASH.parse(command.encode()).root_node.has_error


def skeleton(command: str) -> tuple[tuple[str, ...], ...]:
    """What is left of a command without its operands: utilities with their flags, and operators."""

    def walk(node: Node) -> Iterator[tuple[str, ...]]:
        text = (node.text or b"").decode()
        if node.type == "command":
            name, *words = [(child.text or b"").decode() for child in node.children]
            plain = [word for word in words if not word.startswith("-")]
            flags = sorted({word.split("=")[0] for word in words if re.match(r"--?\w", word)})
            yield (name, *(plain[:1] if name in SUBCOMMANDS else []), *flags)
        elif node.type in OPERATORS:
            yield (text,)
        else:
            for child in node.children:
                yield from walk(child)

    return tuple(walk(BASH.parse(SLOT.sub("@", command).encode()).root_node))


def load_grammar(folder: Path) -> Grammar:
    """Everything authored under `folder`. Raises UserError with all problems in one message."""
    problems: list[str] = []
    paths = sorted((folder / "grammar").glob("*.yaml"))
    if not paths:
        raise UserError(f"{folder / 'grammar'} holds no YAML file: it should hold one file of shapes a category")
    shapes = [shape for path in paths for shape in load_shapes(path, problems)]
    pools = load_pools(folder / "values.yaml", problems)
    free = load_free(folder / "free.yaml", problems)
    if not problems:
        problems += shape_problems(shapes, pools) + pool_problems(shapes, pools) + free_problems(free, pools)
    if problems:
        raise UserError("; ".join(problems))
    return Grammar(shapes, pools, free)


def load_yaml(path: Path, kind: type, problems: list[str]) -> Any:
    """The content of a YAML file, which must be a `kind`; on failure an empty one, and a problem."""
    try:
        content = yaml.load(read_text(path), Loader=LOADER)
    except FileNotFoundError:
        problems.append(f"{path} is missing: it is one of the authored inputs, restore it from git")
    except UnicodeDecodeError:
        problems.append(f"{path} is not UTF-8 text")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problems.append(f"{path} is not valid YAML, {where}{getattr(error, 'problem', None) or 'unreadable'}")
    else:
        if isinstance(content, kind):
            return content
        problems.append(f"{path} should hold a YAML {'list' if kind is list else 'mapping'}")
    return kind()


def load_shapes(path: Path, problems: list[str]) -> list[Shape]:
    shapes = []
    for number, entry in enumerate(load_yaml(path, list, problems), start=1):
        found = entry_problems(entry, {"id", "split", "command"}, {"train", "test"})
        where = f"{path.name}: shape {entry['id'] if isinstance(entry, dict) and 'id' in entry else number}"
        if not found and entry["split"] not in LEAST_PHRASINGS:
            found = [f"split is {entry['split']!r}, use known or unseen"]
        if found:
            problems += [f"{where}: {problem}" for problem in found]
            continue
        train, test = tuple(entry.get("train", ())), tuple(entry.get("test", ()))
        shapes.append(Shape(entry["id"], path.stem, entry["split"], entry["command"], train, test))
    return shapes


def load_free(path: Path, problems: list[str]) -> list[FreeRow]:
    rows = []
    for number, entry in enumerate(load_yaml(path, list, problems), start=1):
        found = entry_problems(entry, {"id", "category", "request", "command"}, {"values"})
        problems += [f"{path.name}: row {number}: {problem}" for problem in found]
        if not found:
            rows.append(FreeRow(**{**entry, "values": tuple(entry.get("values", ()))}))
    return rows


def entry_problems(entry: Any, texts: set[str], lists: set[str]) -> list[str]:
    """What is wrong with the keys and types of one entry: `texts` are required, `lists` optional."""
    if not isinstance(entry, dict):
        return ["should be a mapping"]
    found = [f"unknown key {key!r}" for key in entry if key not in texts | lists]
    for key in sorted(texts):
        if not isinstance(entry.get(key), str):
            found.append(f"key {key!r} is missing or not text")
    for key in sorted(lists & set(entry)):
        if not isinstance(entry[key], list) or not all(isinstance(item, str) for item in entry[key]):
            found.append(f"key {key!r} should be a list of texts (quote numbers)")
    return found


def load_pools(path: Path, problems: list[str]) -> Pools:
    pools: Pools = {}
    for name, pool in load_yaml(path, dict, problems).items():
        found = entry_problems(pool, set(), {"train", "test"})
        if not found and set(pool) != {"train", "test"}:
            found = ["needs both train and test"]
        problems += [f"{path.name}: pool {name}: {problem}" for problem in found]
        if not found:
            pools[name] = pool
    return pools


def shape_problems(shapes: list[Shape], pools: Pools) -> list[str]:
    """Per shape: id, phrasing counts, slots, syntax. Across shapes: ids and unseen skeletons."""
    found = [f"shape id {name} is used twice" for name in repeated([shape.id for shape in shapes])]
    trained = {skeleton(shape.command): shape.id for shape in shapes if shape.split == "known"}
    for shape in shapes:
        where = f"{shape.category}.yaml: shape {shape.id}:"
        least_train, least_test = LEAST_PHRASINGS[shape.split]
        if len(shape.train) < least_train or len(shape.test) < least_test:
            found.append(f"{where} needs {least_train} train and {least_test} test phrasings or more")
        if shape.split == "unseen" and shape.train:
            found.append(f"{where} is unseen and must have no train phrasing")
        for phrasing in shape.train + shape.test:
            if {p + d for p, d in SLOT.findall(phrasing)} != set(shape.slots):
                found.append(f"{where} the slots of {phrasing!r} are not those of the command")
        train, test = ([mask(phrasing) for phrasing in side] for side in (shape.train, shape.test))
        found += [f"{where} phrasing {text!r} is in train and in test" for text in train if text in test]
        found += [f"{where} phrasing {text!r} occurs twice" for text in repeated(train) + repeated(test)]
        sides = ("train", "test") if shape.split == "known" else ("test",)
        for pool, needed in Counter(map(pool_of, shape.slots)).items():
            if pool not in pools:
                found.append(f"{where} slot {{{pool}}} has no pool in values.yaml")
            elif any(len(pools[pool][side]) < needed for side in sides):
                found.append(f"{where} pool {pool} has too few values")
        sample = {slot: (pools.get(pool_of(slot), {}).get("test") or ["x"])[0] for slot in shape.slots}
        if not parses(fill(shape.command, sample)):
            found.append(f"{where} the command is not valid Bash")
        elif shape.split == "unseen" and skeleton(shape.command) in trained:
            known = trained[skeleton(shape.command)]
            found.append(f"{where} is unseen but has the command skeleton of the known shape {known}")
    return found


def mask(phrasing: str) -> str:
    """A phrasing reduced to what it says: lower case, slots without their number, single spaces."""
    return " ".join(SLOT.sub(r"{\1}", phrasing.lower()).split())


def repeated(items: list[str]) -> list[str]:
    return [item for item, count in Counter(items).items() if count > 1]


def train_values(pools: Pools) -> set[str]:
    return {value for pool in pools.values() for value in pool["train"]}


def pool_problems(shapes: list[Shape], pools: Pools) -> list[str]:
    """No value on both sides, across pools; no value twice in a pool; no pool without a use."""
    trained = train_values(pools)
    used = {pool_of(slot) for shape in shapes for slot in shape.slots}
    found = [f"values.yaml: pool {name} is used by no shape" for name in pools if name not in used]
    for name, pool in pools.items():
        where = f"values.yaml: pool {name}:"
        found += [f"{where} test value {text!r} is also a train value" for text in pool["test"] if text in trained]
        twice = repeated(pool["train"]) + repeated(pool["test"])
        found += [f"{where} value {text!r} occurs twice" for text in twice]
    return found


def free_problems(free: list[FreeRow], pools: Pools) -> list[str]:
    """Free rows are Bash, have their own ids, and name nothing that the training rows name."""
    trained = train_values(pools)
    found = [f"free.yaml: id {name} is used twice" for name in repeated([row.id for row in free])]
    for row in free:
        where = f"free.yaml: row {row.id}:"
        found += [f"{where} value {value!r} is a train value" for value in row.values if value in trained]
        found += [f"{where} value {value!r} is not in the command" for value in row.values if value not in row.command]
        if not parses(row.command):
            found.append(f"{where} the command is not valid Bash")
    return found
