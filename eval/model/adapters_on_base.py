"""Adapters on a loaded base: what is loaded is what was digested, every tensor of it, and it can be taken off again.

copy = exact_copy(adapter, folder)     files that nobody else can change, and the digest of their manifest
check_copies([copy], base, revision)   do they belong to the base
loaded = put_on(lm, arm, copy)         PEFT loads them; what of the file is in the model, by the file's own keys
taken_off(lm)                          False: what is left is not the base, load it again
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

import peft  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from eval.adapters.file_names import TOKENIZER, WEIGHTS  # noqa: E402
from eval.common.errors import UserError  # noqa: E402
from eval.common.hub_access import hub_problem  # noqa: E402
from eval.common.reading import copy_regular  # noqa: E402
from eval.model.adapter_check import check_adapter, check_tokenizer  # noqa: E402
from eval.model.base_proof import base_name, base_tensors  # noqa: E402
from eval.run.digests import folder_digests, manifest_text, text_sha256  # noqa: E402

NOT_ALONE = ("lora_A", "lora_embedding_A", "lora_magnitude_vector")  # change nothing where the update B is zero


@dataclass(frozen=True)
class Copy:
    """An adapter's files where nobody else writes. `shown` is where they come from, `sha256` of their manifest."""

    folder: Path
    shown: Path
    sha256: str


@dataclass(frozen=True)
class Loaded:
    """An adapter in the model: how many tensors its file has, how many are in the model, how many change something."""

    shown: Path
    sha256: str
    tensors: int
    tensors_loaded: int
    nonzero_updates: int


def exact_copy(adapter: Path, copy: Path) -> Copy:
    """Copy an adapter's folder and digest the copy, which will be loaded. UserError when that cannot be done."""
    try:
        return Copy(copy, adapter, text_sha256(manifest_text(_copied(adapter, copy))))
    except OSError as error:
        raise UserError(f"cannot copy {adapter} to {copy.parent}: {error}: room there, or another TMPDIR?") from error


def _copied(adapter: Path, copy: Path) -> dict[str, str]:
    copy.mkdir(parents=True)
    for source in sorted(path for path in adapter.rglob("*") if path.is_file()):
        target = copy / source.relative_to(adapter)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_regular(source, target)
    return folder_digests(copy)


def check_copies(copies: Iterable[Copy], base_model: str, revision: str | None) -> None:
    """UserError unless the adapters were trained on this base, leave it alone, and bring no tokenizer of their own."""
    copies = list(copies)
    for copy in copies:
        check_adapter(copy.folder, base_model, copy.shown)
    if not any((copy.folder / name).is_file() for copy in copies for name in TOKENIZER):
        return  # none to compare the base's with, which takes a part of a second to load
    with tempfile.TemporaryDirectory() as saved:
        with readable(base_model):
            transformers.AutoTokenizer.from_pretrained(base_model, revision=revision).save_pretrained(saved)
        for copy in copies:
            check_tokenizer(copy.folder, Path(saved), copy.shown)


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """A library that cannot read `what` says so in one line, as a UserError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        if problem := hub_problem(error, what):
            raise UserError(problem) from error
        first_line = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(f"cannot load {what}: {first_line}") from error


def put_on(lm: Any, arm: str, copy: Copy) -> Loaded:
    """Load an adapter under the arm's name, beside one that is loaded already. UserError when PEFT cannot."""
    with readable(f"adapter {copy.shown}"):
        if isinstance(lm.model, peft.PeftModel):
            lm.model.load_adapter(str(copy.folder), adapter_name=arm)
        else:
            lm._model = peft.PeftModel.from_pretrained(lm.model, str(copy.folder), adapter_name=arm)
        return Loaded(copy.shown, copy.sha256, *tensors_in_model(lm.model, arm, copy.folder))


def taken_off(lm: Any) -> bool:
    """Take every adapter off; whether what is left is the base that was loaded, and nothing else, bit for bit.

    PEFT does not always give it back: of a module in `modules_to_save` it leaves the trained copy in place, and of an
    adapter that failed to load halfway, its layers.
    """
    try:
        if isinstance(lm.model, peft.PeftModel):
            lm._model = lm.model.unload()
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):  # it cannot take off what it could put on
        return False
    return not (lm.proof.tensors_moved(lm.model, bare=True) or lm.proof.logits_moved(lm.model))


def tensors_in_model(model: Any, arm: str, folder: Path) -> tuple[int, int, int]:
    """Tensors of an adapter's file; how many are in the model with equal values; how many of them change something.

    PEFT's own list of an adapter's tensors leaves out what the file may hold besides (the matrix below an adapted
    output or embedding layer), so that what is not on the list is looked up in the whole model.
    """
    on_disk = safetensors.torch.load_file(folder / WEIGHTS)
    own = peft.get_peft_model_state_dict(model, adapter_name=arm, save_embedding_layers=False)
    whole = {**model.state_dict(), **own}
    base = dict(base_tensors(model))
    loaded = changing = 0
    for name, tensor in on_disk.items():
        found = whole.get(name)
        loaded += found is not None and same(found, tensor)
        changing += name in own and not any(part in name for part in NOT_ALONE) and changes(tensor, base, name)
    return len(on_disk), loaded, changing


def same(loaded: torch.Tensor, tensor: torch.Tensor) -> bool:
    """Whether a loaded tensor has the values of one in a file, up to the number type of the model."""
    return torch.equal(loaded.cpu(), tensor.to(loaded.dtype))


def changes(tensor: torch.Tensor, base: dict[str, torch.Tensor], name: str) -> bool:
    """Whether a tensor differs from what the base has in its place; from zero where it has nothing there."""
    there = base.get(base_name(name))
    return bool(tensor.any()) if there is None else not same(there, tensor)
