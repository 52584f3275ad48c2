"""What argparse says of a command's words, in one line: of make's variables, where make gave the words."""

import argparse
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from eval.common.places import ROOT

GIVEN = re.compile(r"call (?:option|switch),(\w+),(--[\w-]+)")
OPTION = re.compile(r"--[a-z][a-z-]*")


@contextmanager
def told_by(fail: Callable[[str], NoReturn]) -> Iterator[None]:
    """Meanwhile a wrong word ends with `fail`, which raises, instead of a page of usage and SystemExit."""
    before = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = lambda parser, message: fail(one_line(parser.prog, message))  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        argparse.ArgumentParser.error = before  # type: ignore[method-assign]


def one_line(prog: str, message: str) -> str:
    """argparse's message, and where the words are explained."""
    said, makefile = message.removeprefix("argument "), ROOT / "Makefile"
    if "MAKELEVEL" not in os.environ or not makefile.is_file():
        return f"{said}; `{prog} --help` lists the options"
    named = variables(makefile.read_text(encoding="utf-8"), prog.removeprefix("python -m "))
    said = OPTION.sub(lambda found: f"{named[found[0]]}=" if found[0] in named else found[0], said)
    return f"{said.replace('=:', ':')}; `make help` says what each command takes"


def variables(makefile: str, program: str) -> dict[str, str]:
    """The make variable of each option that a makefile's recipes give a program."""
    recipes = makefile.replace("\\\n", " ").splitlines()
    starts = re.compile(rf"\$\(PY\) (?:-m )?{re.escape(program)} ")
    return {option: name for line in recipes if starts.search(line) for name, option in GIVEN.findall(line)}
