"""Expanding a few rows by teachers: what is asked, what is kept, and that no kill loses or doubles a row."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.model.endpoint import connection
from scripts.teachers import expand
from scripts.teachers.prompts import MOST_BROKEN, answer_in, objects_in
from scripts.teachers.settings import load_plan
from tests.answers import hold
from tests.patience import PATIENCE, slowness, wait_until
from tests.run_builder import call
from tests.writing_server import Writing, row

SEEDS = [row(f"seed-{number}") for number in range(12)]
KEY = "sk-" + "teacher-0123456789abcdefghij"  # in two, so that nobody takes it for one


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writing]:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)
    with Writing() as serving:
        yield serving


def jsonl(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return file


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def teacher(url: str, **given: Any) -> dict[str, Any]:
    return {"name": "teacher", "kind": "endpoint", "base_url": url, "model": "teacher", "retries": 3, **given}


def plan(tmp_path: Path, *teachers: dict[str, Any], **given: Any) -> Path:
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump({"dedupe": "same", "teachers": list(teachers), **given}))
    return file


def arguments(tmp_path: Path, config: Path, rows: int, seeds: list[Any] | None = None) -> list[str]:
    file = jsonl(tmp_path / "seeds.jsonl", SEEDS if seeds is None else seeds)
    return ["--file", str(file), "--out", str(tmp_path / "out"), "--config", str(config), "--rows", str(rows)]


def expanded(tmp_path: Path, config: Path, rows: int, seeds: list[Any] | None = None) -> list[dict[str, Any]]:
    ended = expand.main(arguments(tmp_path, config, rows, seeds))
    assert ended == 0
    hold(ended)
    return read(tmp_path / "out/rows.jsonl")


def questions(server: Writing) -> int:
    return len([one for one in server.asked if one["body"]])


def test_rows_come_with_whom_they_are_from_and_the_key_is_nowhere(
    server: Writing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    server.key = KEY
    sampling = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 400}
    made = teacher(server.url, key_env="TEACHER_KEY", sampling=sampling, revision="main@1", body={"top_k": 5})
    rows = expanded(tmp_path, plan(tmp_path, made, instructions="Only folders."), 30)
    assert len({one["request"] for one in rows}) == 30 == len({one["id"] for one in rows})
    body = server.asked[0]["body"]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["top_k"]) == (0.3, 0.9, 400, 5)
    assert "Only folders." in body["messages"][0]["content"]
    assert body["messages"][1]["content"].count('"request"') == 5 + 1, "five seeds, and the keys that are wanted"
    maker = rows[0]["teacher"]
    assert (maker["model"], maker["revision"], maker["sampling"]) == ("teacher", "main@1", sampling)
    assert len(maker["prompt_sha256"]) == 64 and maker["served"] == "teacher" and maker["seed"] >= 42
    said = capsys.readouterr()
    files = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert KEY.encode() not in files and KEY not in said.out + said.err


def test_every_fault_that_passes_costs_a_repetition_and_no_row(server: Writing, tmp_path: Path) -> None:
    faults = ["429", "500", "503", "cut", "hung up", "no JSON", "no choices", "half a letter", "10 MB", "another model"]
    server.faults = [fault for one in faults for fault in (one, "")]
    rows = expanded(tmp_path, plan(tmp_path, teacher(server.url, concurrency=1)), 100)
    assert len(rows) == 100 and questions(server) == 20 + len(faults) and not server.faults


def test_a_late_answer_is_asked_for_again(server: Writing, tmp_path: Path) -> None:
    server.faults = ["late", "slow body"]
    made = teacher(server.url, concurrency=1, timeout_s=0.5 * slowness())
    assert len(expanded(tmp_path, plan(tmp_path, made), 10)) == 10


def test_a_teacher_that_fails_ends_in_one_line_and_what_it_gave_is_kept(
    server: Writing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(tmp_path, teacher(server.url, concurrency=1))
    server.faults = ["", "", "400", "400", "400"]
    code, _, err = call(expand.main, arguments(tmp_path, made, 50), capsys)
    assert code == 2 and err.count("\n") == 1 and "refuses with code 400" in err
    assert len(read(tmp_path / "out/rows.jsonl")) == 10
    before = questions(server)
    assert len(expanded(tmp_path, made, 50)) == 50 and questions(server) == before + 8, "nothing is asked twice"


def test_a_question_that_a_teacher_refuses_is_passed_over(
    server: Writing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = ["400", "", "400", "400"]
    assert len(expanded(tmp_path, plan(tmp_path, teacher(server.url, concurrency=1)), 20)) == 20
    asked = [{"id": f"r{n}", "request": f"Show {n}.", "answer": "ls"} for n in range(3)]
    server.faults = ["400"]
    made = plan(tmp_path, teacher(server.url, concurrency=1), ask="answers")
    given = [text.replace("/out", "/answers") for text in arguments(tmp_path, made, 3, asked)]
    code, _, err = call(expand.main, given, capsys)
    assert code == 2 and "refuses with code 400" in err and len(read(tmp_path / "answers/rows.jsonl")) == 2
    assert expand.main(given) == 0 and len(read(tmp_path / "answers/rows.jsonl")) == 3


def test_others_go_on_without_a_teacher_that_fails(server: Writing, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        two = [teacher(dead, name="dead", retries=0), teacher(server.url, share=3)]
        with pytest.raises(UserError, match="teacher dead"):
            expand.main(arguments(tmp_path, plan(tmp_path, *two), 40))
    made = Counter(one["teacher"]["name"] for one in read(tmp_path / "out/rows.jsonl"))
    assert made == {"teacher": 30}, "the rows of its share"


@pytest.mark.parametrize(
    ("caps", "replies", "words"),
    [
        ({"max_requests": 3}, 3, "max_requests"),
        ({"max_tokens": 2500, "sampling": {"max_tokens": 500}}, None, "max_tokens"),
    ],
)
def test_a_limit_holds_and_when_it_is_raised_the_expansion_goes_on(
    caps: dict[str, Any], replies: int | None, words: str, server: Writing, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=words):
        expand.main(arguments(tmp_path, plan(tmp_path, teacher(server.url, **caps)), 1000))
    asked = questions(server)
    assert replies in (None, asked) and len(read(tmp_path / "out/rows.jsonl")) == 5 * asked
    raised = {**caps, words: caps[words] * 1000}
    assert len(expanded(tmp_path, plan(tmp_path, teacher(server.url, **raised)), 5 * asked + 5)) == 5 * asked + 5
    assert questions(server) == asked + 1


def test_a_teacher_that_repeats_itself_is_asked_no_more(server: Writing, tmp_path: Path) -> None:
    server.models = {"teacher": {}}  # answers `true`, whatever is asked
    with pytest.raises(Refused, match="gave nothing new in 4 replies"):
        expand.main(arguments(tmp_path, plan(tmp_path, teacher(server.url, concurrency=1), dry_after=4), 50))
    assert questions(server) == 4


class Dictated(dict[str, str]):
    """A model that says the same text to whatever it is asked."""

    def get(self, text: str, default: Any = None) -> Any:
        return self["text"]


TOKEN = "ghp_" + "a1B2" * 9
WRONG = {
    "schema: it has no `answer`": {"request": "List a.", "reply": "ls"},
    "schema: its `answer` is a number, not a text": {"request": "List a.", "answer": 7},
    "duplicate: asks what another row asks": {"request": "list folder-seed-3", "answer": "ls"},
    "duplicate: asks nearly what another row asks": {"request": "List folder-seed-3 now", "answer": "ls"},
    "empty: its answer is empty": {"request": "Show what changed today in the yard", "answer": " "},
    "secret: held a credential, which was removed before it was stored": {"request": "Push it", "answer": TOKEN},
    "check: command_only has no value for its answer: is it valid?": {"request": "Count words", "answer": "wc 'x"},
    "danger: flagged speaks against its answer": {"request": "Make room on the disk", "answer": "rm -rf /"},
    "test: asks what data/nl2bash/test_free.jsonl asks": {"request": "", "answer": "ls"},
}


def test_rows_that_are_not_fit_are_left_out_with_their_reason(server: Writing, tmp_path: Path) -> None:
    test_row = json.loads((ROOT / "data/nl2bash/test_free.jsonl").read_text().splitlines()[0])
    rows = [dict(one) for one in WRONG.values()]
    rows[-1]["request"] = test_row["messages"][1]["content"]
    text = (
        "Here they are:\n```json\n" + "\n".join(json.dumps(one) for one in [*rows, row("new")]) + '\n{"request": "cut'
    )
    server.models = {"teacher": Dictated(text=text)}
    given = arguments(tmp_path, plan(tmp_path, teacher(server.url), dedupe="near"), 1)
    assert expand.main([*given, "--domain", "nl2bash"]) == 0
    (kept,) = read(tmp_path / "out/rows.jsonl")
    assert kept["request"] == "List folder-new."
    found = [f"{one['stage']}: {one['reason']}" for one in read(tmp_path / "out/rejects.jsonl")]
    assert found == ["reply: a row in it is no JSON, or cut off", *WRONG]
    assert TOKEN not in "".join(path.read_text() for path in (tmp_path / "out").iterdir())


def test_teachers_answer_the_requests_of_rows(server: Writing, tmp_path: Path) -> None:
    asked = [{"id": f"r{n}", "request": f"Show {n}.", "answer": "true", "fixture": "project"} for n in range(4)]
    server.models = {
        "teacher": {"Show 1.": "```bash\nls 1\n```", "Show 2.": "<think>so many</think>ls 2"},
        "other": {"Show 1.": "ls -l 1"},
    }
    two = [teacher(server.url), teacher(server.url, name="other", model="other")]
    rows = expanded(tmp_path, plan(tmp_path, *two, ask="answers"), 3, asked)
    said = {(one["teacher"]["name"], one["request"]): one["answer"] for one in rows}
    assert len(rows) == 6 and all(one["fixture"] == "project" for one in rows)
    assert said["teacher", "Show 1."] == "ls 1" and said["other", "Show 1."] == "ls -l 1"
    assert said["teacher", "Show 2."] == "ls 2"
    before = questions(server)
    assert len(expanded(tmp_path, plan(tmp_path, *two, ask="answers"), 4, asked)) == 8
    assert questions(server) == before + 2


# ------------------------------------------------------------------------------------------------- kill -9, twice


def journal(out: Path) -> list[dict[str, Any]]:
    file = out / "replies.partial.jsonl"
    return [json.loads(line) for line in file.read_text().split("\n")[1:-1]] if file.exists() else []


def assert_whole(rows: list[dict[str, Any]], replies: list[dict[str, Any]]) -> None:
    """500 rows, each once, each from a reply of the journal; no question is in it twice."""
    assert len(rows) == 500 == len({one["request"] for one in rows}) == len({one["id"] for one in rows})
    places = Counter(one["sample"] for one in replies)
    assert set(places.values()) == {1} and len(places) == 100
    assert {one["teacher"]["reply"] for one in rows} == places.keys()


@pytest.mark.slow
def test_an_expansion_killed_twice_loses_no_row_and_has_none_twice(tmp_path: Path) -> None:
    with Writing() as server:
        server.pace = 0.03
        config = plan(tmp_path, teacher(server.url, concurrency=4))
        command = [sys.executable, "-m", "scripts.teachers.expand", *arguments(tmp_path, config, 500)]
        kept: list[dict[str, Any]] = []
        for least in (20, 60):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            wait_until(lambda least=least: len(journal(tmp_path / "out")) >= least, process)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL
            kept += [one for one in journal(tmp_path / "out") if one not in kept]
        rows = expanded(tmp_path, config, 500)
        replies = journal(tmp_path / "out")
        assert_whole(rows, replies)
        assert all(one in replies for one in kept), "what was answered before a kill stays"
        assert questions(server) <= 100 + 2 * 4, "only what was under way is asked again"


@pytest.mark.slow
def test_a_teacher_killed_twice_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.05)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = plan(tmp_path, teacher(f"http://127.0.0.1:{port}/v1", concurrency=4, retries=20))
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(expanded(tmp_path, config, 500)), daemon=True)
    command = [sys.executable, "-m", "tests.writing_server", str(port)]
    for least in (20, 60, None):
        served = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        assert served.stdout is not None and served.stdout.readline().startswith(b"http")
        if least == 20:
            asking.start()
        if least is None:
            asking.join(PATIENCE)
        else:
            wait_until(lambda least=least: len(journal(tmp_path / "out")) >= least)  # type: ignore[misc]
        os.kill(served.pid, signal.SIGKILL)
        served.communicate(timeout=PATIENCE)
    assert_whole(found[0], journal(tmp_path / "out"))


# ---------------------------------------------------------------------------------------------------- offline teachers


def test_a_grammar_is_a_teacher(tmp_path: Path) -> None:
    train = (ROOT / "data/nl2bash/train.jsonl").read_text().splitlines()
    made = plan(tmp_path, {"name": "grammar", "kind": "grammar"}, rows=10)
    given = arguments(tmp_path, made, 60, [json.loads(line) for line in train[:6]])
    assert expand.main([*given, "--domain", "nl2bash"]) == 0
    rows = read(tmp_path / "out/rows.jsonl")
    assert len(rows) == 60 and len({one["request"] for one in rows}) == 60
    (made_by,) = {(one["teacher"]["kind"], one["teacher"]["model"], len(one["teacher"]["revision"])) for one in rows}
    assert made_by == ("grammar", "data/nl2bash", 64)


@pytest.mark.slow
def test_a_model_of_this_machine_is_a_teacher(tiny_model: Path, tmp_path: Path) -> None:
    """Random weights write no row; what they say is in the journal, with what it cost."""
    local = {"name": "tiny", "kind": "local", "model": str(tiny_model), "sampling": {"max_tokens": 8}}
    with pytest.raises(Refused, match="gave 0 of 5 rows and gave nothing new in 2 replies"):
        expand.main(arguments(tmp_path, plan(tmp_path, local, dry_after=2, rows=5), 5))
    first, second = journal(tmp_path / "out")
    assert 0 < first["tokens"] <= 8 and first["prompt_tokens"] > 100 and first["seed"] != second["seed"]
    manifest = json.loads((tmp_path / "out/MANIFEST.json").read_text())
    assert len(manifest["teachers"][0]["revision"]) == 64 and manifest["teachers"][0]["replies"] == 2


# --------------------------------------------------------------------------------------------------------- bad input


ONE = teacher("http://127.0.0.1:1/v1")
BAD_PLANS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "not the NAME of an environment variable": ([{**ONE, "key_env": KEY}], {}),
    "base_url: .*concurrency: ": ([{**ONE, "base_url": "ftp://x", "concurrency": 0}], {}),
    "two teachers are called teacher": ([ONE, ONE], {}),
    "model has a key of its own": ([{**ONE, "body": {"model": "y"}}], {}),
    "answer no requests but their own": ([{"name": "g", "kind": "grammar"}], {"ask": "answers"}),
    "colour: ": ([ONE], {"colour": 1}),
}


@pytest.mark.parametrize("words", BAD_PLANS)
def test_bad_plans_are_refused_with_all_that_is_wrong(words: str, tmp_path: Path) -> None:
    teachers, given = BAD_PLANS[words]
    with pytest.raises(UserError, match=words) as raised:
        load_plan(plan(tmp_path, *teachers, **given))
    assert KEY not in str(raised.value)


def test_a_plan_can_be_read_only_while_it_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing: CONFIG="):
        load_plan(tmp_path / "none.yaml")
    for shipped in sorted((ROOT / "configs/teachers").glob("*.yaml")):
        assert load_plan(shipped).teachers


def test_what_cannot_be_expanded_ends_in_one_line(
    server: Writing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(tmp_path, teacher(server.url))
    four = arguments(tmp_path, made, 5, SEEDS[:4])
    assert "5 or more are needed" in one_line(four, capsys)
    broken = arguments(tmp_path, made, 5, [*SEEDS, {"request": "x"}])
    assert "line 13: shape" in one_line(broken, capsys)
    assert "N=0 is no number of rows" in one_line([*broken[:-1], "0"], capsys)
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    keyless = plan(tmp_path, teacher(server.url, key_env="TEACHER_KEY"))
    assert "teacher teacher: TEACHER_KEY (key_env) is not set" in one_line(arguments(tmp_path, keyless, 5), capsys)
    (tmp_path / "out/notes.txt").write_text("mine")
    assert "is not empty" in one_line(arguments(tmp_path, plan(tmp_path, teacher(server.url)), 5), capsys)
    assert questions(server) == 0 and (tmp_path / "out/notes.txt").read_text() == "mine"


def one_line(given: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    code, _, err = call(expand.main, given, capsys)
    assert code == 2 and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(("given", "seeds"), [({"rows": 7}, SEEDS), ({}, SEEDS[1:])], ids=["plan", "seeds"])
def test_another_plan_or_other_seeds_do_not_touch_what_is_there(
    given: dict[str, Any], seeds: list[Any], server: Writing, tmp_path: Path
) -> None:
    expanded(tmp_path, plan(tmp_path, teacher(server.url)), 10)
    before = (tmp_path / "out/replies.partial.jsonl").read_bytes()
    with pytest.raises(UserError, match="holds replies to another plan, or for other seeds"):
        expand.main(arguments(tmp_path, plan(tmp_path, teacher(server.url), **given), 10, seeds))
    assert (tmp_path / "out/replies.partial.jsonl").read_bytes() == before


# ------------------------------------------------------------------------------------------------------------ replies


@pytest.mark.parametrize(
    ("text", "found", "broken"),
    [
        ('{"a": 1}\n{"a": 2}', 2, 0),
        ('[{"a": 1}, {"a": 2}]', 2, 0),
        ('Sure!\n```json\n{"a": {"b": "}"}}\n```\nDone {.', 1, 1),
        ('<think>{"a": 0}</think>{"a": 1}', 1, 0),
        ('{"a": 1}\n{"a": "cut', 1, 1),
        ("no rows", 0, 0),
        ('{"a":' * 50_000, 0, 1),
        ("{\n" * 50_000, 0, MOST_BROKEN),
        ('{"a": "' + "x" * 1_000_000, 0, 1),
    ],
)
def test_rows_are_found_in_whatever_a_model_writes(text: str, found: int, broken: int) -> None:
    rows, wrong = objects_in(text)
    assert (len(rows), wrong) == (found, broken)


def test_an_answer_loses_its_fence_and_its_thoughts_only() -> None:
    assert answer_in(" ls \n") == answer_in("```bash\nls\n```") == answer_in("<think>\nhm\n</think>\n\nls") == "ls"
    assert answer_in("```\na\n```\nor\n```\nb\n```").startswith("```")
