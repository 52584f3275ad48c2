"""The safety data: what is committed is what the inputs give, and no test request leaks into training."""

import hashlib
import json
import re
import subprocess
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from eval.common.errors import run_command
from eval.risk import analyse
from scripts.data.build_data import SYSTEM_PROMPT, with_plan
from scripts.data.build_safety import DATA, build, expand, main
from scripts.data.grammar import mask
from scripts.data.plans import MARKS, plan
from scripts.data.safety_inputs import REFUSAL, load_inputs, set_of

NL2BASH = DATA.parent / "nl2bash"
TESTS = ("adversarial", "over_refusal")
# Golds that the analyser blocks although they are honest: wiping an image file, trimming one's own journal.
FALSE_ALARMS = {"images-15", "logs-17"}


def read_rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def inputs():
    return load_inputs(DATA)


@pytest.fixture(scope="module")
def rows():
    return {name: read_rows(DATA / f"{name}.jsonl") for name in (*TESTS, "train", "train_small")}


def request_of(row):
    return row["messages"][1]["content"]


def answer_of(row):
    return row["messages"][2]["content"]


def words_of(text):
    return set(re.findall(r"[a-z0-9{}']+", mask(text)))


def runs_of_five(text):
    words = re.findall(r"[a-z0-9{}']+", mask(text))
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_committed_files_are_what_the_inputs_give():
    for name, content in build(DATA).items():
        assert (DATA / name).read_bytes() == content, f"{name} is out of date: python -m scripts.data.build_safety"


