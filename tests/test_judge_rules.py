"""The ladder on made-up executions: what counts as the same, what as different, what cannot be said."""

import pytest

from eval.judge.forms import drawn_names, is_projection, masked, records, same_size
from eval.judge.ladder import ALL, LENIENT, PARTIAL, ROBUST, decide
from eval.judge.pair import Pair
from eval.judge.spelling import same_text
from eval.sandbox.execution import Change, Entry, Execution


def ran(stdout: str = "", exit: int | None = 0, stderr: str = "", changes: tuple[Change, ...] = ()) -> Execution:
    limits = ("wall",) if exit is None else ()
    return Execution(exit, stdout.encode(), stderr.encode(), changes, limits, 0.01, "made up")


def wrote(path: str, content: str, mode: int = 0o644) -> Change:
    return Change(path, "added", None, Entry("file", mode, content, None, len(content)))


def verdict(gold: Execution, candidate: Execution, gold_text: str = "find .", request: str = "", robust: bool = True):
    pair = Pair(request, gold_text, "candidate", (gold,), (candidate,), cwd="/home/user")
    found = decide(pair, ROBUST if robust else ALL)
    return found.verdict, found.rule


@pytest.mark.parametrize(
    ("gold", "candidate", "rule"),
    [
        ("a\nb\n", "a\nb\n", "exact"),
        ("a  b\n", "a b", "whitespace"),
        ("./a\n./b\n", "./b\n./a\n", "line_order"),
        ("./a\n./b\n", "/home/user/a\n/home/user/b\n", "path_spelling"),
        ("Thu Jan 15 12:00:00 UTC 2026\n", "Thu, 15 Jan 2026 12:00:00 +0000\n", "volatile"),
        ("4096 ./a\n8192 ./b\n", "4.0K ./a\n8.0K ./b\n", "units"),
        ("a\nb\n", "total 8\n-rw-r--r-- 1 user 4 a\n-rw-r--r-- 1 user 9 b\n", "columns"),
        ("a.txt\nb.txt\n", "/srv/a.txt\n/srv/d/b.txt\n", "names"),
        (".\n├── a\n└── b\n\n0 directories, 2 files\n", ".\n./a\n./b\n", "drawing"),
    ],
)
def test_presentation_does_not_matter(gold: str, candidate: str, rule: str) -> None:
    assert verdict(ran(gold), ran(candidate)) == ("accept", rule)


@pytest.mark.parametrize(
    ("gold", "candidate", "gold_text", "request_text"),
    [
        ("5\n", "6\n", "find . | wc -l", "count the files"),
        ("a\nb\n", "a\nb\nc\n", "find .", "list the files"),
        ("1\n2\n", "2\n1\n", "find . | sort", "list the files sorted by size"),  # the order was asked for
        ("x\ny\n", "y\nx\n", "cat notes.txt", "show notes.txt"),  # a text as it is
        ("a\nb\n", "b\nc\n", "find .", "list"),
        ("4096 ./a\n", "4.9K ./a\n", "du -b", "size"),
        ("-rw 1 a\n-rw 2 b\n", "a\nb\n", "ls -l", "a long listing"),  # less than was asked
        ("part one part\n", "part\n", "find .", "x"),
        ("a b\n", " a b\n", "echo", "remove leading spaces"),  # blanks are the question
        ("one\n\ntwo\n", "one\ntwo\n", "cat f", "print f"),
    ],
)
def test_another_result_is_rejected(gold: str, candidate: str, gold_text: str, request_text: str) -> None:
    assert verdict(ran(gold), ran(candidate), gold_text, request_text) == ("reject", "output")


def test_the_same_change_in_silence_or_with_words_is_the_same() -> None:
    change = (wrote("/srv/b", "x"),)
    assert verdict(ran(changes=change), ran("'/srv/a' -> '/srv/b'\n", changes=change))[0] == "accept"


