"""Limits of a gold: what is read from its words, and the files that a copy gets on either side of each."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from eval.judge.edges import add_edges, is_extension
from eval.judge.file_contents import altered, chooser
from eval.judge.hints import Hints, read_hints, symbolic_bits
from eval.judge.limits import (
    DAY,
    MACHINE,
    MINUTE,
    Limit,
    Limits,
    around_age,
    around_size,
    moment_of,
    out_of_reach,
    passing_age,
    passing_size,
    read_limits,
)
from eval.judge.perturb import MODES, filled_in, with_edges
from eval.sandbox.trees import NOW
from scripts.benchmarks.limit_cases import GOLDS, limit_misses


def passes_age(limit: Limit, age: float) -> bool:
    """What find's manual says of -mtime and -mmin: days are cut, minutes rounded up."""
    count = int(age // DAY) if limit.unit == DAY else int(-(-age // MINUTE))
    return {"+": count > limit.number, "-": count < limit.number, "": count == limit.number}[limit.sign]


def passes_size(limit: Limit, size: int) -> bool:
    count = -(-size // limit.unit)
    return {"+": count > limit.number, "-": count < limit.number, "": count == limit.number}[limit.sign]


@pytest.mark.parametrize("number", [1, 2, 3, 7, 14, 30, 45, 90])
@pytest.mark.parametrize("unit", [DAY, MINUTE])
@pytest.mark.parametrize("sign", ["+", "-", ""])
def test_ages_tell_a_limit_from_every_other(number: int, unit: int, sign: str) -> None:
    gold = Limit(sign, number, unit)
    others = [Limit(sign, n, unit) for n in (1, 2, 3, 5, 6, 8, 13, 15, 29, 31, 60, 365) if n != number]
    others += [Limit(other, number, unit) for other in "+-" if other != sign]
    others += [Limit(sign, number, MINUTE if unit == DAY else DAY)]
    for other in others:
        assert any(passes_age(gold, age) != passes_age(other, age) for age in around_age(gold)), other
    assert passes_age(gold, passing_age(gold)) or (sign, number) == ("-", 1)


@pytest.mark.parametrize("number", [1, 2, 3, 10, 200, 512])
@pytest.mark.parametrize("unit", [1, 512, 1024])
@pytest.mark.parametrize("sign", ["+", "-", ""])
def test_sizes_tell_a_limit_from_every_other(number: int, unit: int, sign: str) -> None:
    gold = Limit(sign, number, unit)
    others = [Limit(sign, n, unit) for n in (1, 2, 3, 4, 9, 11, 100, 300, 1000) if n != number]
    others += [Limit(other, number, unit) for other in "+-" if other != sign]
    if (sign, number) != ("-", 1):  # nothing but empty files, in every unit
        others += [Limit(sign, number, other) for other in (1, 512, 1024) if other != unit]
    for other in others:
        assert any(passes_size(gold, size) != passes_size(other, size) for size in around_size(gold)), other
    assert passes_size(gold, passing_size(gold))


def test_limits_of_a_gold() -> None:
    gold = "find . -maxdepth 2 -name '*.c' -mtime +5 -mmin -90 -size -3k -newer ref.txt -newermt 2026-01-10 | head -n 6"
    assert read_limits(gold) == Limits(
        ages=(Limit("+", 5, DAY), Limit("-", 90, MINUTE)), sizes=(Limit("-", 3, 1024),), newer=("ref.txt",),
        moments=(1768003200,), listed=6, depth=2,
    )  # fmt: skip
    assert not read_limits("ls -l").any
    assert read_hints("wc -l f | awk '$1 > 10'; [ $n -ge 4 ]", "").bounds == (10, 4)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2026-01-10", 1768003200), ("3 days ago", NOW - 3 * DAY), ("yesterday", NOW - DAY), ("-2 hours", NOW - 7200),
     ("sometime", None)],
)  # fmt: skip
def test_moments(text: str, moment: int | None) -> None:
    assert moment_of(text) == moment


def made(tmp_path: Path, gold: str, request: str = "") -> dict[str, os.stat_result]:
    """What with_edges adds for one gold: path -> status."""
    top = tmp_path / "top"
    (top / "srv").mkdir(parents=True, exist_ok=True)
    reference = top / "srv/ref.txt"
    reference.write_text("x\n")
    os.utime(reference, (NOW - 5 * DAY, NOW - 5 * DAY))
    with_edges(read_hints(gold, request), read_limits(gold), "/srv", gold)(top)
    paths = [path for path in (top / "srv").rglob("*") if path != reference]
    return {str(path.relative_to(top / "srv")): path.stat() for path in sorted(paths)}


