"""Spot answers: the recorded answers to drawn items against the model itself, both arms. Imports lm-eval.

    spot = ModelSpot.load(folder, suite, metrics, rows, arguments)      the adapter that goes up, on its base
    spot.check_drawn(items)         each drawn answer, likelihood and divergence is what this model gives
    spot.check_batch(item)          the whole batch of a drawn item, generated anew, byte for byte

A drawn answer is first read in one forward pass (the backend's `gaps`). Where the model would have said something else
by more than rounding explains, it is generated anew, in the end in its planned batch, and that decides: an answer comes
out the same only in its own batch. On the machine of the evaluation `check_batch` asks for equal bytes; elsewhere for
equal bytes or an answer that this model all but gives.

A task's answers that were drawn are not what the model says most likely, so that reading them shows nothing: batches of
drawn items are generated anew, whichever of their answers is in them, which takes the machine of the evaluation.
"""

import itertools
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from eval.ask import planned as batches_of
from eval.common.errors import Refused, UserError
from eval.config.suite_file import Suite
from eval.contracts.backend import Arms, Backend
from eval.gates.decide import decide
from eval.looks import look_until_decided
from eval.model import lm_tasks
from eval.model.backends import load_backend
from eval.model.neutral import load_prompts
from eval.run.environment import headline_versions, machine
from eval.run.metrics import Metrics
from eval.run.records import BASELINE, CANDIDATE, Generation, Score
from eval.statistics.sequential import orders_of
from scripts.publishing.run_rows import Rows
from scripts.publishing.spot_draw import Item
from scripts.publishing.verify_data import AGAIN

# docs/publishing.md says what honest answers need.
TOLERANCE = 1.0  # nats, of one token
LIKELIHOOD_TOLERANCE = (0.5, 0.02)  # nats, and a share of the log-likelihood
DRIFT_TOLERANCE = (0.02, 0.1)  # nats, and a share of the larger divergence
SHOWN = 60  # characters of an answer in a message
ARMS = (CANDIDATE, BASELINE)
DRAWN_BATCHES = 2  # generated anew in each arm, of answers that were drawn


