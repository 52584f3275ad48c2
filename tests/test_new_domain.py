"""`make new` writes a domain that works at once: its suite and tasks load, its rows become data, its recipe lints."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.config.suite_file import load_suite
from eval.contracts.domains import find_task
from eval.contracts.guests import guests, visiting
from scripts import new_domain
from scripts.data import own_rows
from scripts.training.lint_recipe import lint_recipe, load_recipe, resolve_recipe


class Template:
    """A chat template that shows its turns."""

    tokenizer_name = "none"

    @staticmethod
    def apply_chat_template(messages: list[dict[str, str]], **_: Any) -> str:
        return json.dumps(messages)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a repository with the embedded model and nothing else."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "models").symlink_to(ROOT / "models")
    return root


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    with visiting():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("place", ["domains/text2sql", "../far away/text2sql"])
def test_what_it_writes_works_at_once(root: Path, place: str) -> None:
    from eval.model.lm_tasks import load_tasks

    at = None if place.startswith("domains") else root / place
    folder = new_domain.new_domain("text2sql", at, root)
    assert folder.resolve() == (root / place).resolve()
    result = own_rows.run(folder / "rows.jsonl", str(folder), None, 0.2, "MIT", root)
    assert not result.rejects and (len(result.train), len(result.test)) == (19, 5)

    suite = load_suite(folder / "suite.yaml")
    assert list(guests()) == ["text2sql"] and find_task("text2sql") is not None
    (task,) = load_tasks(suite, Template())
    assert [sample.id for sample in task.samples] == [row["id"] for row in result.test]
    assert [sample.cluster for sample in task.samples] == [row["cluster"] for row in result.test]
    assert task.expected == {"right"}
    # What a model is asked is, turn for turn, what it was trained to answer.
    trained = [turn | {"content": ""} for turn in result.train[0]["messages"][:-1]]
    asked = json.loads(task.samples[0].instances[0].args[0])
    assert [turn | {"content": ""} for turn in asked] == trained
    assert asked[0] == result.train[0]["messages"][0]
    assert asked[1]["content"] == result.test[0]["request"]

    assert lint_recipe(folder / "text2sql-cpu.yaml", root=root) == []


def test_the_recipe_is_the_demos_but_for_its_data_and_folders(root: Path) -> None:
    folder = new_domain.new_domain("text2sql", root=root)
    ours, demo = load_recipe(folder / "text2sql-cpu.yaml"), load_recipe(resolve_recipe(new_domain.RECIPE))
    changed = {key for key in ours.keys() | demo.keys() if ours.get(key) != demo.get(key)}
    assert changed == {"datasets", "dataset_prepared_path", "output_dir"}
    assert ours["datasets"] == [demo["datasets"][0] | {"path": "domains/text2sql/train.jsonl"}]
    assert "demo" not in (folder / "text2sql-cpu.yaml").read_text()


def test_the_commands_of_its_readme_name_files_that_are_there(root: Path, tmp_path: Path) -> None:
    folder = new_domain.new_domain("text2sql", tmp_path / "far away", root)
    text = (folder / "README.md").read_text()
    assert len(text.splitlines()) <= 17
    commands = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("    make")]
    assert [command[1] for command in commands] == ["data", "lint", "train", "eval", "review", "publish"]
    given = dict(word.split("=", 1) for command in commands for word in command[2:])
    for name in ("FILE", "RECIPE", "SUITE", "DOMAIN"):
        assert Path(given[name]).exists(), given[name]


def test_every_key_of_the_suite_is_explained(root: Path) -> None:
    """By a comment on its line, or on the lines above it."""
    lines = (new_domain.new_domain("text2sql", root=root) / "suite.yaml").read_text().splitlines()
    keys = yaml.safe_load("\n".join(lines)).keys()
    for place, line in enumerate(lines):
        key = line.partition(":")[0]
        if key in keys and key not in ("description", "backend"):
            assert "#" in line or lines[place - 1].startswith("#"), key


def test_a_folder_that_is_taken_stays_as_it_is(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is there and not an empty folder: AT= names another one"):
        new_domain.new_domain("text2sql", tmp_path / "file", root)
    with pytest.raises(UserError, match="not an empty folder"):
        new_domain.new_domain("text2sql", tmp_path, root)
    with pytest.raises(UserError, match="is in eval/"):
        new_domain.new_domain("text2sql", root / "eval/tasks/text2sql", root)
    (tmp_path / "empty").mkdir()
    assert new_domain.new_domain("text2sql", tmp_path / "empty", root) == tmp_path / "empty"


@pytest.mark.parametrize("name", ["", "Text2SQL", "../x", "2sql", "a b", "x" * 41, "class", "a--b", "{{ x }}", "é"])
def test_what_cannot_name_a_domain_is_refused(root: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a domain"):
        new_domain.new_domain(name, root=root)
    assert not (root / "domains").exists()


@pytest.mark.parametrize("name", ["nl2bash", "intercode_alfa", "intercode-alfa"])
def test_a_name_of_ours_is_refused(root: Path, name: str) -> None:
    with pytest.raises(UserError, match="one of this repository has that name"):
        new_domain.new_domain(name, root=root)


def test_the_command_prints_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new_domain.main(["--at", str(tmp_path / "sql"), "text-2-sql"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("make data FILE=") and said.out.count("\n") == 6
    assert "next, as its README.md says" in said.err


def test_a_folder_beside_the_repository_is_named_from_there(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    assert new_domain.data_path(tmp_path / "sql", root) == "../sql/train.jsonl"
    assert new_domain.data_path(root / "domains" / "sql", root) == "domains/sql/train.jsonl"
    assert new_domain.data_path(Path("/elsewhere/sql"), root) == "/elsewhere/sql/train.jsonl"
