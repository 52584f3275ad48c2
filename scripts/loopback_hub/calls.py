"""The calls of the loopback Hub: one method each, as the real huggingface_hub client makes them.

Calls: exchange, whoami, create, delete, validate, preupload, batch, blob, verify, commit, tag, settings, info, refs,
tree and resolve. Requests and answers: connection.py; Jobs: job_calls.py; served by server.py. Not a Hub: no accounts
(one token, one user, any owner), no Xet, no pull requests, no rate limits of its own.
"""

import base64
import json
import re
import secrets
from typing import Any

from scripts.loopback_hub.connection import CHUNK_BYTES, Dropped
from scripts.loopback_hub.job_calls import JobCalls
from scripts.loopback_hub.store import is_large


class Handler(JobCalls):
    """The calls: each is a method of its name that answers once."""

    # Accounts and repositories

    def exchange(self) -> None:
        """Trusted publishing (RFC 8693): the identity of a CI job becomes a token of one repository."""
        asked = json.loads(self.read_body())
        kinds = {"grant_type": "grant-type:token-exchange", "subject_token_type": "token-type:id_token"}
        if any(asked.get(name) != f"urn:ietf:params:oauth:{kind}" for name, kind in kinds.items()):
            self.answer(400, {"error": "invalid_request"})
            return
        repo = asked["resource"]
        if self.hub.store.get(repo) is None or self.hub.trusted.get(repo) != asked["subject_token"]:
            self.answer(400, {"error": "invalid_grant", "error_description": "no publisher matches"})
            return
        token = "hf_jwt_" + secrets.token_hex(16)
        self.hub.exchanged[token] = repo
        kind = "urn:ietf:params:oauth:token-type:access_token"
        self.answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600, "issued_token_type": kind})

    def whoami(self) -> None:
        self.answer(200, {"name": self.hub.user, "type": "user", "orgs": [], "auth": {"type": "access_token"}})

    def create(self) -> None:
        asked = json.loads(self.read_body())
        repo = f"{asked.get('organization') or self.hub.user}/{asked['name']}"
        with self.hub.store.lock:
            if self.hub.store.get(repo):
                self.answer(409, {"error": "exists", "url": f"{self.hub.endpoint}/{repo}"})
                return
            self.hub.store.create(repo, private=asked.get("visibility", "public") == "private")
        self.answer(200, {"url": f"{self.hub.endpoint}/{repo}", "name": repo, "id": repo})

    def delete(self) -> None:
        asked = json.loads(self.read_body())
        repo = f"{asked.get('organization') or self.hub.user}/{asked['name']}"
        with self.hub.store.lock:
            found = self.repository(repo)
            if found:
                self.hub.store.remove(repo)
                self.answer(200, {})

    def settings(self, repo: str) -> None:
        asked = json.loads(self.read_body())
        with self.hub.store.lock:
            repository = self.repository(repo)
            if repository:
                repository.private = asked.get("visibility", "private") == "private"
                self.hub.store.save(repository)
                self.answer(200, {})

    def validate(self) -> None:
        content = json.loads(self.read_body())["content"]
        ok = content.startswith("---\n") and content.find("\n---", 4) > 0
        self.answer(200 if ok else 400, {"errors": [] if ok else [{"message": "no metadata"}], "warnings": []})

    # Writing

    def preupload(self, repo: str, rev: str) -> None:
        asked = json.loads(self.read_body())["files"]
        repository = self.repository(repo)
        if repository:
            present = repository.commits[repository.resolve(rev) or repository.head]
            files = []
            for entry in asked:
                blob, large = present.get(entry["path"]), is_large(entry["path"], entry["size"])
                oid = (blob.sha256 if large else blob.oid) if blob else None
                mode = "lfs" if large else "regular"
                files.append({"path": entry["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            self.answer(200, {"files": files})

    def batch(self, repo: str) -> None:
        asked = json.loads(self.read_body())["objects"]
        if self.repository(repo):
            objects = []
            for entry in asked:
                href = f"{self.hub.endpoint}/lfs/{entry['oid']}"
                actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
                # A broken copy does not count as present, so that a second try sends it again.
                objects.append(entry if self.hub.store.holds(entry["oid"]) else entry | {"actions": actions})
            self.answer(200, {"transfer": "basic", "objects": objects})

    def blob(self, oid: str) -> None:
        partial = self.hub.store.blobs / f"{oid}.{secrets.token_hex(4)}.partial"
        try:
            with partial.open("wb") as stream:
                for chunk in self.chunks():
                    stream.write(chunk)
                if self.current and self.current.kind == "alter":
                    stream.seek(-1, 2)
                    stream.write(bytes([chunk[-1] ^ 1]))
            self.hub.store.accept(partial, oid)
        finally:
            partial.unlink(missing_ok=True)
        self.answer(200, {})

    def verify(self, oid: str) -> None:
        self.read_body()
        held = self.hub.store.holds(oid)
        self.answer(200 if held else 422, {} if held else {"error": "the digest differs"})

    def commit(self, repo: str, rev: str) -> None:
        lines = [json.loads(line) for line in self.read_body().splitlines()]
        with self.hub.store.lock:
            repository = self.repository(repo)
            if not repository:
                return
            if self.current and self.current.kind == "overtaken":
                self.hub.store.commit(repo, "someone else", {"README.md": self.hub.store.put_bytes(b"theirs")}, [])
                repository = self.repository(repo)
                assert repository
            header = next(line["value"] for line in lines if line["key"] == "header")
            if header.get("parentCommit") not in (None, repository.head):
                self.answer(412, {"error": "A commit has happened since. Please refresh and try again."})
                return
            added, deleted = {}, []
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    added[value["path"]] = self.hub.store.put_bytes(base64.b64decode(value["content"]))
                elif line["key"] == "lfsFile":
                    path = self.hub.store.blobs / value["oid"]
                    if not path.is_file():
                        self.answer(400, {"error": f"{value['path']} was never uploaded"})
                        return
                    added[value["path"]] = self.hub.store.describe(value["oid"])
                elif line["key"] == "deletedFile":
                    deleted.append(value["path"])
            commit = self.hub.store.commit(repo, header["summary"], added, deleted)
        self.answer(200, {"commitOid": commit, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{commit}"})

    def tag(self, repo: str, rev: str) -> None:
        name = json.loads(self.read_body())["tag"]
        with self.hub.store.lock:
            repository = self.repository(repo)
            if not repository:
                return
            if self.current and self.current.kind == "overtaken":
                repository.tags[name] = next(iter(repository.commits))
                self.hub.store.save(repository)
            commit = repository.resolve(rev)
            if commit is None:
                self.answer(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
            elif name in repository.tags:
                self.answer(409, {"error": "Tag reference exists already"})
            else:
                repository.tags[name] = commit
                self.hub.store.save(repository)
                self.answer(200, {})

    # Reading

    def refs(self, repo: str) -> None:
        repository = self.repository(repo)
        if repository:
            branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}]
            tags = [
                {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
                for name, commit in repository.tags.items()
            ]
            self.answer(200, {"branches": branches, "converts": [], "tags": tags})

    def info(self, repo: str, rev: str = "main") -> None:
        found = self.revision(repo, rev)
        if found:
            repository, commit = found
            siblings = [{"rfilename": name} for name in repository.commits[commit]]
            known = {"id": repo, "modelId": repo, "private": repository.private, "tags": [], "downloads": 0}
            card = self.hub.store.card_data(repository.commits[commit])
            self.answer(200, {**known, "sha": commit, "siblings": siblings, "cardData": card})

    def tree(self, repo: str, rev: str) -> None:
        found = self.revision(repo, rev)
        if found:
            repository, commit = found
            entries = []
            for name, blob in repository.commits[commit].items():
                entry: dict[str, Any] = {"type": "file", "path": name, "size": blob.size, "oid": blob.oid}
                if is_large(name, blob.size):
                    entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
                entries.append(entry)
            self.answer(200, entries)

    def resolve(self, repo: str, rev: str, path: str) -> None:
        found = self.revision(repo, rev)
        if not found:
            return
        repository, commit = found
        blob = repository.commits[commit].get(path)
        if blob is None:
            self.answer(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        large = is_large(path, blob.size)
        start = int((re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) or ["", "0"])[1])
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob.sha256 if large else blob.oid}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{blob.size - 1}/{blob.size}"
        self.begin(206 if start else 200, blob.size - start, headers)
        if self.command == "HEAD":
            return
        kind = self.current.kind if self.current else None
        left = (blob.size - start) // 2 if kind in ("truncate", "lost") else blob.size - start
        with (self.hub.store.blobs / blob.sha256).open("rb") as stream:
            stream.seek(start)
            while left > 0 and (chunk := stream.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                if kind == "alter" and left == 0:
                    chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
                self.wfile.write(chunk)
        if kind in ("truncate", "lost"):
            raise Dropped
