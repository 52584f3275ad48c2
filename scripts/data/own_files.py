"""What `make data FILE=` writes: train.jsonl, test.jsonl, rejects.jsonl and MANIFEST.json, in bytes that repeat.

A file is replaced only where the MANIFEST.json beside it says that it was written here, and it has not been changed
since. The manifest is the one that training and publishing read: rows, digests, licence, and what cleaning removed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.contracts.guests import guests
from eval.contracts.task import Row, Task
from eval.run.digests import file_sha256
from eval.run.environment import git_state
from eval.run.files import json_text, read_json, write_bytes
from scripts.data.alike import GRAM
from scripts.data.own_lines import Reject
from scripts.data.own_shapes import Pair, messages
from scripts.data.own_split import SEED, SIMILAR

MANIFEST, MADE_BY = "MANIFEST.json", "make data FILE="


@dataclass
class Result:
    """What came of a file: the rows of each side, those left out, and the counts of each stage."""

    file: Path
    domain: str
    task: str
    system: str
    share: float
    stages: list[tuple[str, int, int]] = field(default_factory=list)  # name, kept, left out
    rejects: list[Reject] = field(default_factory=list)
    remarks: dict[str, tuple[int, str]] = field(default_factory=dict)  # about rows that are kept: how many, the first
    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    clusters: int = 0
    largest: int = 0

    def note(self, stage: str, kept: int, rejects: Sequence[Reject]) -> None:
        """The outcome of a stage."""
        self.stages.append((stage, kept, len(rejects)))
        self.rejects += rejects

    @staticmethod
    def ids_of(pairs: Sequence[Pair]) -> list[str]:
        """A name for each row: its own `id` where no other row has that, else a digest of what it asks and answers."""
        own = [str(pair.row["id"]) if isinstance(pair.row.get("id"), str | int) else "" for pair in pairs]
        often = Counter(own)
        texts = (f"{pair.prompt}\0{pair.gold}" for pair in pairs)
        digests = (f"row-{hashlib.sha256(text.encode()).hexdigest()[:16]}" for text in texts)
        return [name if name and often[name] == 1 else digest for name, digest in zip(own, digests, strict=True)]

    def split(self, pairs: Sequence[Pair], ids: Sequence[str], roots: Sequence[int], tested: set[int]) -> None:
        """Write each pair for its side, in the order of the file."""
        sizes = Counter(roots)
        self.clusters, self.largest = len(sizes), max(sizes.values())
        for place, pair in enumerate(pairs):
            names = {"id": ids[place], "cluster": ids[roots[place]]}
            if place in tested:
                self.test.append({**pair.row, **names})
            else:
                self.train.append({**names, "messages": messages(self.system, pair.prompt, pair.gold)})

    @staticmethod
    def line_of(row: Any) -> str:
        """A row as it is written."""
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"))

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and rows of each file but the manifest."""
        rejects = [{key: value for key, value in asdict(reject).items() if value != ""} for reject in self.rejects]
        files = {"train.jsonl": self.train, "test.jsonl": self.test, "rejects.jsonl": rejects}
        texts = {name: "".join(f"{self.line_of(row)}\n" for row in rows) for name, rows in files.items()}
        return {name: (text.encode(), len(files[name])) for name, text in texts.items()}

    def manifest(self, contents: dict[str, tuple[bytes, int]], licence: str | None, commit: str | None) -> bytes:
        """What was made of what. No time, no machine, no path but names."""
        reasons = Counter((reject.stage, reject.reason) for reject in self.rejects)
        content = {
            "schema_version": 1,
            "made_by": MADE_BY,
            "commit": commit,
            "source": "rows of the user's own",
            "licence": licence,
            "domain": self.domain,
            "task": self.task,
            "system_prompt": self.system or None,
            "inputs": [{"path": self.file.name, "sha256": file_sha256(self.file)}],
            "stages": [{"stage": stage, "kept": kept, "rejected": out} for stage, kept, out in self.stages],
            "rejected": [
                {"stage": stage, "reason": reason, "rows": rows} for (stage, reason), rows in reasons.items()
            ],
            "kept_though": {remark: rows for remark, (rows, _) in self.remarks.items()},
            "split": {
                "seed": SEED, "test": self.share, "letters": GRAM, "similar": SIMILAR, "clusters": self.clusters,
                "largest": self.largest,
            },
            "files": [
                {
                    "path": name,
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "rows": rows,
                    **({"cleaning": self.cleaning()} if name == "train.jsonl" and self.cleaning() else {}),
                }
                for name, (content, rows) in contents.items()
            ],
        }  # fmt: skip
        return json_text(content).encode()

    def cleaning(self) -> dict[str, int]:
        """How many rows each stage removed, as data.json of a run repeats it."""
        return {stage: out for stage, _, out in self.stages if out}


