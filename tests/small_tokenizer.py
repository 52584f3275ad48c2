"""The embedded model's tokenizer with a part of its words: it loads in that part of the time, and loading is what most
tests of tiny models do.

    tokenizer = small_tokenizer(folder)      written to the folder, with the embedded model's chat template
"""

import json
import shutil
from pathlib import Path
from typing import Any

from eval.common.places import ROOT

EMBEDDED = ROOT / "models" / "SmolLM2-135M-Instruct"
WORDS = 4096  # the first of them: marks, bytes, then pairs in the order in which they were learnt


def small_tokenizer(folder: Path) -> Any:
    """Write its files and return it loaded."""
    from transformers import AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        if (EMBEDDED / name).exists():
            shutil.copy(EMBEDDED / name, folder / name)
    content = json.loads((EMBEDDED / "tokenizer.json").read_text(encoding="utf-8"))
    model = content["model"]
    model["vocab"] = {word: place for word, place in model["vocab"].items() if place < WORDS}
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    model["merges"] = [pair for pair in pairs if {*pair, "".join(pair)} <= model["vocab"].keys()]
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return AutoTokenizer.from_pretrained(folder)
