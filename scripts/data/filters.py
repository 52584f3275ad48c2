"""The stages of `make data CONFIG=`, in their order: each says of every row why it is left out, or nothing.

    for stage in stages(config, asked):
        problems = stage.run(rows, done)       one (reason, detail) a row, lazily, from place `done` on

Only what answers with Bash meets syntax, danger and golds. A stage that compares rows has to see all of them from the
first; one that looks at each alone continues where it was killed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from eval.bash.parsing import normalise
from scripts.data.alike import alike, letters, normal, template
from scripts.data.own_split import near_duplicates
from scripts.data.pipeline_config import Config
from scripts.data.sources import Example
from scripts.data.stages import FINE, Check, Duplicates, InTests, Problem, danger, empty, personal, same_command, secret
from scripts.data.stages import syntax as syntax_check
from scripts.training.leakage import Asked

Problems = Iterator[Problem]


@dataclass(frozen=True)
class Stage:
    """One stage. `alone`: it looks at each row alone. `settings`: what of the config decides its outcome."""

    name: str
    run: Callable[[Sequence[Example], int], Problems]
    alone: bool = True


def stages(config: Config, asked: Asked) -> list[Stage]:
    """All stages but fetching, normalising and splitting, in their order: cheap ones first."""
    rules = frozenset(config.danger.rules)
    return [
        each("empty", empty),
        whole("duplicate", lambda rows: map(Duplicates(same_command), rows)),
        each("syntax", of_commands(syntax_check)),
        each("secret", secret),
        *([each("personal", personal)] if config.personal else []),
        each("test", InTests(asked, config.tests_similar, forms=True)),
        each("danger", of_commands(danger(rules))),
        whole("near", lambda rows: near(rows, config.similar)),
    ]


def each(name: str, check: Check) -> Stage:
    """A stage that looks at one row at a time."""
    return Stage(name, lambda rows, done: (check(row) for row in rows[done:]))


def whole(name: str, run: Callable[[Sequence[Example]], Iterable[Problem]]) -> Stage:
    """A stage that compares rows."""
    return Stage(name, lambda rows, done: iter(run(rows)), alone=False)


def of_commands(check: Check) -> Check:
    """The check, for rows whose answers are commands."""
    return lambda row: check(row) if getattr(row, "commands", True) else FINE


def near(rows: Sequence[Example], similar: float) -> Problems:
    """Rows that nearly ask what an earlier one asks, for the same command. The same command for quite other words is a
    paraphrase, and another command for nearly the same words another request: both are kept."""
    roots = near_duplicates([row.request for row in rows])
    kept: dict[tuple[int, object], list[Example]] = defaultdict(list)
    for row, root in zip(rows, roots, strict=True):
        earlier = kept[root, normalise(row.gold) or row.gold]
        before = nearest(row, earlier, similar) if earlier else None
        if before is not None:
            yield "nearly asks and answers what an earlier row does", before.where
        else:
            earlier.append(row)
            yield FINE


def nearest(row: Example, earlier: Sequence[Example], similar: float) -> Example | None:
    """The first row that asks nearly the same. Grams are made anew: kept, those of 100,000 rows fill a gigabyte."""
    grams = letters(normal(row.request))
    return next((one for one in earlier if alike(grams, letters(normal(one.request)), similar)), None)


def groups(rows: Sequence[Example], by: str) -> list[int]:
    """Of each row the place of the first in its group: near-duplicate requests, requests of one template and, where
    asked for, equal commands, joined over whatever connects them."""
    roots = near_duplicates([row.request for row in rows])
    top = list(range(len(rows)))

    def of(place: int) -> int:
        while top[place] != place:
            top[place] = top[top[place]]
            place = top[place]
        return place

    firsts: dict[object, int] = {}
    for place, row in enumerate(rows):
        keys: list[object] = [("near", roots[place])]
        if masked := template(row.request):
            keys.append(("template", masked))
        if by == "command" and row.commands:
            keys.append(("command", normalise(row.gold)))
        for key in keys:
            one, two = sorted((of(firsts.setdefault(key, place)), of(place)))
            top[two] = one
    return [of(place) for place in range(len(rows))]
