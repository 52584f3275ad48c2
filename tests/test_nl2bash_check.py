"""The nl2bash task check: what counts as the right command, and as nothing but a command."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.bash.parsing import extract_command, is_command_only, score_sample, utilities

DATA = Path("data/nl2bash")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("find . -name '*.py' | wc -l", 'find  .   -name "*.py"|wc -l'),
        ("grep -n 'TODO' notes.txt", 'grep -n TODO "notes.txt"'),
        ("ls -l", "ls -l;"),
        ("ls -l", "```bash\n$ ls -l\n```\nThis lists files."),
        ("ls -l", "You can use `ls -l` for that."),
        ("tar -czf a.tar.gz src", "tar -czf a.tar.gz src  # pack it"),
    ],
)
def test_the_same_command_written_otherwise_matches(gold: str, answer: str) -> None:
    result = score_sample(gold, answer)
    assert result is not None and result["normalised_match"] == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("echo 'a b'", "echo a b"),
        ("grep 'a.*b' f", "grep a.*b f"),  # unquoted, the shell may expand the pattern
        ("echo '$HOME'", 'echo "$HOME"'),
        ("head -n 5 f", "head -n 6 f"),
        ("sort f | uniq", "sort f > uniq"),
        ("rm a b", "rm b a"),
        ("ls -l", ""),
    ],
)
def test_another_command_does_not_match(gold: str, answer: str) -> None:
    result = score_sample(gold, answer)
    assert result is not None and result["normalised_match"] == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        "ls -la",
        "find . -type f | xargs wc -l",
        "./run.sh --fast",
        "cd src && make",
        "for f in *.txt; do wc -l $f; done",
    ],
)
def test_command_only_accepts_commands(answer: str) -> None:
    assert is_command_only(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "The answer is ls -la",
        "Here is the command: ls",
        "find all the files that are big.",
        "```\nls\n```",
        "`ls`",
        "ls\nThis lists the files",
        "frobnicate --now",
        "ls | | wc",
        "sort the lines of the file!",
    ],
)
def test_command_only_refuses_prose_fences_and_broken_syntax(answer: str) -> None:
    assert not is_command_only(answer)


def test_a_gold_that_does_not_parse_makes_the_item_invalid() -> None:
    assert score_sample("ls | | (", "ls") is None


def test_utilities_are_listed_in_order() -> None:
    assert utilities("sort a | uniq -c > out && wc -l out") == ("sort", "uniq", "wc")


def test_backquoted_substitution_in_a_command_is_not_taken_for_markdown() -> None:
    assert extract_command("echo `date`") == "echo `date`"


def test_every_gold_of_the_test_sets_scores_full_marks_against_itself() -> None:
    for name in ("test_known", "test_unseen", "test_free"):
        for line in (DATA / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            gold = row["messages"][-1]["content"]
            result = score_sample(gold, gold)
            assert result is not None and set(result.values()) == {1.0}, (row["id"], gold, result)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_answer_makes_the_scorer_fail(answer: str) -> None:
    result = score_sample("ls -l", answer)
    assert result is not None and set(result.values()) <= {0.0, 1.0}


@pytest.mark.parametrize("answer", ["{\U000ffedc", "[F{{{\U000c15f8\n&~", "echo caf\u00e9", "ls \x00"])
def test_letters_beyond_ascii_do_not_crash_the_parser(answer: str) -> None:
    result = score_sample("echo caf\u00e9", answer)
    assert result is not None and result["normalised_match"] == float(answer.startswith("echo"))


@pytest.mark.parametrize("answer", ["(" * 5000 + "ls" + ")" * 5000, "$(" * 2000 + "ls" + ")" * 2000])
def test_deep_nesting_is_scored(answer: str) -> None:
    result = score_sample("ls", answer)
    assert result is not None and result["exact_match"] == 0.0
