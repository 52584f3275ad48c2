"""Rows from where a config says: the Hub at a pinned commit, a file, NL2Bash's two files, or the authored grammar.

    fetched = fetch(source, config.system, nl2bash)     UserError in one line when something is not there
    fetched.examples, fetched.rejects, fetched.facts    facts: revision or digests, licence, rows

Hub datasets come through the `datasets` library, which keeps them: without a network the second run works like the
first. Nothing is executed: code in a dataset repository is refused by that library (since 4.0).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.run.digests import file_sha256, json_sha256
from scripts.data.build_data import expand
from scripts.data.grammar import load_grammar
from scripts.data.own_lines import Line, Reject, read_lines
from scripts.data.own_shapes import Misshapen, messages, usual_shape
from scripts.data.pipeline_config import NL2BASH, Source


@dataclass(frozen=True, slots=True)
class Example:
    """One row on its way through the stages: who asks what, the answer, and where it stands in its source."""

    source: str
    number: int
    request: str
    gold: str
    system: str
    commands: bool = True

    @property
    def where(self) -> str:
        return f"{self.source}:{self.number}"

    @property
    def prompt(self) -> str:
        return self.request

    @property
    def id(self) -> str:
        """A name that follows from what the row says alone."""
        said = f"{self.request}\0{self.gold}"
        return f"row-{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def texts(self) -> Iterator[str]:
        """What is asked and answered; a request's lines too, since one of them may be the question."""
        yield self.request
        if "\n" in self.request:
            yield from self.request.split("\n")
        if not self.commands:
            yield self.gold

    def written(self) -> str:
        """The row as it is written."""
        turns = messages(self.system, self.request, self.gold)
        return json.dumps({"id": self.id, "source": self.source, "messages": turns}, ensure_ascii=False)


@dataclass(frozen=True)
class Fetched:
    """What a source gave. `facts` identify its bytes; the same facts mean the same rows."""

    examples: list[Example]
    rejects: list[Reject]
    facts: dict[str, Any]


def fetch(source: Source, system: str, nl2bash: Path | None, root: Path = ROOT) -> Fetched:
    """All rows of a source, those that cannot be read as rejects. UserError when the source is out of reach."""
    prompt = system if source.commands else ""
    if source.kind == "pairs":
        return _pairs(source, prompt, _folder(source, nl2bash, root))
    if source.kind == "grammar":
        return _grammar(source, root)
    if source.kind == "hub":
        rows = _hub_rows(source)
        examples, rejects = _shaped(source, prompt, (Line(n, f"row {n}", row) for n, row in enumerate(rows, start=1)))
        return Fetched(examples, rejects, {"revision": source.revision, "subset": source.subset, "split": source.split})
    file = root / Path(source.path).expanduser()
    lines, unread = read_lines(file)
    examples, rejects = _shaped(source, prompt, lines)
    return Fetched(examples, [*_of(source, unread), *rejects], {"sha256": {file.name: file_sha256(file)}})


def _folder(source: Source, nl2bash: Path | None, root: Path) -> Path:
    if source.path != NL2BASH:
        return root / Path(source.path).expanduser()
    if nl2bash is None:
        raise UserError(f"source {source.name}: NL2BASH= has to name a folder with NL2Bash's all.nl and all.cm")
    return nl2bash.expanduser()


def _pairs(source: Source, system: str, folder: Path) -> Fetched:
    """A request and a command a line, of two files that go together line by line."""
    files = {name: folder / name for name in ("all.nl", "all.cm")}
    try:
        asked, answered = (read_text(file).split("\n") for file in files.values())
    except FileNotFoundError as error:
        raise UserError(
            f"source {source.name}: {error.filename} is missing: name the folder of all.nl and all.cm"
        ) from None
    if len(asked) != len(answered):
        raise UserError(f"source {source.name}: all.nl has {len(asked):,} lines and all.cm {len(answered):,}")
    pairs = list(zip(asked, answered, strict=True))
    while pairs and pairs[-1] == ("", ""):
        pairs.pop()  # the line break at the end
    examples = [Example(source.name, n, *pair, system, source.commands) for n, pair in enumerate(pairs, start=1)]
    return Fetched(examples, [], {"sha256": {name: file_sha256(file) for name, file in files.items()}})


def _grammar(source: Source, root: Path) -> Fetched:
    """The training rows of the authored grammar."""
    rows = expand(load_grammar(root / "data/nl2bash"))["train"]
    said = [[turn["content"] for turn in row["messages"]] for row in rows]
    examples = [Example(source.name, n, asked, gold, system) for n, (system, asked, gold) in enumerate(said, start=1)]
    return Fetched(examples, [], {"sha256": {"train.jsonl": json_sha256(rows)}})


def _hub_rows(source: Source) -> Iterable[dict[str, Any]]:
    """The rows of a Hub dataset at its pinned commit. UserError, in one line, when it is out of reach."""
    from datasets import load_dataset

    from eval.common.hub_access import hub_problem
    from eval.common.hub_client import use_bounded_client

    use_bounded_client()
    try:
        return list(load_dataset(source.path, source.subset, split=source.split, revision=source.revision))
    except Exception as error:  # whatever datasets, fsspec or the Hub's client raises
        said = hub_problem(error, source.path) or (
            f"{source.path} is not in the cache and cannot be had from the Hub ({type(error).__name__}): check the "
            "network, and its path, subset and split; or copy its files here and name them as kind: file"
        )
        raise UserError(f"source {source.name}: {said}") from None


def _shaped(source: Source, system: str, lines: Iterable[Line]) -> tuple[list[Example], list[Reject]]:
    """Rows as one request with one answer each."""
    examples, rejects = [], []
    for line in lines:
        try:
            asked, answered = _texts(source, line.row)
            examples.append(Example(source.name, line.number, asked, answered, system, source.commands))
        except Misshapen as error:
            rejects.append(Reject(line.number, line.where, "schema", str(error)))
    return examples, _of(source, rejects)


def _texts(source: Source, row: dict[str, Any]) -> tuple[str, str]:
    if source.columns:
        asked, answered = row.get(source.columns["request"]), row.get(source.columns["answer"])
        if not isinstance(asked, str) or not isinstance(answered, str):
            raise Misshapen("one of its two columns holds no text")
        return asked, answered
    usual = usual_shape(row)
    if usual is None:
        raise Misshapen("it is in no usual shape: set columns")
    return usual.texts


def _of(source: Source, rejects: Iterable[Reject]) -> list[Reject]:
    """Rejects that name their source."""
    return [Reject(one.number, f"{source.name}:{one.number}", one.stage, one.reason, one.detail) for one in rejects]
