"""The utilities that the analyser knows: what the entries of folder utilities/ may hold, and how they are loaded.

An entry has
    names         the utilities that share it
    does          effects: none reads writes deletes network privileges executes persists system
    operands      roles of the operands in order; `x*` repeats, and roles after it are taken from the end
    options       one a line:  -o: value [ROLE]      the rest of the word or the next word is a value
                               -o: attached [ROLE]   a value only in the same word
                               -r: mark NAME         remembered
                               -x: finding RULE      a finding by itself
                  `replaces` behind a role: the value stands for the first operand (the last, where there is a role
                  after `x*`). A key that ends with `*` stands for every option that begins so (style: single).
    harmless      options without a value that mean nothing here
    unlisted      what other options are: harmless (none of them can do harm), reads (the same, but their values may
                  be files that are read); without it they are findings: unknown-option
    finding       rule of every use, or CHECK? (special.py)
    looks         verbs that only look, whatever their options; a verb may have several words, commas between verbs
    verbs         one a line: a rule, or an entry of its own without names
    other-verbs   rule of every verb that is not listed; without it they are operands
    globals       before: options stand before the verb only; without it they are also the verbs' options
    about         a word that, alone, only prints about the utility; --version and --help always are
    output        where the output comes from: net secret endless
    stdin         language of a program that it reads from a pipe
    style         single: options are whole words (`-exec`)
Roles: ignore read write delete move host pattern command (the rest is a command), code:LANG (a program in LANG;
code:sh is analysed), rule:RULE (a finding), rule?:CHECK; the others are in roles.py and network.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Self

from eval.risk.catalogue import sections

EFFECTS = {"none", "reads", "writes", "deletes", "network", "privileges", "executes", "persists", "system"}
KINDS = {"value", "attached", "mark", "finding"}
ABOUT = frozenset(("--version", "--help"))

Action = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One utility, or one verb of it: what it does, the roles of its operands and options, findings of its use."""

    name: str
    does: frozenset[str]
    lead: tuple[str, ...]
    many: str
    tail: tuple[str, ...]
    options: dict[str, Action]
    starts: tuple[str, ...] = ()
    unlisted: str = ""
    rule: str = ""
    verbs: "dict[str, Row | str]" = field(default_factory=dict)
    verb_starts: frozenset[str] = frozenset()
    other_verbs: str = ""
    about: frozenset[str] = ABOUT
    out: str = ""
    single: bool = False
    stdin: str = ""

    def named(self, name: str) -> Self:
        """The same entry under another name."""
        verbs = {key: verb if isinstance(verb, str) else verb.named(name) for key, verb in self.verbs.items()}
        return replace(self, name=name, verbs=verbs)


@cache
def table() -> dict[str, Row]:
    """Every utility by name. ValueError for a name listed twice or an entry that is not understood."""
    rows: dict[str, Row] = {}
    for section, entries in sections("utilities").items():
        for entry in entries:
            names = entry["names"].split()
            try:
                first = _row(names[0], entry, {})
            except (KeyError, ValueError) as error:
                raise ValueError(f"utilities/{section}.yaml: {names[0]}: {error}") from None
            for name in names:
                if name in rows:
                    raise ValueError(f"utilities/{section}.yaml: {name} is listed twice")
                rows[name] = first.named(name)
    return rows


def _row(name: str, entry: dict[str, Any], inherited: dict[str, Action]) -> Row:
    does = frozenset(entry["does"].split())
    if not does <= EFFECTS:
        raise ValueError(f"{sorted(does - EFFECTS)} is not an effect")
    roles = entry.get("operands", "ignore*").split()
    many = next((index for index, role in enumerate(roles) if role.endswith("*")), len(roles))
    options = dict.fromkeys(entry.get("harmless", "").split(), ("mark", ""))
    options = inherited | options | {option: _action(what) for option, what in entry.get("options", {}).items()}
    verbs = _verbs(name, entry, {} if entry.get("globals") == "before" else options)
    return Row(
        name=name,
        does=does,
        lead=tuple(roles[:many]),
        many=roles[many][:-1] if many < len(roles) else "",
        tail=tuple(roles[many + 1 :]),
        options=options,
        starts=tuple(sorted((one[:-1] for one in options if one[-1] == "*"), key=len, reverse=True)),
        unlisted=entry.get("unlisted", ""),
        rule=entry.get("finding", ""),
        verbs=verbs,
        verb_starts=frozenset(_starts(verbs)),
        other_verbs=entry.get("other-verbs", ""),
        about=ABOUT | set(entry.get("about", "").split()),
        out=entry.get("output", ""),
        single=entry.get("style") == "single",
        stdin=entry.get("stdin", ""),
    )


def _verbs(name: str, entry: dict[str, Any], inherited: dict[str, Action]) -> dict[str, Row | str]:
    does = {"does": entry["does"], "style": entry.get("style", "")}
    looks = [verb.strip() for verb in entry.get("looks", "").split(",") if verb.strip()]
    look = _row(name, does | {"unlisted": "harmless"}, inherited) if looks else ""
    verbs: dict[str, Row | str] = dict.fromkeys(looks, look)
    for key, verb in entry.get("verbs", {}).items():
        found = verb if isinstance(verb, str) else _row(name, does | (verb or {}), inherited)
        verbs |= dict.fromkeys((one.strip() for one in key.split(",")), found)
    return verbs


def _starts(verbs: Iterable[str]) -> Iterable[str]:
    """`compose` and `compose ls` for `compose ls all`: there may be more words to a verb."""
    for verb in verbs:
        words = verb.split(" ")
        yield from (" ".join(words[:count]) for count in range(1, len(words)))


def _action(what: str) -> Action:
    kind, _blank, rest = what.partition(" ")
    if kind not in KINDS or not (rest or kind in ("value", "attached")):
        raise ValueError(f"an option is {what!r}, not one of {sorted(KINDS)}")
    if rest.endswith("replaces"):
        rest = (rest.removesuffix("replaces").strip() or "ignore") + "!"
    return kind, rest or "ignore"
