"""Send publication/ to the Hub: one commit, downloaded again, compared, loaded, and only then tagged.

    sent = upload(api, folder, digests, Target(repo, tag, public=False), look(api, target), prove)

Every step first looks at what is there already, so that the same command completes what a fault cut short: a large
file that arrived is not sent again, a commit or tag whose answer was lost is found by its content. The tag is
made last and never moved; under it is what was verified, or nothing. A repository is created private, and made public
only on request and after everything else. The token comes from huggingface_hub's own sources (HF_TOKEN, `hf auth`).

Files of an earlier version that are not in `folder` are deleted by the same commit: a left-over adapter_model.bin
would be loaded as a pickle. Of an earlier version is what its own MANIFEST.sha256 lists; a repository that holds any
other file is refused instead.

Not protected against: a Hub that answers its uploader honestly and its readers not; whoever else may write to the
repository, after the tag was made.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from eval.common.errors import Refused, UserError
from eval.common.hub_client import answers_within
from eval.common.reading import open_regular, read_bytes
from eval.run.digests import CHUNK_BYTES, folder_digests, names_below, read_manifest
from scripts.publishing.card import MANIFEST
from scripts.publishing.hub_errors import hub_errors
from scripts.publishing.load_back import Loaded
from scripts.publishing.model_signature import NAME as SIGNATURE

HUB_OWN_FILES = (".gitattributes",)  # written by the Hub itself
SMALL_BYTES = 16 << 20
LARGEST_MANIFEST = 64 << 10  # bytes; ours has a line for each of about a dozen files
TRUSTED = "hf_jwt_"  # how tokens of trusted publishing begin: of one repository that is there, and of no account
Prove = Callable[[Path, str, Path, HfApi], Loaded | None]


@dataclass(frozen=True)
class Target:
    repo: str
    tag: str
    public: bool = False


@dataclass(frozen=True)
class Remote:
    """What the Hub has before anything is sent. `head` None: the repository does not exist."""

    publisher: str
    head: str | None
    private: bool
    tags: dict[str, str]


@dataclass(frozen=True)
class Sent:
    commit: str
    digests: dict[str, str]
    private: bool
    publisher: str
    loaded: Loaded | None


def look(api: HfApi, target: Target) -> Remote:
    """Account, newest commit, visibility and tags. Changes nothing."""
    with hub_errors(target.repo):
        trusted = (get_token() or "").startswith(TRUSTED)
        publisher = "a trusted publisher (OIDC)" if trusted else str(api.whoami()["name"])
        try:
            info = api.model_info(target.repo)
        except RepositoryNotFoundError:
            if trusted:
                raise UserError(
                    f"{target.repo} is not there, and a trusted publisher makes none: create it first"
                ) from None
            return Remote(publisher, None, True, {})
        return Remote(publisher, info.sha, bool(info.private), tags_of(api, target.repo))


def check_remote(api: HfApi, folder: Path, target: Target, remote: Remote) -> None:
    """Refused when the repository is public unasked, its tag holds something else, or its files are not ours."""
    if remote.head is None:
        return
    if not remote.private and not target.public:
        raise Refused(f"{target.repo} is public: say so with PUBLIC=1, or make it private first")
    tagged = remote.tags.get(target.tag)
    if tagged and not holds(api, target.repo, tagged, folder):
        raise Refused(f"{target.repo} already has tag {target.tag} with other content: a published tag is never moved")
    if not tagged:
        stale_files(api, target.repo, remote.head, folder)


def stale_files(api: HfApi, repo: str, head: str, folder: Path) -> list[str]:
    """Files of an earlier version that `folder` does not have. Refused when one is not of an earlier version.

    Many repositories have a MANIFEST.sha256: only what it lists is taken for ours, with that digest where the Hub
    tells one.
    """
    there = {file.path: file for file in listing(api, repo, head)}
    stale = sorted(there.keys() - set(names_below(folder)) - set(HUB_OWN_FILES))
    listed = published_manifest(api, repo, head, there.get(MANIFEST)) if stale else {}
    if listed:
        listed.setdefault(SIGNATURE, "")  # it signs the list, which therefore cannot have it
    for name in stale:
        large = there[name].lfs
        if name not in listed or (large and large.sha256 != listed[name]):
            raise Refused(f"{repo} holds {name}, which was not published from here: name another REPO")
    return stale


def published_manifest(api: HfApi, repo: str, head: str, entry: RepoFile | None) -> dict[str, str]:
    """What MANIFEST.sha256 of a commit lists; nothing when it is missing, too large or no manifest."""
    if entry is None or entry.size > LARGEST_MANIFEST:
        return {}
    with tempfile.TemporaryDirectory(prefix="publish-") as cache, answers_within(LARGEST_MANIFEST):
        try:
            return read_manifest(Path(api.hf_hub_download(repo, MANIFEST, revision=head, cache_dir=cache)))
        except ValueError:
            return {}


def upload(api: HfApi, folder: Path, digests: dict[str, str], target: Target, remote: Remote, prove: Prove) -> Sent:
    """Commit, download, compare, load, tag. Raises Refused when what comes back is not what was verified.

    `digests` are those that were verified: only these files are sent, each once its bytes are those.
    Raises UserError when the Hub cannot be used: network, token, a commit in between, an answer that is none.
    """
    with hub_errors(target.repo):
        commit = remote.tags.get(target.tag) or send(api, folder, digests, target, remote)
        with tempfile.TemporaryDirectory(prefix="publish-") as cache:
            snapshot = fetch(api, folder, digests, target.repo, commit, Path(cache))
            received = folder_digests(snapshot, ignore=HUB_OWN_FILES)
            wrong = sorted(name for name in digests.keys() | received.keys() if digests.get(name) != received.get(name))
            if wrong:
                raise Refused(
                    f"{target.repo} at {commit} gives back other bytes for {', '.join(wrong)}: it was not tagged; "
                    "publish again, and do not use this commit"
                )
            loaded = prove(snapshot, commit, Path(cache), api)
        make_tag(api, target, commit)
        private = api.model_info(target.repo).private
        if target.public and private:
            api.update_repo_settings(target.repo, private=False)
            private = api.model_info(target.repo).private
        return Sent(commit, received, bool(private), remote.publisher, loaded)


def fetch(api: HfApi, folder: Path, digests: dict[str, str], repo: str, commit: str, cache: Path) -> Path:
    """The folder of what a commit gives back. No file may be larger, and none besides, than what was sent."""
    if more := {file.path for file in listing(api, repo, commit)} - {*digests, *HUB_OWN_FILES}:
        raise Refused(f"{repo} at {commit} lists {min(more)}, which was not sent: it was not tagged; name another REPO")
    with answers_within(max(LARGEST_MANIFEST, *((folder / name).stat().st_size for name in digests))):
        return Path(api.snapshot_download(repo, revision=commit, cache_dir=cache))


def send(api: HfApi, folder: Path, digests: dict[str, str], target: Target, remote: Remote) -> str:
    """The commit that holds exactly `folder`: the newest, when it does already, or a new one on top of it."""
    head = remote.head
    if head is None:
        api.create_repo(target.repo, private=True, exist_ok=True)
        head = api.model_info(target.repo).sha
    assert head is not None
    if holds(api, target.repo, head, folder):
        print("the files are on the Hub already", flush=True)
        return head
    stale = stale_files(api, target.repo, head, folder)  # once more: the repository may have come up since the look
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(addition(folder, name, digest) for name, digest in digests.items()),
        *(CommitOperationDelete(path_in_repo=name) for name in stale),
    ]
    print(f"sending {len(digests)} files to {target.repo}", flush=True)
    return api.create_commit(target.repo, operations, commit_message=f"Publish {target.tag}", parent_commit=head).oid


def addition(folder: Path, name: str, sha256: str) -> CommitOperationAdd:
    """What sends one file of the folder. Refused unless its bytes are those that were verified.

    A small file goes up as the bytes compared here, a large one by its digest, which the Hub checks on arrival.
    """
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise Refused(f"{path} is no plain file any more: publish again, with nobody else writing there")
    small = path.stat().st_size <= SMALL_BYTES
    made = CommitOperationAdd(path_in_repo=name, path_or_fileobj=read_bytes(path) if small else path)
    if made.upload_info.sha256.hex() != sha256:
        raise Refused(f"{path} is not what was verified any more: publish again, with nobody else writing there")
    return made


def make_tag(api: HfApi, target: Target, commit: str) -> None:
    """Tag the commit. Refused when the tag names another one, whoever made it."""
    tags = tags_of(api, target.repo)
    if target.tag not in tags:
        try:
            api.create_tag(target.repo, tag=target.tag, revision=commit, exist_ok=False)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
        tags = tags_of(api, target.repo)
    if tags.get(target.tag) != commit:
        raise Refused(f"tag {target.tag} of {target.repo} names another commit by now: a tag is never moved")


def tags_of(api: HfApi, repo: str) -> dict[str, str]:
    """Tag -> commit."""
    return {ref.name: ref.target_commit for ref in api.list_repo_refs(repo).tags}


def listing(api: HfApi, repo: str, revision: str) -> list[RepoFile]:
    """The files of a commit, as the Hub lists them."""
    tree = api.list_repo_tree(repo, revision=revision, recursive=True)
    return [entry for entry in tree if isinstance(entry, RepoFile)]


def holds(api: HfApi, repo: str, revision: str, folder: Path) -> bool:
    """Whether a commit lists exactly the files of `folder`, by digest, besides the Hub's own."""
    listed = {
        file.path: file.lfs.sha256 if file.lfs else file.blob_id
        for file in listing(api, repo, revision)
        if file.path not in HUB_OWN_FILES
    }
    if listed.keys() != set(names_below(folder)):
        return False
    return all(digest in content_names(folder / name) for name, digest in listed.items())


def content_names(path: Path) -> tuple[str, str]:
    """SHA-256 of a file, by which the Hub names a large one, and git's name of its content."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with open_regular(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()
