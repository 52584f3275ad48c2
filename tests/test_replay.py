"""Replay: the share is kept, no test's subject is trained on, a kill costs nothing, and a bad answer has a reason."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.model.lm_tasks import Sample
from eval.run.files import read_json
from eval.run.records import BASELINE, Generation
from scripts import replay
from scripts.data.replay_rows import is_trained
from scripts.data.token_counts import Length
from scripts.replay import Asking
from scripts.training.recipe_copy import copied
from tests.dictionary_backend import Dictionary
from tests.run_builder import assert_one_line, call

Capture = pytest.CaptureFixture[str]
RECIPE = """# A recipe with comments.
base_model: {base}  # the base
sequence_len: 64
datasets:
  # commands
  - path: data/toy.jsonl
    type: chat_template
    train_on_eos: turn
# below
output_dir: outputs/toy
dataset_prepared_path: prepared/toy  # by content
"""
SUBJECTS = ["candles", "harbours", "violets", "trumpets", "sledges", "acorns"]
ASKED = [f"Tell me a fact about {subject}, please." for subject in SUBJECTS]
SAID = {text: f"Many like {text.split()[5]} for a long time" for text in ASKED}
QUESTION = {"id": "q1", "question": "Which planet is called the red planet?", "choices": ["Mars", "Venus"], "answer": 0}


class Base(Dictionary):
    """The base as a dictionary: some answers are cut off, and it may die at a request."""

    def __init__(self, said: Mapping[str, str], cut: Sequence[str] = (), dies_at: str = "") -> None:
        super().__init__({BASELINE: said})
        self.cut, self.dies_at, self.asked = cut, dies_at, list[str]()

    def answer(self, arm: str, batch: Sequence[Sample]) -> list[Generation]:
        if self.dies_at in [sample.request for sample in batch]:
            raise KeyboardInterrupt
        self.asked += [sample.request for sample in batch]
        given = super().answer(arm, batch)
        return [one.model_copy(update={"finish": "length"}) if one.request in self.cut else one for one in given]


def in_words(recipe: Any, dataset: Any, rows: Any, root: Any) -> Iterator[Length]:
    """Words in place of tokens."""
    for row in rows:
        counts = [len(turn["content"].split()) for turn in row["messages"]]
        yield Length(1, sum(counts), counts[-1])


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chat(request: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    return {"id": request, "messages": turns}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a recipe that learns 40 words, a test of knowledge, and prompts."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "toy.yaml").write_text(RECIPE.format(base=tmp_path / "base"))
    write_rows(tmp_path / "data" / "toy.jsonl", [chat(f"list folder {n}", "ls -l -a here") for n in range(10)])
    write_rows(tmp_path / "data" / "nl2bash" / "train.jsonl", [chat("show me what is in the folder tmp", "ls tmp")])
    write_rows(tmp_path / "data" / "retention" / "questions.jsonl", [QUESTION])
    write_rows(tmp_path / "data" / "retention" / "neutral.jsonl", [chat("Why do cats purr?", "They are content.")])
    write_rows(tmp_path / "prompts.jsonl", [{"id": f"p{n}", "prompt": text} for n, text in enumerate(ASKED)])
    monkeypatch.setattr(replay, "lengths_of", in_words)
    monkeypatch.setattr(replay, "BATCH", 2)
    return tmp_path


@pytest.fixture
def mix(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., replay.Mixed]:
    """`make replay` in that repository, with this base."""

    def mixed(base: Base | None, share: float = 0.3, out: str = "data/own/mix", how: Asking = Asking()) -> replay.Mixed:  # noqa: B008
        if base is not None:
            monkeypatch.setattr(replay, "opened", lambda recipe, how: base)
        return replay.replay(root / "toy.yaml", share, root / out, root / "prompts.jsonl", how, root)

    return mixed


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_of_what_is_learned_is_the_least_that_is_not_below_what_was_asked(
    root: Path, mix: Callable[..., replay.Mixed], share: float
) -> None:
    mixed = mix(Base(SAID), share)
    rows = rows_in(root / "data/own/mix/replay.jsonl")
    words = [len(row["messages"][1]["content"].split()) for row in rows]
    assert sum(words) / (40 + sum(words)) >= share > sum(words[:-1]) / (40 + sum(words[:-1]))
    assert mixed.rows == len(rows) and mixed.tokens == sum(words)
    assert mixed.share_of_tokens == pytest.approx(sum(words) / (40 + sum(words)))
    assert mixed.share_of_rows == pytest.approx(len(rows) / (10 + len(rows)))


def test_another_share_begins_with_the_same_rows_and_asks_nothing(root: Path, mix: Callable[..., replay.Mixed]) -> None:
    base = Base(SAID)
    mix(base, 0.3, "data/own/less")
    asked = list(base.asked)
    mix(base, 0.5, "data/own/more")
    assert base.asked == asked == ASKED
    less, more = (rows_in(root / f"data/own/{name}/replay.jsonl") for name in ("less", "more"))
    assert len(less) < len(more) and more[: len(less)] == less


def test_a_share_beyond_the_answers_is_one_line_and_nothing_is_written(
    root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    with pytest.raises(UserError, match=r"takes more than the 6 answers .* 51\.2 % .*FILE="):
        mix(Base(SAID), 0.8)
    assert not (root / "data/own").exists()


def test_the_copy_is_the_recipe_with_one_more_dataset_and_folders_of_its_own(
    root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    mixed = mix(Base(SAID))
    before, text = yaml.safe_load((root / "toy.yaml").read_text()), (root / mixed.recipe).read_text()
    after = yaml.safe_load(text)
    own: dict[str, Any] = {"path": "data/own/mix/replay.jsonl", "type": "chat_template", "field_messages": "messages"}
    own |= {"roles_to_train": ["assistant"], "train_on_eos": "turn"}
    folders = {name: f"{before[name]}-replay30" for name in ("output_dir", "dataset_prepared_path")}
    assert after == {**before, **folders, "datasets": [*before["datasets"], own]}
    assert all(
        comment in text for comment in ("# A recipe with", "# the base", "# commands", "# below", "# by content")
    )


@pytest.mark.parametrize("datasets", ["[{path: x, type: y}]", "{}"])
def test_a_recipe_that_cannot_be_added_to_by_lines_is_refused(datasets: str) -> None:
    with pytest.raises(UserError, match="datasets: must be a list with a line for each key"):
        copied(f"base_model: x\ndatasets: {datasets}\n", {"path": "z"}, "more", "-replay10")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("What do people call the red planet?", "about what q1 asks"),
        ("Do cats purr?", "about what chat"),
        ("why do cats purr", "chat"),
        ("Please show me what is in the folder", "shares `me what is in the folder` with training row"),
        ("How do I list files in bash?", "speaks of `bash`"),
    ],
)
def test_a_prompt_of_a_test_or_of_the_shell_is_refused_by_line(
    root: Path, mix: Callable[..., replay.Mixed], text: str, why: str
) -> None:
    write_rows(root / "data" / "retention" / "neutral.jsonl", [{**chat("Why do cats purr?", "Yes."), "id": "chat"}])
    write_rows(root / "prompts.jsonl", [{"prompt": ASKED[0]}, {"prompt": text}])
    base = Base(SAID)
    with pytest.raises(UserError, match="prompts.jsonl: line 2 .*" + why.replace("`", ".")):
        mix(base)
    assert not base.asked


def test_each_answer_that_is_left_out_has_a_reason(root: Path, mix: Callable[..., replay.Mixed]) -> None:
    said = {
        ASKED[0]: "  ",
        ASKED[1]: "Many boats lie there and then",
        ASKED[2]: "I'm sorry, but I can't help with that.",
        ASKED[3]: "Some call Mars the red planet, as you know.",
        ASKED[4]: "Open a terminal and type sled.",
        ASKED[5]: "Oaks grow from them, slowly, over a great many years of sun and much rain",
    }
    mix(Base(said, cut=[ASKED[1]]), 0.2)
    rejects = {one["where"]: (one["stage"], one["reason"]) for one in rows_in(root / "data/own/mix/rejects.jsonl")}
    assert {name: stage for name, (stage, _) in rejects.items()} == {
        "p0": "empty", "p1": "cut off", "p2": "refusal", "p3": "test", "p4": "test",
    }  # fmt: skip
    assert "tells what q1 asks" in rejects["p3"][1] and "`terminal`" in rejects["p4"][1]
    assert [row["id"] for row in rows_in(root / "data/own/mix/replay.jsonl")] == ["p5"]


def test_an_answer_that_the_recipe_would_not_take_is_left_out(root: Path, mix: Callable[..., replay.Mixed]) -> None:
    mix(Base(SAID | {ASKED[0]: "word " * 60}), 0.2)
    (reject,) = rows_in(root / "data/own/mix/rejects.jsonl")
    assert (reject["where"], reject["stage"]) == ("p0", "length") and "(64)" in reject["reason"]
    assert "p0" not in [row["id"] for row in rows_in(root / "data/own/mix/replay.jsonl")]


def test_killed_it_goes_on_with_the_same_bytes_and_asks_nothing_twice(
    root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        mix(dying := Base(SAID, dies_at=ASKED[4]))
    (journal,) = (root / ".cache" / "replay").glob("*/answers.partial.jsonl")
    with journal.open("a") as stream:
        stream.write('{"arm":"baseline","task":"fi')  # a line that the kill cut
    assert not (root / "data/own").exists()
    again = Base(SAID)
    mix(again)
    assert dying.asked == ASKED[:4] and again.asked == ASKED[4:]
    there = {path.name: path.read_bytes() for path in (root / "data/own/mix").iterdir()}
    for path in (root / ".cache" / "replay").glob("*/*"):
        path.unlink()
    mix(Base(SAID))
    assert {path.name: path.read_bytes() for path in (root / "data/own/mix").iterdir()} == there


def test_another_way_of_asking_asks_again(root: Path, mix: Callable[..., replay.Mixed]) -> None:
    base = Base(SAID)
    for how in (Asking(), Asking(temperature=0), Asking(seed=7), Asking(max_tokens=64)):
        mix(base, how=how)
    assert base.asked == ASKED * 4
    assert read_json(root / "data/own/mix/MANIFEST.json")["replay"]["max_tokens"] == 64


def test_a_file_of_somebody_else_is_not_written_over(root: Path, mix: Callable[..., replay.Mixed]) -> None:
    (root / "data/own/mix").mkdir(parents=True)
    (root / "data/own/mix/replay.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match="was not written by `make replay`"):
        mix(Base(SAID))
    assert (root / "data/own/mix/replay.jsonl").read_text() == "mine\n"
    with pytest.raises(UserError, match="outside the repository"):
        mix(None, out="../elsewhere")


def test_a_recipe_with_broken_rows_is_one_line_before_anybody_is_asked(
    root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    (root / "data" / "toy.jsonl").write_text('{"messages": [')
    with pytest.raises(UserError, match=r"toy.yaml: datasets\[0\].*line 1 is not valid JSON"):
        mix(base := Base(SAID))
    assert not base.asked


@pytest.mark.parametrize("length", ["many", "0", "[512]", "512.5"])
def test_a_recipe_without_a_length_is_refused_before_anybody_is_asked(
    length: str, root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    text = (root / "toy.yaml").read_text()
    assert "sequence_len: " in text
    (root / "toy.yaml").write_text(re.sub("sequence_len: .*", f"sequence_len: {length}", text))
    with pytest.raises(UserError, match="`sequence_len` as a number"):
        mix(base := Base(SAID))
    assert not base.asked


@pytest.mark.parametrize("out", ["prompts.jsonl", "prompts.jsonl/mix"])
def test_a_file_where_the_folder_would_be_is_said_before_anybody_is_asked(
    out: str, root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    with pytest.raises(UserError, match="a file of that name is there"):
        mix(base := Base(SAID), out=out)
    assert not base.asked


def test_a_base_that_is_not_there_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    recipe = root / "toy.yaml"
    recipe.write_text(RECIPE.format(base=root / "nowhere"))
    monkeypatch.setattr(replay, "ROOT", root)
    code, _, message = call(replay.main, [str(recipe), "--out", str(root / "mix")], capsys)
    assert_one_line(message)
    assert code == 2 and "nowhere" in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--share", "2"], "SHARE=2 is not a number from"),
        (["--share", "much"], "SHARE=much is not a number"),
        (["--share", "nan"], "SHARE=nan is not a number"),
        (["--temperature", "-1"], "TEMPERATURE=-1"),
        (["--file", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--seed", "1.5"], "SEED=1.5 is not a whole number from 0 to 2,147,483,648"),
        (["--licence", "MIT"], "LICENCE=MIT is of prompts of your own"),
    ],
)
def test_a_bad_word_is_one_line(
    words: list[str], said: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(replay, "ROOT", root)
    code, _, message = call(replay.main, [str(root / "toy.yaml"), *words], capsys)
    assert_one_line(message)
    assert code == 2 and said in message


def test_rows_that_training_drops_are_no_part_of_the_share(root: Path, mix: Callable[..., replay.Mixed]) -> None:
    rows = [chat(f"list folder {n}", "ls -l -a here") for n in range(10)]
    write_rows(root / "data" / "toy.jsonl", [*rows, chat("Too long", "word " * 70)])
    mixed = mix(Base(SAID), 0.3)
    assert mixed.share_of_tokens == pytest.approx(mixed.tokens / (40 + mixed.tokens))
    assert mixed.share_of_rows == pytest.approx(mixed.rows / (10 + mixed.rows))
    recipe = root / "toy.yaml"
    recipe.write_text(recipe.read_text() + "excess_length_strategy: truncate\n")
    with pytest.raises(UserError, match="takes more than the 6 answers"):
        mix(Base(SAID), 0.3)


def test_rows_that_axolotl_drops() -> None:
    taken = [Length(1, tokens, learned) for tokens, learned in [(2, 1), (64, 9), (65, 9), (1, 1), (9, 0)]]
    assert [is_trained(one, {"sequence_len": 64}) for one in taken] == [True, True, False, False, False]
    assert is_trained(taken[2], {"sequence_len": 64, "excess_length_strategy": "truncate"})


def test_every_answer_that_is_too_long_has_its_reason_and_the_number_of_its_prompt(
    root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    mixed = mix(Base(SAID | {ASKED[0]: "", ASKED[1]: "word " * 60, ASKED[5]: "word " * 60}), 0.1)
    rejects = rows_in(root / "data/own/mix/rejects.jsonl")
    assert [(one["number"], one["where"]) for one in rejects] == [(1, "p0"), (2, "p1"), (6, "p5")]
    assert mixed.rows < mixed.usable == 3


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        ("\n  - path: data/toy.jsonl\n    type: chat_template\n    split: train[:5]", r"datasets\[0\]: a part of"),
        (" [{path: data/toy.jsonl, type: chat_template}]", "a line for each key"),
    ],
    ids=["a part", "one line"],
)
def test_a_recipe_that_nothing_can_be_mixed_into_is_named_before_anybody_is_asked(
    datasets: str, said: str, root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    (root / "toy.yaml").write_text(f"base_model: {root / 'base'}\nsequence_len: 64\ndatasets:{datasets}\n")
    with pytest.raises(UserError, match=f"toy.yaml: .*{said}"):
        mix(base := Base(SAID))
    assert not base.asked


def test_datasets_whose_tokens_cannot_be_counted_are_said_before_anybody_is_asked(
    root: Path, mix: Callable[..., replay.Mixed], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Iterator[Length]:
        raise UserError("tokens are counted of another type alone")

    monkeypatch.setattr(replay, "lengths_of", refused)
    with pytest.raises(UserError, match=r"toy\.yaml: tokens are counted"):
        mix(base := Base(SAID))
    assert not base.asked


def test_a_licence_is_stated_of_our_prompts_and_never_guessed_of_others(
    root: Path, mix: Callable[..., replay.Mixed], monkeypatch: pytest.MonkeyPatch
) -> None:
    mix(Base(SAID))
    theirs = read_json(root / "data/own/mix/MANIFEST.json")
    assert (theirs["licence"], theirs["source"].split(",")[0]) == (None, "own prompts")
    monkeypatch.setattr(replay, "PROMPTS", root / "prompts.jsonl")
    mix(Base(SAID))
    ours = read_json(root / "data/own/mix/MANIFEST.json")
    assert (ours["licence"], ours["source"].split(",")[0]) == ("MIT", "authored prompts")


@pytest.mark.parametrize(
    "damaged", [lambda kept: kept[:-9], lambda kept: kept[: kept.index(b"\n") + 1]], ids=["cut off", "a row alone"]
)
def test_kept_answers_that_are_damaged_are_asked_for_again(
    root: Path, mix: Callable[..., replay.Mixed], damaged: Callable[[bytes], bytes]
) -> None:
    mix(Base(SAID))
    there = (root / "data/own/mix/replay.jsonl").read_bytes()
    (kept,) = (root / ".cache" / "replay").glob("*/answers.jsonl")
    kept.write_bytes(damaged(kept.read_bytes()))
    mix(again := Base(SAID))
    assert again.asked == ASKED and (root / "data/own/mix/replay.jsonl").read_bytes() == there


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "Tell me \\ud800 of acorns"}', "line 2 holds half a surrogate pair"),
        ("[" * 100_000, "line 2 is not valid JSON"),
        ("7", "line 2 has no `prompt`"),
    ],
    ids=["half a letter", "deep", "a number"],
)
def test_a_prompt_that_cannot_be_read_is_one_line(
    line: str, said: str, root: Path, mix: Callable[..., replay.Mixed]
) -> None:
    (root / "prompts.jsonl").write_text(json.dumps({"prompt": ASKED[0]}) + f"\n{line}\n")
    with pytest.raises(UserError, match=f"prompts.jsonl: {said}"):
        mix(Base(SAID))


def test_the_base_is_asked_through_the_backend_that_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same loader, on the base alone, loaded as the recipe trains it."""
    loads: list[Any] = []
    monkeypatch.setattr(replay, "find", lambda kind, name, ours: lambda *given: loads.append((name, given)))
    replay.opened({"base_model": "base", "revision_of_model": "c" * 40}, Asking(seed=5))
    ((name, (_, arms, seed)),) = loads
    assert (name, arms.base_model, arms.revision, seed) == ("hf", "base", "c" * 40, 5)
    assert arms.candidate is None and arms.model is None
