"""What goes up, in a folder of its own, and publication.json, the record of it.

    folder, digests = build("OWNER/NAME", evidence, tag)     publication/ in the run folder; no network
    record = read_record(run)                       None when the run was never published

The folder is made anew each time from the verified run. It depends on the run, the repository and the tag alone, so
that a second try sends the same bytes. `digests` say what has to be in it and are never read from it: they are those
that were verified, and those of the texts written here. What is swapped in on the disk is found out before it is sent,
and again when it comes back.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from eval.common.errors import Refused, UserError
from eval.run.digests import file_sha256, manifest_text, names_below, text_sha256
from eval.run.files import first_problem, json_text, read_json, write_text
from eval.run.metrics import Verdict
from eval.run.records import Record
from eval.run.secret_patterns import refuse_secrets
from eval.run.variant import MODEL
from scripts.publishing.adapter_files import CONFIG
from scripts.publishing.bom import NAME as BOM
from scripts.publishing.bom import render_bom
from scripts.publishing.card import MANIFEST, Base, Evidence, hub_base, render_card
from scripts.publishing.hub_results import hub_results
from scripts.publishing.load_back import Loaded
from scripts.publishing.model_signature import NAME as SIGNATURE
from scripts.publishing.model_signature import SigningKey, sign_folder
from scripts.publishing.spot_record import Spot
from scripts.publishing.verify_run import FROM_RUN, RECORD


class Publication(Record):
    """publication.json: where a run was published, and what was checked there."""

    schema_version: int = 1
    run: str
    verdict: Verdict
    reviewer: str
    signer: str | None = Field(None, description="whose key signed the review, where the suite asks for it")
    override: str | None = Field(None, description="the reviewer's reason to publish what is not a ship")
    endpoint: str
    repo: str
    tag: str
    commit: str
    private: bool
    publisher: str = Field(description="the account that the token belongs to")
    digests: dict[str, str] = Field(description="SHA-256 of every file, as downloaded again")
    loaded: Loaded | None = Field(description="null when loading it back was skipped")
    verified: str = Field(description="when, UTC")
    spot: Spot | None = Field(None, description="what was answered again; null in records made before that was done")
    signing_key: str | None = Field(None, description="SHA-256 of the public key (PEM) of model.sig; null: not signed")


def build(repo: str, evidence: Evidence, tag: str, key: SigningKey | None = None) -> tuple[Path, dict[str, str]]:
    """publication/, whole, and the digest of every file that has to be in it. With a key it is signed.

    Raises Refused when a file changed since it was verified, the adapter names another base than the recipe,
    or the card holds a credential.
    """
    target = evidence.folder / "publication"
    # A name of its own: another publish of the same run, or a left-over of a killed one, is not in the way.
    partial = Path(tempfile.mkdtemp(prefix="publication.", suffix=".partial", dir=evidence.folder))
    try:
        copied, written, digests = contents(repo, evidence, tag)
        for name in written:
            (partial / name).parent.mkdir(exist_ok=True)
        for name, source in copied.items():
            shutil.copyfile(source, partial / name, follow_symlinks=False)
        for name, text in written.items():
            write_text(partial / name, text)
        check_folder(partial, digests)
        if key:
            sign_folder(partial, key, target / SIGNATURE)
            digests[SIGNATURE] = file_sha256(partial / SIGNATURE)
        refuse_secrets([partial / name for name in names_below(partial)], partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # nothing half-made, or refused, stays to be sent by hand
    return target, dict(sorted(digests.items()))


def contents(repo: str, evidence: Evidence, tag: str) -> tuple[dict[str, Path], dict[str, str], dict[str, str]]:
    """What goes up: files to copy, texts to write, and the digests of both, by name.

    A file's digest is the one that was verified, not that of what stands on the disk by now.
    """
    base = hub_base(evidence.recipe)
    written = {"README.md": render_card(repo, base, evidence, tag), BOM: render_bom(repo, base, evidence, tag)}
    written |= hub_results(evidence)
    if evidence.variant is None:
        written[CONFIG] = json_text(published_config(evidence, base))
    source = evidence.folder / (MODEL if evidence.variant else "adapter")
    digests = {name: digest for name, digest in evidence.adapter_digests.items() if name not in written}
    copied = {name: source / name for name in digests} | {name: evidence.folder / name for name in FROM_RUN}
    digests |= {name: evidence.review.digests[name] for name in FROM_RUN}
    digests |= {name: text_sha256(text) for name, text in written.items()}
    written[MANIFEST] = manifest_text(digests)
    return copied, written, digests | {MANIFEST: text_sha256(written[MANIFEST])}


def published_config(evidence: Evidence, base: Base) -> dict[str, Any]:
    """adapter_config.json with the base as the Hub knows it. Refused where it names another base than the recipe."""
    config: dict[str, Any] = read_json(evidence.folder / "adapter" / CONFIG)
    named = Path(str(config.get("base_model_name_or_path"))).name
    if named != Path(str(evidence.recipe["base_model"])).name:
        raise Refused(f"{CONFIG} names base {named}, the recipe {evidence.recipe['base_model']}")
    return config | {"base_model_name_or_path": base.hub_id, "revision": base.revision}


def check_folder(folder: Path, digests: dict[str, str]) -> None:
    """Refused unless a folder holds exactly these plain files with exactly these bytes."""
    there = names_below(folder)
    for name in there:
        path = folder / name
        if path.is_symlink() or not path.is_file() or digests.get(name) != file_sha256(path):
            raise Refused(f"{path} is not what was verified, it changed while it was being published: publish again")
    if missing := sorted(digests.keys() - set(there)):
        raise Refused(f"{folder / missing[0]} is gone, it changed while it was being published: publish again")


def read_record(run: Path) -> Publication | None:
    """publication.json of a run, None when there is none. UserError when it is broken."""
    file = run / RECORD
    if not file.is_file():
        return None
    try:
        return Publication.model_validate(read_json(file))
    except ValidationError as error:
        raise UserError(f"{file}: {first_problem(error)}; move it away and publish again") from None
