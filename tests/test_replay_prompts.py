"""The general requests of replay: as built, of many kinds, and about nothing that knowledge or drift is measured by."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.common.errors import UserError
from scripts.data.build_replay import DATA, Subjects, build


def test_the_committed_prompts_are_what_the_inputs_give_and_pass_as_files_of_ones_own_do() -> None:
    for name, content in build(DATA).items():
        assert (DATA / name).read_bytes() == content, f"{name} is out of date: python -m scripts.data.build_replay"
    rows = [json.loads(line) for line in (DATA / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 300 and len({row["category"] for row in rows}) >= 10
    assert len({row["category"] for row in rows[:10]}) == 10, "the first rows are of many kinds"


def test_a_prompt_about_what_a_question_asks_is_refused_when_prompts_are_built(tmp_path: Path) -> None:
    (tmp_path / "prompts.yaml").write_text('facts: [{ask: "Tell me about $it.", it: ["the capital city of Norway"]}]\n')
    with pytest.raises(UserError, match=r"capital city of Norway.*is about what retention-capitals-"):
        build(tmp_path)


def test_a_subject_is_its_content_words_in_any_order_and_number() -> None:
    question: dict[str, Any] = {
        "id": "q1",
        "question": "Which planet is called the red planet?",
        "choices": ["Mars", "Venus"],
        "answer": 0,
    }
    subjects = Subjects([question])
    assert subjects.asked_in("Is the planet called Mars a red one?") == "q1"
    assert subjects.asked_in("Why are some planets blue?") is None
    assert subjects.told_in("The red planets: one is Mars") == "q1" and subjects.told_in("a red planet") is None
