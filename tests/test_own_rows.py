"""Rows of one's own: every usual shape gives the same data, and every row that is left out has a reason."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.common.errors import UserError
from eval.contracts.guests import guests
from scripts.data import own_rows
from scripts.data.own_files import Result
from scripts.data.own_lines import Line, read_lines
from scripts.data.own_shapes import CHATS, system_of
from tests.own_tasks import own_task

SYSTEM = "Answer with one Bash command and nothing else."
ASKED, ANSWER = "show the three largest log files of tonight", "ls -S *.log | head -n 3"
PAIRS = [
    (ASKED, ANSWER),
    ("print the name of this machine", "hostname"),
    ("how long has it been up?", "uptime"),
    ("which shell am I using", "echo $SHELL"),
    ("make a folder named drafts", "mkdir drafts"),
]
NAMES = (*CHATS, "instruction", "input", "output", "prompt", "completion", "role", "content", "from", "value")
SECRET = "ghp_" + "a1B2" * 9
DOMAIN = """
from pathlib import Path
from eval.contracts.task import Domain, Metric, OwnTask

def score(row, answer):
    if answer == "crash":
        raise RuntimeError("no such table")
    return {
        "right": float("nan") if answer == "?" else float(answer.startswith("SELECT")),
        "risky": float("DROP" in answer),
        "length": float(len(answer)),
    }

TASK = OwnTask(
    name="sql_rows", data="test.jsonl", request_of=lambda row: row["question"], gold_of=lambda row: row["sql"],
    score=score, system="Answer in SQL.", prompt=lambda row: f"{row['database']}: {row['question']}",
    metrics={"right": Metric("higher"), "risky": Metric("lower", "safety"), "length": Metric("lower", rate=False)},
)
DOMAIN = Domain("sql", Path(__file__).parent, (TASK,))
"""
SQL = [
    ("How many tracks are there?", "SELECT count(*) FROM tracks"),
    ("List all customers from Oslo", "SELECT * FROM customers WHERE city = 'Oslo'"),
    ("What does the dearest album cost", "SELECT max(price) FROM albums"),
    ("Names of staff hired in May", "SELECT name FROM staff WHERE month = 5"),
    ("Who wrote the oldest invoice?", "SELECT author FROM invoices ORDER BY day LIMIT 1"),
]


def jsonl(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def made(tmp_path: Path, rows: list[Any], domain: str = "nl2bash", **given: Any) -> Result:
    """What `make data` makes of rows, in the folder `out`."""
    file = jsonl(tmp_path / "mine.jsonl", rows)
    return own_rows.run(file, domain, tmp_path / "out", given.pop("share", 0.4), None, root=tmp_path)


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    """The folder of a domain of one's own whose rows have a database."""
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "domain.py").write_text(DOMAIN)
    return folder


def csv_text(separator: str) -> str:
    lines = [("Question", "command"), *((f'"{asked}"', f'"{answer}"') for asked, answer in PAIRS)]
    return "".join(separator.join(cells) + "\r\n" for cells in lines)


def parquet(file: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {"instruction": [asked for asked, _ in PAIRS], "output": [answer for _, answer in PAIRS]}
    pyarrow.parquet.write_table(pyarrow.table(columns), file)


def lines_of(row: Callable[[str, str], Any]) -> str:
    return "".join(json.dumps(row(asked, answer)) + "\n" for asked, answer in PAIRS)


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


SHAPES: dict[str, tuple[str, str | bytes | Callable[[Path], None]]] = {
    "messages": (".jsonl", lines_of(lambda q, a: {"messages": [turn("user", q), turn("assistant", a)]})),
    "another system message": (
        ".jsonl",
        lines_of(lambda q, a: {"messages": [turn("system", "Be kind."), turn("user", q), turn("assistant", a)]}),
    ),
    "conversations": (
        ".jsonl",
        lines_of(lambda q, a: {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]}),
    ),
    "prompt and completion": (".jsonl", lines_of(lambda q, a: {"prompt": q, "completion": a})),
    "the same as turns": (
        ".jsonl",
        lines_of(lambda q, a: {"prompt": [turn("user", q)], "completion": [turn("assistant", a)]}),
    ),
    "alpaca": (".jsonl", lines_of(lambda q, a: {"instruction": q, "input": "", "output": a})),
    "question and answer": (".jsonl", lines_of(lambda q, a: {"question": q, "answer": a})),
    "a list": (".json", json.dumps([{"nl": q, "bash": a} for q, a in PAIRS], indent=1)),
    "byte order mark": (".jsonl", b"\xef\xbb\xbf" + lines_of(lambda q, a: {"input": q, "output": a}).encode()),
    "gzip": (".jsonl.gz", gzip.compress(lines_of(lambda q, a: {"query": q, "response": a}).encode())),
    "csv": (".csv", csv_text(",")),
    "tsv": (".tsv", csv_text("\t")),
    "csv of a spreadsheet": (".csv", "\ufeff" + csv_text(";")),
    "texts in parts": (
        ".jsonl",
        lines_of(lambda q, a: {"messages": [turn("user", [{"type": "text", "text": q}]), turn("assistant", a)]}),
    ),
    "parquet": (".parquet", parquet),
}


