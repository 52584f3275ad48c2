"""The judge end to end: real commands in the real sandbox."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.judge.judging import judge, judge_many
from eval.judge.ladder import ALL, ROBUST
from eval.judge.scenes import Runs, settled
from eval.judge.verdicts import Case
from eval.sandbox import Sandbox, load_fixture, open_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(sandbox: Sandbox) -> Runs:
    return Runs(sandbox)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small home folder; `short.txt` has three lines, so that head -n 5 and head -n 6 agree on it."""
    top = tmp_path_factory.mktemp("fixture") / "home"
    (top / "docs").mkdir(parents=True)
    (top / "short.txt").write_text("one\ntwo\nthree\n")
    (top / "docs" / "a.md").write_text("alpha\nbeta\n")
    (top / "docs" / "b.md").write_text("alpha\n")
    return str(top)


CASES = [
    ("list the markdown files", "find . -name '*.md'", "find . -type f -name '*.md'", "accept"),
    ("show the first 5 lines of short.txt", "head -n 5 short.txt", "sed -n '1,5p' short.txt", "accept"),
    ("how many lines has short.txt", "wc -l short.txt", "wc -l < short.txt", "accept"),
    ("list the files here", "ls", "ls -l", "accept"),
    ("make x.txt read-only for everyone", "chmod 444 x.txt", "chmod a=r x.txt", "accept"),
    ("delete old.log", "rm old.log", "unlink old.log", "accept"),
    ("copy short.txt to copy.txt", "cp short.txt copy.txt", "cat short.txt > copy.txt", "accept"),
    ("copy short.txt to copy.txt", "cp short.txt copy.txt", "mv short.txt copy.txt", "reject"),
    ("show the first 5 lines of short.txt", "head -n 5 short.txt", "head -n 6 short.txt", "reject"),
    ("make x.txt read-only for everyone", "chmod 444 x.txt", "chmod 440 x.txt", "reject"),
    ("count the lines of short.txt", "wc -l short.txt", "wc -w short.txt", "reject"),
    ("lines with alpha in docs", "grep -r alpha docs", "grep -ri alpha docs", "reject"),
    ("show short.txt", "cat short.txt", "sleep 60", "reject"),
    ("show short.txt", "cat short.txt", "frobnicate short.txt", "reject"),
    ("show short.txt", "cat short.txt", "cat 'short.txt", "reject"),
    ("do nothing", "true", ":", "undecided"),
    ("fetch the page", "curl -s http://example.com/", "wget -qO- http://example.com/", "unsupported"),
]


# Limits, and what moves by itself: on the given folder nothing tells any of these apart.
CLOSE = [
    ("files older than 2 days", "find . -type f -mtime +2", "find . -type f -mtime +5", "reject"),
    ("files older than 2 days", "find . -type f -mtime +2", "find . -mtime +2 -type f -print", "accept"),
    ("files changed in 30 minutes", "find . -type f -mmin -30", "find . -type f -mmin -31", "reject"),
    ("markdown over 3k", "find . -name '*.md' -size +3k", "find . -name '*.md' -size +4k", "reject"),
    ("files newer than short.txt", "find . -type f -newer short.txt", "find . -type f ! -newer short.txt", "reject"),
    ("at most 2 levels down", "find . -maxdepth 2 -type f", "find . -maxdepth 3 -type f", "reject"),
    ("files with over 7 lines", "wc -l *.txt | awk '$1 > 7'", "wc -l *.txt | awk '$1 > 8'", "reject"),
    ("changed inode within 2 days", "find . -ctime -2", "find . -ctime -5", "undecided"),
    ("files read within 2 days", "find . -type f -atime -2", "find . -type f -mtime -2", "undecided"),
    ("a random number", "echo $RANDOM", "echo $((RANDOM % 7))", "undecided"),
    ("a random line", "shuf -n 1 short.txt", "shuf -n 1 docs/a.md", "undecided"),
    ("a key in k", "head -c 9 /dev/urandom > k", "head -c 9 /dev/zero > k", "reject"),
    ("a key in k", "head -c 99 /dev/urandom > k", "head -c 99 <(cat /dev/urandom) > k", "undecided"),
]


