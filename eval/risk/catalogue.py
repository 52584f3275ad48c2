"""The analyser's knowledge as block YAML, a folder a kind: rules/ and utilities/, one file a section."""

from pathlib import Path
from typing import Any

import yaml

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML was built with it: ten times as fast


def sections(folder: str) -> dict[str, Any]:
    """The content of every file of a folder beside this module, by section (the file's name)."""
    files = sorted((Path(__file__).parent / folder).glob("*.yaml"))
    return {file.stem: yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER) for file in files}