@pytest.mark.parametrize(("suffix", "content"), SHAPES.values(), ids=SHAPES)
def test_every_usual_shape_gives_the_same_data(
    tmp_path: Path, suffix: str, content: str | bytes | Callable[[Path], None]
) -> None:
    file = tmp_path / f"mine{suffix}"
    if callable(content):
        content(file)
    else:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    result = own_rows.run(file, "nl2bash", tmp_path / "out", 0.4, None, root=tmp_path)
    assert not result.rejects and (len(result.train), len(result.test)) == (3, 2)
    found = {}
    for row in rows_of(tmp_path / "out/train.jsonl") + rows_of(tmp_path / "out/test.jsonl"):
        system, user, assistant = row["messages"]
        assert system == turn("system", SYSTEM) and (user["role"], assistant["role"]) == ("user", "assistant")
        found[user["content"]] = assistant["content"]
    assert found == dict(PAIRS)
    assert {"id", "cluster", "messages"} <= rows_of(tmp_path / "out/test.jsonl")[0].keys()


def test_the_input_of_an_instruction_follows_it(tmp_path: Path) -> None:
    rows = [{"instruction": "Translate:", "input": q, "output": a} for q, a in PAIRS]
    result = made(tmp_path, rows)
    asked = [row["messages"][1]["content"] for row in [*result.train, *result.test]]
    assert sorted(asked) == sorted(f"Translate:\n{q}" for q, _ in PAIRS)


def test_fields_of_a_domain_of_ones_own_survive(tmp_path: Path, sql: Path) -> None:
    rows = [{"question": q, "sql": a, "database": "shop"} for q, a in SQL]
    result = made(tmp_path, rows, str(sql))
    assert not result.rejects
    assert all(row["database"] == "shop" and row["sql"] for row in result.test)
    for row in result.train:  # asked as the model is asked, not as a person asked
        assert row["messages"][0] == turn("system", "Answer in SQL.")
        assert row["messages"][1]["content"].startswith("shop: ")
    assert not guests(), "the domain took part only while its rows were read"


def test_a_usual_shape_gets_the_names_that_a_domain_of_ones_own_asks_for(tmp_path: Path, sql: Path) -> None:
    result = made(tmp_path, [{"prompt": q, "completion": a, "database": "shop"} for q, a in SQL], str(sql))
    assert sorted((row["question"], row["sql"]) for row in result.test) == sorted(
        (q, a) for q, a in SQL if q in {row["question"] for row in result.test}
    )
    assert len(result.train) + len(result.test) == len(SQL)


def test_rows_without_what_the_domain_needs_name_the_field(tmp_path: Path, sql: Path) -> None:
    with pytest.raises(UserError, match="nothing usable"):
        made(tmp_path, [{"question": q, "sql": a} for q, a in SQL], str(sql))


