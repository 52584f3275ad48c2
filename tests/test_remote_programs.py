"""Providers behind a program: what is given to it and read from it, against programs of the same names and answers."""

import json
from pathlib import Path

import pytest
import yaml

from eval.common.errors import UserError
from scripts.remote import command_line
from scripts.remote.command_line import TOOLS, example, open_tool
from scripts.remote.provider import NoMachine, Order, Unsure

NAME = "sct-toy-261127-000000-abcdef"
# Each keeps the name of what it started in a file; `fail` makes a start end with an error after it has happened.
SAID = {
    "dstack": r"""
        apply) sed -n 's/^name: //p' "$5" > name; [ ! -e fail ] ;;
        ps) echo "{\"runs\": [${n:+{\"run_spec\": {\"run_name\": \"$n\"\}, \"status\": \"running\"\}}]}" ;;
        logs) echo one; echo two ;;
        stop) rm -f name ;;""",
    "sky": r"""
        launch) echo "$8" > name; [ ! -e fail ] ;;
        status) echo "[${n:+{\"name\": \"$n\", \"status\": \"UP\"\}}]" ;;
        logs) echo one; echo two ;;
        down) rm -f name ;;""",
    "modal": r"""
        run) sed -E 's/.*"name": "([^"]*)".*/\1/' "$SECURECLI_FILE" > name; [ ! -e fail ] ;;
        app) case "$2" in
            list) echo "[${n:+{\"App ID\": \"a\", \"Description\": \"$n\", \"State\": \"ephemeral (detached)\"\}}]" ;;
            logs) echo one; echo two ;;
            stop) rm -f name ;;
        esac ;;""",
}


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> command_line.CommandLine:
    program = tmp_path / "bin" / TOOLS[request.param].program
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"; n=$(cat name 2> /dev/null)\ncase "$1" in {SAID[program.name]} esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HF_TOKEN", "a-token-of-somebody")
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    return open_tool(request.param, 1.0)


def order() -> Order:
    return Order(NAME, "an/image:1", 'echo "$HOME"', {"SECURECLI_SECONDS": "60"}, ("HF_TOKEN",), "L4", 2, 60)


def test_a_machine_is_started_seen_read_and_ended(tool: command_line.CommandLine, tmp_path: Path) -> None:
    assert tool.machines() == []
    tool.start(order())
    (machine,) = tool.machines()
    assert (machine.name, machine.state, machine.rented) == (NAME, "running", True)
    assert tool.lines(machine, "") == (["one", "two"], "2") and tool.lines(machine, "1") == (["two"], "2")
    tool.stop(machine)
    assert tool.machines() == []
    for path in (tmp_path / "outputs").rglob("*.yaml"):
        assert "a-token-of-somebody" not in path.read_text()


def test_a_start_that_fails_after_the_fact_is_found_by_its_name(tool: command_line.CommandLine, tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    with pytest.raises(Unsure):
        tool.start(order())
    assert [machine.name for machine in tool.machines()] == [NAME]


def test_what_is_listed_in_another_form_is_no_empty_list(tool: command_line.CommandLine, tmp_path: Path) -> None:
    program = tmp_path / "bin" / tool.tool.program
    for said in ("echo nonsense", "echo '{\"other\": 1}'", "exit 3"):
        program.write_text(f"#!/bin/sh\n{said}\n")
        with pytest.raises(Unsure):
            tool.machines()


def test_without_a_price_or_its_program_nothing_is_started(
    tool: command_line.CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoMachine, match="--price"):
        open_tool(tool.name, None).offer("L4", 1)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(command_line.sys, "executable", "/nowhere/python")
    with pytest.raises(UserError, match="is not here"):
        open_tool(tool.name, 1.0)


def test_every_file_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """What the providers' own parsers say of them: configs/remote/README.md."""
    example(tmp_path)
    dstack, sky = (yaml.safe_load((tmp_path / f"{name}.yaml").read_text()) for name in ("dstack", "skypilot"))
    assert (dstack["max_duration"], dstack["max_price"], dstack["retry"]) == (7200, 1.0, False)
    assert sky["resources"]["autostop"] == {"idle_minutes": 1, "down": True} and not sky["resources"]["use_spot"]
    assert json.loads((tmp_path / "modal.yaml").read_text())["seconds"] == 7200
