"""The loop of an expansion: every teacher is asked until it has given its share, is dry, at a limit or fails again and
again. One question that fails is passed over, and asked again by the next run.

A reply is in the journal before anything is made of it, so that a process killed at any moment loses at most the
requests under way, and asks again for nothing that it has. What one teacher's end means for the others: nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from eval.common.errors import ProjectError
from eval.run.partial_log import PartialLog
from eval.run.records import printable
from eval.run.secret_patterns import redact
from scripts.teachers.asking import Question, Reply, Said, Teacher
from scripts.teachers.harvest import Harvest
from scripts.teachers.settings import WRITTEN, AnyTeacher, Plan

SAY_EVERY = 5.0  # seconds
FAILURES = 3  # questions in a row that a teacher fails at, each after all its retries, before it is asked no more
LETTERS_A_TOKEN = 2  # a prompt has hardly more tokens than letters / 2: for what a request may cost at most


@dataclass
class State:
    """One teacher in this expansion. `ended`: why it is asked no more; `failures`: questions in a row without a reply;
    `error`: what was said of the last of them."""

    settings: AnyTeacher
    teacher: Teacher
    facts: Mapping[str, Any]
    questions: Iterator[tuple[str, Question]]
    replies: int = 0
    tokens: int = 0
    dry: int = 0
    asked: set[str] = field(default_factory=set)
    under_way: dict[str, int] = field(default_factory=dict)  # place -> tokens that it may cost at most
    ended: str = ""
    failures: int = 0
    error: str = ""

    @property
    def name(self) -> str:
        return self.settings.name


class Expansion:
    """Teachers, journal and what is kept."""

    def __init__(
        self,
        plan: Plan,
        states: Sequence[State],
        harvest: Harvest,
        log: PartialLog[Reply],
        task: str,
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.states, self.harvest, self.log, self.task, self.say = plan, states, harvest, log, task, say
        self.by_name = {state.name: state for state in states}
        self.said_at = time.monotonic()
        for reply in log.rows.values():
            self._count(reply)

    def run(self) -> None:
        """Ask until nobody is to be asked any more. What was answered is kept, whatever ends this."""
        waiting: dict[Future[Said], tuple[State, str, Question]] = {}
        most = sum(state.teacher.concurrency for state in self.states)
        pool = ThreadPoolExecutor(most)
        try:
            while True:
                for state in self.states:
                    self._ask(state, pool, waiting)
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(future, *waiting.pop(future))
        finally:
            for state in self.states:
                state.teacher.close()
            pool.shutdown(wait=True, cancel_futures=True)
            for future, asked in waiting.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    self._take(future, *asked)

    def _ask(
        self, state: State, pool: ThreadPoolExecutor, waiting: dict[Future[Said], tuple[State, str, Question]]
    ) -> None:
        while len(state.under_way) < state.teacher.concurrency and self._wants(state):
            place, question = next(state.questions, ("", None))
            if question is None:
                state.ended = state.ended or "has answered everything"
                return
            if place in state.asked:
                continue
            cost = most_tokens_of(state.settings, question)
            if at_limit := self._at_limit(state, cost):
                state.ended = "" if state.under_way else at_limit
                state.questions = chained((place, question), state.questions)
                return
            state.asked.add(place)
            state.under_way[place] = cost
            waiting[pool.submit(state.teacher.answer, question)] = (state, place, question)

    def _wants(self, state: State) -> bool:
        """Whether one more request of this teacher is of use, those under way being as good as hoped."""
        if state.ended:
            return False
        hoped = self.harvest.kept[state.name] + len(state.under_way) * (
            self.plan.rows if self.plan.ask == "pairs" else 0
        )
        return hoped < self.harvest.limits[state.name] or self.plan.ask == "answers"

    def _at_limit(self, state: State, cost: int) -> str:
        if state.replies + len(state.under_way) >= state.settings.max_requests:
            return f"has reached max_requests ({state.settings.max_requests:,})"
        most = None if isinstance(state.settings, WRITTEN) else state.settings.max_tokens
        if most is not None and state.tokens + sum(state.under_way.values()) + cost > most:
            return f"is at max_tokens ({most:,}, of which {state.tokens:,} are spent)"
        return ""

    def _take(self, future: Future[Said], state: State, place: str, question: Question) -> None:
        cost = state.under_way.pop(place)
        try:
            said = future.result()
        except ProjectError as error:
            state.failures, state.error = state.failures + 1, str(error)
            if state.failures == FAILURES:
                state.ended = f"has failed {FAILURES} times in a row"
                self.say(f"teacher {state.name} is asked no more: {error}")
            return
        state.failures = 0
        known = said.tokens is not None and said.prompt_tokens is not None
        text = redact(printable(said.text))
        reply = Reply(
            arm=state.name, task=self.task, sample=place, prompt_sha256=question.prompt_sha256, seed=question.seed,
            text=text, redacted=text != printable(said.text), finish=said.finish, served=said.served,
            tokens=said.tokens if known else cost, prompt_tokens=said.prompt_tokens if known else 0,
        )  # fmt: skip
        self.log.add([reply])
        self._count(reply)
        if time.monotonic() - self.said_at > SAY_EVERY:
            self.said_at = time.monotonic()
            self.say(self.progress())

    def _count(self, reply: Reply) -> None:
        """What a reply of the journal changes, in this run or an earlier one."""
        state = self.by_name[reply.arm]
        state.replies += 1
        state.tokens += (reply.tokens or 0) + (reply.prompt_tokens or 0)
        state.asked.add(reply.sample)
        state.dry = 0 if self.harvest.take(reply, state.facts) else state.dry + 1
        full = self.harvest.kept[state.name] >= self.harvest.limits[state.name]
        if self.plan.ask == "pairs" and state.dry >= self.plan.dry_after and not full:
            state.ended = f"gave nothing new in {state.dry} replies (dry_after)"

    def progress(self) -> str:
        """One line: rows, replies, what is left out."""
        wanted, tokens = sum(self.harvest.limits.values()), sum(state.tokens for state in self.states)
        replies = sum(state.replies for state in self.states)
        return (
            f"{len(self.harvest.rows):,} of {wanted:,} rows, {replies:,} replies, {tokens:,} tokens, "
            f"{len(self.harvest.rejects):,} left out"
        )


def most_tokens_of(settings: AnyTeacher, question: Question) -> int:
    """What a request may cost at most, in tokens; 0 where a teacher has none."""
    if isinstance(settings, WRITTEN):
        return 0
    letters = sum(len(turn["content"]) for turn in question.messages)
    return settings.sampling.max_tokens + letters // LETTERS_A_TOKEN


def chained(first: tuple[str, Question], rest: Iterator[tuple[str, Question]]) -> Iterator[tuple[str, Question]]:
    """A question that was taken and not asked, before the others again."""
    yield first
    yield from rest