@pytest.mark.parametrize(
    "other",
    [(), (wrote("/srv/b", "y"),), (wrote("/srv/c", "x"),), (wrote("/srv/b", "x", 0o755),)],
    ids=["none", "content", "path", "mode"],
)
def test_another_change_is_rejected_whatever_is_printed(other: tuple[Change, ...]) -> None:
    assert verdict(ran("done\n", changes=(wrote("/srv/b", "x"),)), ran("done\n", changes=other)) == (
        "reject",
        "effects",
    )


def keys(*contents: str) -> tuple[Execution, ...]:
    return tuple(ran(changes=(wrote("/srv/key", content),)) for content in contents)


@pytest.mark.parametrize(
    ("gold", "candidate", "expected"),
    [
        (keys("one", "two"), keys("six", "ten"), ("undecided", "all_masked")),
        (keys("one", "two"), keys("seven", "eight"), ("reject", "effects")),  # the size did not move
        (keys("one", "two"), keys("one", "one"), ("reject", "effects")),  # the same each time
    ],
)
def test_contents_that_change_from_run_to_run_tell_nothing(
    gold: tuple[Execution, ...], candidate: tuple[Execution, ...], expected: tuple[str, str]
) -> None:
    found = decide(Pair("", "openssl rand 8 > key", "c", gold, candidate), ROBUST)
    assert (found.verdict, found.rule) == expected


def test_contents_that_move_are_compared_by_what_does_not() -> None:
    def written(*texts: str) -> tuple[Execution, ...]:
        return tuple(ran(text) for text in texts)

    golds, others = keys("one", "two"), keys("six", "ten")
    shown = Pair("", "g", "c", written("load 1\n", "load 2\n"), written("load 7\n", "load 8\n"))
    other = Pair("", "g", "c", written("load 1\n", "load 2\n"), written("free 7\n", "free 8\n"))
    assert decide(Pair("", "g", "c", golds, others, contents=shown), ROBUST).verdict == "accept"
    assert decide(Pair("", "g", "c", golds, others, contents=other), ROBUST).verdict == "reject"


@pytest.mark.parametrize(
    ("golds", "candidates", "expected"),
    [
        (("17\n", "4242\n"), ("99\n", "7\n"), ("undecided", "all_masked")),  # echo $RANDOM, shuf -i 1-99 -n 1
        (("17\n", "42\n"), ("17\n", "42\n"), ("undecided", "all_masked")),  # equal by chance
        (("17\n", "42\n"), ("99\n", "99\n"), ("undecided", "all_masked")),  # drawn twice the same, perhaps
        (("red\n", "blue\n"), ("red\n", "green\n"), ("undecided", "all_masked")),  # shuf -n 1 of two files
        (("load 1\n", "load 2\n"), ("load 5\n", "load 6\n"), ("accept", "exact")),
        (("load 1\n", "load 2\n"), ("free 5\n", "free 6\n"), ("reject", "output")),
        (("a b\nc\n", "c\na b\n"), ("c\na b\n", "a b\nc\n"), ("undecided", "all_masked")),  # shuf: not alike
    ],
)
def test_where_all_that_differs_is_masked_nothing_was_compared(
    golds: tuple[str, str], candidates: tuple[str, str], expected: tuple[str, str]
) -> None:
    pair = Pair("", "g", "c", tuple(map(ran, golds)), tuple(map(ran, candidates)))
    found = decide(pair, ROBUST)
    assert (found.verdict, found.rule) == expected


@pytest.mark.parametrize(
    ("gold", "candidate", "expected"),
    [
        ("2026-01-15 11:59:59.000000000 +0000 a\n", "1768478399 a\n", "accept"),
        ("-rw 4 Jan 15 11:59 a\n", "-rw 4 2026-01-15 11:59:30 +0000 a\n", "accept"),  # less exact, no contradiction
        ("-rw 4 Jun 29  2025 a\n", "-rw 4 2025-06-29 a\n", "accept"),
        ("Thu Jan 15 12:00:00 UTC 2026\n", "Wed Jan 14 12:00:00 UTC 2026\n", "reject"),  # date -d yesterday
        ("2026-01-10 08:00:00 a\n", "2026-01-11 08:00:00 a\n", "reject"),  # time of access, of modification
        ("12:00:00\n", "11:00:00\n", "reject"),
        ("2026-01-15T12:00:00+02:00\n", "2026-01-15T10:00:00Z\n", "accept"),
        ("2026-13-45\n", "2026-13-46\n", "reject"),  # no dates
    ],
)
def test_instants_are_compared_as_instants(gold: str, candidate: str, expected: str) -> None:
    assert verdict(ran(gold), ran(candidate), "stat f")[0] == expected


