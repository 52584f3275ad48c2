"""The test of general knowledge: its data is as built and fair, and a real base scores above chance on it."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lm_eval
import pytest
import yaml

from eval.common.errors import Refused, UserError
from eval.config.suite_file import SUITES, Suite, load_suite
from eval.statistics.paired import wilson_interval
from scripts.data.build_retention import DATA, build, main, trained_requests, word_runs, words
from tests.conftest import EMBEDDED
from tests.hf_model import load_hf

TASK = "securecli_retention"
QUESTIONS = [json.loads(line) for line in (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
NEUTRAL = [json.loads(line) for line in (DATA / "neutral.jsonl").read_text(encoding="utf-8").splitlines()]
OURS = ("securecli_", "drift")


def suite_of(limit: int | None, batch_size: int = 16) -> Suite:
    gate = {"id": "knowledge", "task": TASK, "metric": "acc", "rule": "noninferiority", "margin": 0.05}
    return Suite.model_validate(
        {
            "name": "tiny",
            "description": "a few questions",
            "backend": {"dtype": "float32", "batch_size": batch_size},
            "tasks": [{"name": TASK, "limit": limit, "chat": False}],
            "gates": [gate],
        }
    )


def authored(folder: Path, **edits: list[Any]) -> Path:
    """A copy of the authored files in which categories of questions.yaml are replaced, beside the training data."""
    target = folder / "data" / "retention"
    target.mkdir(parents=True)
    shutil.copy(DATA / "neutral.yaml", target)
    content = yaml.load((DATA / "questions.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    (target / "questions.yaml").write_text(yaml.safe_dump(content | edits), encoding="utf-8")
    for name in ("nl2bash", "safety"):
        (target.parent / name).mkdir()
        shutil.copy(DATA.parent / name / "train.jsonl", target.parent / name)
    return target


def test_committed_files_are_what_the_inputs_give() -> None:
    for name, content in build(DATA).items():
        assert (DATA / name).read_bytes() == content, f"{name} is out of date: python -m scripts.data.build_retention"


def test_check_refuses_a_changed_file(tmp_path: Path) -> None:
    folder = authored(tmp_path)
    assert main(["--data", str(folder)]) == 0
    (folder / "questions.jsonl").write_bytes(b"")
    with pytest.raises(Refused, match=r"questions\.jsonl"):
        main(["--data", str(folder), "--check"])


def test_there_are_enough_questions_of_many_kinds() -> None:
    counts = Counter(row["category"] for row in QUESTIONS)
    assert len(QUESTIONS) >= 300 and len(counts) >= 25 and min(counts.values()) >= 10
    assert len(NEUTRAL) >= 200 and set(Counter(row["category"] for row in NEUTRAL)) == {"chat", "text"}


def test_ids_and_texts_are_unique() -> None:
    for rows, text in ((QUESTIONS, "question"), (NEUTRAL, "text")):
        assert len({row["id"] for row in rows}) == len(rows)
        texts = [words(row[text] if text in row else row["messages"][0]["content"]) for row in rows]
        assert len(set(texts)) == len(texts)


def test_an_id_stays_when_questions_are_added_before_it(tmp_path: Path) -> None:
    capitals = yaml.safe_load((DATA / "questions.yaml").read_text(encoding="utf-8"))["capitals"]
    new = ["What is the capital of Ireland?", "Dublin", "Cork", "Galway", "Limerick"]
    rows = build(authored(tmp_path, capitals=[new, *capitals]))["questions.jsonl"].decode().splitlines()
    assert {row["id"] for row in QUESTIONS} < {json.loads(row)["id"] for row in rows}


@pytest.mark.parametrize("limit", [40, 200, len(QUESTIONS)])
def test_every_place_is_right_equally_often(limit: int) -> None:
    assert Counter(row["answer"] for row in QUESTIONS[:limit]) == dict.fromkeys(range(4), limit // 4)


def test_the_first_rows_hold_every_category_equally_often() -> None:
    counts = Counter(row["category"] for row in QUESTIONS[:104])
    assert set(counts.values()) == {4} and len(counts) == 26


@pytest.mark.parametrize("extreme", [max, min])
def test_the_length_of_an_option_gives_nothing_away(extreme: Any) -> None:
    """Choosing the longest (shortest) option, ties broken by chance, is right about as often as chance."""
    expected = 0.0
    for row in QUESTIONS:
        lengths = [len(choice) for choice in row["choices"]]
        chosen = [place for place, length in enumerate(lengths) if length == extreme(lengths)]
        expected += (row["answer"] in chosen) / len(chosen)
    assert abs(expected / len(QUESTIONS) - 0.25) < 0.05


def test_no_question_shares_six_words_with_training() -> None:
    trained = {run for _, request in trained_requests(DATA.parent) for run in word_runs(request)}
    assert len(trained) > 10_000
    for row in (*QUESTIONS, *NEUTRAL):
        text = row.get("question") or row.get("text") or row["messages"][0]["content"]
        assert not word_runs(text) & trained, row["id"]


GOOD = ["What is the capital of Ireland?", "Dublin", "Cork", "Galway", "Limerick"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([GOOD, GOOD], "asked 2 times: what is the capital of ireland"),
        ([GOOD[:4]], "capitals 1: a question, its answer and 3 wrong ones"),
        ([[*GOOD[:4], "dublin"]], "capitals 1: two options are equal"),
        ([GOOD, ["", "a", "b", "c", "d"]], "capitals 2: a question"),
        ("Dublin", "a mapping of names to lists"),
    ],
)
def test_a_bad_item_says_where(items: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build(authored(tmp_path, capitals=items))
    assert message in str(caught.value)


def test_a_question_that_was_trained_is_refused(tmp_path: Path) -> None:
    request = next(request for _, request in trained_requests(DATA.parent) if len(request.split()) > 8)
    with pytest.raises(UserError, match=r"retention-capitals-\w+ shares `.*` with training row train-"):
        build(authored(tmp_path, capitals=[[request, *GOOD[1:]]]))


def task_file(path: Path) -> dict[str, Any]:
    """One of lm-eval's own task files with what it includes; functions are left as their names."""
    task = yaml.safe_load(path.read_text(encoding="utf-8").replace("!function ", ""))
    shared = task_file(path.parent / task["include"]) if "include" in task else {}
    return shared | task


