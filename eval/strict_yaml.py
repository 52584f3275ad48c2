"""YAML read strictly: a key given twice is an error, and so is, in one line, whatever else cannot be read.

    value = parse_yaml(text)      raises BrokenYaml: `line 3: lora_r is given twice`

PyYAML keeps the last of two equal keys silently, reads 010 as 8 and 1:30 as 90 (YAML 1.1), and lets several Python
errors through: of an impossible date, of a number of thousands of digits, of a tag that does not fit its value, of
lists in lists in lists.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

SURPRISING = re.compile(r"[-+]?(?:0[0-7_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)")


class BrokenYaml(ValueError):
    """What is wrong with a YAML text, in one line."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises BrokenYaml."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BrokenYaml(f"{line}{error.problem}") from None
    except RecursionError:
        raise BrokenYaml("nested too deeply") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise BrokenYaml(" ".join(str(error).split())) from None


class _StrictLoader(yaml.SafeLoader):
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
