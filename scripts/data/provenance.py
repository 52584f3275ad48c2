"""What `make data CONFIG=` writes: train.jsonl, validation.jsonl, rejects.jsonl, data.json, MANIFEST.json and the card;
test.jsonl where the config asks for one.

data.json says everything: sources with revision, digests and licence, the counts of every stage and reason, seed,
commit, digest of each file. MANIFEST.json is what training and publishing read beside a dataset. Neither holds a time,
a machine or a path but names; the same inputs at one commit give the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.run.digests import file_sha256
from eval.run.environment import git_state
from eval.run.files import json_text, write_bytes
from scripts.data.card import card
from scripts.data.held_out import counted, test_line
from scripts.data.own_files import refuse_foreign, shown, written_here
from scripts.data.own_lines import Reject

if TYPE_CHECKING:
    from scripts.data.pipeline import Dataset

MADE_BY = "make data CONFIG="
MANIFEST, FACTS = "MANIFEST.json", "data.json"


def write_dataset(dataset: "Dataset", folder: Path, config: Path, root: Path) -> list[str]:
    """Write the files; gives lines for a reader. UserError before anything is written over that is not ours."""
    files = contents(dataset)
    rows = {name: content.count(b"\n") for name, content in files.items()}
    described = facts(dataset, files, rows, config, git_state(root)["commit"])
    files |= card(dataset, described)
    files[FACTS] = json_text(described).encode()
    files[MANIFEST] = json_text(manifest(described, files)).encode()
    refuse_foreign(folder, files, config, MADE_BY)
    folder.mkdir(parents=True, exist_ok=True)
    remove_earlier(folder, files.keys())
    for name, content in files.items():
        write_bytes(folder / name, content)
    lines = [f"data: written: {shown(folder, root)}/{{{','.join(files)}}}"]
    if described["licence"] is None:
        lines.append("data: a source states no licence, and publishing asks for one: set licence in its entry")
    return lines


def remove_earlier(folder: Path, names: Collection[str]) -> None:
    """Remove what an earlier config had written here beside `names`: rows of its test may be trained on now."""
    for name, sha256 in written_here(folder, MADE_BY).items():
        file = folder / Path(name).name
        if file.name not in names and file.is_file() and file_sha256(file) == sha256:
            file.unlink()


def contents(dataset: "Dataset") -> dict[str, bytes]:
    """The rows of each side, and every row that was left out."""
    tests = zip(dataset.test, dataset.not_executed, strict=True)
    tested = {"test.jsonl": lines(test_line(row, dataset.clusters[row.id], why) for row, why in tests)}
    return {
        "train.jsonl": lines(row.written() for row in dataset.train),
        "validation.jsonl": lines(row.written() for row in dataset.validation),
        **(tested if dataset.test else {}),
        "rejects.jsonl": lines(reject_line(one) for one in dataset.rejects),
    }


def lines(texts: Any) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def reject_line(reject: Reject) -> str:
    """Where a row that was left out stands in its source, at which stage, and why; none of its texts."""
    named = {"row": reject.where, "stage": reject.stage, "reason": reject.reason, "detail": reject.detail}
    return json.dumps({key: value for key, value in named.items() if value}, ensure_ascii=False)


def facts(
    dataset: "Dataset", files: dict[str, bytes], rows: dict[str, int], config: Path, commit: str | None
) -> dict[str, Any]:
    """What was made of what."""
    of_source = Counter(row.source for row in (*dataset.train, *dataset.validation))
    reasons = Counter((reject.stage, reject.reason) for reject in dataset.rejects)
    return {
        "schema_version": 1,
        "made_by": MADE_BY,
        "name": dataset.config.name,
        "commit": commit,
        "config": {"path": config.name, "sha256": file_sha256(config)},
        "seed": dataset.config.seed,
        "licence": licence_of(dataset),
        "sources": [
            {
                "name": source.name,
                "kind": source.kind,
                "path": source.path if source.kind == "hub" else Path(source.path).name,
                "origin": source.origin,
                "licence": "MIT" if source.kind == "grammar" else source.licence,
                **dataset.facts[source.name],
                "kept": of_source[source.name],
            }
            for source in dataset.config.sources
        ],
        "compared_with": dataset.tests,
        "stages": dataset.stages,
        "rejected": [{"stage": stage, "reason": reason, "rows": n} for (stage, reason), n in reasons.most_common()],
        **({"tokens": dataset.tokens.facts} if dataset.tokens else {}),
        "split": dataset.groups | {"train": len(dataset.train), "validation": len(dataset.validation)},
        **({"test": counted(dataset.not_executed)} if dataset.test else {}),
        "files": [
            {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "rows": rows[name]}
            for name, content in files.items()
        ],
    }


def licence_of(dataset: "Dataset") -> str | None:
    """The one licence of all sources, or all of them joined as SPDX does; None where one states none."""
    stated = ["MIT" if source.kind == "grammar" else source.licence for source in dataset.config.sources]
    known = [one for one in stated if one]
    return " AND ".join(dict.fromkeys(known)) if len(known) == len(stated) else None


def manifest(described: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """What training and publishing read beside the data, and what tells that the other files were written here."""
    others = [
        {"path": name, "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
        if not name.endswith(".jsonl")
    ]
    removed = {one["stage"]: one["rejected"] for one in described["stages"] if one["rejected"]}
    cleaned = {"cleaning": removed} if removed else {}
    return {
        "schema_version": 1,
        "made_by": MADE_BY,
        "commit": described["commit"],
        "source": ", ".join(one["name"] for one in described["sources"]),
        "licence": described["licence"],
        "files": [one | (cleaned if one["path"] == "train.jsonl" else {}) for one in described["files"]] + others,
    }
