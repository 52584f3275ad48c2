"""What goes up, in a folder of its own, and publication.json, the record of it.

    folder = build("OWNER/NAME", evidence, tag)     publication/ in the run folder; no network
    record = read_record(run)                       None when the run was never published

The folder is made anew each time from the verified run, and its bytes are compared with what was verified. It
depends on the run, the repository and the tag alone, so that a second try sends the same bytes.
"""

import shutil
from pathlib import Path

from pydantic import Field, ValidationError

from eval.errors import Refused, UserError
from eval.files import first_problem, read_json, write_json, write_text
from eval.provenance import file_sha256, write_manifest
from eval.records import Record
from eval.results import Verdict
from scripts.adapter_files import CONFIG
from scripts.bom import write_bom
from scripts.card import MANIFEST, Evidence, hub_base, render_card
from scripts.load_back import Loaded
from scripts.secret_patterns import refuse_secrets
from scripts.verify_run import FROM_RUN, RECORD


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


def build(repo: str, evidence: Evidence, tag: str) -> Path:
    """publication/, whole: exactly the files that go up.

    Raises Refused when a file changed since it was verified, the adapter names another base than the recipe,
    or the card holds a credential.
    """
    target = evidence.folder / "publication"
    partial = target.with_name("publication.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _fill(partial, repo, evidence, tag)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # nothing half-made, or refused, stays to be sent by hand
    return target


def _fill(partial: Path, repo: str, evidence: Evidence, tag: str) -> None:
    base = hub_base(evidence.recipe)
    for name, digest in evidence.adapter_digests.items():
        copy_verified(evidence.folder / "adapter" / name, partial / name, digest)
    for name in FROM_RUN:
        copy_verified(evidence.folder / name, partial / name, evidence.review.digests[name])
    config = read_json(partial / CONFIG)
    named = Path(str(config.get("base_model_name_or_path"))).name
    if named != Path(str(evidence.recipe["base_model"])).name:
        raise Refused(f"{CONFIG} names base {named}, the recipe {evidence.recipe['base_model']}")
    write_json(partial / CONFIG, config | {"base_model_name_or_path": base.hub_id, "revision": base.revision})
    write_text(partial / "README.md", render_card(repo, base, evidence, tag))
    write_bom(repo, base, evidence, partial, tag)
    write_manifest(partial, partial / MANIFEST)
    refuse_secrets(sorted(partial.iterdir()), partial)


def copy_verified(source: Path, target: Path, digest: str) -> None:
    """Copy the bytes that were verified. Refused when they are other bytes by now."""
    shutil.copyfile(source, target, follow_symlinks=False)
    if target.is_symlink() or file_sha256(target) != digest:
        raise Refused(f"{source} changed while it was being published")


def read_record(run: Path) -> Publication | None:
    """publication.json of a run, None when there is none. UserError when it is broken."""
    file = run / RECORD
    if not file.is_file():
        return None
    try:
        return Publication.model_validate(read_json(file))
    except ValidationError as error:
        raise UserError(f"{file}: {first_problem(error)}; move it away and publish again") from None