def write_result(result: Result, task: Task, folder: Path, licence: str | None, root: Path) -> list[str]:
    """Write the files. Gives lines for a reader. UserError before anything is written."""
    contents = result.contents()
    files = {name: content for name, (content, _) in contents.items()}
    files[MANIFEST] = result.manifest(contents, licence, git_state(root)["commit"])
    check_reads(task, contents["test.jsonl"])
    refuse_foreign(folder, files, result.file)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [f"data: written: {shown(folder, root)}/{{{','.join(files)}}}", *hints(task, folder, licence)]


def check_reads(task: Task, test: tuple[bytes, int]) -> None:
    """UserError when the task of a domain of one's own does not find the test rows in the file."""
    if not any(task in guest.domain.tasks for guest in guests().values()):
        return
    try:
        found = len(task.rows(test[0]))
    except Exception as error:  # whatever a task's own code raises
        said = type(error).__name__
        raise UserError(f"task {task.name}: its `read` fails on JSON lines ({said}): remove it") from None
    if found != test[1]:
        raise UserError(f"task {task.name}: its `read` finds {found} of the {test[1]} rows of test.jsonl: remove it")


def refuse_foreign(folder: Path, files: dict[str, bytes], source: Path, made_by: str = MADE_BY) -> None:
    """UserError when a file that would be replaced was not written here, was changed since, or is what was read."""
    if source.resolve() in [(folder / name).resolve() for name in files]:
        raise UserError(f"{source} would be written over: choose another folder with OUT=, or copy your rows elsewhere")
    listed = written_here(folder, made_by)
    for name, content in files.items():
        if name == MANIFEST or not (folder / name).exists():
            continue
        there = read_bytes(folder / name)
        if there != content and hashlib.sha256(there).hexdigest() != listed.get(name):
            raise UserError(
                f"{folder / name} was not written by `{made_by}`, or was changed since: move it away, or choose "
                "another folder with OUT="
            )


def written_here(folder: Path, made_by: str) -> dict[str, str]:
    """Digest of each file that a folder's manifest lists, if there is one. UserError for one of something else."""
    if not (folder / MANIFEST).exists():
        return {}
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("made_by") != made_by:
        raise UserError(f"{folder / MANIFEST} is not one of `{made_by}`: choose another folder with OUT=")
    files = manifest.get("files")
    entries = [one for one in files if isinstance(one, dict)] if isinstance(files, list) else []
    return {str(one.get("path")): str(one.get("sha256")) for one in entries}


def hints(task: Task, folder: Path, licence: str | None) -> list[str]:
    """What the user has to know of what was written."""
    own = next((guest.domain for guest in guests().values() if task in guest.domain.tasks), None)
    lines = []
    if own and (own.folder / str(task.data)).resolve() != folder.resolve() / "test.jsonl":
        lines.append(
            f"data: task {task.name} reads {task.data} in {own.folder}, and not this test.jsonl: copy it there"
        )
    if licence is None:
        lines.append("data: no licence is stated, and publishing asks for one: LICENCE=MIT, or what holds for the rows")
    return lines


def shown(path: Path, root: Path) -> str:
    """A path as seen from the repository, where it is inside."""
    full = path.resolve()
    return str(full.relative_to(root.resolve())) if full.is_relative_to(root.resolve()) else str(path)