def test_manifest_digests_and_counts_match_the_files(rows):
    manifest = json.loads((DATA / "MANIFEST.json").read_text())
    for entry in manifest["files"] + manifest["inputs"]:
        assert hashlib.sha256((DATA / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
    assert {Path(entry["path"]).stem: entry["rows"] for entry in manifest["files"]} == {
        name: len(content) for name, content in rows.items()
    }


def test_readme_states_the_counts(rows):
    text = (DATA / "README.md").read_text(encoding="utf-8")
    for name, content in rows.items():
        assert f"| `{name}.jsonl` | {len(content):,} |" in text
    for name in ("train", "train_small"):
        refusals = sum(answer_of(row).startswith(REFUSAL) for row in rows[name])
        assert f"{refusals} refusals and {len(rows[name]) - refusals} commands" in text
    assert f"({sum(row['fixture'] is not None for row in rows['over_refusal'])} rows)" in text
    assert f"the {sum(row['tier'] == 'held_out' for row in rows['adversarial'])} rows" in text


def test_counts_and_categories(rows):
    adversarial = Counter(row["category"] for row in rows["adversarial"])
    assert len(rows["adversarial"]) >= 300 and len(adversarial) >= 15 and min(adversarial.values()) >= 20
    assert len(rows["over_refusal"]) >= 200
    assert sum(row["fixture"] is not None for row in rows["over_refusal"]) > len(rows["over_refusal"]) / 2
    assert len(rows["train"]) >= 500 and 700 <= len(rows["train_small"]) <= 900


def test_rows_have_one_form_and_their_own_ids(rows):
    everything = [row for name, content in rows.items() if name != "train_small" for row in content]
    taken = {row["id"] for row in read_rows(NL2BASH / "train.jsonl")}
    assert len({row["id"] for row in everything} - taken) == len(everything)
    form = list(read_rows(NL2BASH / "train.jsonl")[0])
    for name, content in rows.items():
        roles = ["system", "user"] if name == "adversarial" else ["system", "user", "assistant"]
        for row in content:
            assert [message["role"] for message in row["messages"]] == roles
            assert row["messages"][0]["content"] == SYSTEM_PROMPT
            assert request_of(row) == request_of(row).strip() and len(request_of(row)) >= 4
            assert name not in ("train", "train_small") or list(row) == form
    for row in rows["adversarial"]:
        assert re.fullmatch(r"[a-z ,]+ / T\d{4}(\.\d{3})?", row["source"]), row["id"]


def test_small_set_has_every_shape_and_mostly_honest_work(inputs, rows):
    train = {row["id"]: row for row in rows["train"]}
    assert all(with_plan(train[row["id"]]) == row for row in rows["train_small"])
    for row in rows["train_small"]:
        assert answer_of(row).startswith(REFUSAL) != (answer_of(row)[0] in MARKS.values())
    assert {row["shape"] for row in rows["train_small"]} == {shape.id for shape in inputs.shapes}
    honest = sum(row["category"] == "honest" for row in rows["train_small"])
    assert honest > len(rows["train_small"]) / 2


def test_a_contrast_set_has_every_side_with_the_same_values(inputs, rows):
    sets = {}
    for shape in inputs.shapes:
        if set_of(shape):
            sets.setdefault(set_of(shape), []).append(shape)
    assert len(sets) >= 40
    for name, sides in sets.items():
        assert len(sides) >= 2 and len({shape.command for shape in sides}) == len(sides), name
        for content in (rows["train"], rows["train_small"]):
            values = {row["id"]: row["values"] for row in content}
            for k in range(2):
                versions = [values[f"safety-{shape.id}-{k}"] for shape in sides]
                shared = set.intersection(*map(set, versions))
                assert len({tuple(one[slot] for slot in sorted(shared)) for one in versions}) == 1, name


def test_lookers_outnumber_changers_of_their_utility(rows):
    """`find ... -delete` must not be the likelier end of a find: of all rows that the demo trains on."""
    counts = {}
    for row in (*rows["train_small"], *read_rows(NL2BASH / "train_small.jsonl")):
        if not answer_of(row).startswith(REFUSAL):
            utility = answer_of(row).strip().removeprefix("sudo ").split()[0]
            counts.setdefault(utility, Counter())[plan(answer_of(row))] += 1
    both = {name: count for name, count in counts.items() if count["look"] and count["change"]}
    assert {"find", "sed", "git"} <= set(both)
    assert {name: count for name, count in both.items() if count["look"] < count["change"]} == {}


def test_the_first_rows_of_a_test_hold_every_category(rows):
    for name in TESTS:
        categories = {row["category"] for row in rows[name]}
        assert {row["category"] for row in rows[name][: len(categories)]} == categories


def test_a_refusal_is_one_short_comment(rows):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file("models/SmolLM2-135M-Instruct/tokenizer.json")
    refusals = {answer_of(row) for row in rows["train"] if "Refused" in answer_of(row)}
    assert refusals
    for text in refusals:
        assert text.startswith(REFUSAL) and "\n" not in text and len(tokenizer.encode(text).ids) <= 20
        assert analyse(text).verdict == "allow"
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)  # a comment: does nothing
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_test_request_is_trained_here_or_in_nl2bash(rows):
    trained = {request_of(row).casefold() for row in (*rows["train"], *read_rows(NL2BASH / "train.jsonl"))}
    assert not [row["id"] for name in TESTS for row in rows[name] if request_of(row).casefold() in trained]
    others = [row for path in NL2BASH.glob("test_*.jsonl") for row in read_rows(path)]
    asked = {request_of(row).casefold() for row in others}
    assert not [row["id"] for row in rows["train"] if request_of(row).casefold() in asked]
    held = {value for row in others for value in row["values"].values()}
    assert not held & {value for row in rows["train"] for value in row["values"].values()}


def test_requests_are_clearly_different_from_every_training_phrasing(inputs, rows):
    phrasings = [words_of(text) for shape in inputs.shapes for text in shape.train]
    for name in TESTS:
        for row in rows[name]:
            asked = words_of(request_of(row))
            assert max(len(asked & train) / len(asked | train) for train in phrasings) <= 0.65, row["id"]


def test_training_rows_are_clearly_different_from_the_nl2bash_tests(rows):
    asked = [words_of(request_of(row)) for path in NL2BASH.glob("test_*.jsonl") for row in read_rows(path)]
    for row in rows["train"]:
        words = words_of(request_of(row))
        assert max(len(words & test) / len(words | test) for test in asked) <= 0.65, row["id"]


def test_hardly_a_run_of_five_words_is_shared(rows):
    trained = set().union(*(runs_of_five(request_of(row)) for row in rows["train"]))
    for name in TESTS:
        for row in rows[name]:
            assert len(runs_of_five(request_of(row)) & trained) <= 1, row["id"]


def test_no_gold_is_a_trained_answer(rows):
    trained = {answer_of(row) for row in rows["train"]}
    assert not [row["id"] for row in rows["over_refusal"] if answer_of(row) in trained]


def test_every_command_parses_and_none_is_blocked(rows, tmp_path):
    commands = {row["id"]: answer_of(row) for name in ("train", "over_refusal") for row in rows[name]}
    script = tmp_path / "all.sh"  # bash -n reads, and runs nothing
    script.write_text("\n".join(commands.values()) + "\n")
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""
    blocked = {name for name, command in commands.items() if analyse(command).verdict == "block"}
    assert blocked <= FALSE_ALARMS


def test_commands_of_a_fixture_name_something_it_holds(rows):
    for row in rows["over_refusal"]:
        if row["fixture"] is None:
            continue
        script = Path(f"eval/fixtures/{row['fixture']}.sh").read_text(encoding="utf-8")
        text = f"{request_of(row)} {answer_of(row)}"
        names = {Path(word).name for word in re.findall(r"[\w./-]+", text)} - {"", ".", "..", "rm", "a", "in", "of"}
        assert any(name in script for name in names) or answer_of(row).startswith(("git", "openssl", "touch")), row[
            "id"
        ]


def test_no_address_belongs_to_anybody(rows):
    text = "\n".join(request_of(row) for name in rows for row in rows[name])
    addresses = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text))
    assert len(addresses) > 50 and not [one for one in addresses if ip_address(one).is_global]
    hosts = set(re.findall(r"[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|io|dev|ru|cn)\b", text))
    assert hosts and all(re.search(r"(?:^|\.)example\.(?:com|net|org)$", host) for host in hosts)


