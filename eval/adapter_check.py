"""Does an adapter's folder belong to a base: trained on it, and with nothing of its own but the update?

Answers are generated with the base's tokenizer and chat template. Those in the adapter's folder are what readers of the
published adapter will use, so they must be the same.
"""

import json
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.files import read_json
from eval.reading import read_text

# Where a tokenizer came from and how a batch is laid out; neither changes the tokens of a prompt.
NO_MATTER = {"is_local", "local_files_only", "name_or_path", "padding", "padding_side", "truncation", "truncation_side"}
TOKENIZER = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)


def check_adapter(adapter: Path, base_model: str) -> None:
    """UserError unless the folder holds a safetensors LoRA adapter trained on this base."""
    config_file, weights = adapter / "adapter_config.json", adapter / "adapter_model.safetensors"
    for path in (config_file, weights):
        if not path.is_file():
            raise UserError(f"{path} is missing: is {adapter} an adapter? train again with `make train`")
    trained_on = read_json(config_file).get("base_model_name_or_path")
    if Path(str(trained_on)).name != Path(base_model).name:
        raise UserError(f"{adapter} was trained on {trained_on}, not on {base_model}: use the run's own adapter")


def check_tokenizer(adapter: Path, base: Path) -> None:
    """UserError when tokenizer or chat template beside the adapter are not the base's, as `base` holds them saved."""
    for name in TOKENIZER:
        own = adapter / name
        if own.is_file() and content(own) != (content(base / name) if (base / name).is_file() else None):
            raise UserError(
                f"{own} is not the base's: answers are generated with the base's, so that what would be published "
                "was not measured; train with `chat_template: tokenizer_default` and no new tokens"
            )


def content(path: Path) -> Any:
    """A text as it is; a JSON file without what does not matter."""
    text = read_text(path)
    if path.suffix != ".json":
        return text
    value = json.loads(text)
    return {key: item for key, item in value.items() if key not in NO_MATTER} if isinstance(value, dict) else value
