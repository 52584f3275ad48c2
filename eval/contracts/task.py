"""What a domain offers the suite: its tasks, what their metrics mean, and how answers are run.

    DOMAIN = Domain("text2sql", Path(__file__).parent, (MyTask(),))

A task says what a row asks, what its gold is, and what one answer scores; that is enough for evaluation, gates, report
and publishing, which derives every score again by the same functions. `execution` is for answers that are judged by
running them in the sandbox. docs/extending.md writes one from nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from eval.common.json_rows import rows_of

if TYPE_CHECKING:
    from eval.run.records import Collateral, Observed
    from eval.sandbox import Sandbox

Row = dict[str, Any]
Better = Literal["higher", "lower"]
Kind = Literal["quality", "safety", "format"]


@dataclass(frozen=True)
class Metric:
    """What one number of one answer is.

    `better`: which direction a publisher wants. `kind`: what it is about; only `safety` holds harm. `rate`: every item
    scores 0 or 1; without it a quantity, which may have no largest value. `executed`: the modes of `execute:` that give
    it, none where the answer's text does. `opposite`: the metric that says the same the other way round, for gates that
    ask for more. `phrase`: what answers that score 1 do, after "answers that ...".
    """

    better: Better
    kind: Kind = "quality"
    rate: bool = True
    executed: tuple[str, ...] = ()
    opposite: str = ""
    phrase: str = ""


@dataclass(frozen=True)
class Sample:
    """One item of one task, as the suite asks it.

    `request`: what a person asked. `gold`: the right answer. `cluster`: items that share it are not independent.
    `category`: kind of request, for tables. `doc`: the row of the data.
    """

    task: str
    id: str
    request: str
    gold: str
    cluster: str
    category: str | None
    doc: Row


class Items(Protocol):
    """The samples of one task."""

    @property
    def name(self) -> str: ...

    @property
    def samples(self) -> Sequence[Sample]: ...


@dataclass(frozen=True)
class Asked:
    """One item and one answer to it, to be judged by running it. `program`: what of the answer is run, maybe
    nothing."""

    row: Row
    request: str
    gold: str
    program: str


@dataclass(frozen=True)
class Judged:
    """What running an answer showed.

    `verdict`: accept scores 1, reject 0; unsupported and undecided make the item invalid. `rule`: one word for how it
    was decided; NOT_FOR_EXECUTION leaves the item without a score in both arms. `reason`: one line for a reader.
    `gold`, `answer`: the two executions, where there are any to show. `collateral`: what the answer damaged, None
    where nothing can be damaged.
    """

    verdict: Literal["accept", "reject", "unsupported", "undecided"]
    rule: str
    reason: str = ""
    gold: "Observed | None" = None
    answer: "Observed | None" = None
    collateral: "Collateral | None" = None


Reads = Literal["text", "logits"]
WATCHED_MODE = "canary"  # the mode of `execute:` that any task may ask for: run by eval/execution/watching.py
NOT_FOR_EXECUTION = "not_for_execution"  # the rule of a row that running cannot judge
BROKEN = "sandbox_broken"  # the rule of an item on which the sandbox broke
SAME_TEXT = "same_text"  # the rule of an answer that is known to be right, because it is the gold itself
NO_PROGRAM = "no_command"  # the rule of an answer that holds nothing to run


class Execution(Protocol):
    """How the answers of a task are judged by running them, in the sandbox and nowhere else.

    `modes`: the values of `execute:` that a suite may ask for. `metrics`: what running adds to a task. The verdict
    becomes the metric `executes_equal`.
    """

    @property
    def modes(self) -> tuple[str, ...]: ...

    @property
    def metrics(self) -> Mapping[str, Metric]: ...

    def fits(self, row: Row) -> bool:
        """Whether a row has what running its answers needs, such as the name of a file tree."""
        ...

    def unsupported(self, row: Row) -> str | None:
        """Why no answer to this row can be judged by running it, in words; None when it can. Decided by the row alone,
        so that both arms leave out the same items."""
        ...

    def program(self, answer: str) -> str:
        """What of an answer's text is run; empty when it holds nothing to run, which is judged wrong."""
        ...

    def judge(self, asked: Sequence[Asked], mode: str, sandbox: "Sandbox") -> list[Judged]:
        """One result an item, in the order asked. Rows that are `unsupported` get that verdict under the rule
        NOT_FOR_EXECUTION; what breaks on one item makes that item undecided and no other."""
        ...

    def certain(self, asked: Asked) -> Judged | None:
        """The result where nothing has to be run to know it (the program is the gold itself); None otherwise.
        Publishing holds recorded results against it."""
        ...

    def can_do_harm(self, row: Row) -> bool:
        """Whether running an answer to this row could damage something that the result then has to list."""
        ...


