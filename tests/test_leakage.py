"""Training on the test is found where it enters: in the rows of a recipe, before anything is trained."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.common.places import ROOT
from scripts.data.dataset_facts import describe_data
from scripts.training.leakage import alfa_rows, committed_tests, compared_with, leakage_problems, requests
from scripts.training.lint_recipe import load_recipe
from scripts.training.recipe_data import dataset_problems

KNOWN = "data/nl2bash/test_known.jsonl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the committed test sets."""
    for path in committed_tests(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


def recipe(path: str = "mine.jsonl", key: str = "datasets") -> dict[str, Any]:
    return {key: [{"path": path, "type": "chat_template"}]}


def chat(request: str, answer: str = "true") -> str:
    turns = [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in committed_tests(ROOT)])
def test_a_copy_of_any_test_set_is_refused_with_its_row_and_the_test(root: Path, path: str) -> None:
    rows = [json.loads(line) for line in (root / path).read_text().splitlines()][:3]
    asked = [
        row.get("question") or row.get("text") or next(t["content"] for t in row["messages"] if t["role"] == "user")
        for row in rows
    ]
    (root / "mine.jsonl").write_text(chat("a request of my own") + "".join(chat(text) for text in asked))
    for key in ("datasets", "test_datasets"):
        [problem] = dataset_problems(recipe(key=key), root)
        assert problem.startswith(f"{key}[0].path: mine.jsonl: line 2 asks what {path} asks ({rows[0]['id']})")
        assert "2 more rows" in problem
        assert describe_data(recipe(key=key), root)[0]["rows_in_tests"] == 3


def test_the_test_file_itself_is_refused(root: Path) -> None:
    [problem] = dataset_problems(recipe(KNOWN), root)
    assert "line 1 asks what" in problem and "331 more rows" in problem


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: f"  {text.replace(' ', '   ')}. ",
        lambda text: f"### Request:\n{text}\n### Command:\n",
        lambda text: f"{text}!",
    ],
)
def test_case_spaces_and_marks_hide_nothing(root: Path, change: Any) -> None:
    request = json.loads((root / KNOWN).read_text().splitlines()[0])["messages"][1]["content"]
    (root / "mine.jsonl").write_text(chat(change(request)))
    assert len(leakage_problems(recipe(), root)) == 1


def test_an_answer_in_common_is_no_leak(root: Path) -> None:
    answer = json.loads((root / KNOWN).read_text().splitlines()[0])["messages"][2]["content"]
    (root / "mine.jsonl").write_text(chat("something that nobody asks", answer) + chat("ls", "ls -l"))
    assert leakage_problems(recipe(), root) == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_committed_recipe_trains_on_a_test(path: Path) -> None:
    assert leakage_problems(load_recipe(path), ROOT) == []
    described = describe_data(load_recipe(path), ROOT)
    assert [row["rows_in_tests"] for row in described] == [0, 0]
    assert all(row["compared_with"] == compared_with(ROOT) for row in described)


def test_every_test_set_has_requests(root: Path) -> None:
    assert {file for file, _ in requests(root).requests.values()} == set(compared_with(root))
    assert len(compared_with(root)) == 8


@pytest.mark.parametrize("change", ["please {}", "{}, and print it", "{} (quickly)"])
def test_a_request_with_a_word_more_is_refused_as_nearly_a_tests(root: Path, change: str) -> None:
    rows = [json.loads(line)["messages"][1]["content"] for line in (root / KNOWN).read_text().splitlines()]
    request = next(text for text in rows if len(text) > 90)
    (root / "mine.jsonl").write_text(chat(change.format(request)))
    [problem] = leakage_problems(recipe(), root)
    assert f"line 1 nearly asks what {KNOWN} asks" in problem and "make data FILE=" in problem


def test_rows_of_the_package_count(root: Path) -> None:
    (root / "mine.jsonl").write_text(chat(alfa_rows()[7]["messages"][1]["content"]))
    [problem] = leakage_problems(recipe(), root)
    assert "asks what intercode_alfa asks (alfa-7)" in problem


@pytest.mark.parametrize("folder", ["domains/sql", "beside"])
def test_the_test_set_of_a_domain_of_ones_own_counts_and_its_code_is_not_run(root: Path, folder: str) -> None:
    (root / folder).mkdir(parents=True)
    (root / folder / "domain.py").write_text("raise SystemExit('run')")
    (root / folder / "test.jsonl").write_text(
        json.dumps({"question": "which albums cost more than nine euros?"}) + "\n"
    )
    (root / "mine.jsonl").write_text(chat("Which albums cost more than nine euros") + chat("which albums are sold out"))
    beside = root / "beside" if folder == "beside" else None
    [problem] = leakage_problems(recipe(), root, beside)
    assert f"line 1 asks what {folder}/test.jsonl asks (row 1);" in problem
    assert folder != "beside" or leakage_problems(recipe(), root) == []


def test_a_broken_test_set_is_said_and_not_left_out(root: Path) -> None:
    (root / "domains/sql").mkdir(parents=True)
    (root / "domains/sql/domain.py").touch()
    (root / "domains/sql/test.jsonl").write_text("{")
    (root / "mine.jsonl").write_text(chat("a request of my own"))
    with pytest.raises(UserError, match=r"line 1.*mend this test set"):
        leakage_problems(recipe(), root)
