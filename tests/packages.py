"""Packages with entry points, installed into a folder as pip leaves them, and found by this process."""

import hashlib
import importlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    site: Path, name: str, files: Mapping[str, str], entries: Mapping[str, Mapping[str, str]], version: str = "1.0"
) -> None:
    """Write a package's modules and its dist-info. `entries`: group -> name -> module:attribute."""
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    listed = "".join(
        f"[securecli_tuner.{group}]\n" + "".join(f"{key} = {place}\n" for key, place in own.items()) + "\n"
        for group, own in entries.items()
    )
    written = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/INSTALLER": "pip\n",
        f"{about}/entry_points.txt": listed,
    }
    record = ""
    for path, text in written.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
        digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    (site / about / "RECORD").write_text(f"{record}{about}/RECORD,,\n")


def found_by_this_process(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the folder were the environment's own."""
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
