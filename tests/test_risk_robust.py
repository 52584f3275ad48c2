"""The analyser never fails, never hangs, and needs no recursion that the input controls."""

import json
import random
import shlex
from pathlib import Path
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.risk import analyse
from eval.risk.syntax import MAX_CHARACTERS, parse, same_length_copy
from scripts.benchmarks.fuzz_risk import PIECES, inputs, worst_texts
from scripts.benchmarks.risk import DATA, read_commands
from tests.patience import slowness

# Generous beside the 50 ms that the benchmark measures: tests share their machine with other work.
SECONDS = 0.25


def processor_seconds(text: str) -> float:
    """As on the machine where SECONDS was set: a slower one gets as many times longer."""
    runs = []
    for _ in range(3):
        start = thread_time()
        analyse(text)
        runs.append(thread_time() - start)
        if runs[-1] < SECONDS / 4:
            break
    return min(runs) if min(runs) < SECONDS else min(runs) / slowness()


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_pieces_of_shell_never_fail(text: str) -> None:
    assert analyse(text).verdict in ("allow", "review", "block")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_any_text_never_fails(text: str) -> None:
    for finding in analyse(text).findings:
        start, end = finding.span
        assert 0 <= start <= end <= len(text)


def test_mutated_commands_never_fail() -> None:
    corpus = read_commands(DATA / "development.jsonl")
    assert sum(analyse(text).verdict == "allow" for text in inputs(2000, 5, corpus)) < 2000


def test_nothing_ordinary_hides_what_stands_before_or_after_it() -> None:
    rows = [json.loads(line) for line in Path("data/nl2bash/train.jsonl").read_text().splitlines()]
    chance = random.Random(8)
    for row in chance.sample(rows, 300):
        ordinary = row["messages"][-1]["content"]
        between = chance.choice(["\n", "\n\t", " ; ", " && ", " & ", " || ", "\n\n"])
        dangerous = chance.choice(["\\rm -rf /", "rm -rf /", "$'rm' -rf /", '"rm" -rf /'])
        assert analyse(ordinary + between + dangerous).verdict == "block", ordinary
        assert analyse(dangerous + between + ordinary).verdict == "block", ordinary


def test_the_fuzzers_inputs_depend_on_the_seed_alone() -> None:
    corpus = read_commands(DATA / "development.jsonl")
    assert list(inputs(50, 1, corpus)) == list(inputs(50, 1, corpus)) != list(inputs(50, 2, corpus))


@pytest.mark.parametrize("text", worst_texts(), ids=lambda text: repr(text[:12]))
def test_texts_of_ten_kilobytes_are_quick(text: str) -> None:
    assert processor_seconds(text) < SECONDS


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("$(", ")"), ("(", ")"), ("{ ", ";}"), ("if true; then ", "; fi"), ("${a:-", "}"), ('"$(', ')"'), ("<(", ")"),
     ("xargs ", ""),
     ("sudo ", ""), ("eval ", ""), ("exec ", ""), ("! ", ""), ("find . -exec ", "")],
)  # fmt: skip
def test_deep_nesting_is_reviewed(opening: str, closing: str) -> None:
    depth = 200
    assert analyse(opening * depth + "rm -rf /" + closing * depth).verdict != "allow"


def test_doubling_variables_stay_small() -> None:
    assert processor_seconds("a=xxxxxxxx; " + "a=$a$a$a$a; " * 40 + 'echo "$a"') < SECONDS


def test_loops_in_loops_are_bounded() -> None:
    nested = "for i in 1 2 3 4 5 6 7 8; do " * 12 + "ls" + "; done" * 12
    assert processor_seconds(nested) < SECONDS
    assert analyse(nested).verdict == "review"


def test_a_long_text_is_reviewed_without_being_parsed() -> None:
    text = "ls;" * MAX_CHARACTERS
    assert parse(text) is None
    assert [finding.rule for finding in analyse(text).findings] == ["too-large"]


def test_the_parsers_copy_has_the_same_length_and_is_ascii() -> None:
    chance = random.Random(3)
    for _ in range(500):
        text = "".join(
            chance.choices([*PIECES, "\ud800", "\x7f", "<>", "[ -d / ]", "{a,b}"], k=20)
        ) + "\\" * chance.randint(0, 3)
        copy = same_length_copy(text)
        assert copy.isascii() and len(copy) == len(text)


# Bash takes all of these and the grammar none as it stands.
MENDED = (
    "g=`date` > x",
    "while true; do if true; then ls; fi done",
    "grep -E a$.b f",
    "wc `find . | grep c$`",
    "cat <<EOF",
    "for f do ls; done",
)


@pytest.mark.parametrize("text", MENDED)
def test_bash_that_the_grammar_does_not_know_is_read_all_the_same(text: str) -> None:
    assert "unparsable" not in {finding.rule for finding in analyse(text).findings}


@pytest.mark.parametrize("text", [*MENDED, "grep x <file>", "ls !(*.c)"])
@pytest.mark.parametrize("dangerous", ["rm -rf /", "true && !(rm -rf ~)", "echo x > /etc/passwd", "bash -c 'rm -rf /'"])
def test_a_mend_hides_nothing_dangerous(text: str, dangerous: str) -> None:
    for whole in (f"{dangerous}; {text}", f"({dangerous}); {text}", f"x=$({dangerous}) y; {text}"):
        assert analyse(whole).verdict == "block", whole
    assert analyse(f"bash -c {shlex.quote(f'{dangerous}; {text}')}").verdict == "block"


def test_what_a_template_does_is_judged_with_its_names_in_place() -> None:
    rules = {finding.rule for finding in analyse("rm -rf /etc <folder>").findings}
    assert {"placeholder", "delete-critical"} <= rules


@pytest.mark.parametrize("letter", ["\u00e9", "\u0434", "\u4e2d", "\u0130", "\U0001f600", "\ud800", "\x00"])
def test_other_letters_do_not_end_the_process(letter: str) -> None:
    for text in (
        letter,
        f"rm {letter}",
        f"{letter}=1",
        f"${letter}",
        f"cat <<{letter}\n{letter}\n{letter}",
        f"a {letter * 3000}",
    ):
        assert analyse(text).verdict in ("allow", "review", "block")


def test_a_function_that_calls_itself_ends() -> None:
    assert analyse("f() { f; g; }; g() { f; }; f").verdict == "allow"


def test_an_alias_of_itself_ends() -> None:
    assert analyse("alias ls='ls -l'\nls").verdict == "allow"