def metrics_of(task: dict[str, Any]) -> set[str]:
    """Names of the task's metrics, as eval/model/lm_tasks.py writes them."""
    names = {metric["metric"] for metric in task["metric_list"]}
    filters = [part["name"] for part in task.get("filter_list", [])]
    return {f"{metric},{name}" for metric in names for name in filters} if filters else names


def test_the_pod_suite_names_tasks_and_metrics_of_the_installed_lm_eval() -> None:
    suite = load_suite(SUITES / "retention.yaml")
    folder = Path(lm_eval.__file__).parent / "tasks"
    wanted = {task.name for task in suite.tasks if not task.name.startswith(OURS)}
    files = [path for path in folder.rglob("*.yaml") if path.stem in wanted]
    theirs = {task["task"]: task for path in files if (task := task_file(path))["task"] == path.stem}
    assert len(wanted) >= 10 and wanted == theirs.keys()
    for gate in suite.gates:
        assert gate.task.startswith(OURS) or gate.metric in metrics_of(theirs[gate.task]), gate.id


@pytest.mark.slow
def test_the_task_scores_the_text_of_four_options() -> None:
    from eval.model.lm_tasks import load_tasks

    (task,) = load_tasks(suite_of(None), SimpleNamespace(tokenizer_name=""))
    assert [sample.id for sample in task.samples] == [row["id"] for row in QUESTIONS]
    for sample, row in zip(task.samples, QUESTIONS, strict=True):
        assert sample.gold == row["choices"][row["answer"]] and sample.category == row["category"]
        prompt = f"Question: {row['question']}\nAnswer:"
        assert [instance.args for instance in sample.instances] == [(prompt, f" {text}") for text in row["choices"]]


@pytest.mark.slow
def test_both_arms_are_scored_on_every_question(tiny_model: Path, tiny_adapter: Path) -> None:
    from eval.model import lm_tasks

    suite = suite_of(12)
    model = load_hf(suite, tiny_model, tiny_adapter)
    tasks = lm_tasks.load_tasks(suite, model.template)
    batches = model.plan(tasks, suite.backend.batch_size)
    answers = [row for arm in ("baseline", "candidate") for batch in batches for row in model.answer(arm, batch)]
    scores = lm_tasks.score(tasks, answers)
    assert Counter((row.arm, row.metric) for row in scores) == {
        (arm, metric): 12 for arm in ("baseline", "candidate") for metric in ("acc", "acc_norm")
    }
    assert all(row.value in (0.0, 1.0) and row.category for row in scores)


@pytest.mark.slow
def test_the_embedded_base_is_above_chance() -> None:
    """Below it there would be nothing to lose, and the gate would hold nothing."""
    from eval.model import lm_tasks

    suite = suite_of(24, batch_size=24)
    model = load_hf(suite, EMBEDDED)
    tasks = lm_tasks.load_tasks(suite, model.template)
    batches = model.plan(tasks, suite.backend.batch_size)
    answers = [row for batch in batches for row in model.answer("baseline", batch)]
    right = [row.value for row in lm_tasks.score(tasks, answers) if row.metric == "acc"]
    assert wilson_interval(int(math.fsum(right)), len(right), 0.99).low > 0.25, sum(right)
