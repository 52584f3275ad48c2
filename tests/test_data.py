"""The authored dataset: what is committed is what the inputs give, and no test row leaks into training."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eval.common.errors import run_command
from scripts.data.build_data import DATA, SMALL_ROWS, SYSTEM_PROMPT, build, expand, main, with_plan
from scripts.data.grammar import fill, load_grammar, mask, parses, skeleton
from scripts.data.plans import MARKS, plan

TIERS = ("test_known", "test_unseen", "test_free")


def read_rows(name):
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def grammar():
    return load_grammar(DATA)


@pytest.fixture(scope="module")
def rows():
    return {name: read_rows(name) for name in ("train", "train_small", *TIERS)}


def request_of(row):
    return row["messages"][1]["content"]


def command_of(row):
    return row["messages"][2]["content"]


def words_of(phrasing):
    return set(re.findall(r"[a-z{}']+", mask(phrasing)))


def test_committed_files_are_what_the_inputs_give():
    for name, content in build(DATA).items():
        assert (DATA / name).read_bytes() == content, f"{name} is out of date: run `make data`"


def test_manifest_digests_and_counts_match_the_files(rows):
    manifest = json.loads((DATA / "MANIFEST.json").read_text())
    for entry in manifest["files"] + manifest["inputs"]:
        assert hashlib.sha256((DATA / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
    assert {Path(entry["path"]).stem: entry["rows"] for entry in manifest["files"]} == {
        name: len(content) for name, content in rows.items()
    }


def test_readme_states_the_counts(grammar, rows):
    text = (DATA / "README.md").read_text(encoding="utf-8")
    for name, content in rows.items():
        assert f"| `{name}.jsonl` | {len(content):,} |" in text
    for split, words in (("known", "known shapes"), ("unseen", "combinations")):
        assert f"{sum(shape.split == split for shape in grammar.shapes)} {words}" in text


def test_counts(grammar, rows):
    splits = [shape.split for shape in grammar.shapes]
    assert splits.count("known") >= 105 and splits.count("unseen") >= 36
    assert len(rows["train"]) >= 1400 and len(rows["train_small"]) >= 450
    assert len(rows["test_known"]) >= 210 and len(rows["test_unseen"]) >= 110 and len(rows["test_free"]) >= 100


def test_rows_have_one_form_and_their_own_ids(rows):
    everything = [row for name, content in rows.items() if name != "train_small" for row in content]
    assert len({row["id"] for row in everything}) == len(everything)
    for row in everything:
        assert list(row) == ["id", "messages", "category", "shape", "phrasing", "values"]
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert row["messages"][0]["content"] == SYSTEM_PROMPT
        for text in (request_of(row), command_of(row)):
            assert text == text.strip() and "\n" not in text and "\t" not in text


def test_small_set_is_a_balanced_subset_with_distinct_phrasings(grammar, rows):
    known = {shape.id for shape in grammar.shapes if shape.split == "known"}
    train = {row["id"]: row for row in rows["train"]}
    assert all(with_plan(train[row["id"]]) == row for row in rows["train_small"])
    assert all(command_of(row)[0] in MARKS.values() for row in rows["train_small"])
    phrasings = {}
    for row in rows["train_small"]:
        phrasings.setdefault(row["shape"], []).append(row["phrasing"])
    assert set(phrasings) == known
    for shape in grammar.shapes:
        used = phrasings.get(shape.id, [])
        count = SMALL_ROWS[plan(shape.command)] if shape.split == "known" else 0
        assert len(set(used)) == len(used) == count, shape.id


def test_every_train_phrasing_is_used_and_every_row_is_distinct(grammar, rows):
    used = {row["phrasing"] for row in rows["train"]}
    assert used == {f"{shape.id}/train{k}" for shape in grammar.shapes for k in range(len(shape.train))}
    assert len({request_of(row) for row in rows["train"]}) == len(rows["train"])


def test_no_test_value_is_a_train_value(rows):
    trained = {value for row in rows["train"] for value in row["values"].values()}
    for tier in TIERS:
        for row in rows[tier]:
            assert not trained & set(row["values"].values()), row["id"]


def test_no_train_command_names_a_test_value(grammar, rows):
    values = {value for pool in grammar.pools.values() for value in pool["test"]}
    text = "\n".join(command_of(row) for row in rows["train"])
    words = {word.lstrip("-.") for word in re.findall(r"[\w./~-]+", text)} | set(re.findall(r"\b\d+\b", text))
    assert {value for value in values if value in words or (" " in value and value in text)} == set()


def test_no_test_request_or_test_phrasing_is_trained(grammar, rows):
    trained = {request_of(row).casefold() for row in rows["train"]}
    assert not [row["id"] for tier in TIERS for row in rows[tier] if request_of(row).casefold() in trained]
    phrasings = {mask(text) for shape in grammar.shapes for text in shape.train}
    assert not [text for shape in grammar.shapes for text in shape.test if mask(text) in phrasings]


def test_test_phrasings_are_clearly_different_from_the_train_phrasings_of_their_shape(grammar):
    for shape in grammar.shapes:
        for test in map(words_of, shape.test):
            for train in map(words_of, shape.train):
                assert len(test & train) / len(test | train) <= 0.65, (shape.id, test)


def test_unseen_skeletons_are_not_trained(rows):
    trained = {skeleton(command_of(row)) for row in rows["train"]}
    assert not [row["id"] for row in rows["test_unseen"] if skeleton(command_of(row)) in trained]


def test_values_stand_verbatim_in_request_and_command(rows):
    for row in rows["train"] + rows["test_known"] + rows["test_unseen"]:
        for value in row["values"].values():
            assert value in request_of(row) and value in command_of(row), row["id"]


def test_every_command_parses(grammar, rows, tmp_path):
    commands = [command_of(row) for name in ("train", *TIERS) for row in rows[name]]
    assert not [command for command in commands if not parses(command)]
    script = tmp_path / "all.sh"  # bash -n reads, and runs nothing
    script.write_text("\n".join(commands) + "\n")
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""
    alone = {row["shape"]: command_of(row) for tier in TIERS for row in rows[tier]}
    for command in alone.values():  # one a shape by itself, so that no neighbour can close its quotes
        assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0, command


def test_adding_a_shape_leaves_the_other_rows_and_their_order_alone(grammar):
    fewer = type(grammar)(grammar.shapes[1:], grammar.pools, grammar.free)
    left = {name: [row["id"] for row in content] for name, content in expand(fewer).items()}
    dropped = grammar.shapes[0].id
    for name, content in expand(grammar).items():
        assert left[name] == [row["id"] for row in content if row["shape"] != dropped]


SHAPE = {
    "id": "list-directory",
    "split": "known",
    "command": "ls -l {dir}",
    "train": [f"{verb} the files of {{dir}}" for verb in ("list", "show", "print", "get", "display", "see")],
    "test": [f"{verb} what {{dir}} holds" for verb in ("tell me", "output", "find out")],
}
FREE = {"id": "free-1", "category": "files", "request": "what is in here", "command": "ls", "values": []}


def authored(folder, shapes, pools=None, free=None):
    """A data folder of one category; names that exist only here."""
    pools = pools or {"dir": {"train": ["src", "docs"], "test": ["lib", "web"]}}
    (folder / "grammar").mkdir()
    (folder / "grammar" / "files.yaml").write_text(yaml.safe_dump(shapes))
    (folder / "values.yaml").write_text(yaml.safe_dump(pools))
    (folder / "free.yaml").write_text(yaml.safe_dump(free or [FREE]))
    return folder


def run(folder, capsys, *options):
    """Exit code and stderr of the command."""
    with pytest.raises(SystemExit) as end:
        run_command(lambda: main(["--data", str(folder), *options]))
    return end.value.code, capsys.readouterr().err


BAD = {
    "unknown pool": ([SHAPE | {"command": "ls {place}", "train": ["a {place}"] * 6}], None, "no pool"),
    "slot missing": ([SHAPE | {"test": ["one", "two", "three"]}], None, "'one' are not those of the command"),
    "duplicate id": ([SHAPE, SHAPE], None, "list-directory is used twice"),
    "unknown key": ([SHAPE | {"tests": []}], None, "shape list-directory: unknown key 'tests'"),
    "missing key": ([{"id": "a", "split": "known"}], None, "shape a: key 'command' is missing"),
    "unknown split": ([SHAPE | {"split": "held"}], None, "split is 'held'"),
    "not bash": ([SHAPE | {"command": "ls {dir} | | wc"}], None, "not valid Bash"),
    "few phrasings": ([SHAPE | {"test": []}], None, "needs 6 train and 3 test"),
    "shared phrasing": (
        [SHAPE | {"test": [*SHAPE["test"], "Show the files of  {dir}"]}],
        None,
        "in train and in test",
    ),
    "known skeleton": (
        [
            SHAPE,
            {"id": "b", "split": "unseen", "command": "ls -l {dir} {dir1}", "test": ["{dir} {dir1}"] * 4},
        ],
        None,
        "skeleton of the known shape list-directory",
    ),
    "two commands": (
        [SHAPE, SHAPE | {"id": "b", "command": "ls -a {dir}"}],
        None,
        "one request with two commands",
    ),
    "overlap": ([SHAPE], {"dir": {"train": ["src", "lib"], "test": ["lib"]}}, "'lib' is also a train value"),
    "numbers": ([SHAPE], {"dir": {"train": [1], "test": ["lib"]}}, "quote numbers"),
}


@pytest.mark.parametrize(("shapes", "pools", "expected"), BAD.values(), ids=BAD)
def test_bad_grammar_is_one_line_that_names_it(tmp_path, capsys, shapes, pools, expected):
    code, message = run(authored(tmp_path, shapes, pools), capsys)
    assert code == 2 and expected in message and message.count("\n") == 1


def test_several_problems_are_reported_together(tmp_path, capsys):
    pools = {"dir": {"train": ["src"], "test": ["src"]}, "idle": {"train": ["a"], "test": ["b"]}}
    _, message = run(authored(tmp_path, [SHAPE], pools), capsys)
    assert "also a train value" in message and "pool idle is used by no shape" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"request": "list the files of src"}, "has the request of train row"),
        ({"command": "ls src", "values": ["src"]}, "value 'src' is a train value"),
        ({"command": "ls 'lib"}, "free.yaml: row free-1: the command is not valid Bash"),
    ],
)
def test_free_rows_are_held_to_the_split(tmp_path, capsys, change, expected):
    code, message = run(authored(tmp_path, [SHAPE], free=[FREE | change]), capsys)
    assert code == 2 and expected in message and message.count("\n") == 1


@pytest.mark.parametrize("name", ["values.yaml", "free.yaml", "grammar/files.yaml"])
def test_broken_or_missing_input_is_one_line_that_names_the_file(tmp_path, capsys, name):
    path = authored(tmp_path, [SHAPE]) / name
    path.write_text("- id: [unclosed\n  {")
    code, message = run(tmp_path, capsys)
    assert code == 2 and path.name in message and "line " in message and message.count("\n") == 1
    path.unlink()
    code, message = run(tmp_path, capsys)
    assert code == 2 and path.parent.name in message and message.count("\n") == 1


def test_check_refuses_files_that_were_changed(tmp_path, capsys):
    authored(tmp_path, [SHAPE])
    assert run(tmp_path, capsys)[0] == 0
    assert run(tmp_path, capsys, "--check")[0] == 0
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write("\n")
    code, message = run(tmp_path, capsys, "--check")
    assert code == 1 and "train.jsonl" in message and message.count("\n") == 1
    assert not list(tmp_path.glob(".*"))


def test_same_bytes_whatever_the_hash_seed():
    code = "from scripts.data.build_data import *; print(digest(b''.join(build(DATA).values())))"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, cwd=DATA.parent.parent, env=environment, capture_output=True, text=True)
    content = b"".join(build(DATA).values())
    assert other.stdout.strip() == hashlib.sha256(content).hexdigest(), other.stderr


def test_fill_leaves_braces_that_are_no_slots_alone():
    assert (
        fill("find {dir} -exec wc {} + | awk '{print $1}'", {"dir": "a"}) == "find a -exec wc {} + | awk '{print $1}'"
    )
