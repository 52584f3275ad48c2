"""What may be in an adapter's folder: plain files of its own, safetensors weights, text without code. Raises Refused.

Not protected against: weights that are valid and bad; what a later library does with a file harmless today.
"""

import stat
from pathlib import Path

from eval.adapters.file_names import CONFIG, TOKENIZER, WEIGHTS
from eval.adapters.safetensors_file import parse_object
from eval.common.errors import Refused, UserError
from eval.common.reading import read_bytes
from eval.run.digests import read_manifest, verify_manifest

LEFT_BEHIND = ("README.md", "config.json")  # PEFT's card and the base's settings: harmless, and not ours to send
CODE_KEYS = ("auto_map", "auto_mapping", "custom_pipelines")  # name Python to import when the file is loaded


def check_adapter(folder: Path) -> dict[str, str]:
    """Digest by name of the adapter's files, once all are plain, expected, and those of adapter.sha256."""
    adapter, manifest = folder / "adapter", folder / "adapter.sha256"
    if not adapter.is_dir():
        raise UserError(f"{adapter} is missing: its weights are not in git; publish where it was trained")
    if not manifest.is_file():
        raise UserError(f"{manifest} is missing: train again")
    for path in sorted(adapter.rglob("*")):
        check_plain(path)
    if problems := verify_manifest(adapter, manifest):
        raise Refused(f"{adapter}: {problems[0]}: this is not the adapter that was evaluated")
    listed = read_manifest(manifest)
    for name in listed:
        if name not in (WEIGHTS, CONFIG, *TOKENIZER, *LEFT_BEHIND):
            raise Refused(f"{adapter / name} is not a file of an adapter: only safetensors and text go up")
        if name != WEIGHTS:
            text = read_text(adapter / name)
            if name.endswith(".json"):
                check_object(adapter / name, text)
    for name in (WEIGHTS, CONFIG):
        if name not in listed:
            raise UserError(f"{adapter / name} is missing: train again")
    return {name: digest for name, digest in listed.items() if name not in LEFT_BEHIND}


def check_plain(path: Path) -> None:
    """Refused unless this is a regular file with one name. Nothing is opened: a pipe would wait for ever."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"{path} is not a plain file: what is published has no links, pipes or folders")
    if found.st_nlink != 1:
        raise Refused(f"{path} has another name elsewhere (a hard link), through which it can change: copy the run")


def check_object(path: Path, text: str) -> None:
    """Refused unless the text is a JSON object that names no code to import."""
    value = parse_object(path, text)
    # What adapter_config.json may say there has a rule of its own (eval/adapters/adapter_config.py).
    keys = CODE_KEYS if path.name != CONFIG else [key for key in CODE_KEYS if key != "auto_mapping"]
    if named := [key for key in keys if value.get(key)]:
        raise Refused(f"{path}: {named[0]} names code to run on loading: what is published is data only")


def read_text(path: Path) -> str:
    """A file as UTF-8 text. UserError when it is missing, Refused when it is not text."""
    try:
        return read_bytes(path).decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not a text file") from None