@dataclass
class ModelSpot:
    """The model of a run, loaded for publishing, and what its evaluation recorded."""

    suite: Suite
    metrics: Metrics
    rows: Rows
    model: Backend
    tasks: list[lm_tasks.LoadedTask]
    neutral: list[lm_tasks.LoadedTask]
    largest_gap: float = 0.0  # nats, of the answers that were read and agreed
    read: int = 0
    generated: int = 0

    @classmethod
    def load(cls, suite: Suite, metrics: Metrics, rows: Rows, arms: Arms) -> "ModelSpot":
        """Load both arms. Refused unless what was loaded is what answered, and was asked the same."""
        model = load_backend(suite, arms)
        if "reading" not in model.capabilities:
            raise Refused(
                f"backend {model.name} lacks `reading`, so that no recorded answer can be held against it: publish "
                "with SPOT=0 REASON='...', which the card shows"
            )
        tasks, neutral = lm_tasks.load_tasks(suite, model.template), load_prompts(suite, model.template)
        spot = cls(suite, metrics, rows, model, tasks, neutral)
        for row in rows.generations:
            spot._check_made_by(row)
        for sample in (sample for task in (*tasks, *neutral) for sample in task.samples):
            if (sample.task, sample.id) in rows.by_item:
                spot._check_prompt(sample)
        return spot

    @cached_property
    def _made_by(self) -> dict[str, dict[str, str | None]]:
        return {arm: self.model.made_by(arm) for arm in ARMS}

    def _check_made_by(self, row: Generation) -> None:
        names = {"adapter_sha256": "adapter", "base_tensors_sha256": "base", "settings_sha256": "settings"}
        for name, value in self._made_by[row.arm].items():
            if getattr(row, name) != value:
                self._refuse(row, f"was given by another {names.get(name, name)} than was loaded for publishing")

    def _check_prompt(self, sample: lm_tasks.Sample) -> None:
        for arm in ARMS:
            row = self._row(arm, sample)
            if row.prompt_sha256 != sample.prompt_sha256:
                self._refuse(row, "was given to another prompt than the task makes for this model")

    def _row(self, arm: str, sample: lm_tasks.Sample) -> Generation:
        return self.rows.by_place[arm, sample.task, sample.id, sample.repeat]

    def _refuse(self, row: Generation, said: str) -> None:
        file = self.rows.folder / "generations.jsonl"
        raise Refused(f"{file}: {row.arm} of {row.task}: {row.sample} {said}: {AGAIN}")

    @cached_property
    def samples(self) -> dict[Item, lm_tasks.Sample]:
        """Every asked sample that is answered or scored by likelihood; of several answers the first."""
        asked = self.rows.by_item
        return {(task.name, s.id): s for task in self.tasks for s in task.samples if (task.name, s.id) in asked}

    @cached_property
    def same_machine(self) -> bool:
        """Whether this is the kind of machine, with the versions, on which the run was evaluated."""
        recorded = self.metrics.provenance
        own, here = recorded.get("machine") or {}, machine()
        return (
            recorded.get("device") == self.model.facts()
            and recorded.get("packages") == headline_versions()
            and all(own.get(name) == here[name] for name in ("cpu", "gpu"))
        )

    @cached_property
    def planned(self) -> dict[Item, list[list[lm_tasks.Sample]]]:
        """The batches in which the evaluation asked each item, several where it has several answers; in sequential mode
        those of its look, unless every answer was made before the first."""
        batch_size, chunks = self.suite.backend.batch_size, [self.tasks]
        if self.suite.mode == "sequential" and "judged" not in self.metrics.provenance:
            chunks = self._looks()
        batches = [batch for chunk in chunks for batch in batches_of(self.model, chunk, batch_size)]
        found: dict[Item, list[list[lm_tasks.Sample]]] = {}
        for batch in batches:
            for item in dict.fromkeys((sample.task, sample.id) for sample in batch):
                found.setdefault(item, []).append(batch)
        return found

    def _looks(self) -> list[list[lm_tasks.LoadedTask]]:
        """What each look of a sequential evaluation asked, from the scores on record."""
        chunks: list[list[lm_tasks.LoadedTask]] = []

        def ask(chosen: list[lm_tasks.LoadedTask]) -> list[Score]:
            chunks.append(chosen)
            places = {(task.name, sample.id) for task in chosen for sample in task.samples}
            return [row for row in self.rows.scores if (row.task, row.sample) in places]

        orders = orders_of(self.tasks, self.metrics.provenance.get("adapter_sha256"))
        effect, noise = self.metrics.adapter_effect, self.metrics.noise
        judge = partial(decide, self.suite, effect=effect, noise=noise, orders=orders)
        look_until_decided(self.suite, self.tasks, orders, judge, ask, lambda _: None)
        return chunks

    def generates(self, item: Item) -> bool:
        """Whether the answer to an item is a text, and no likelihoods."""
        return self.samples[item].kind == "generate_until"

    def check_drawn(self, items: Iterable[Item]) -> None:
        """Refused unless the recorded answers of both arms to the items are what the model gives."""
        drawn = list(items)
        by_chance = {task.name for task in self.tasks if task.sampling}
        own = [self.samples[item] for item in drawn if item in self.samples and item[0] not in by_chance]
        kinds = {"generate_until": self._read_answers, "loglikelihood": self._read_likelihoods}
        for arm in ARMS:
            for kind, read in kinds.items():
                chosen = [sample for sample in own if sample.kind == kind]
                doubts = {(sample.task, sample.id): said for sample, said in read(arm, chosen)} if chosen else {}
                self._settle_doubts(arm, doubts)
        for task in self.neutral:
            self._check_drift(task, [sample for name, sample in drawn if name == task.name])
        self._check_by_chance([item for item in drawn if item[0] in by_chance and item in self.samples])

    def _check_by_chance(self, items: list[Item]) -> None:
        """Refused unless answers that were drawn come out the same in their batches, in both arms."""
        if items and not self.same_machine:
            raise UserError(
                f"the answers to {items[0][0]} were drawn by chance, which repeats only on the machine of the "
                "evaluation, with its versions: publish there, or with SPOT=0 REASON='...', which the card shows"
            )
        drawn = [secrets.choice(self.planned[item]) for item in items]
        batches = list({id(batch): batch for batch in drawn}.values())[:DRAWN_BATCHES]
        for arm, batch in itertools.product(ARMS, batches):
            self._check_batch(arm, batch)

    def _read_answers(self, arm: str, samples: list[lm_tasks.Sample]) -> list[tuple[lm_tasks.Sample, str]]:
        gaps = self.model.gaps(arm, [(sample, self._row(arm, sample)) for sample in samples])
        self.read += len(samples)
        self.largest_gap = max([self.largest_gap, *(gap for gap in gaps if gap <= TOLERANCE)])
        return [
            (sample, f"is {gap:.3g} nats from what the model says")
            for sample, gap in zip(samples, gaps, strict=True)
            if not gap <= TOLERANCE
        ]

    def _read_likelihoods(self, arm: str, samples: list[lm_tasks.Sample]) -> list[tuple[lm_tasks.Sample, str]]:
        self.read += len(samples)
        doubtful = []
        for sample, answer in zip(samples, self.model.answer(arm, samples), strict=True):
            now = [float(value) for value, _ in json.loads(answer.text)]
            recorded = [float(value) for value, _ in json.loads(self._row(arm, sample).text)]
            if len(now) != len(recorded) or not all(map(close(*LIKELIHOOD_TOLERANCE), now, recorded)):
                doubtful.append(
                    (sample, f"has log-likelihoods {rounded(recorded)}, and the model gives {rounded(now)}")
                )
        return doubtful

    def _check_drift(self, task: lm_tasks.LoadedTask, names: list[str]) -> None:
        """Refused unless the divergences of these neutral prompts are what both arms give."""
        if not names:
            return
        planned = {p.sample.id: batch for batch in self.model.plan_drift(task.samples) for p in batch}
        drawn = [[p for p in batch if p.sample.id in names] for batch in self.model.plan_drift(task.samples)]
        for row in (row for batch in drawn if batch for row in self.model.measure_drift(batch)):
            self.read += 1
            recorded = self.rows.by_place[row.arm, row.task, row.sample, 0]
            if close(*DRIFT_TOLERANCE)(divergence(row), divergence(recorded)):
                continue
            anew = {(again.arm, again.sample): again for again in self.model.measure_drift(planned[row.sample])}
            if anew[row.arm, row.sample].text != recorded.text:
                said = f"diverges by {divergence(recorded):.4g} nats on record, by {divergence(row):.4g} measured now"
                self._refuse(recorded, said)

    def check_batch(self, item: Item) -> None:
        """Refused unless a whole batch of an item, generated anew by the candidate, gives the answers on record."""
        self._check_batch(CANDIDATE, secrets.choice(self.planned[item]))

    def _check_batch(self, arm: str, batch: list[lm_tasks.Sample]) -> None:
        differing = self._batch_anew(arm, batch)
        if self.same_machine and differing:
            self._refuse(differing[0][0], f"is not what the model answers in its batch{quoted(differing[0][1])}")
        read: Callable[[str, list[lm_tasks.Sample]], list[tuple[lm_tasks.Sample, str]]]
        read = self._read_answers if self.generates((batch[0].task, batch[0].id)) else self._read_likelihoods
        samples = [self.samples[row.task, row.sample] for row, _ in differing]
        for sample, said in read(arm, samples) if samples else []:
            self._refuse(self._row(arm, sample), said)

    def _settle_doubts(self, arm: str, doubts: dict[Item, str]) -> None:
        """Refused unless the doubtful answers are generated again: together, and where that gives others, each in its
        planned batch. (A text can be made of other tokens than it is read as.)"""
        tasks = [
            replace(task, samples=tuple(sample for sample in task.samples if (task.name, sample.id) in doubts))
            for task in self.tasks
        ]
        for batch in self.model.plan(tasks, self.suite.backend.batch_size):
            for row, _ in self._batch_anew(arm, batch):
                item = row.task, row.sample
                anew = {(again.task, again.sample): again for _, again in self._batch_anew(arm, self.planned[item][0])}
                if item in anew:
                    self._refuse(row, f"{doubts[item]}; in its batch the model answers{quoted(anew[item])}")

    def _batch_anew(self, arm: str, batch: list[lm_tasks.Sample]) -> list[tuple[Generation, Generation]]:
        """The answers of a batch that are not those on record: the recorded row, and the one made now."""
        self.generated += len(batch)
        made = self.model.answer(arm, batch)
        return [
            (row, anew)
            for row, anew in zip((self._row(arm, sample) for sample in batch), made, strict=True)
            if (row.text, row.tokens, row.finish) != (anew.text, anew.tokens, anew.finish)
        ]


def close(nats: float, share: float) -> Callable[[float, float], bool]:
    """Whether two values differ by at most `nats` and `share` of the larger one together."""
    return lambda one, other: abs(one - other) <= nats + share * max(abs(one), abs(other))


def divergence(row: Generation) -> float:
    """The KL of a drift row in nats; NaN, which is close to nothing, where it has none."""
    value = json.loads(row.text).get("kl")
    return float("nan") if value is None else float(value)


def rounded(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def quoted(row: Generation) -> str:
    """The beginning of an answer for a message."""
    return f" {row.text[:SHOWN]!r}"
