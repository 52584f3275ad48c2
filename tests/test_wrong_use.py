"""A word that a command does not take is one line, and names what make calls it where make gave it."""

import argparse
import re

import pytest

from eval.common.errors import run_command
from eval.common.places import ROOT
from eval.common.wrong_use import variables
from tests.hub_server import Capture
from tests.run_builder import assert_one_line, call

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.sweep")
    parser.add_argument("--sweep", required=True)
    parser.add_argument("--rank", type=int)
    parser.parse_args(argv)
    return 0


@pytest.mark.parametrize(
    ("argv", "by_hand", "by_make"),
    [
        ([], "arguments are required: --sweep; `python -m scripts.sweep --help`", "are required: SWEEP=; `make help`"),
        (["--sweep", "a", "--rank", "x"], "--rank: invalid int value: 'x'", "RANK: invalid int value: 'x'"),
        (["--sweep", "a", "--else"], "unrecognized arguments: --else", "unrecognized arguments: --else"),
    ],
)
def test_a_wrong_word_is_one_line(
    argv: list[str], by_hand: str, by_make: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = argparse.ArgumentParser.error
    for level, said in ((None, by_hand), ("1", by_make)):
        monkeypatch.delenv("MAKELEVEL", raising=False)
        if level:
            monkeypatch.setenv("MAKELEVEL", level)
        code, out, err = call(main, argv, capsys)
        assert code == 2 and not out
        assert_one_line(err, said)
    assert argparse.ArgumentParser.error is before


def test_help_is_a_page_as_before(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: main(["--help"]))
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("usage: python -m scripts.sweep")


@pytest.mark.parametrize(
    ("program", "option", "variable"),
    [
        ("eval/run_eval_suite.py", "--config", "SUITE"),
        ("scripts.teachers.expand", "--config", "CONFIG"),
        ("scripts.teachers.expand", "--rows", "N"),
        ("scripts.publish", "--dry-run", "DRY_RUN"),
    ],
)
def test_an_option_has_the_name_that_make_has_for_it(program: str, option: str, variable: str) -> None:
    assert variables(MAKEFILE, program)[option] == variable


def test_every_option_of_the_makefile_is_found() -> None:
    programs = set(re.findall(r"\$\(PY\) (?:-m )?(\S+) ", MAKEFILE))
    found = {variable for program in programs for variable in variables(MAKEFILE, program).values()}
    given = set(re.findall(r"call (?:option|switch),([A-Z0-9_]+),--", MAKEFILE))
    assert given - {"JSON"} == found - {"JSON"} and len(found) > 40