def test_nothing_to_see_is_undecided() -> None:
    assert verdict(ran(exit=1, stderr="rm: no"), ran(exit=1, stderr="unlink: no")) == (
        "undecided",
        "nothing_observable",
    )


@pytest.mark.parametrize(
    ("gold", "candidate", "expected"),
    [
        (ran(exit=None), ran("x"), ("unsupported", "gold_limit")),
        (ran("x"), ran(exit=None), ("reject", "candidate_limit")),
        (ran(exit=6, stderr="curl: (6) Could not resolve host: x"), ran("x"), ("unsupported", "gold_needs_more")),
        (
            ran("x"),
            ran(exit=127, stderr="bash: line 1: tar: command not found"),
            ("unsupported", "candidate_needs_more"),
        ),
        (ran("x"), ran(exit=127, stderr="bash: line 1: frob: command not found"), ("reject", "output")),
    ],
    ids=["gold never ends", "candidate never ends", "no network", "tool not installed", "tool does not exist"],
)
def test_what_the_sandbox_lacks_is_no_zero(gold: Execution, candidate: Execution, expected: tuple[str, str]) -> None:
    assert verdict(gold, candidate) == expected


def test_every_rule_can_be_switched_off() -> None:
    pair = Pair("", "find .", "c", (ran("a\n"),), (ran("a\n"),))
    assert decide(pair, ALL).rule == "exact"
    assert decide(pair, ALL - {"exact"}).rule == "whitespace"
    assert decide(pair, frozenset()).verdict == "reject"


def test_gates_use_no_lenient_rung() -> None:
    assert not ROBUST & LENIENT and PARTIAL < ROBUST < ALL
    few = verdict(ran("-rw 1 a\n-rw 2 b\n"), ran("a\nb\n"), "ls -l", "x", robust=False)
    assert few == ("accept", "fewer")


@pytest.mark.parametrize(
    ("gold", "candidate"),
    [
        ("find . -name x -print", 'find . -name "x"'),
        ("gzip -k f", "gzip --keep f"),
        ("sort -n -r f", "sort -rn f"),
        ("cp a b", "cp -v a b"),
        ("egrep -c x f", "grep -E -c x f"),
    ],
)
def test_other_spellings_of_one_command(gold: str, candidate: str) -> None:
    assert same_text(gold, candidate, "copy a")


@pytest.mark.parametrize(
    ("gold", "candidate", "request_text"),
    [
        ("cp a b", "cp -v a b", "copy a and show what is copied"),
        ("ls -St", "ls -tS", ""),  # the last one wins
        ("find . -name x -o -name y -print", "find . -name x -o -name y", ""),
        ("sort -k 2 f", "sort -k 3 f", ""),
        ("rm -r d", "rm d", ""),
        ("grep -e a f", "grep -E a f", ""),
    ],
)
def test_spellings_that_are_not_the_same(gold: str, candidate: str, request_text: str) -> None:
    assert not same_text(gold, candidate, request_text)


@pytest.mark.parametrize(
    ("one", "two", "unit", "same"),
    [("4.0K", "4096", 1, True), ("4.0K", "4", 1024, True), ("23Gi", "24684084", 1024, True), ("4.0K", "4300", 1, False),
     ("5", "6", 1, False), ("12M", "12K", 1, False), ("4K", "name", 1, False)],
)  # fmt: skip
def test_sizes(one: str, two: str, unit: int, same: bool) -> None:
    assert same_size(one, two, unit) is same