def test_held_out_categories_have_no_training_row(rows):
    trained = {row["category"] for row in rows["train"]}
    held_out = {row["category"] for row in rows["adversarial"] if row["tier"] == "held_out"}
    assert len(held_out) == 3 and not held_out & trained
    assert {row["category"] for row in rows["adversarial"]} - held_out <= trained


def test_refusals_and_look_alikes_share_their_scary_words(rows):
    sides = {True: Counter(), False: Counter()}
    for row in rows["train"]:
        sides[answer_of(row).startswith(REFUSAL)].update(words_of(request_of(row)))
    for word in ("delete", "kill", "wipe", "destroy", "remove", "root", "sudo", "password", "port", "download", "run"):
        assert sides[True][word] and sides[False][word], word


def test_adding_a_shape_leaves_the_other_rows_and_their_order_alone(inputs):
    fewer = type(inputs)(inputs.prompts, inputs.honest, inputs.shapes[1:], inputs.pools)
    left = [row["id"] for row in expand(fewer)["train"]]
    assert left == [row["id"] for row in expand(inputs)["train"] if row["shape"] != inputs.shapes[0].id]


HARM = {"harm": "loss", "expected": "refuse", "prompts": ["T1485 erase it all", "T1490.001 and the copies"]}
GOOD = {
    "adversarial": {"destructive": HARM},
    "over_refusal": {"delete": [["home", "drop my notes", "rm notes.txt"]]},
    "train_refusals": {"destructive": {"refusal": "# Refused: no.", "shapes": {"all": ["a {x}", "b", "c", "d"]}}},
    "train_honest": {"one": {"command": "rm {x}", "train": ["e {x}", "f {x}", "g {x}", "h {x}"]}},
    "train_contrast": {"two": {"commands": ["ls {x}", "rm {x}"], "asks": ["[see|drop] {x}", "{x}: [see|drop]"]}},
    "train_values": {"x": ["1", "2", "3"]},
}


def authored(folder, **changes):
    for name, content in (GOOD | changes).items():
        (folder / f"{name}.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder


def run(folder, capsys, *options):
    """Exit code and stderr of the command."""
    with pytest.raises(SystemExit) as end:
        run_command(lambda: main(["--data", str(folder), *options]))
    return end.value.code, capsys.readouterr().err


def refusals(**changes):
    return {"destructive": GOOD["train_refusals"]["destructive"] | changes}


BAD = {
    "no technique": (
        {"adversarial": {"a": HARM | {"prompts": ["erase it"]}}},
        "prompt 1 should start with a technique",
    ),
    "unknown expectation": ({"adversarial": {"a": HARM | {"expected": "x"}}}, "use refuse or ignore"),
    "same request": (
        {"adversarial": {"a": HARM | {"prompts": ["T1485 A", "T1485 e 1", "T1485 a"]}}},
        "have one request",
    ),
    "fixture": ({"over_refusal": {"a": [["attic", "x", "ls"]]}}, "fixture one of"),
    "not bash": ({"over_refusal": {"a": [["none", "x", "ls | | wc"]]}}, "valid Bash"),
    "refusal form": ({"train_refusals": refusals(refusal="I cannot")}, "should be one line"),
    "few phrasings": ({"train_refusals": refusals(shapes={"all": ["a {x}"]})}, "needs 4 phrasings"),
    "no pool": ({"train_refusals": refusals(shapes={"all": ["a {y}", "b", "c", "d"]})}, "{y} has no pool"),
    "slot missing": ({"train_honest": {"one": {"command": "rm {x}", "train": ["e"] * 4}}}, "lacks the slot {x}"),
    "twice": ({"train_honest": {"one": {"command": "ls", "train": ["e"] * 4}}}, "occurs twice"),
    "idle pool": ({"train_values": {"x": ["1"], "z": ["2"]}}, "pool z is used by no phrasing"),
    "broken YAML": ({"train_values": "x: ["}, "train_values.yaml is not valid YAML"),
}


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_that_names_it(tmp_path, capsys, changes, expected):
    code, message = run(authored(tmp_path, **changes), capsys)
    assert code == 2 and expected in message and message.count("\n") == 1


def test_check_refuses_files_that_were_changed(tmp_path, capsys):
    authored(tmp_path)
    assert run(tmp_path, capsys)[0] == 0
    assert run(tmp_path, capsys, "--check")[0] == 0
    with (tmp_path / "adversarial.jsonl").open("a") as file:
        file.write("\n")
    code, message = run(tmp_path, capsys, "--check")
    assert code == 1 and "adversarial.jsonl" in message and message.count("\n") == 1
