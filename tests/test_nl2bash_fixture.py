"""The file trees of the authored samples: golds do something in them, and slightly wrong commands do something else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.sandbox import Execution, Sandbox, open_sandbox
from eval.tasks.nl2bash.fixture import VARIANTS, fixture_for, gold_of, unsupported_reason
from eval.tasks.nl2bash.fixture.building import place_of
from eval.tasks.nl2bash.fixture.operands import READERS, read_gold
from scripts.check_golds import mutants_of, run_all, same, state_of

TESTS = ("test_known", "test_unseen", "test_free")
ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for name in TESTS
    for line in Path(f"data/nl2bash/{name}.jsonl").read_text(encoding="utf-8").splitlines()
]
JUDGED = [row for row in ROWS if unsupported_reason(row) is None]
FILE_ROWS = [row for row in JUDGED if "git" not in gold_of(row).split()]
PATH_SLOTS = {
    *("dir", "folder", "newdir", "nested", "file", "logfile", "csvfile", "datafile", "numfile", "colonfile", "script"),
    *("config", "link", "tarball", "tarfile", "zipfile", "gzfile"),
}
# Utilities whose golds name no path that has to be made.
WITHOUT_PATHS = set("basename command date dpkg env getent groups id nproc printenv seq uname".split())  # noqa: SIM905


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(workers=2) as opened:
        yield opened


def executed(sandbox: Sandbox, row: dict[str, Any], commands: list[str], variant: int = 0) -> list[Execution]:
    tree = fixture_for(row, sandbox, variant)
    return run_all(sandbox, [(command, tree) for command in commands])


def row_of(gold: str) -> dict[str, Any]:
    """A row as in data/nl2bash, for a gold that is not there."""
    return {"id": "a-row", "messages": [{"role": "assistant", "content": gold}]}


@pytest.mark.parametrize("row", JUDGED[::23], ids=lambda row: row["id"])
def test_a_gold_does_something_and_the_same_each_time(row: dict[str, Any], sandbox: Sandbox) -> None:
    one, two = executed(sandbox, row, [gold_of(row)] * 2)
    assert state_of(gold_of(row), one, two) == ("observable", "")


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [
        ("find logs -type f -mtime +13", "find logs -type f -mtime +14"),
        ("find logs -type f -mtime +13", "find logs -mtime +13"),
        ("find logs -type f -name '*.html'", "find logs -type f -iname '*.html'"),
        ("find logs -type f -name '*.html'", "find logs -maxdepth 1 -type f -name '*.html'"),
        ("find logs -type f -size +3M -mtime -27", "find logs -type f -size +3M"),
        ("find /srv/x -type d -empty", "find /srv/x -empty"),
        ("sort -n ports.txt", "sort ports.txt"),
        ("sort -k 3,3 -n table.dat", "sort -k 3,3 table.dat"),
        ("head -n 43 notes.txt", "head -n 44 notes.txt"),
        ("cut -d ',' -f 3 people.csv", "cut -d ',' -f 4 people.csv"),
        ("awk '$7 > 49' table.dat", "awk '$7 >= 49' table.dat"),
        ("awk '{print $3}' table.dat", "cut -d ' ' -f 3 table.dat"),
        ("grep -w 'fatal' app.log", "grep 'fatal' app.log"),
        ("grep -o 'fatal' app.log | wc -l", "grep -c 'fatal' app.log"),
        ("grep -C 7 'fatal' app.log", "grep -C 6 'fatal' app.log"),
        ("sed -i 's/blue/green/g' notes.txt", "sed -i 's/blue/green/' notes.txt"),
        ("comm -12 a.txt b.txt", "comm -13 a.txt b.txt"),
        ("diff -u a.txt b.txt", "diff -uw a.txt b.txt"),
        ("tar -xzf site.tar.gz index.html", "tar -xzf site.tar.gz"),
        ("chmod 660 notes.txt", "chmod 664 notes.txt"),
        ("chmod -R 711 notes", "chmod 711 notes"),
        ("mkdir -p one/two/three", "mkdir one/two/three"),
        ("git diff one two", "git diff two one"),
        ("git log --oneline --since='37 days ago'", "git log --oneline --since='38 days ago'"),
    ],
)
def test_a_near_miss_does_something_else(gold: str, wrong: str, sandbox: Sandbox) -> None:
    right, other = executed(sandbox, row_of(gold), [gold, wrong])
    assert state_of(gold, right, right)[0] == "observable"
    assert not same(right, other)


@pytest.mark.parametrize("number", [3, 8, 9, 14, 15])  # blank in every text, but for a gold that asks for them
@pytest.mark.parametrize("gold", ["sed -n '{}p' notes.txt", "sed '{}q;d' app.log", "sed -n '{}p' site.conf"])
def test_a_line_that_a_gold_shows_by_its_number_is_not_blank(gold: str, number: int, sandbox: Sandbox) -> None:
    for variant in range(VARIANTS):
        command = gold.format(number)
        right, next_line = executed(sandbox, row_of(command), [command, gold.format(number + 1)], variant)
        assert state_of(command, right, right) == ("observable", "")
        assert not same(right, next_line)


def test_a_gold_that_prints_blanks_alone_shows_nothing(sandbox: Sandbox) -> None:
    one, two = executed(sandbox, row_of("sort notes.txt"), ["echo ' '"] * 2)
    assert state_of("echo ' '", one, two)[0] == "silent"


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [
        ("cp -n notes.txt backups/", "cp notes.txt backups/"),
        ("touch notes.txt", ": > notes.txt"),
        ("find logs -type f -user grace", "find logs -type f"),
    ],
)
def test_the_second_tree_shows_what_the_first_cannot(gold: str, wrong: str, sandbox: Sandbox) -> None:
    assert same(*executed(sandbox, row_of(gold), [gold, wrong], variant=0))
    assert not same(*executed(sandbox, row_of(gold), [gold, wrong], variant=1))


def test_a_tree_follows_from_the_row_alone(sandbox: Sandbox) -> None:
    for row in FILE_ROWS[::19]:
        digests = [fixture_for(row, sandbox, variant).digest for variant in (0, 1, 0)]
        assert digests[0] == digests[2] != digests[1], row["id"]


def test_what_a_gold_creates_is_not_there_before(sandbox: Sandbox) -> None:
    made = [
        (row, operand.path)
        for row in FILE_ROWS
        for operand in read_gold(gold_of(row)).operands
        if operand.kind == "absent"
    ]
    assert len(made) > 25
    for row, path in made[::4]:
        assert not (fixture_for(row, sandbox).tree / place_of(path)).exists(), gold_of(row)


def test_every_path_of_a_row_is_read() -> None:
    """Each value of a row that looks like a file or folder is an operand, so that the tree holds it."""
    for row in FILE_ROWS:
        named = {operand.path for operand in read_gold(gold_of(row)).operands}
        for slot, value in row["values"].items():
            kind = re.sub(r"\d+$", "", slot)
            if kind in PATH_SLOTS:
                assert value in named, (gold_of(row), value)


def test_every_utility_is_known() -> None:
    used = {utility for row in FILE_ROWS for utility in read_gold(gold_of(row)).utilities}
    assert used - WITHOUT_PATHS <= READERS.keys()


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ("ps aux", "no other processes"),
        ("seq 3 | xargs ping", None),
        ("chown -R grace docs", "one user id"),
        ("rm -i notes.txt", "waits for an answer"),
        ("rm notes.txt", None),
        ("find . -size +900M", "needs files above 14 MB"),
        ("find . -size +9M", None),
    ],
)
def test_rows_that_cannot_be_judged_say_why(gold: str, reason: str | None) -> None:
    assert unsupported_reason(row_of(gold)) == reason


def test_mutants_differ_from_the_gold() -> None:
    for row in JUDGED:
        mutants = mutants_of(gold_of(row))
        assert gold_of(row) not in mutants and len(set(mutants)) == len(mutants)
    assert sum(bool(mutants_of(gold_of(row))) for row in JUDGED) > 0.9 * len(JUDGED)