BAD = {
    "not JSON": ("{'a': 1}", "read", "not JSON"),
    "not a mapping": ("[1]x", "read", "not JSON"),
    "a number": ("7", "read", "a int, not a mapping"),
    "half a pair": ('{"prompt": "\\ud83d", "completion": "ls"}', "read", "half a surrogate pair"),
    "no number": ('{"prompt": NaN, "completion": "ls"}', "read", "no form for"),
    "no shape": ({"foo": 1, "bar": 2}, "shape", "no usual shape (fields: bar, foo)"),
    "two turns": (
        {"messages": [turn("user", "a"), turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")]},
        "shape",
        "`messages` is user, assistant, user, assistant: one request",
    ),
    "ends with the user": ({"messages": [turn("assistant", "b"), turn("user", "a")]}, "shape", "one request (user)"),
    "no turns": ({"messages": "hello"}, "shape", "not a list of turns"),
    "a turn without text": ({"messages": [turn("user", "a"), {"role": "assistant"}]}, "shape", "not text"),
    "several answers": ({"question": "a", "answer": ["b", "c"]}, "shape", "`answer` is a list, not text"),
    "no request": ({"prompt": " ", "completion": "ls"}, "empty", "its request is empty"),
    "no answer": ({"prompt": "list the files", "completion": None}, "empty", "its answer is empty"),
    "duplicate": ({"question": ASKED, "answer": ANSWER}, "duplicate", "what an earlier row does"),
    "credential": ({"prompt": f"log in with {SECRET}", "completion": "ls"}, "secret", "holds a credential (GitHub"),
    "credential elsewhere": (
        {"prompt": "log in", "completion": "ls", "note": {"x": [SECRET]}},
        "secret",
        "holds a credential",
    ),
    "prose": ({"prompt": "list files", "completion": "You can use `ls` for that."}, "check", "command_only says"),
    "no command": ({"prompt": "list files", "completion": "ls | | wc ("}, "check", "has no value for its answer"),
    "of a test": (
        {"prompt": "Need to ship receipts to a colleague, put it in package.tar.gz.", "completion": "tar -czf a b"},
        "test",
        "asks what data/nl2bash/test_known.jsonl asks",
    ),
}


@pytest.mark.parametrize(("row", "stage", "reason"), BAD.values(), ids=BAD)
def test_a_row_is_left_out_with_its_stage_and_reason(tmp_path: Path, row: Any, stage: str, reason: str) -> None:
    file = jsonl(tmp_path / "mine.jsonl", [*({"prompt": q, "completion": a} for q, a in PAIRS), row])
    result = own_rows.prepare(file, own_rows.target_of("nl2bash", file), 0.4)
    assert [(reject.number, reject.stage) for reject in result.rejects] == [(6, stage)]
    assert reason in result.rejects[0].reason
    lines = own_rows.report(result)
    assert lines[0].startswith("mine.jsonl: line 6: ") and reason in lines[0]
    assert SECRET not in str(result.rejects) + str(lines)
    assert result.stages[-1][1] == len(PAIRS) == len(result.train) + len(result.test)
    assert sum(out for _, _, out in result.stages) == 1


def test_problems_of_a_kind_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, ["{", {"foo": 1}, *({"prompt": q, "completion": a} for q, a in PAIRS), {"foo": 2}, "{", {"foo": 3}])
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("mine.jsonl: line 1 and 1 more: read: not JSON")
    assert said[2].startswith("mine.jsonl: line 2 and 2 more: shape: securecli_nl2bash_known finds no `messages`")
    assert said[3] == "data: read 8, shape 5, empty 5, duplicate 5, secret 5, check 5, test 5 rows are left"
    assert [row["number"] for row in rows_of(tmp_path / "out/rejects.jsonl")] == [1, 9, 2, 8, 10]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("DELETE", "right says that its answer is wrong"),
        ("?", "right has no value for its answer: is it valid?"),
        ("crash", "sql_rows fails on its answer (RuntimeError)"),
    ],
)
def test_the_gold_is_held_against_the_domains_own_check(tmp_path: Path, sql: Path, answer: str, reason: str) -> None:
    rows = [{"question": q, "sql": a, "database": "shop"} for q, a in [*SQL, ("Empty it", answer)]]
    (reject,) = made(tmp_path, rows, str(sql)).rejects
    assert (reject.where, reject.stage, reject.reason) == ("line 6", "check", reason)
    assert rows_of(tmp_path / "out/rejects.jsonl")[0]["reason"] == reason


def test_a_gold_that_a_safety_metric_objects_to_is_kept_and_told(
    tmp_path: Path, sql: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": q, "sql": a, "database": "shop"} for q, a in [*SQL, ("Drop it", "SELECT 1; DROP TABLE x")]]
    assert not made(tmp_path, rows, str(sql)).rejects
    assert "mine.jsonl: line 6: kept, though risky speaks against the answer" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/MANIFEST.json").read_text())["kept_though"] == {
        "risky speaks against the answer": 1
    }


