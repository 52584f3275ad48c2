"""Somebody else's domain: what was consented to is what runs, whatever lies beside its code or changes meanwhile."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.common.errors import Refused, UserError
from eval.common.places import ROOT
from eval.config.suite_file import load_suite
from eval.contracts import guest_folder
from eval.contracts.domains import find_task
from eval.contracts.from_source import _finder
from eval.contracts.guest_folder import read_folder
from eval.contracts.guests import guests, let_in, let_in_folder, visiting
from eval.contracts.plugins import find
from eval.run.files import write_json
from scripts.data.dataset_facts import describe_data
from scripts.publishing.verify_guests import Place, check_guests, check_suite
from scripts.publishing.verify_inputs import check_data
from tests.packages import found_by_this_process, install

CODE = """
from pathlib import Path
from eval.contracts.task import Domain, Metric, OwnTask
{before}
WORDS = (Path(__file__).parent / "words" / "good.txt").read_text().split()
TASK = OwnTask(
    name="words_test", data="test.jsonl", request_of=lambda row: row["request"], gold_of=lambda row: row["answer"],
    score=lambda row, answer: {{"good": float(answer in WORDS)}}, metrics={{"good": Metric("higher")}},
)
DOMAIN = Domain("words", Path(__file__).parent, (TASK,))
"""


@pytest.fixture(autouse=True)
def only_here() -> Iterator[None]:
    with visiting():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    (folder / "words").mkdir(parents=True)
    (folder / "domain.py").write_text(CODE.format(before=""))
    (folder / "words" / "good.txt").write_text("yes fine")
    (folder / "suite.yaml").write_text("name: words\n")
    return folder


def score(answer: str) -> float:
    task = find_task("words_test")
    assert task is not None
    return task.score({"request": "", "answer": ""}, answer)["good"]


def test_the_digest_holds_every_file_that_the_code_can_read(folder: Path) -> None:
    before = read_folder(folder).sha256
    (folder / "words" / "good.txt").write_text("yes fine maybe")
    assert read_folder(folder).sha256 != before
    (folder / "words" / "good.txt").write_text("yes fine")
    for name in ("suite.yaml", "train.jsonl", "README.md", "MANIFEST.json", ".hidden", "__pycache__/domain.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("held elsewhere, or by nobody")
    assert read_folder(folder).sha256 == before
    for name in ("shop.sql", "words/train.jsonl", "words/suite.yaml", "library.so"):
        (folder / name).write_text("new")
        assert read_folder(folder).sha256 != before, name
        (folder / name).unlink()


def test_the_code_runs_from_what_was_digested_and_finds_no_other_file(folder: Path) -> None:
    guest = let_in("words", folder, None)
    (folder / "words" / "good.txt").write_text("changed")
    (folder / "domain.py").write_text("raise SystemExit")
    assert guest.code is not None and not guest.code.is_relative_to(folder)
    assert sorted(path.name for path in guest.code.rglob("*") if path.is_file()) == ["domain.py", "good.txt"]
    assert (score("yes"), score("changed")) == (1.0, 0.0)
    assert guest.domain.folder == folder, "rows are those of the folder itself"


def test_a_file_that_is_not_digested_is_not_there_and_the_line_says_where_it_belongs(folder: Path) -> None:
    (folder / "more.jsonl").write_text("{}")
    (folder / "domain.py").write_text(CODE.format(before='open(Path(__file__).with_name("more.jsonl"))'))
    with pytest.raises(UserError, match=r"more\.jsonl is taken for rows, .*: put it into a folder below$"):
        let_in("words", folder, None)


def test_code_without_consent_does_not_run(folder: Path, tmp_path: Path) -> None:
    digest = let_in("words", folder, None).sha256
    ran = tmp_path / "ran"
    (folder / "domain.py").write_text(CODE.format(before=f"Path({str(ran)!r}).touch()"))
    with pytest.raises(UserError, match="consented to the code"):
        let_in("words", folder, digest)
    assert not ran.exists()
    let_in("words", folder, None)
    assert ran.exists()


def test_bytecode_in_the_folder_has_no_say(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("WORDS = 1")
    cache = Path(importlib.util.cache_from_source(str(folder / "domain.py")))
    cache.parent.mkdir()
    cache.write_bytes(unchecked_bytecode(other))
    let_in("words", folder, None)
    assert score("yes") == 1.0


def test_a_second_reading_replaces_what_the_first_imported(folder: Path) -> None:
    (folder / "helper.py").write_text("GOOD = 'yes'")
    (folder / "domain.py").write_text(CODE.format(before="from .helper import GOOD").replace("in WORDS", "in GOOD"))
    let_in("words", folder, None)
    (folder / "helper.py").write_text("GOOD = 'no'")
    let_in("words", folder, None)
    assert (score("yes"), score("no")) == (0.0, 1.0)


def test_more_than_belongs_beside_code_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_folder, "LARGEST_BYTES", 1000)
    (folder / "model.safetensors").write_bytes(bytes(1001))
    with pytest.raises(UserError, match=r"holds more than .* keep models, runs and other data elsewhere"):
        let_in("words", folder, None)


def commit_all(folder: Path) -> None:
    """Make a folder a repository with all its files."""
    git = ["git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "words"]):
        subprocess.run([*git, *command], check=True)


@pytest.mark.parametrize("on_disk", ["as committed", "changed", "gone"])
def test_publishing_finds_training_rows_that_a_guests_test_nearly_asks(
    folder: Path, tmp_path: Path, on_disk: str
) -> None:
    path = "data/nl2bash/train_small.jsonl"
    turns = json.loads((ROOT / path).read_text().splitlines()[0])["messages"]
    asked = {"request": f"{turns[1]['content']}, now", "answer": "yes"}
    recipe = {"datasets": [{"path": path, "type": "chat_template"}]}
    write_json(tmp_path / "data.json", describe_data(recipe))
    (folder / "test.jsonl").write_text("".join(json.dumps(asked | {"id": n}) + "\n" for n in range(2)))
    commit_all(folder)
    if on_disk == "changed":
        (folder / "test.jsonl").write_text('{"request": "say yes in quite another way", "answer": "yes"}\n')
    elif on_disk == "gone":
        (folder / "test.jsonl").unlink()
    let_in_folder(folder)

    def check(domains: list[str]) -> object:
        return check_data(tmp_path, {"git": {}}, recipe, SimpleNamespace(domains=domains))  # type: ignore[arg-type]

    assert check([])
    with pytest.raises(Refused, match=r"train_small\.jsonl holds 1 rows of a test"):
        check(["words"])


def test_publishing_holds_every_digested_file_against_git(folder: Path) -> None:
    commit_all(folder)
    place = Place.of(folder)

    def notes() -> list[str]:
        guest = let_in_folder(folder)
        suite = SimpleNamespace(name="words", domains={"words": SimpleNamespace(sha256=guest.sha256)})
        metrics = SimpleNamespace(provenance={"domains": [guests()["words"].record()]})
        return check_guests(suite, metrics, place)  # type: ignore[arg-type]

    assert "folder words, code" in notes()[0]
    (folder / "words" / "good.txt").write_text("yes fine rm")
    with pytest.raises(Refused, match=r"words/good\.txt is not as words has committed and merged it"):
        notes()


@pytest.mark.parametrize("name", ["configs/serve/served.yaml", "tests/data/smoke_suite.yaml"])
def test_a_folder_with_a_committed_suite_and_no_domain_of_it_is_no_place(name: str, tmp_path: Path) -> None:
    """Suites of served forms and of tests are committed, too, and decide on no adapter."""
    shutil.copy(ROOT / name, tmp_path / "suite.yaml")
    suite, place = load_suite(tmp_path / "suite.yaml"), Place.of((ROOT / name).parent)
    with pytest.raises(Refused, match="not one of the suites committed in configs/eval or in"):
        check_suite(tmp_path, suite, place)


def test_the_folder_of_a_domain_is_the_place_of_suites_that_name_it(folder: Path) -> None:
    let_in_folder(folder)
    place = Place(folder.resolve(), folder)
    suite = SimpleNamespace(domains={"words": None})
    assert place.is_of(suite) and not Place(folder.parent, folder.parent).is_of(suite)  # type: ignore[arg-type]
    assert not place.is_of(SimpleNamespace(domains={}))  # type: ignore[arg-type]


def unchecked_bytecode(source: Path) -> bytes:
    """Bytecode that Python runs without a look at the source it lies beside (PEP 552)."""
    import py_compile

    compiled = py_compile.compile(
        str(source), cfile=str(source) + "c", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    return Path(str(compiled)).read_bytes()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment's folder of packages; what is imported from it is forgotten afterwards."""
    found_by_this_process(tmp_path, monkeypatch)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("theirs")]:
        del sys.modules[name]
    _finder.packages.discard("theirs")


def test_a_package_runs_from_the_source_that_its_digest_is_over(site: Path, tmp_path: Path) -> None:
    source = "from .inner import thing\n"
    files = {"theirs/__init__.py": source, "theirs/inner.py": "thing = 7\n"}
    install(site, "their-package", files, {"backends": {"mine": "theirs:thing"}})
    (tmp_path / "other.py").write_text("thing = 666\n")
    for name in ("__init__", "inner"):
        cache = Path(importlib.util.cache_from_source(str(site / "theirs" / f"{name}.py")))
        cache.parent.mkdir(exist_ok=True)
        cache.write_bytes(unchecked_bytecode(tmp_path / "other.py"))
    assert find("backends", "mine", {}) == 7


def test_bytecode_without_a_source_is_not_run(site: Path, tmp_path: Path) -> None:
    install(site, "their-package", {"theirs/__init__.py": ""}, {"backends": {"mine": "theirs.inner:thing"}})
    (tmp_path / "other.py").write_text("thing = 666\n")
    (site / "theirs" / "inner.pyc").write_bytes(unchecked_bytecode(tmp_path / "other.py"))
    with pytest.raises(UserError, match="bytecode without a source"):
        find("backends", "mine", {})