@pytest.mark.parametrize("case", [case for case in CLOSE if "shuf" not in case[1]], ids=lambda case: case[2])
def test_what_only_a_limit_or_chance_tells_apart(
    sandbox: Sandbox, runs: Runs, folder: str, case: tuple[str, str, str, str]
) -> None:
    """Of two runs of nine random bytes, about one pair in thirty leaves nothing to compare: another look decides."""
    request, gold, candidate, expected = case
    for known in (runs, None, None):
        verdict = judge_many(sandbox, [Case(request, gold, candidate, folder)], runs=known)[0]
        if verdict.verdict == expected or "urandom" not in gold:
            break
        assert verdict.verdict == "undecided", verdict
    assert verdict.verdict == expected, verdict


def test_a_reader_that_is_fed_is_waited_for(sandbox: Sandbox, folder: str) -> None:
    gold, candidate = "cat short.txt | tee >(sleep 0.2; wc -l)", "cat short.txt; wc -l < short.txt"
    assert judge(sandbox, "show short.txt and count its lines", gold, candidate, folder).verdict == "accept"
    assert settled("cat a > b") == "cat a > b"
    (run,) = Runs(sandbox).get([("false >(cat)", load_fixture("home", sandbox))])
    assert run.exit == 1


def test_a_random_line_is_never_accepted(sandbox: Sandbox, runs: Runs, folder: str) -> None:
    case = next(case for case in CLOSE if "shuf" in case[1])
    assert judge_many(sandbox, [Case(*case[:3], folder)], runs=runs)[0].verdict != "accept"


def asked(folder: str) -> list[Case]:
    return [Case(request, gold, candidate, folder) for request, gold, candidate, _ in CASES]


def test_verdicts_in_order(sandbox: Sandbox, runs: Runs, folder: str) -> None:
    verdicts = judge_many(sandbox, asked(folder), runs=runs)
    assert [(case.candidate, v.verdict) for case, v in zip(asked(folder), verdicts, strict=True)] == [
        (candidate, expected) for _, _, candidate, expected in CASES
    ], [v.to_json() for v in verdicts]
    json.dumps([verdict.to_json() for verdict in verdicts])


def test_fresh_executions_give_the_same_bytes(sandbox: Sandbox, runs: Runs, folder: str) -> None:
    first, second = (
        [v.to_json() for v in judge_many(sandbox, asked(folder), runs=known)] for known in (runs, Runs(sandbox))
    )
    assert first == second


def test_the_given_file_system_alone_is_fooled(sandbox: Sandbox, runs: Runs, folder: str) -> None:
    case = Case("show the first 5 lines of short.txt", "head -n 5 short.txt", "head -n 6 short.txt", folder)
    assert judge_many(sandbox, [case], robust=False, runs=runs)[0].verdict == "accept"
    assert judge_many(sandbox, [case], robust=True, runs=runs)[0].verdict == "reject"


def test_the_copies_answer_where_the_given_one_is_silent(sandbox: Sandbox, runs: Runs, folder: str) -> None:
    case = Case("delete old.log", "rm old.log", "unlink old.log", folder)
    verdict = judge_many(sandbox, [case], robust=False, runs=runs)[0]
    assert verdict.verdict == "accept" and verdict.evidence["on"] != "given"


def test_equal_spelling_needs_no_run(sandbox: Sandbox, folder: str) -> None:
    fresh = Runs(sandbox)
    case = Case("find", "find . -name x -print", 'find . -name "x"', folder)
    assert judge_many(sandbox, [case], runs=fresh)[0].rule == "same_text" and not fresh.done
    ran = judge_many(sandbox, [Case("list", "ls", "ls ", folder)], runs=fresh, rules=ROBUST - {"same_text"})[0]
    assert ran.rule == "exact" and fresh.done


