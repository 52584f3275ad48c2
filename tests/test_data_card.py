"""The data card: what it says is what data.json says, no text becomes markup, and nothing private is shown."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.data import pipeline, token_counts
from scripts.data.own_lines import Reject
from scripts.data.run_golds import problem_of
from scripts.training.prepared_rows import LENGTH
from tests.small_tokenizer import small_tokenizer

HOSTILE = "<script>alert(1)</script> | `x` **bold** \u202e"
SECRET = "ghp_" + "a1B2" * 9
ROWS = [
    ("print the name of this machine", "hostname"),
    (f"say {HOSTILE}", "echo 'a|b'"),
    ("count lines", "wc -l 'oops"),
    (HOSTILE, "wc -l 'oops"),
    ("keep my token", f"echo {SECRET}"),
    ("write to her", "mail maria.keller@posteo.de"),
]


def made(root: Path, **changed: Any) -> pipeline.Dataset:
    lines = (json.dumps({"nl": asked, "bash": gold}) + "\n" for asked, gold in ROWS)
    (root / "mine.jsonl").write_text("".join(lines))
    config = {"name": "mine", "sources": [{"name": "own", "kind": "file", "path": "mine.jsonl"}], "split": {"share": 0}}
    (root / "mine.yaml").write_text(yaml.safe_dump(config | changed))
    return pipeline.run(root / "mine.yaml", None, root / "out", root)


def test_the_card_shows_rows_as_text_and_nothing_private(tmp_path: Path) -> None:
    made(tmp_path)
    page, text = (tmp_path / "out/card.html").read_text(), (tmp_path / "out/card.md").read_text()
    assert "&lt;script&gt;" in page and "<script" not in page
    assert not re.search(r"(?<!\\)<script", re.sub("`[^`]*`", "", text))
    assert "\u202e" not in page + text
    for private in (SECRET, "maria.keller"):
        assert private not in page + text
    assert "holds a credential" in page and "its command is not valid Bash" in text
    facts = json.loads((tmp_path / "out/data.json").read_text())
    for stage in facts["stages"]:
        assert f">{stage['stage']}</text>" in page
    assert (tmp_path / "out/flow.svg").read_text().count("<rect") == 1 + len(facts["stages"]) + sum(
        stage["rejected"] > 0 for stage in facts["stages"]
    )


@pytest.mark.slow
def test_tokens_are_counted_as_axolotl_trains_them(tmp_path: Path) -> None:
    """Two rows with a small tokenizer: the answer is learned and the request is not; a long row is dropped."""
    base = tmp_path / "models/tiny"
    small_tokenizer(base)
    (base / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "configs/train").mkdir(parents=True)
    recipe = {
        "base_model": "models/tiny",
        "sequence_len": 64,
        "datasets": [{"path": "x.jsonl", "type": "chat_template", "roles_to_train": ["assistant"]}],
    }
    (tmp_path / "configs/train/tiny.yaml").write_text(yaml.safe_dump(recipe))
    ROWS.append(("tell me " + "very " * 90 + "much", "true"))
    try:
        dataset = made(tmp_path, recipe="tiny")
    finally:
        ROWS.pop()
    facts = json.loads((tmp_path / "out/data.json").read_text())["tokens"]
    assert facts["rows"] == len(dataset.train) - 1 and facts["dropped"] == {LENGTH: 1}
    assert 0 < facts["trained_tokens"] < facts["tokens"]
    page = (tmp_path / "out/card.html").read_text()
    assert "<mark>hostname" in page and "<mark>print" not in page
    rows = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text().splitlines()]
    other = {"path": "y.jsonl", "type": "chat_template", "roles_to_train": ["assistant"], "field_messages": "turns"}
    renamed = [{"turns": row["messages"]} for row in rows]
    lengths = [one for one in token_counts.lengths_of(recipe, other, renamed, tmp_path) if one.tokens <= 64]
    assert sum(one.tokens for one in lengths) == facts["tokens"], "each dataset is read as it says"
    assert sum(one.learned for one in lengths) == facts["trained_tokens"]


def test_tokens_that_cannot_be_counted_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "configs/train").mkdir(parents=True)
    (tmp_path / "configs/train/far.yaml").write_text("base_model: org/far\n")
    made(tmp_path, recipe="far")
    assert json.loads((tmp_path / "out/data.json").read_text())["tokens"]["not_counted"]
    assert "tokens are not counted: the base of far is not on this machine" in capsys.readouterr().out


def test_the_count_is_of_no_other_kind_of_dataset() -> None:
    with pytest.raises(Exception, match="chat_template"):
        token_counts.strategy_of({"sequence_len": 9, "datasets": [{"type": "alpaca"}]}, Path())


def execution(code: int | None, out: bytes = b"", err: bytes = b"", limits: Iterable[str] = ()) -> Any:
    from eval.sandbox import Execution

    return Execution(code, out, err, (), tuple(limits), 0.1, "test")


@pytest.mark.parametrize(
    ("command", "run", "reason", "detail"),
    [
        ("ls", lambda: execution(0, b"x\n"), "", ""),
        ("ls", lambda: execution(0), "its command does nothing", "exit 0"),
        ("ls", lambda: execution(1), "its command does nothing", "exit 1"),
        ("ls", lambda: execution(2, err=b"ls: invalid option -- 'y'"), "its command fails", "invalid option"),
        (
            "ls",
            lambda: execution(2, err=b"ls: cannot access 'x': No such file or directory"),
            "",
            "not run: the tree lacks",
        ),
        ("ls", lambda: execution(127, err=b"foo: command not found"), "", "not run: a tool is missing"),
        ("ls", lambda: execution(None, limits=["wall"]), "", "not run: over a limit (wall)"),
        ("ls", lambda: execution(3, err=b"something"), "its command does nothing", "exit 3"),
        ("rm", lambda: execution(1, err=b"rm: missing operand"), "its command fails", "missing operand"),
        ("rm $(ls)", lambda: execution(1, err=b"rm: missing operand"), "", "not run: the tree lacks"),
        ("ls | xargs rm", lambda: execution(123, err=b"rm: missing operand"), "", "not run: the tree lacks"),
        ("rsync a b:", lambda: execution(255, err=b"connection unexpectedly closed"), "", "not run: the tree lacks"),
    ],
)
def test_what_a_run_says_of_its_row(command: str, run: Callable[[], Any], reason: str, detail: str) -> None:
    found = problem_of(command, run())
    assert found[0].startswith(reason) and bool(found[0]) is bool(reason) and found[1].startswith(detail)


@pytest.mark.slow
def test_commands_that_fail_or_do_nothing_are_left_out_by_running_them(tmp_path: Path) -> None:
    """In the real sandbox: a listing stays, an option that does not exist and a search for nothing go."""
    rows = [
        ("show what is in letters", "ls letters"),
        ("sort the names", "sort --sideways names.txt"),
        ("do nothing at all", "true"),
        ("ask the net", "curl https://example.org/a"),
    ]
    ROWS[:], before = rows, list(ROWS)
    try:
        dataset = made(tmp_path, golds="strict")
    finally:
        ROWS[:] = before
    assert [(one.number, one.stage, one.detail) for one in dataset.rejects] == [
        (2, "golds", "unrecognized option"),
        (3, "golds", "exit 0"),
    ]
    golds: list[Reject] = [one for one in dataset.rejects if one.stage == "golds"]
    assert len(dataset.train) == len(rows) - len(golds)
    assert any(stage.get("kept_though") for stage in dataset.stages)