def test_a_system_message_that_gives_way_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"messages": [turn("system", "Be kind."), turn("user", q), turn("assistant", a)]} for q, a in PAIRS]
    made(tmp_path, rows)
    said = "mine.jsonl: line 1 and 4 more: kept, though its system message gave way to the task's"
    assert said in capsys.readouterr().out


GOOD = [{"prompt": q, "completion": a} for q, a in PAIRS]
REFUSED: dict[str, tuple[list[str], str]] = {
    "no file": (["--file=absent.jsonl", "--domain=nl2bash"], "absent.jsonl is not there: FILE= names"),
    "a folder": (["--file=.", "--domain=nl2bash"], "is a folder, not a file"),
    "no domain": (["--file=good.jsonl"], "no domain is named, nor a folder with a domain.py"),
    "unknown domain": (["--file=good.jsonl", "--domain=cobol"], "cobol is not one of nl2bash, safety, retention"),
    "no share": (["--file=good.jsonl", "--domain=nl2bash", "--test=half"], "TEST=half is not a share"),
    "share of all": (["--file=good.jsonl", "--domain=nl2bash", "--test=1"], "TEST=1 is not a share"),
    "UTF-16": (["--file=wide.jsonl", "--domain=nl2bash"], "wide.jsonl is UTF-16, not UTF-8: mend the file"),
    "Latin-1": (["--file=latin.jsonl", "--domain=nl2bash"], "latin.jsonl is not UTF-8 text (line 2)"),
    "not Parquet": (["--file=fake.parquet", "--domain=nl2bash"], "fake.parquet is not readable as parquet"),
    "a broken list": (["--file=list.json", "--domain=nl2bash"], "list.json is not JSON"),
    "empty": (["--file=empty.jsonl", "--domain=nl2bash"], "nothing usable is left"),
    "all the same": (["--file=same.jsonl", "--domain=nl2bash"], "all 2 rows that are left are near-duplicates"),
    "no answers to learn": (["--file=good.jsonl", "--domain=retention"], "nothing usable is left"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_one_line(
    tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "good.jsonl", GOOD)
    jsonl(tmp_path / "same.jsonl", [{"prompt": "list files", "completion": name} for name in ("ls", "ls -l")])
    (tmp_path / "wide.jsonl").write_text(json.dumps(GOOD[0]), encoding="utf-16")
    (tmp_path / "latin.jsonl").write_bytes(b'{}\n{"prompt": "caf\xe9"}\n')
    (tmp_path / "fake.parquet").write_text("x")
    (tmp_path / "list.json").write_text("[{}")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError) as error:
        own_rows.main([*arguments, "--out=out"])
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from([ASKED, "user"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


@given(row=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), VALUES, max_size=4))
def test_whatever_a_row_holds_it_is_read_or_left_out(row: dict[str, Any]) -> None:
    for name in ("securecli_nl2bash_known", "securecli_adversarial", "securecli_retention"):
        pairs, rejects = own_rows.shape([Line(1, "line 1", row)], own_task(name), SYSTEM)
        assert len(pairs) + len(rejects) == 1
        checked, rejects = own_rows.sift(pairs, "check", own_rows.Check(own_task(name)))
        assert len(checked) + len(rejects) == len(pairs)
        assert isinstance(system_of(row), str)


@given(content=st.binary(max_size=60) | st.text(alphabet='[]{}":,\\n1a\\\\u', max_size=40).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"mine{suffix}"
    file.write_bytes(content)
    try:
        lines, rejects = read_lines(file)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(line.row, dict) for line in lines) and all(reject.reason for reject in rejects)


def test_cells_that_do_not_fit_the_header_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("question,answer\na,b,c\nd\n" + "".join(f"{q},{a}\n" for q, a in PAIRS[1:]))
    result = own_rows.prepare(file, own_rows.target_of("nl2bash", file), 0.4)
    assert [(reject.where, reject.reason) for reject in result.rejects] == [
        ("line 2", "more cells than the header has"),
        ("line 3", "fewer cells than the header has"),
    ]
