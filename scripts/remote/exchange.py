"""The private Hub repository of one job: the code goes there, checkpoints and the run folder come back.

    exchange = Exchange(api, repo)
    exchange.prepare(bundle)          here: make it, private, with the code
    exchange.push(results, end)       there: everything of the run, in one commit
    exchange.ended(attempt)           here: what the machine says at its end; None before
    exchange.fetch(folder)            either side: what was pushed last, by its digests

Below `machine/` lie results/<run>/, `manifest.sha256` over it, and at the end `end.json`. One commit brings all
three, so that nobody sees half a run.

Not protected against: whoever else may write to the repository can change files and manifest together.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from eval.common.errors import Refused, UserError
from eval.common.reading import copy_regular, read_text
from eval.run.digests import folder_digests, manifest_text, verify_manifest
from eval.run.files import write_json, write_text

CODE = "code.bundle"
PLACE = "machine"
MANIFEST = "manifest.sha256"
END = "end.json"
LARGEST_END = 1 << 20  # bytes
LINK_BYTES = 1 << 20  # larger files are never rewritten in place: a hard link is a copy
AGAIN = "the same command continues"
ADVICE = {
    401: "the token is missing, wrong or expired: set HF_TOKEN",
    402: "the account has to pay, or free some storage, first",
    403: "the token may not write there: use one with write access to your own repositories",
    429: "too many requests: the same command continues",
}


class Broken(UserError):
    """What came back is not what was sent."""


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Every way in which the Hub cannot be used, as one line."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise UserError(f"the Hub answered {status} for {repo}: {ADVICE.get(status, AGAIN)}") from None
    except httpx.HTTPError as error:
        raise UserError(f"the connection to the Hub failed ({type(error).__name__}) for {repo}: {AGAIN}") from None
    except (LocalEntryNotFoundError, json.JSONDecodeError):
        raise UserError(f"{repo} could not be read: {AGAIN}") from None


class Exchange:
    """A job's repository, seen from either side."""

    def __init__(self, api: HfApi, repo: str) -> None:
        self.api, self.repo = api, repo

    def prepare(self, bundle: Path) -> None:
        """Make the repository where it is not there, and put the code into it. Refused when it is not private."""
        with hub_errors(self.repo):
            self.api.create_repo(self.repo, private=True, exist_ok=True)
            if not self.api.model_info(self.repo).private:
                raise Refused(f"{self.repo} is public, and would show the code and the run: make it private first")
            if not self.api.file_exists(self.repo, CODE):
                self.api.upload_file(path_or_fileobj=bundle, path_in_repo=CODE, repo_id=self.repo)

    def push(self, results: Path, end: dict[str, Any] | None = None, finished: bool = False) -> None:
        """Send results/<run>/ as it is now, in one commit, in place of what was there.

        `end`: the machine's last words. `finished`: checkpoints are not needed any more.
        """
        with tempfile.TemporaryDirectory(prefix="push-", dir=results.parent) as scratch:
            place = Path(scratch) / PLACE
            place.mkdir()
            for run in runs_of(results):
                snapshot(run, place / "results" / run.name, without_checkpoints=finished)
            write_text(place / MANIFEST, manifest_text(folder_digests(place)))
            if end is not None:
                write_json(place / END, end)
            with hub_errors(self.repo):
                self.api.upload_folder(
                    repo_id=self.repo, folder_path=place, path_in_repo=PLACE, delete_patterns=["*"],
                    commit_message="end" if end else "checkpoint",
                )  # fmt: skip

    def ended(self, attempt: int) -> dict[str, Any] | None:
        """The last words of this attempt's machine; None while there are none."""
        with hub_errors(self.repo), tempfile.TemporaryDirectory(prefix="exchange-") as cache:
            try:
                path = self.api.hf_hub_download(self.repo, f"{PLACE}/{END}", cache_dir=cache)
            except LocalEntryNotFoundError:  # the Hub could not be asked: not the same as "there is none"
                raise UserError(f"{self.repo} could not be read: {AGAIN}") from None
            except EntryNotFoundError:
                return None
            try:
                end = json.loads(read_text(Path(path), LARGEST_END))
            except ValueError:
                raise Broken(f"{END} in {self.repo} is no JSON: {AGAIN}") from None
        fits = isinstance(end, dict) and isinstance(end.get("code"), int) and isinstance(end.get("said"), str)
        if not fits:
            raise Broken(f"{END} in {self.repo} has another form: {AGAIN}")
        return end if end.get("attempt") == attempt else None

    def fetch(self, folder: Path) -> Path | None:
        """What was pushed last, below `folder`, once it agrees with its manifest; None when there is nothing.

        Broken when it does not agree; nothing of it is kept then.
        """
        shutil.rmtree(folder, ignore_errors=True)
        with hub_errors(self.repo):
            self.api.snapshot_download(self.repo, local_dir=folder, allow_patterns=f"{PLACE}/*")
        place = folder / PLACE
        if not (place / MANIFEST).is_file():
            return None
        (place / END).unlink(missing_ok=True)
        wrong = verify_manifest(place, place / MANIFEST)
        if wrong or any(path.is_symlink() for path in place.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)
            said = wrong[0] if wrong else "it holds a link"
            raise Broken(f"the run folder in {self.repo} was altered on the way ({said}): nothing of it was kept")
        return place / "results"

    def delete(self) -> None:
        """Remove the repository: everything of it is here, verified."""
        with hub_errors(self.repo):
            self.api.delete_repo(self.repo, missing_ok=True)


def runs_of(results: Path) -> list[Path]:
    """Run folders that were made on this machine: those of the repository's own evidence are not sent."""
    kept = ("demo", "latest", "bench", "noise", "compare")
    return sorted(
        path for path in results.glob("*")
        if path.name not in kept and not path.is_symlink() and (path / "run.json").is_file()
    )  # fmt: skip


def snapshot(run: Path, target: Path, without_checkpoints: bool) -> None:
    """A run folder as it is at this moment: small files copied, large ones linked, torn checkpoints left out."""
    for path in sorted(run.rglob("*")):
        part = path.relative_to(run)
        checkpoint = run / Path(*part.parts[:2]) if is_checkpoint(part) else None
        if path.is_dir() or path.is_symlink() or path.name.endswith(".partial"):
            continue
        if checkpoint and (without_checkpoints or not (checkpoint / "trainer_state.json").is_file()):
            continue
        copy = target / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.stat().st_size > LINK_BYTES:
                copy.hardlink_to(path)
            else:
                copy_regular(path, copy)
        except FileNotFoundError:  # the trainer removes old checkpoints meanwhile
            copy.unlink(missing_ok=True)


def is_checkpoint(part: Path) -> bool:
    """Whether a path inside a run folder belongs to a checkpoint."""
    return len(part.parts) > 2 and part.parts[0] == "training" and part.parts[1].startswith("checkpoint-")


def newest_checkpoint(results: Path) -> float:
    """When the newest whole checkpoint was written; 0 when there is none."""
    states = results.glob("*/training/checkpoint-*/trainer_state.json")
    times = [path.stat().st_mtime for path in states if path.is_file()]
    return max(times, default=0.0)
