"""Several teachers' answers become one row: what is valid, what does the same when it is run, whose is taken."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import Refused, UserError
from eval.execution.same_output import SameOutput
from scripts.data.own_lines import Line
from scripts.data.own_shapes import Pair
from scripts.teachers import merge
from scripts.teachers.agreement import Answer, Group, Verdicts, settle
from tests.run_builder import call

DOMAIN = """
import shlex
from pathlib import Path
from eval.contracts.task import Domain, Metric, OwnTask
from eval.execution.same_output import SameOutput

TASK = OwnTask(
    name="sums", data="test.jsonl", request_of=lambda row: row["question"], gold_of=lambda row: row["answer"],
    score=lambda row, answer: {"short": float(len(answer) < 40)}, metrics={"short": Metric("higher", "format")},
    execution=SameOutput(files=lambda row: {}, command=lambda program: "sh -c " + shlex.quote(program)),
)
DOMAIN = Domain("sums", Path(__file__).parent, (TASK,))
"""
# By request: the answers of three teachers, in order of preference; None where one did not answer.
SAID: dict[str, tuple[str | None, str | None, str | None]] = {
    "What is one and two?": ("expr 1 + 2", "echo 3", "echo 4"),
    "What is two and three?": ("exit 3", "echo 5", None),
    "What is a number?": ("echo 1", "echo 2", None),
    "What is three and four?": ("echo 7", " echo 7", None),
    "What is four and four?": (None, "echo 8", None),
    "What does not run?": ("exit 1", "exit 2", None),
    "What is five?": ("echo 5 ; : " + "x" * 50, "printf 5", "printf '5\\n'"),
}


def jsonl(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return file


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "domain.py").write_text(DOMAIN)
    return folder


def given(tmp_path: Path, domain: str, *more: str) -> list[str]:
    """Files of three teachers: `best` says its name in each row, of the others the file does."""
    rows: dict[str, list[Any]] = {"best": [], "second": [], "third": []}
    for question, said in SAID.items():
        for name, program in zip(rows, said, strict=True):
            if program is not None:
                maker = {"teacher": {"name": "best", "model": "m"}} if name == "best" else {}
                rows[name].append({"question": question, "answer": program, **maker})
    files = [jsonl(tmp_path / ("a.jsonl" if name == "best" else f"{name}.jsonl"), rows[name]) for name in rows]
    return ["--files", ",".join(map(str, files)), "--out", str(tmp_path / "out"), "--domain", domain, *more]


@pytest.mark.slow
def test_answers_that_do_the_same_become_one_row_and_a_kill_costs_nothing(
    tmp_path: Path, sums: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert merge.main(given(tmp_path, str(sums))) == 0
    rows = {row["question"]: row for row in read(tmp_path / "out/rows.jsonl")}
    found = {question: (row["answer"], row["merged"]["agreed"], row["merged"]["by"]) for question, row in rows.items()}
    assert found == {
        "What is one and two?": ("expr 1 + 2", ["best", "second"], "execution"),
        "What is two and three?": ("echo 5", ["second"], "execution"),
        "What is three and four?": ("echo 7", ["best", "second"], "text"),
        "What is four and four?": ("echo 8", ["second"], "alone"),
        "What is five?": ("printf 5", ["second", "third"], "execution"),
    }
    assert rows["What is one and two?"]["teacher"]["model"] == "m", "whom it is from stays with the row"
    (other,) = rows["What is one and two?"]["merged"]["others"]
    assert other["teacher"] == "third" and "other_output" in other["why"]
    (broken,) = rows["What is two and three?"]["merged"]["others"]
    assert broken["teacher"] == "best" and "gold_fails" in broken["why"]
    apart = {one["request"]: one for one in read(tmp_path / "out/disagreements.jsonl")}
    assert {request: one["reason"] for request, one in apart.items()} == {
        "What is a number?": "the valid answers do not do the same",
        "What does not run?": "no answer is valid",
    }
    assert [one["answer"] for one in apart["What is a number?"]["answers"]] == ["echo 1", "echo 2"]
    (reject,) = read(tmp_path / "out/rejects.jsonl")
    assert (reject["where"], reject["stage"]) == ("file 1, line 6", "check")

    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def again(*_: Any) -> Any:
        raise AssertionError("what was compared is compared again")

    monkeypatch.setattr(SameOutput, "judge", again)
    (tmp_path / "out/rows.jsonl").unlink()  # killed before it was written
    assert merge.main(given(tmp_path, str(sums))) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.slow
def test_commands_are_compared_as_the_product_judges_them(tmp_path: Path) -> None:
    said = {"one": "wc -l < notes.txt", "two": "cat notes.txt | wc -l", "three": "wc -c < notes.txt"}
    files = [
        jsonl(tmp_path / f"{name}.jsonl", [{"request": "Count the lines of notes.txt", "answer": command}])
        for name, command in said.items()
    ]
    out = ["--out", str(tmp_path / "out"), "--domain", "nl2bash", "--agree", "2"]
    assert merge.main(["--files", ",".join(map(str, files)), *out]) == 0
    (row,) = read(tmp_path / "out/rows.jsonl")
    assert row["merged"]["agreed"] == ["one", "two"] and row["answer"] == said["one"]


def test_without_a_domain_only_equal_texts_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = given(tmp_path, "", "--agree", "2")
    assert call(merge.main, files, capsys)[0] == 0
    (row,) = read(tmp_path / "out/rows.jsonl")
    assert row["question"] == "What is three and four?" and row["merged"]["by"] == "text"
    assert len(read(tmp_path / "out/disagreements.jsonl")) == 6


# ------------------------------------------------------------------------------------------------- what is settled how


def group(**said: str) -> Group:
    answers = []
    for number, (name, program) in enumerate(said.items(), start=1):
        row = {"question": "q", "program": program}
        pair = Pair(Line(number, f"line {number}", row), row, "q", program, "q")
        answers.append(Answer(name.rstrip("0123456789"), f"line {number}", pair, program))
    return Group("g", "q", tuple(answers))


def verdicts(accepted: str, undecided: str = "", rejected: str = "") -> Verdicts:
    """`ab`: b is judged so beside a, which is taken for right; all other pairs are rejected."""
    names = "abcd"
    found = {("g", one, two): ("reject", "other_output") for one in names for two in names if one != two}
    found |= {("g", *pair): ("accept", "same_output") for pair in accepted.split()}
    found |= {("g", *pair): ("undecided", "gold_fails: it fails") for pair in undecided.split()}
    return found | {("g", *pair): ("reject", "fails") for pair in rejected.split()}


SETTLED: dict[str, tuple[dict[str, str], Verdicts, list[str], str]] = {
    "most teachers": ({"x": "a", "y": "b", "z": "c"}, verdicts("bc cb"), ["y", "z"], ""),
    "one way only": ({"x": "a", "y": "b"}, verdicts("ab"), [], "the valid answers do not do the same"),
    "two against two": ({"u": "a", "x": "b", "y": "c", "z": "d"}, verdicts("ab ba cd dc"), [], "the valid answers"),
    "a teacher counts once": ({"x1": "a", "x2": "b", "y": "c"}, verdicts("ab ba"), [], "the valid answers"),
    "what fails its own tests": ({"x": "a", "y": "b"}, verdicts("", rejected="aa"), ["y"], ""),
    "what does not run": ({"x": "a", "y": "b"}, verdicts("", undecided="ab"), ["y"], ""),
    "nothing runs": ({"x": "a", "y": "b"}, verdicts("", undecided="ab ba"), [], "no answer is valid"),
    "cannot be run": ({"x": "a", "y": "b"}, {("g", "a", "b"): ("unsupported", "ps")}, [], "the answers are different"),
    "equal texts that cannot be run": ({"x": "a", "y": "a"}, {}, ["x", "y"], ""),
}  # fmt: skip


@pytest.mark.parametrize(("said", "known", "agreed", "reason"), SETTLED.values(), ids=SETTLED)
def test_validity_then_agreement_then_preference(
    said: dict[str, str], known: Verdicts, agreed: list[str], reason: str
) -> None:
    settled = settle(group(**said), known)
    assert [answer.teacher for answer in settled.agreed] == agreed
    assert settled.reason.startswith(reason) and bool(settled.reason) == bool(reason)
    assert settled.by != "alone" or len(said) == 1


# ---------------------------------------------------------------------------------------------------------- bad input


def test_the_plan_gives_the_order_of_preference(tmp_path: Path) -> None:
    config = tmp_path / "plan.yaml"
    config.write_text("teachers: [{name: second, kind: grammar}, {name: best, kind: grammar}]")
    assert merge.main(given(tmp_path, "", "--config", str(config), "--agree", "2")) == 0
    assert read(tmp_path / "out/rows.jsonl")[0]["merged"]["agreed"] == ["second", "best"]


def test_what_cannot_be_merged_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = given(tmp_path, "")
    for wrong, words in (
        (["--files", " , ", *files[2:]], "FILES= names no file"),
        ([*files, "--agree", "0"], "AGREE=0 is no number of teachers"),
        (["--files", str(tmp_path / "no.jsonl"), *files[2:]], "is not there"),
        ([*files[:3], str(tmp_path), *files[4:]], "holds a file that is to be merged"),
    ):
        code, _, err = call(merge.main, wrong, capsys)
        assert code == 2 and words in err and err.count("\n") == 1
    with pytest.raises(Refused, match="no request has an answer that is agreed on"):
        merge.main([*files, "--agree", "3"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        merge.main([*files[:3], str(tmp_path / "mine"), *files[4:]])