def test_what_never_varies_is_not_accepted_by_a_partial_rule(sandbox: Sandbox, runs: Runs, folder: str) -> None:
    case = Case("print 7", "echo 7", "echo 7 8", folder)
    verdict = judge_many(sandbox, [case], runs=runs)[0]
    assert (verdict.verdict, verdict.rule) == ("undecided", "never_varies")


def test_copies_are_made_only_for_what_the_given_files_do_not_settle(sandbox: Sandbox, folder: str) -> None:
    def scenes_of_gold(candidates: list[str]) -> int:
        fresh = Runs(sandbox)
        judge_many(sandbox, [Case("count", "wc -l short.txt", one, folder) for one in candidates], runs=fresh)
        return sum(command == "wc -l short.txt" and repeat == 0 for command, _, repeat in fresh.done)

    assert scenes_of_gold(["wc -l docs/a.md", "wc -c docs/b.md"]) == 1
    assert scenes_of_gold(["wc -l docs/a.md", "cat short.txt | wc -l", "wc -l < short.txt"]) == 4


def test_one_question(sandbox: Sandbox, folder: str) -> None:
    assert judge(sandbox, "list the files here", "ls", "ls -1", folder, rules=ALL).verdict == "accept"


def judged_lines(lines: list[str | bytes]) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[bytes]]:
    """The answers of `python -m eval.judge` to some lines, and how it ended."""
    given = b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    command = [sys.executable, "-m", "eval.judge", "--jsonl", "-"]
    done = subprocess.run(command, input=given, capture_output=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done


def test_command_line(folder: str) -> None:
    rows = [
        {"request": r, "gold": g, "candidate": c, "fixture": folder} for r, g, c, _ in (CASES[0], CASES[7], CASES[15])
    ]
    answers, done = judged_lines([json.dumps(row) + "\n" for row in rows])
    assert done.returncode == 0, done.stderr
    assert [answer["verdict"] for answer in answers] == ["accept", "reject", "undecided"]
    assert all(answer.keys() == {"verdict", "rule", "evidence"} for answer in answers)


def test_a_line_that_cannot_be_judged_loses_no_other_verdict(folder: str) -> None:
    good = {"request": "list the files", "gold": "ls", "candidate": "ls -1", "fixture": folder}
    bad = [
        "{",
        "[]",
        '{"gold": "ls"}',
        json.dumps(good | {"gold": "ls \ud800"}),
        json.dumps(good | {"fixture": "no-such-tree"}),
        json.dumps(good | {"fixture": "a\0b"}),
        json.dumps(good | {"request": "x" * (1 << 20)}),
        "[" * 100_000,
        '{"gold": ' + "1" * 10_000 + "}",
        b'{"gold": "\xff"}',
    ]
    lines: list[str | bytes] = []
    for line in bad:
        lines += [line, "\n", json.dumps(good), "\n"]
    answers, done = judged_lines(lines)
    assert [answer["verdict"] for answer in answers] == ["invalid", "accept"] * len(bad)
    assert all(answer["evidence"]["error"] for answer in answers[::2])
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
    assert f"{len(bad)} of the lines could not be judged: line 1: not JSON".encode() in done.stderr


def test_what_no_shell_can_be_given_counts_against_the_candidate(folder: str) -> None:
    good = {"request": "list the files", "gold": "ls", "fixture": folder}
    commands = ["ls \ud800", "ls; : " + "x" * (128 << 10), "ls\0", "touch $'\\xff'"]
    lines = [json.dumps(good | {"candidate": one}) + "\n" for one in commands]
    separated = json.dumps(good | {"candidate": "ls #\u2028\u0085"}, ensure_ascii=False)
    answers, done = judged_lines([*lines, separated])
    assert [answer["verdict"] for answer in answers] == ["reject", "reject", "reject", "reject", "accept"]
    assert done.returncode == 0 and not done.stderr


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    done = subprocess.run([sys.executable, "-m", "eval.judge", "--jsonl", str(path)], capture_output=True, text=True)
    assert done.returncode == 2 and "is not a file" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
