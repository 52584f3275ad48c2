"""The state of the loopback Hub, on disk: repositories as JSON, contents by their digest.

    store = Store(folder)
    store.create("someone/adapter", private=True)
    commit = store.commit("someone/adapter", parent, "message", {"README.md": store.put(stream)}, deleted=[])
    store.add_model("org/base", Path("models/base"), revision="1" * 40)      its files are linked, not copied

Every change is one file written whole, under one lock: a server that is killed leaves a store that opens again.
Not a Hub: one branch, no pull requests, no garbage collection, no history of settings.
"""

import hashlib
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import ModelCard

from eval.run.digests import CHUNK_BYTES, json_sha256
from eval.run.files import read_json, write_json

LFS_SUFFIXES = (".safetensors", "tokenizer.json")
LFS_FROM_BYTES = 10_000_000
GITATTRIBUTES = b"".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n".encode() for suffix in LFS_SUFFIXES)


@dataclass(frozen=True)
class Blob:
    """Content as the Hub names it: `oid` is git's name of a plain file, `sha256` that of a large one."""

    sha256: str
    size: int
    oid: str


@dataclass
class Repository:
    """One repository, of a model or a dataset. `commits` maps a commit to its files (path -> Blob), oldest first."""

    id: str
    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, tag or commit id; None when there is none."""
        commit = self.head if revision == "main" else self.tags.get(revision, revision)
        return commit if commit in self.commits else None


class Store:
    """Every repository below one folder."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self.blobs, self.repositories = folder / "blobs", folder / "repositories"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.repositories.mkdir(exist_ok=True)

    def get(self, repo: str) -> Repository | None:
        file = self._file(repo)
        if not file.is_file():
            return None
        raw = read_json(file)
        commits = {
            commit: {name: Blob(**blob) for name, blob in files.items()} for commit, files in raw["commits"].items()
        }
        return Repository(raw["id"], raw["private"], commits, raw["tags"])

    def save(self, repository: Repository) -> None:
        write_json(self._file(repository.id), asdict(repository))

    def remove(self, repo: str) -> None:
        """Forget a repository; its contents stay, as others may have them."""
        self._file(repo).unlink(missing_ok=True)

    def create(self, repo: str, private: bool) -> Repository:
        """A repository with its first commit, as the Hub makes it."""
        files = {".gitattributes": self.put_bytes(GITATTRIBUTES)}
        repository = Repository(repo, private, {commit_id(repo, None, "initial commit", files): files})
        self.save(repository)
        return repository

    def commit(self, repo: str, message: str, added: dict[str, Blob], deleted: list[str]) -> str:
        """A commit on top of the newest; returns its id."""
        with self.lock:
            repository = self.get(repo)
            assert repository is not None
            kept = {name: blob for name, blob in repository.commits[repository.head].items() if name not in deleted}
            files = kept | added
            commit = commit_id(repo, repository.head, message, files)
            repository.commits[commit] = files
            self.save(repository)
            return commit

    def add_model(self, repo: str, folder: Path, revision: str) -> None:
        """Serve a local model folder as a public repository whose only commit is `revision`."""
        files = {}
        for path in sorted(folder.iterdir()):
            with path.open("rb") as stream:
                digest, size, oid = read_digests(stream, path.stat().st_size)
            link = self.blobs / digest
            if not link.exists():
                link.symlink_to(path.resolve())
            files[path.name] = Blob(digest, size, oid)
        self.save(Repository(repo, False, {revision: files}))

    def put_bytes(self, content: bytes) -> Blob:
        digest, oid = hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content)
        (self.blobs / digest).write_bytes(content)
        return Blob(digest, len(content), oid.hexdigest())

    def accept(self, partial: Path, oid: str) -> None:
        """Make an uploaded file the content named `oid`; whether it is, `holds` says."""
        partial.replace(self.blobs / oid)

    def card_data(self, files: dict[str, Blob]) -> dict[str, Any] | None:
        """The metadata block of README.md; None without one."""
        card = files.get("README.md")
        text = (self.blobs / card.sha256).read_text(encoding="utf-8") if card else ""
        return ModelCard(text, ignore_metadata_errors=True).data.to_dict() if text.startswith("---") else None

    def describe(self, digest: str) -> Blob:
        """The content of a name, measured. FileNotFoundError when it is not there."""
        path = self.blobs / digest
        with path.open("rb") as stream:
            _, size, oid = read_digests(stream, path.stat().st_size)
        return Blob(digest, size, oid)

    def holds(self, oid: str) -> bool:
        """Whether the content named `oid` is there and has that digest."""
        path = self.blobs / oid
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return read_digests(stream, path.stat().st_size)[0] == oid

    def _file(self, repo: str) -> Path:
        return self.repositories / f"{repo.replace('/', '--')}.json"


def commit_id(repo: str, parent: str | None, message: str, files: dict[str, Blob]) -> str:
    """40 hexadecimal digits, as a commit of git has them."""
    value: list[Any] = [repo, parent, message, {name: blob.sha256 for name, blob in files.items()}]
    return json_sha256(value)[:40]


def read_digests(stream: BinaryIO, size: int) -> tuple[str, int, str]:
    """SHA-256, size in bytes, and git's name of a stream's content."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    while chunk := stream.read(CHUNK_BYTES):
        sha256.update(chunk)
        git.update(chunk)
    return sha256.hexdigest(), size, git.hexdigest()


def is_large(name: str, size: int) -> bool:
    """Whether the Hub keeps a file in its large file storage."""
    return size > 0 and (name.endswith(LFS_SUFFIXES) or size > LFS_FROM_BYTES)