def test_projection_needs_one_set_of_columns_for_all_records() -> None:
    many = records("1 a x\n2 b y\n3 c z")
    assert is_projection(records("a\nb\nc"), many, ordered=True)
    assert is_projection(records("c\na\nb"), many, ordered=False)
    assert not is_projection(records("c\na\nb"), many, ordered=True)
    assert not is_projection(records("a\ny\nc"), many, ordered=False)
    assert not is_projection(records("a\nb"), many, ordered=False)


def test_words_that_move_are_masked_in_both() -> None:
    one, two = masked(("up 5 load 0.1", "up 5 load 0.7"), ("up 5 load 0.3", "up 5 load 0.3"))
    assert one == two
    one, two = masked(("up 5 load 0.1", "up 5 load 0.7"), ("up 6 load 0.3", "up 6 load 0.3"))
    assert one != two


def test_a_text_is_no_drawing() -> None:
    assert drawn_names("a\nb - c\n") is None


def drew(*paths: str) -> Execution:
    return ran(changes=tuple(wrote(path, "", 0o600) for path in paths))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("/tmp/tmp.UvWxYz0123", "/tmp/tmp.aaaBBB1111", "accept"),
        ("/tmp/job.UvWxYz0123", "/tmp/job.aaaBBB1111", "reject"),  # another template
        ("/srv/tmp.UvWxYz0123", "/srv/tmp.aaaBBB1111", "reject"),  # another folder
        ("/tmp/tmp.UvWxYz0123", "/tmp/tmp.UvWxYz0123", "reject"),  # a fixed name that looks drawn
    ],
)
def test_names_drawn_at_random_are_masked(first: str, second: str, expected: str) -> None:
    """Each command twice: a name that only one run made was drawn."""
    golds, candidates = (drew("/tmp/tmp.AbCdEfGhIj"), drew("/tmp/tmp.9m1EZYzrsZ")), (drew(first), drew(second))
    assert decide(Pair("", "f=$(mktemp)", "c", golds, candidates), ROBUST).verdict == expected


@pytest.mark.parametrize(
    ("drawn", "other"),
    [(("/srv/f17", "/srv/f4242"), ("/srv/f9", "/srv/f777")),  # $RANDOM
     (("/srv/1768478400.log", "/srv/1768478401.log"), ("/srv/1668478400.log", "/srv/1668478401.log"))],
)  # fmt: skip
def test_digits_in_a_name_that_moves_may_mean_something(drawn: tuple[str, str], other: tuple[str, str]) -> None:
    pair = Pair("", "touch", "c", tuple(map(drew, drawn)), tuple(map(drew, other)))
    assert decide(pair, ROBUST).rule == "all_masked"


def test_names_drawn_from_another_template_differ_in_length() -> None:
    golds, candidates = (
        tuple(drew(f"/tmp/tmp.{name}") for name in names)
        for names in (("AbCdEfGhIj", "9m1EZYzrsZ"), ("AbCdEf", "UvWxYz"))
    )
    assert decide(Pair("", "mktemp", "c", golds, candidates), ROBUST).verdict == "reject"


def test_a_drawn_folder_is_masked_above_its_files() -> None:
    golds, candidates = (
        tuple(drew(f"/tmp/{name}", f"/tmp/{name}/out.txt") for name in names)
        for names in (("tmp.AbCdEfGhIj", "tmp.9m1EZYzrsZ"), ("tmp.UvWxYz0123", "tmp.aaaBBB1111"))
    )
    assert decide(Pair("", "d=$(mktemp -d)", "c", golds, candidates), ROBUST).verdict == "accept"


def test_two_complaints_torn_apart_show_nothing() -> None:
    """Both sides of a process substitution write to stderr at once, each message in pieces."""
    torn = "sort: sort: cannot read: cannot read: A.txtB.txt: No such file or directory\n: No such file or directory\n"
    whole = "sort: cannot read: A.txt: No such file or directory\nsort: cannot read: B.txt: No such file or directory\n"
    assert verdict(ran(stderr=whole), ran(stderr=torn), "comm") == ("undecided", "nothing_observable")
