"""The part of a run that a workflow hands on: what publishing reads, without checkpoints, logs and served forms.

    digest = bundle(run, Path("out"))       out/<run>, complete, and the digest that an approval names

An artifact can be downloaded by whoever may read the repository. It holds the adapter's weights, which publishing
sends, and no others; a file in which a credential is found ends it (exit 1) before anything can be uploaded.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from eval.common.errors import Refused, UserError
from eval.common.reading import copy_regular
from eval.run.digests import read_manifest, verify_manifest
from eval.run.secret_patterns import refuse_secrets
from eval.run.variant import MODEL, MODEL_MANIFEST
from scripts.publishing.approval import REVIEW, evidence_digest, present_digests

EVIDENCE = (".json", ".jsonl", ".yaml", ".md", ".html", ".sha256")  # suffixes of what stages write beside each other
LEFT_OUT = (REVIEW, "publication.json")  # of another time: here nobody has decided, and nothing is published
FIGURES, ADAPTER, MANIFEST = "figures", "adapter", "adapter.sha256"
WEIGHTS = {MODEL: MODEL_MANIFEST, ADAPTER: MANIFEST}  # folder of what publishing sends, and its list: a variant's first


def files_of(run: Path) -> Iterator[str]:
    """Relative paths of what is handed on. UserError for a run without its adapter or model, or with another than its
    list's."""
    for path in sorted(run.iterdir()):
        if path.suffix in EVIDENCE and path.name not in LEFT_OUT and path.is_file():
            yield path.name
    yield from (f"{FIGURES}/{path.name}" for path in sorted((run / FIGURES).glob("*.svg")))
    folder = MODEL if (run / MODEL_MANIFEST).is_file() else ADAPTER
    if problems := verify_manifest(run / folder, run / WEIGHTS[folder]):
        raise UserError(f"{run.name}: the {folder} is not the one that was judged: {problems[0]}: train again")
    yield from (f"{folder}/{name}" for name in read_manifest(run / WEIGHTS[folder]))


def bundle(run: Path, out: Path) -> str:
    """Copy what is handed on of a run to a new folder `out`/<run>; the digest of its evidence.

    Refused for a credential in it; UserError where the folder is there already, or a file cannot be copied.
    """
    target = out / run.name
    if target.exists():
        raise UserError(f"{target} is there already: remove it, or name another folder")
    try:
        for name in files_of(run):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            copy_regular(run / name, target / name)
        refuse_secrets(sorted(path for path in target.rglob("*") if path.is_file()), target, "train again")
    except (Refused, UserError, OSError):
        shutil.rmtree(target, ignore_errors=True)  # nothing is left that a later step could upload
        raise
    return evidence_digest(present_digests(target))
