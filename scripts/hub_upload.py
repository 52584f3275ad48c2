"""What goes up, and sending it: the upload set of a verified run, one commit, one tag, and reading it back.

    folder = build("OWNER/NAME", evidence)           publication/ in the run folder; no network
    record = upload(folder, "OWNER/NAME", tag)       called by scripts.publish after everything is verified

Status: `upload` has never met the real Hub. It ran by hand against a throwaway loopback server, with the real
client; a later issue commits that server as a test. The token comes from huggingface_hub's own sources (HF_TOKEN,
`hf auth`). Not handled yet: a kill between tag and publication.json, after which the tag refuses a second try.

The repository is created private. Files of an earlier version that are not in `folder` are deleted by the same
commit: a left-over adapter_model.bin would be loaded as a pickle. An existing tag is never moved.
"""

import datetime
import shutil
import tempfile
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from eval.errors import Refused, UserError
from eval.files import read_json, write_json, write_text
from eval.provenance import file_sha256, folder_digests, write_manifest
from scripts.card import MANIFEST, Evidence, hub_base, render_card
from scripts.secret_patterns import refuse_secrets

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FROM_RUN = ("metrics.json", "report.md")
HUB_OWN_FILES = (".gitattributes",)  # written by the Hub itself


def build(repo: str, evidence: Evidence) -> Path:
    """publication/, whole: exactly the files that go up, in a folder made anew each time.

    Raises Refused when a file changed since it was verified, the adapter names another base than the recipe,
    or the card holds a credential.
    """
    target = evidence.folder / "publication"
    partial = target.with_name("publication.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _fill(partial, repo, evidence)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # nothing half-made, or refused, stays to be sent by hand
    return target


def _fill(partial: Path, repo: str, evidence: Evidence) -> None:
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
    write_text(partial / "README.md", render_card(repo, base, evidence))
    write_manifest(partial, partial / MANIFEST)
    refuse_secrets([path for path in sorted(partial.iterdir()) if path.name != WEIGHTS], partial)


def copy_verified(source: Path, target: Path, digest: str) -> None:
    """Copy the bytes that were verified. Refused when they are other bytes by now."""
    shutil.copyfile(source, target, follow_symlinks=False)
    if target.is_symlink() or file_sha256(target) != digest:
        raise Refused(f"{source} changed while it was being published")


def upload(folder: Path, repo: str, tag: str) -> dict[str, Any]:
    """Commit, tag, download, compare; returns publication.json.

    Raises UserError when the Hub cannot be used (network, token, a commit in between), Refused when the tag
    exists or what comes back is not what was sent.
    """
    try:
        return _upload(HfApi(), folder, repo, tag)
    except LocalTokenNotFoundError:
        raise UserError("no Hugging Face token: set HF_TOKEN, or log in with `hf auth login`") from None
    except OfflineModeIsEnabled:
        raise UserError("HF_HUB_OFFLINE is set, and publishing needs the Hub: unset it") from None
    except LocalEntryNotFoundError:
        raise UserError(f"{repo} was written, and could not be read back: compare it by hand before use") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = {
            401: "the token is missing, wrong or expired: set HF_TOKEN",
            403: "the token may not write here: use one with write access to the owner",
            409: "someone else pushed meanwhile: look at the repository, then publish again",
        }.get(status, "publish again later")
        raise UserError(f"the Hub answered {status} for {repo}: {advice}") from None
    except httpx.HTTPError as error:
        raise UserError(f"the Hub cannot be reached ({type(error).__name__}): publish again later") from None


def _upload(api: HfApi, folder: Path, repo: str, tag: str) -> dict[str, Any]:
    sent = folder_digests(folder)
    api.create_repo(repo, private=True, exist_ok=True)
    if tag in [ref.name for ref in api.list_repo_refs(repo).tags]:
        raise Refused(f"{repo} already has tag {tag}: a published run is never replaced")
    before = api.model_info(repo)
    remote = {file.rfilename for file in before.siblings or []}
    stale = sorted(remote - sent.keys() - set(HUB_OWN_FILES))
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in sent),
        *(CommitOperationDelete(path_in_repo=name) for name in stale),
    ]
    commit = api.create_commit(repo, operations, commit_message=f"Publish run {tag}", parent_commit=before.sha).oid
    api.create_tag(repo, tag=tag, revision=commit, exist_ok=False)
    received = download_digests(api, repo, commit)
    wrong = sorted(name for name in sent.keys() | received.keys() if sent.get(name) != received.get(name))
    if wrong:
        raise Refused(f"{repo} at {commit} gives back other bytes for {', '.join(wrong)}: do not use it")
    return {
        "schema_version": 1,
        "repo": repo,
        "commit": commit,
        "tag": tag,
        "private": before.private,
        "endpoint": api.endpoint,
        "digests": received,
        "verified": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def download_digests(api: HfApi, repo: str, commit: str) -> dict[str, str]:
    """Digest by name of every file of a commit, downloaded into a cache that holds nothing yet."""
    with tempfile.TemporaryDirectory() as cache:
        snapshot = Path(api.snapshot_download(repo, revision=commit, cache_dir=cache))
        files = [path for path in snapshot.rglob("*") if path.is_file()]
        digests = {path.relative_to(snapshot).as_posix(): file_sha256(path) for path in files}
    return {name: digests[name] for name in sorted(digests) if name not in HUB_OWN_FILES}