def test_files_at_an_age_pass_the_other_tests(tmp_path: Path) -> None:
    found = made(tmp_path, "find . -type f -name '*.log' -size +2k -mtime +3")
    old = {name: (NOW - status.st_mtime) / DAY for name, status in found.items() if status.st_size > 2048}
    assert all(name.endswith(".log") for name in found)
    assert {2, 3, 4} <= {int(age) for age in old.values()}
    aged = [status.st_size for status in found.values() if int((NOW - status.st_mtime) / DAY) > 3]
    assert any(size <= 2048 for size in aged) and any(size > 2048 for size in aged)


def test_files_around_a_reference_and_a_date(tmp_path: Path) -> None:
    found = made(tmp_path, "find . -newer ref.txt")
    later = {round(status.st_mtime - (NOW - 5 * DAY)) for status in found.values()}
    assert {-1, 0, 1} <= later
    found = made(tmp_path / "two", "find . -newermt 2026-01-10")
    assert {-1, 0, 1} <= {round(status.st_mtime - 1768003200) for status in found.values()}


def test_files_deeper_than_a_depth_and_more_than_a_list_shows(tmp_path: Path) -> None:
    assert max(name.count("/") for name in made(tmp_path, "find . -maxdepth 2 -name '*.c'")) == 3
    assert len(made(tmp_path / "two", "find . -name '*.c' | head -n 8")) >= 10


def test_files_with_as_many_lines_as_a_filter_compares_with(tmp_path: Path) -> None:
    made(tmp_path, "find . -name '*.c' -exec wc -l {} \\; | awk '$1 > 6'")
    assert {5, 6, 7} <= {len(path.read_text().splitlines()) for path in (tmp_path / "top/srv").glob("*.c")}


def test_edges_are_the_same_each_time(tmp_path: Path) -> None:
    gold = "find . -type f -name '*.log' -size +2k -mtime +3 | head -n 30"
    one, two = made(tmp_path / "one", gold), made(tmp_path / "two", gold)
    assert [(name, s.st_size, s.st_mtime) for name, s in one.items()] == [
        (name, s.st_size, s.st_mtime) for name, s in two.items()
    ]


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "beta1.txt").mkdir()
    add_edges([tmp_path], Hints(), Limits(sizes=(Limit("+", 2, 1024),)), {})
    assert (tmp_path / "beta1.txt").is_dir() and len(list(tmp_path.iterdir())) > 5


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("find . -ctime -2", "find . -ctime -5", False),  # no layout has a time of change
        ("find . -ctime -2 -print", "find . -ctime -2", True),
        ("find . -atime -2", "find . -mtime -2", False),  # accessed when modified, in every copy
        ("find . -atime -2", "find . -atime -3", True),  # ages are set
        ("find . -size +100M", "find . -size +200M", False),  # too large to make
        ("find . -size +1k", "find . -size +2k", True),
        ("stat -c %x f", "stat -c %y f", False),
        ("ls -l", "ls", True),
    ],
)
def test_what_no_copy_reaches_has_to_be_in_both(one: str, two: str, same: bool) -> None:
    assert (out_of_reach(one) == out_of_reach(two)) is same


def test_the_state_of_the_machine_moves_slowly() -> None:
    assert all(MACHINE.search(text) for text in ("cat /proc/loadavg", "x | free -m", "ps aux", "uptime"))
    assert not any(MACHINE.search(text) for text in ("cat ps.txt", "ls /srv/w", "grep free f", "df -h", "w.sh"))


def test_copies_hold_names_and_modes_that_people_have() -> None:
    assert is_extension("*txt") and not is_extension("*foo") and not is_extension("*.txt")
    assert filled_in("*php", chooser("1", "x")).endswith(".php") and ".." not in filled_in("*.php", chooser("1", "x"))
    assert all(mode & 0o022 == 0 for mode in MODES)  # what the sandbox's umask leaves: a copy keeps it
    assert symbolic_bits("-g+w,o=w") == 0o022 and symbolic_bits("a+x") == 0o111 and symbolic_bits("644") == 0
    assert 0o646 in read_hints("find . -perm -o=w", "").modes


def test_texts_hold_the_numbers_that_a_gold_compares_with() -> None:
    table = "name,count\na,17\nb,23\n"
    text = altered(table, ".csv", read_hints("awk -F, '$2 > 50' f.csv", ""), chooser("1", "f"))
    assert {"49", "50", "51"} <= {line.split(",")[1] for line in text.splitlines()}
    grown = altered(table, ".csv", read_hints("tail -n 25 f.csv", ""), chooser("1", "f"))
    assert len(grown.splitlines()) > 25
    lines = altered("one\ntwo\n", "", read_hints("head -n 1 f", ""), chooser("1", "f")).splitlines()
    assert lines[0].split()[-1:] != lines[-1].split()[-1:]


def test_limit_misses_change_one_limit_each() -> None:
    misses = limit_misses([])
    assert {miss.kind for miss in misses} == {"age", "size", "newer", "count"}
    assert {miss.case.gold for miss in misses} == {gold for _, gold, _ in GOLDS}
    assert all(miss.case.gold != miss.case.candidate for miss in misses)
    assert all(one != two for one, two in pairwise(misses))
