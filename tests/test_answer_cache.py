"""Answers kept across evaluations: the same bytes as generating anew, and never under another key."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.model.answer_cache import AnswerCache, Answers, DamagedEntry, costs
from eval.run.base_files import base_identity
from eval.run.digests import text_sha256
from eval.run.files import read_json, read_jsonl
from eval.run.partial_log import PartialLog
from eval.run.records import Generation
from tests.dictionary_backend import one_by_one
from tests.test_suite import BATCH, evaluate, make_run, make_suite

LIMIT = 8


@dataclasses.dataclass(frozen=True)
class Asked:
    """What of a sample the cache reads."""

    id: str
    prompt: str
    task: str = "t"
    request: str = "r"
    repeat: int = 0
    kind: str = "generate_until"

    @property
    def prompt_sha256(self) -> str:
        return text_sha256(self.prompt)


BATCH_OF_TWO: Any = [Asked("a", "list files"), Asked("b", "delete files")]


def answers_to(batch: list[Any], arm: str = "baseline", text: str = "ls\u2028\r\n\x85 é") -> list[Generation]:
    return [
        Generation(
            arm=arm, task=s.task, sample=s.id, repeat=0, request=s.request, prompt_sha256=s.prompt_sha256,
            text=f"{text} {s.id}", tokens=3, finish="stop", seconds=0.25,
        )
        for s in batch
    ]  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path) -> AnswerCache:
    kept = AnswerCache(tmp_path / "answers")
    kept.write("maker", BATCH_OF_TWO, answers_to(BATCH_OF_TWO))
    return kept


def only_file(cache: AnswerCache) -> Path:
    [path] = [path for path in cache.folder.rglob("*") if path.is_file()]
    return path


def test_an_entry_reads_back_as_written_for_either_arm(cache: AnswerCache) -> None:
    assert cache.read("maker", BATCH_OF_TWO, "baseline") == answers_to(BATCH_OF_TWO)
    assert cache.read("maker", BATCH_OF_TWO, "candidate") == answers_to(BATCH_OF_TWO, "candidate")


@pytest.mark.parametrize(
    "batch",
    [
        BATCH_OF_TWO[::-1],
        BATCH_OF_TWO[:1],
        [BATCH_OF_TWO[0], dataclasses.replace(BATCH_OF_TWO[1], prompt="delete  files")],
        [BATCH_OF_TWO[0], dataclasses.replace(BATCH_OF_TWO[1], id="c")],
    ],
)
def test_another_batch_has_no_entry(batch: Any, cache: AnswerCache) -> None:
    assert cache.read("maker", batch, "baseline") is None


def test_another_maker_has_no_entry(cache: AnswerCache) -> None:
    assert cache.read("other", BATCH_OF_TWO, "baseline") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"seconds":0.25', '"seconds":0.26'),
        lambda text: text.replace("ls", "rm", 1),
        lambda text: text[:-5],
        lambda text: "",
        lambda text: text.split("\n", 1)[1],
        lambda text: "\x00" * len(text),
    ],
)
def test_a_damaged_entry_is_never_read(damage: Callable[[str], str], cache: AnswerCache) -> None:
    path = only_file(cache)
    text = path.read_bytes().decode()
    assert damage(text) != text
    path.write_bytes(damage(text).encode())
    with pytest.raises(DamagedEntry):
        cache.read("maker", BATCH_OF_TWO, "baseline")


def test_an_entry_at_the_place_of_another_is_never_read(cache: AnswerCache) -> None:
    other: Any = [Asked("a", "something else")]
    cache.path("maker", other).write_bytes(only_file(cache).read_bytes())
    with pytest.raises(DamagedEntry):
        cache.read("maker", other, "baseline")


def test_what_was_read_longest_ago_is_pruned_first(cache: AnswerCache) -> None:
    size = only_file(cache).stat().st_size
    batches: list[Any] = [[Asked("a", f"{n}"), Asked("b", f"{n}")] for n in range(5)]
    for age, batch in enumerate(batches):
        cache.write("maker", batch, answers_to(batch))
        os.utime(cache.path("maker", batch), (1e9 + age, 1e9 + age))
    cache.read("maker", batches[0], "baseline")
    assert cache.prune(limit=3 * size + size // 2) == 3
    assert [cache.read("maker", batch, "baseline") is not None for batch in batches] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_a_base_is_its_bytes_or_a_pinned_commit(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    before = base_identity(str(tmp_path), None, None)
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert base_identity(str(tmp_path), None, None) not in (before, None)
    assert base_identity("owner/model", "main", None) is None
    assert base_identity("owner/model", "main", "c" * 40) == base_identity("owner/model", "c" * 40, None) is not None


def test_a_damaged_entry_costs_one_line_and_one_batch(cache: AnswerCache, tmp_path: Path) -> None:
    path = only_file(cache)
    path.write_text(path.read_text().replace("ls", "rm"))
    said: list[str] = []
    made: list[str] = []

    def generate(arm: str, batch: list[Any]) -> list[Generation]:
        made.append(arm)
        return answers_to(batch, arm)

    log = PartialLog(tmp_path, "generations", Generation, "key")
    answers = Answers(log, one_by_one(generate), {"baseline": "maker", "candidate": "adapted"}, cache, said.append)
    answers.answer([BATCH_OF_TWO])
    answers.keep()
    assert made == ["baseline", "candidate"]
    assert [line for line in said if "damaged" in line] == [said[0]]
    assert cache.read("maker", BATCH_OF_TWO, "baseline") == answers_to(BATCH_OF_TWO)


def test_costs_never_mix_reused_with_generated_answers() -> None:
    rows = answers_to(BATCH_OF_TWO) + answers_to(BATCH_OF_TWO, "candidate")
    spent = costs(rows, {("baseline", "t", "a", 0), ("baseline", "t", "b", 0)}, load_seconds=1.0)
    assert (spent["seconds_generate_baseline"], spent["tokens_baseline"]) == (0, 0)
    assert (spent["reused_baseline"], spent["tokens_reused_baseline"], spent["seconds_saved_baseline"]) == (
        2, 6, 0.5,
    )  # fmt: skip
    assert (spent["seconds_generate_candidate"], spent["tokens_candidate"], spent["items"]) == (0.5, 6, 2)
    assert spent["reused_candidate"] == 0


def texts(run: Path) -> list[Generation]:
    """generations.jsonl without the one thing that differs between two times of making it."""
    rows = read_jsonl(run / "generations.jsonl", Generation)
    return [row.model_copy(update={"seconds": 0.0}) for row in rows]


@pytest.mark.slow
def test_reused_answers_are_those_that_generating_anew_gives(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Three evaluations of one adapter: filling the cache, from the cache, without it."""
    suite = make_suite(tmp_path / "suite.yaml", LIMIT, BATCH)
    runs = [make_run(tmp_path / name, tiny_model, tiny_adapter) for name in ("first", "again", "anew")]
    cache = ("--cache", tmp_path / "answers")
    codes = [
        evaluate(monkeypatch, "--config", suite, "--run", runs[0], *cache),
        evaluate(monkeypatch, "--config", suite, "--run", runs[1], *cache),
        evaluate(monkeypatch, "--config", suite, "--run", runs[2]),
    ]
    assert len(set(codes)) == 1
    assert (runs[0] / "generations.jsonl").read_bytes() == (runs[1] / "generations.jsonl").read_bytes()
    assert texts(runs[0]) == texts(runs[2]) and len(texts(runs[0])) == 2 * LIMIT
    assert len({(run / "scores.jsonl").read_bytes() for run in runs}) == 1
    spent = [read_json(run / "metrics.json")["costs"] for run in runs]
    assert [cost["reused_candidate"] for cost in spent] == [0, LIMIT, 0]
    assert [cost["reused_baseline"] for cost in spent] == [0, LIMIT, 0]
    assert spent[1]["tokens_baseline"] == spent[1]["seconds_generate_candidate"] == 0 < spent[0]["tokens_candidate"]
    out = capsys.readouterr().out
    assert out.count("are reused") == 2
    assert len(list((tmp_path / "answers").rglob("*.jsonl"))) == 2 * LIMIT // BATCH


@pytest.mark.slow
def test_other_weights_or_settings_reuse_nothing(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another adapter reuses the base's answers alone; another dtype reuses none."""
    from tests.conftest import make_adapter

    cache = ("--cache", tmp_path / "answers")
    plain = make_suite(tmp_path / "plain.yaml", BATCH, BATCH)
    half = make_suite(tmp_path / "half.yaml", BATCH, backend={"dtype": "bfloat16", "batch_size": BATCH})
    first = make_run(tmp_path / "first", tiny_model, tiny_adapter)
    other = make_run(tmp_path / "other", tiny_model, make_adapter(tiny_model, tmp_path / "adapter", scale=0.5))

    def reused(suite: Path, run: Path) -> tuple[float, float]:
        evaluate(monkeypatch, "--config", suite, "--run", run, *cache)
        spent = read_json(run / "metrics.json")["costs"]
        return spent["reused_baseline"], spent["reused_candidate"]

    assert reused(plain, first) == (0, 0)
    assert reused(plain, other) == (BATCH, 0)
    assert reused(half, other) == (0, 0)
