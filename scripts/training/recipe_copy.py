"""A recipe with one more dataset, as text: comments and order stay, and so does all else that it says.

    copied(text, dataset, comment, "-replay10")        UserError where the text cannot be added to by lines

Where files go gets the ending as well: under the recipe's own folders, Axolotl would continue its checkpoints and take
its prepared data.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from eval.common.errors import UserError

FOLDERS = ("output_dir", "dataset_prepared_path")


def copied(text: str, dataset: Mapping[str, Any], comment: str, ending: str) -> str:
    """The recipe's text with a dataset more. UserError for one whose `datasets` is not a list of lines."""
    before, lines = yaml.safe_load(text), text.splitlines()
    composed = yaml.compose(text)
    nodes = {key.value: value for key, value in composed.value} if isinstance(composed, yaml.MappingNode) else {}
    listed = nodes.get("datasets")
    if not isinstance(listed, yaml.SequenceNode) or listed.flow_style or not listed.value:
        raise UserError("datasets: must be a list with a line for each key, for `make replay` to add to; rewrite it so")
    indent = " " * listed.start_mark.column
    entry = [f"{indent}# {comment}"]
    entry += [
        f"{indent}{'- ' if not place else '  '}{key}: {flow(value)}"
        for place, (key, value) in enumerate(dataset.items())
    ]
    expected = {**before, "datasets": [*before["datasets"], dict(dataset)]}
    for key in FOLDERS:
        if isinstance(before.get(key), str):
            mark = nodes[key]
            expected[key] = before[key] + ending
            line = lines[mark.start_mark.line]
            rest = line[mark.end_mark.column :]
            lines[mark.start_mark.line] = f"{line[: mark.start_mark.column]}{expected[key]}{rest}"
    last = last_line(listed)
    lines[last + 1 : last + 1] = entry
    made = "\n".join(lines) + "\n"
    if yaml.safe_load(made) != expected:
        raise UserError("the recipe cannot be added to by lines: write `datasets` and folders one key a line")
    return made


def flow(value: Any) -> str:
    """A value on one line, as YAML."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def last_line(node: yaml.Node) -> int:
    """The line of the last word of a node: the end of a block sequence is where the next key begins."""
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return last_line(node.value[-1])
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return last_line(node.value[-1][1])
    return int(node.end_mark.line)
