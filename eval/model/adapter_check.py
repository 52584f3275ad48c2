"""Does an adapter's folder belong to a base: trained on it, and with nothing of its own but the update?

Answers are generated with the base's tokenizer and chat template. Those in the adapter's folder are what readers of the
published adapter will use, so they must be the same.
"""

import json
from pathlib import Path
from typing import Any

from eval.adapters.file_names import CONFIG, TOKENIZER, WEIGHTS
from eval.common.errors import UserError
from eval.common.reading import read_text
from eval.run.files import read_json

# Where a tokenizer came from and how a batch is laid out; neither changes the tokens of a prompt.
NO_MATTER = {"is_local", "local_files_only", "name_or_path", "padding", "padding_side", "truncation", "truncation_side"}


# Ways to start a LoRA that put the rest of each adapted weight into the base, in training and at every loading.
REWRITES_BASE = ("pissa", "olora", "corda", "loftq")
NO_BASE_LEFT = (
    "which rewrites the weights of the base that both arms share: train without it, or convert the adapter to a plain "
    "LoRA (PEFT's save_pretrained with path_initial_model_for_weight_conversion)"
)


def check_adapter(adapter: Path, base_model: str, shown: Path | None = None) -> None:
    """UserError unless the folder holds a safetensors LoRA adapter trained on this base, and leaves the base alone.

    `shown` is the folder's name for the reader, where it is a copy.
    """
    shown = shown or adapter
    config_file, weights = adapter / CONFIG, adapter / WEIGHTS
    for path in (config_file, weights):
        if not path.is_file():
            raise UserError(f"{shown / path.name} is missing: is {shown} an adapter? train again with `make train`")
    config = read_json(config_file)
    trained_on = config.get("base_model_name_or_path")
    if Path(str(trained_on)).name != Path(base_model).name:
        raise UserError(f"{shown} was trained on {trained_on}, not on {base_model}: use the run's own adapter")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(REWRITES_BASE):
        raise UserError(f"{shown} was trained with `peft_init_lora_weights: {start}`, {NO_BASE_LEFT}")


def check_tokenizer(adapter: Path, base: Path, shown: Path | None = None) -> None:
    """UserError when tokenizer or chat template beside the adapter are not the base's, as `base` holds them saved."""
    for name in TOKENIZER:
        own = adapter / name
        if own.is_file() and content(own) != (content(base / name) if (base / name).is_file() else None):
            raise UserError(
                f"{(shown or adapter) / name} is not the base's: answers are generated with the base's, so that what "
                "would be published was not measured; train with `chat_template: tokenizer_default` and no new tokens"
            )


def content(path: Path) -> Any:
    """A text as it is; a JSON file without what does not matter."""
    text = read_text(path)
    if path.suffix != ".json":
        return text
    value = json.loads(text)
    return {key: item for key, item in value.items() if key not in NO_MATTER} if isinstance(value, dict) else value
