"""YAML read strictly: a key given twice is an error, and so is, in one line, whatever else cannot be read.

    value = parse_yaml(text)      raises BrokenYaml: `line 3: lora_r is given twice`

PyYAML keeps the last of two equal keys silently, reads 010 as 8 and 1:30 as 90 (YAML 1.1), and lets several Python
errors through: of an impossible date, of a number of thousands of digits, of a tag that does not fit its value, of
lists in lists in lists. A few lines whose aliases name each other become gigabytes for whoever walks through the value:
what they expand to has a limit.
"""

import copy
import functools
import re
from collections.abc import Hashable
from typing import Any

import yaml

SURPRISING = re.compile(r"[-+]?(?:0[0-7_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)")
LARGEST_TEXT = 1 << 20  # characters; PyYAML reads a hundred thousand a second
MOST_MERGED = 1000  # keys of a mapping; each level of `<<: [*a, *a]` multiplies them
LARGEST_VALUE = 200_000  # scalars, lists and mappings, those behind an alias counted each time it is used


class BrokenYaml(ValueError):
    """What is wrong with a YAML text, in one line."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises BrokenYaml."""
    try:
        return copy.deepcopy(_parsed(text))  # whoever gets it may change it
    except RecursionError:  # of either: what was read before may be copied where the stack is deeper
        raise BrokenYaml("nested too deeply") from None


@functools.lru_cache(maxsize=16)  # a command reads its suite and its recipe several times, a tenth of a second each
def _parsed(text: str) -> Any:
    if len(text) > LARGEST_TEXT:
        raise BrokenYaml(f"longer than {LARGEST_TEXT:,} characters, so no recipe or suite")
    try:
        value = yaml.load(text, Loader=_StrictLoader)
        _expanded(value, {})
        return value
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BrokenYaml(f"{line}{error.problem}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise BrokenYaml(" ".join(str(error).split())) from None


def _expanded(value: Any, known: dict[int, int]) -> int:
    """How many values this one is, written out. BrokenYaml for too many, and for one that holds itself."""
    if not isinstance(value, dict | list | set | tuple):
        return 1
    if id(value) in known:
        if not known[id(value)]:
            raise BrokenYaml("an alias stands inside what it names")
        return known[id(value)]
    known[id(value)] = 0
    inner = [part for pair in value.items() for part in pair] if isinstance(value, dict) else list(value)
    size = 1 + sum(_expanded(part, known) for part in inner)
    if size > LARGEST_VALUE:
        raise BrokenYaml(f"its aliases expand to more than {LARGEST_VALUE:,} values")
    known[id(value)] = size
    return size


class _StrictLoader(yaml.SafeLoader):
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_MERGED:
            message = f"more than {MOST_MERGED:,} keys by `<<`"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value != "<<":
                if key_node.value in seen:
                    message = f"{key_node.value[:100]} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and isinstance(value, str) and SURPRISING.fullmatch(value):
            message = f"{value[:100]} would be read as another number (octal, or minutes and seconds): write it out"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return value

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:
            message = f"a value that cannot be read ({str(error)[:100] or type(error).__name__})"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None