class Task(Protocol):
    """One task of a suite.

    `name`: as suites call it. `data`: its file from the repository's root or the domain's folder; None for the rows
    of an installed package. `metrics`: of every metric it gives, those of running included. `acts`: its answers are
    something that somebody will run, so that a suite needs a blocking safety gate to ship. `about_harm`: for readers
    all of it is about harm. `reads`: what its metrics are made of, the text of answers (a text, or the JSON of
    log-likelihoods) or the logits of both arms on its prompts (eval/model/neutral.py; no task of lm-eval).
    `execution`: None where answers are not run.
    """

    @property
    def name(self) -> str: ...

    @property
    def data(self) -> str | None: ...

    @property
    def metrics(self) -> Mapping[str, Metric]: ...

    @property
    def acts(self) -> bool: ...

    @property
    def about_harm(self) -> bool: ...

    @property
    def reads(self) -> Reads: ...

    @property
    def execution(self) -> Execution | None: ...

    def rows(self, content: bytes) -> list[Row]:
        """The rows in the data's bytes, in their order; those of an installed package for no bytes. ValueError for
        bytes that hold none."""
        ...

    def request(self, row: Row) -> str:
        """What a person asked, without the chat template."""
        ...

    def gold(self, row: Row) -> str:
        """The right answer, or what is right about one, for a reader."""
        ...

    def measure(self, row: Row, answer: str) -> Mapping[str, float]:
        """Every metric that the text of one answer gives; NaN makes the item invalid for that metric.

        A model wrote `answer`: it may be anything, and must cost bounded time and memory. The same row and answer
        always give the same numbers.
        """
        ...


@dataclass(frozen=True)
class OwnTask:
    """A task made of functions: the usual way to write one.

    `prompt`: what the model is asked where that is more than the request. `system`: the system message. A task with an
    lm-eval file of its name in the domain's folder takes its prompt from that, and these two count for nothing.
    """

    name: str
    data: str | None
    request_of: Callable[[Row], str]
    gold_of: Callable[[Row], str]
    score: Callable[[Row, str], Mapping[str, float]]
    metrics: Mapping[str, Metric]
    acts: bool = False
    about_harm: bool = False
    reads: Reads = "text"
    execution: Execution | None = None
    system: str = ""
    prompt: Callable[[Row], str] | None = None
    max_new_tokens: int = 64
    read: Callable[[bytes], Iterable[Row]] | None = None

    def rows(self, content: bytes) -> list[Row]:
        """Rows of JSON lines, or of `read`. As in the data loader, every row has every field that any row has."""
        rows = rows_of(content) if self.read is None else list(self.read(content))
        fields = dict.fromkeys(name for row in rows for name in row)
        return [{**fields, **row} for row in rows]

    def request(self, row: Row) -> str:
        return self.request_of(row)

    def gold(self, row: Row) -> str:
        return self.gold_of(row)

    def measure(self, row: Row, answer: str) -> Mapping[str, float]:
        return self.score(row, answer)


@dataclass(frozen=True)
class Domain:
    """Tasks that belong together, and the folder that holds their lm-eval files and data."""

    name: str
    folder: Path
    tasks: tuple[Task, ...]


def cluster_of(field: str | None, row: Row, sample: str) -> str:
    """The value of the suite's `cluster` field; without one every sample is a cluster of its own."""
    return str(row[field]) if field else sample


def category_of(row: Row) -> str | None:
    """Kind of request, where a row names one."""
    return str(row["category"]) if row.get("category") else None
