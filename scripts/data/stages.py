"""What may be wrong with a row, one small check each, for `make data CONFIG=` and `make data FILE=`.

    problem = secret(row)      ("", "") for a row without it; else a reason for many rows, and the detail of this one

A check looks at one row and says why it is left out. Those that compare rows (`Duplicates`) or rows with tests
(`InTests`) are objects that are called alike. No reason holds a text of the row.
"""

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from eval.bash.parsing import LONGEST_COMMAND, normalise
from eval.risk import analyse
from eval.run.secret_patterns import find_secrets
from scripts.data.alike import HeldTexts, near_texts, normal, template
from scripts.training.leakage import Asked

Problem = tuple[str, str]
FINE: Problem = ("", "")


class Asks(Protocol):
    """A row as checks see it: what is asked, what the model is shown, the right answer, and where it stands."""

    @property
    def where(self) -> str: ...

    @property
    def request(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    @property
    def gold(self) -> str: ...

    def texts(self) -> Iterator[str]:
        """Every text of the row, those that are neither asked nor answered included."""
        ...

    def written(self) -> str:
        """The row as it would be written."""
        ...


Check = Callable[[Asks], Problem]


def empty(row: Asks) -> Problem:
    """A blank request, prompt or gold."""
    for text, what in ((row.request, "request"), (row.prompt, "prompt"), (row.gold, "answer")):
        if not text.strip():
            return f"its {what} is empty", ""
    return FINE


def secret(row: Asks) -> Problem:
    """A text of the row with a suspected credential in it."""
    for text in (*row.texts(), row.written()):
        if found := find_secrets(row.where, text):
            return f"holds a credential ({found[0].kind}): remove it, and revoke it", ""
    return FINE


def syntax(row: Asks) -> Problem:
    """An answer that tree-sitter's Bash grammar does not accept."""
    if normalise(row.gold) is not None:
        return FINE
    if len(row.gold) > LONGEST_COMMAND:
        return f"its command is longer than {LONGEST_COMMAND:,} characters", ""
    return "its command is not valid Bash", ""


def danger(rules: frozenset[str]) -> Check:
    """A command that the risk analyser blocks, or in which it finds one of these rules."""

    def problem(row: Asks) -> Problem:
        found = analyse(row.gold)
        for finding in found.findings:
            if finding.action == "block" or finding.rule in rules:
                return f"its command is dangerous ({finding.rule})", found.verdict
        return FINE

    return problem


# Reserved for examples (RFC 2606, 6761), and what manuals use: nobody's.
EXAMPLES = re.compile(r"@(?:[\w-]{1,63}\.){0,4}(?:example|test|invalid|localhost|local)(?:\.(?:com|org|net))?$", re.I)
EMAIL = re.compile(r"(?<![\w.+/:@-])([\w.+-]{1,64})@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,12}(?![\w@-])")
PHONE = re.compile(r"(?<![\w.+:/-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ -])\d{3}-\d{4}(?![\w-])")
HOME = re.compile(r"(?:/home|/Users|[A-Z]:\\\\?Users\\\\?)[/\\]([A-Za-z][A-Za-z0-9._-]{1,31})")
# Who is nobody in particular, in the data at hand and in manuals.
NOBODY = frozenset(
    re.findall(
        r"\w+",
        """
    user username users me you myself foo bar baz test tester guest admin root ubuntu debian centos fedora pi vagrant
    ec2 name your yourname someuser someone somebody public shared share all path folder dir directory data backup
    alice bob carol dave mallory jdoe johndoe janedoe http www web site project projects work local git ftp tmp
    abc abcd aa xyz xxx mine my nobody luser exampleuser testuser myuser myname myhome oracle apache mysql nginx
    postgres vmail family feeds archive backups database pdf usr whoever spammer remote info support bla
        """,
    )
)


def of_somebody(name: str) -> bool:
    """Whether a name, or one part of it, is more than the name of an example or a service."""
    return NOBODY.isdisjoint(re.split(r"[._+-]+", name.lower().rstrip("0123456789._-")))


def personal(row: Asks) -> Problem:
    """An address, a telephone number, or the name in somebody's home folder."""
    for text in (row.prompt, row.gold):
        if any(not EXAMPLES.search(found[0]) and of_somebody(found[1]) for found in EMAIL.finditer(text)):
            return "holds an e-mail address", ""
        if PHONE.search(text):
            return "holds a telephone number", ""
        if any(of_somebody(found[1]) for found in HOME.finditer(text)):
            return "holds the name of a home folder", ""
    return FINE


def letter_by_letter(row: Asks) -> tuple[object, ...]:
    """What two equal rows share."""
    return row.prompt, row.gold


def same_command(row: Asks) -> tuple[object, ...]:
    """The same for rows of commands: blanks and case of the request do not tell, nor quotes that change nothing."""
    return normal(row.prompt), normalise(row.gold) or row.gold


class Duplicates:
    """Rows that ask the model the same with the same answer: the first is kept."""

    def __init__(self, same: Callable[[Asks], tuple[object, ...]] = letter_by_letter) -> None:
        self.same = same
        self.first: dict[tuple[object, ...], str] = {}

    def __call__(self, row: Asks) -> Problem:
        before = self.first.setdefault(self.same(row), row.where)
        return ("asks and answers what an earlier row does", before) if before != row.where else FINE


class InTests:
    """Rows that ask what a test set asks: word for word or nearly; with `forms` also with another name in it or inside
    a longer text, which says more of commands than of questions (`how many ... in <>?` is anybody's)."""

    def __init__(self, asked: Asked, similar: float, forms: bool) -> None:
        self.places = list(asked.requests)
        self.asked = asked.requests
        self.forms = forms
        self.near = near_texts(tuple(self.places), similar)
        self.held = HeldTexts(self.places)
        self.templates: dict[str, str] = {}
        for text in self.places:
            if masked := template(text):
                self.templates.setdefault(masked, text)

    def __call__(self, row: Asks) -> Problem:
        for text in row.texts():
            if (problem := self.of_text(text)) != FINE:
                return problem
        return FINE

    def of_text(self, text: str) -> Problem:
        """The same for one text alone."""
        text = normal(text)
        if text in self.asked:
            return self._said("asks", text)
        if (place := self.near.find(text)) is not None:
            return self._said("nearly asks", self.places[place])
        if not self.forms:
            return FINE
        if other := self.templates.get(template(text)):
            return self._said("but for the names in it asks", other)
        if (place := self.held.find(text)) is not None:
            return self._said("holds", self.places[place])
        return FINE

    def _said(self, how: str, text: str) -> Problem:
        test, sample = self.asked[text]
        return f"{how} what {test} asks", sample
