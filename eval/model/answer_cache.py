"""Answers kept across evaluations: what the same weights said to the same batch is not generated again.

    .cache/answers/proven/<maker>/<batch>.jsonl

Entries are written at the end of an evaluation, once it is proven that no adapter changed the base (base_proof.py).
Those of before that rule lie elsewhere, are never read, and go with the next `prune`.

`maker` is the digest of everything but the prompts that decides an answer: the bytes of base and adapter as loaded,
settings, backend and seed, library versions, device, and the code that generates. `batch` is the digest of its exact
prompts in their order: padding changes the last bits of a logit, so an answer is reused in its own batch only. Which
arm asked is no part of it: the candidate of one run may be the baseline of the next.

Not protected against someone who can write to the folder: like a run folder, it is believed.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.config.suite_file import Suite
from eval.model.backends import code_of
from eval.run.digests import json_sha256, text_sha256
from eval.run.environment import headline_versions
from eval.run.files import write_text
from eval.run.partial_log import PartialLog
from eval.run.records import Generation, Place

if TYPE_CHECKING:
    from eval.model.lm_tasks import Sample

FOLDER = ROOT / ".cache" / "answers"
LIMIT_BYTES = 256 << 20  # of all entries: about 200 evaluations of 800 samples
PROVEN = "proven"
DECIDING_NONE = {"batch_size", "workers"}  # the batch is part of an entry's name; who answers it changes nothing
BUG = "a mistake of the backend, to be reported to whoever offers it"
UNPROVEN = re.compile(r"[0-9a-f]{64}")  # a maker's folder as entries were kept before the base had to prove itself
Say = Callable[[str], None]


class DamagedEntry(Exception):
    """An entry whose bytes are not what was written."""


@dataclass(frozen=True)
class AnswerCache:
    """Entries below `folder`, each written whole and verified when read."""

    folder: Path

    def path(self, maker: str, batch: "Sequence[Sample]") -> Path:
        return self.folder / PROVEN / maker / f"{batch_digest(batch)}.jsonl"

    def read(self, maker: str, batch: "Sequence[Sample]", arm: str) -> list[Generation] | None:
        """The answers to a batch as those of `arm`; None when there is no entry. Raises DamagedEntry."""
        path = self.path(maker, batch)
        try:
            head, _, body = read_text(path).partition("\n")
            if head != _head(body):
                raise DamagedEntry(path.stem[:12])
            rows = [Generation.model_validate_json(line) for line in body.split("\n")[:-1]]
        except FileNotFoundError:
            return None
        except (UserError, OSError, ValidationError):  # no text, no file, not readable: made again
            raise DamagedEntry(path.stem[:12]) from None
        asked = [(sample.task, sample.id, sample.repeat, sample.prompt_sha256) for sample in batch]
        if [(row.task, row.sample, row.repeat, row.prompt_sha256) for row in rows] != asked:
            raise DamagedEntry(path.stem[:12])
        with contextlib.suppress(OSError):  # of a folder that is only read from
            path.touch()  # what was read lately is pruned last
        return [row.model_copy(update={"arm": arm}) for row in rows]

    def write(self, maker: str, batch: "Sequence[Sample]", answers: Iterable[Generation]) -> None:
        """Keep the answers to one batch, in its order."""
        path = self.path(maker, batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        body = "".join(answer.model_copy(update={"arm": ""}).model_dump_json() + "\n" for answer in answers)
        own = path.with_name(f"{path.stem}.{os.getpid()}")  # two evaluations may write the same entry at once
        write_text(own, f"{_head(body)}\n{body}")
        own.replace(path)

    def prune(self, limit: int = LIMIT_BYTES) -> int:
        """Remove unproven entries, then those not read for longest until `limit` bytes are left; returns how many."""
        unproven = [path for path in self.folder.glob("*/*.jsonl") if UNPROVEN.fullmatch(path.parent.name)]
        for path in unproven:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in unproven}:
            with contextlib.suppress(OSError):  # something else lies there
                folder.rmdir()
        aged = sorted(((path.stat().st_mtime_ns, path) for path in self.folder.rglob("*.jsonl")), reverse=True)
        total, removed = 0, len(unproven)
        for _, path in aged:
            total += path.stat().st_size
            if total > limit:
                with contextlib.suppress(OSError):  # a folder that cannot be written keeps what it has
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed


def _head(body: str) -> str:
    return json.dumps({"sha256": text_sha256(body)})


def places(arm: str, batch: "Sequence[Sample]") -> list[Place]:
    """Where the answers of one arm to a batch belong."""
    return [(arm, sample.task, sample.id, sample.repeat) for sample in batch]


def batch_digest(batch: "Sequence[Sample]") -> str:
    """Digest of what one batch asks: kinds of request, prompts and settings, in their order."""
    return json_sha256([[s.task, s.id, s.repeat, s.request, s.kind, s.prompt_sha256] for s in batch])


def maker_of(suite: Suite, base: Any, device: dict[str, Any], made_by: Mapping[str, str | None]) -> str:
    """Digest of everything but the prompts that decides an answer.

    `base`: what `base_identity` says, or any other name of the base model; `device`: facts of where it runs; `made_by`:
    digests of adapter and base as loaded, and of the settings (`Backend.made_by`).
    """
    return json_sha256(
        {
            "base": base,
            "backend": suite.backend.model_dump(exclude=DECIDING_NONE),
            "seed": suite.seed,
            "versions": headline_versions(),
            "device": device,
            "code": code_of(suite.backend.kind),
            **made_by,
        }
    )


@dataclass
class Answers:
    """The answers of one evaluation: from its own log, else from the cache, else generated.

    Generated ones go to the log batch by batch, which a killed evaluation resumes from. Reused ones do not: they
    are read again, so that what this evaluation made and what it found stay apart. The cache gets what was generated
    when `keep` is called, after the last proof that the base is the base.
    """

    log: PartialLog[Generation]
    generate: "Callable[[str, list[list[Sample]]], Iterator[tuple[int, list[Generation]]]]"  # answer_many of a backend
    makers: dict[str, str]
    cache: AnswerCache | None
    say: Say
    reused: dict[Place, Generation] = field(default_factory=dict)
    batches: set[str] = field(default_factory=set)  # digests of all that was asked
    made: "list[tuple[str, list[Sample]]]" = field(default_factory=list)

    def answer(self, batches: "list[list[Sample]]") -> None:
        """Have every batch answered by both arms."""
        self.batches |= {batch_digest(batch) for batch in batches}
        for arm in self.makers:
            found = len(self.reused)
            missing = [number for number, batch in enumerate(batches) if not self._known(arm, batch)]
            if missing:
                self._generate(arm, batches, missing)
            if found := len(self.reused) - found:
                self.say(f"{arm}: {found} answers of an earlier evaluation are reused")

    def _known(self, arm: str, batch: "list[Sample]") -> bool:
        """Whether a batch is answered already, by this evaluation or an earlier one."""
        asked = places(arm, batch)
        if all(place in self.log.rows for place in asked):
            self.made.append((arm, batch))
            return True
        if all(place in self.log.rows or place in self.reused for place in asked):
            return True
        kept = self._kept(arm, batch) or []
        self.reused |= {row.place: row for row in kept}
        return bool(kept)

    def _generate(self, arm: str, batches: "list[list[Sample]]", missing: list[int]) -> None:
        """Have the batches of these numbers answered, and log each as it is done."""
        left = set(range(len(missing)))
        for index, made in self.generate(arm, [batches[number] for number in missing]):
            batch = batches[missing[index]] if index in left else []
            if [row.place for row in made] != places(arm, batch) or not batch:
                raise UserError(f"the backend gave other answers than the {len(batch)} it was asked for: {BUG}")
            left.remove(index)
            self.log.add(made)
            self.made.append((arm, batch))
            number, pace = missing[index] + 1, made[0].seconds
            self.say(f"{arm}: batch {number}/{len(batches)}, {len(batch)} samples at {pace:.2f} s each")
        if left:
            raise UserError(f"the backend left {len(left)} of {len(missing)} batches without an answer: {BUG}")

    def keep(self) -> None:
        """Keep what was generated for later evaluations. Only to be called when the base was proven after it.

        The cache is optional: one that cannot be written is said once, and used no more.
        """
        made, self.made = self.made, []
        for arm, batch in made:
            if self.cache is None:
                return
            rows = [self.log.rows[place] for place in places(arm, batch)]
            try:
                self.cache.write(self.makers[arm], batch, rows)
            except OSError as error:
                self.say(f"answers are not kept for later: {self.cache.folder} cannot be written ({error.strerror})")
                self.cache = None

    def discard(self) -> None:
        """Forget every answer generated here: the base was not the base."""
        self.made.clear()
        self.log.discard()

    def _kept(self, arm: str, batch: "list[Sample]") -> list[Generation] | None:
        if self.cache is None:
            return None
        try:
            return self.cache.read(self.makers[arm], batch, arm)
        except DamagedEntry as damaged:
            self.say(f"{arm}: cache entry {damaged} is damaged, its {len(batch)} answers are made again")
            return None

    def in_order(self, order: list[Place]) -> list[Generation]:
        """The answers at these places; KeyError for one that was not answered yet."""
        return [self.log.rows[place] if place in self.log.rows else self.reused[place] for place in order]

    def finish(self, order: list[Place]) -> list[Generation]:
        """Write generations.jsonl whole, in the given order; returns its rows."""
        self.log.rows = self.reused | self.log.rows
        return self.log.finish(order)


def costs(answers: Iterable[Generation], reused: Iterable[Place], load_seconds: float) -> dict[str, float]:
    """Seconds and tokens of what was generated, by arm.

    Reused answers are counted apart: `reused` of them, whose tokens took an earlier evaluation the seconds that this
    one saved. `items` is how many each arm answered.
    """
    again = set(reused)
    spent: dict[str, float] = {"seconds_load": round(load_seconds, 1), "items": 0}
    by_arm: dict[str, list[Generation]] = {}
    for answer in answers:
        by_arm.setdefault(answer.arm, []).append(answer)
    for arm, own in by_arm.items():
        old = [answer for answer in own if answer.place in again]
        new = [answer for answer in own if answer.place not in again]
        spent["items"] = len(own)
        spent[f"seconds_generate_{arm}"] = round(sum(answer.seconds for answer in new), 1)
        spent[f"tokens_{arm}"] = sum(answer.tokens or 0 for answer in new)
        spent[f"reused_{arm}"] = len(old)
        if old:
            spent[f"tokens_reused_{arm}"] = sum(answer.tokens or 0 for answer in old)
            spent[f"seconds_saved_{arm}"] = round(sum(answer.seconds for answer in old), 1)
    return spent
