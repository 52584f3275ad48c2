"""The publish chain against people: each way to cheat or break it ends with one line before a byte leaves.

Every case runs the real publish command against a loopback Hub that counts requests. Cases marked `settled` forge
everything that follows the change, review included, as far as a person with write access would.
"""

import datetime
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from eval.run.digests import file_sha256
from eval.run.files import read_jsonl, write_jsonl
from eval.run.records import BASELINE, CANDIDATE, Score
from scripts import review
from scripts.loopback_hub.faults import Hub
from scripts.publishing import approval
from tests.hub_server import TOKEN, WEIGHTS, Capture, approve, hub, publish_run, replace_weights, run, settle
from tests.run_builder import (
    ADAPTER,
    DATASETS,
    RECIPE,
    assert_one_line,
    build_adapter,
    build_run,
    edit_json,
    judge,
    replace_scores,
)

__all__ = ["hub", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
Change = Callable[[Path], Any]
FAILING = [(arm, task, "s59") for arm in (BASELINE, CANDIDATE) for task in ("translate", "refuse")]


@dataclass(frozen=True)
class Cheat:
    name: str
    change: Change
    words: tuple[str, ...]
    code: int = 1


def edit_text(name: str, before: str, after: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after, 1))

    return change


def settled(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)
        settle(folder)

    return change


def swap_adapter(folder: Path) -> None:
    """Another adapter, with a manifest to match: only the review still speaks of the first."""
    build_adapter(folder, np.float16)
    judge(folder)


def swap_bytes(folder: Path) -> None:
    path = folder / "adapter" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")


def margin(value: float) -> Change:
    def change(folder: Path) -> None:
        suite = yaml.safe_load((folder / "suite.yaml").read_text())
        suite["gates"][1]["margin"] = value
        (folder / "suite.yaml").write_text(yaml.safe_dump(suite))

    return change


def laxer_suite(folder: Path) -> None:
    """A suite swapped in and the run decided again under it; the review saw the first."""
    margin(0.9)(folder)
    judge(folder)


def delete_scores(folder: Path) -> None:
    rows = [row for row in read_jsonl(folder / "scores.jsonl", Score) if row.sample != "s59"]
    write_jsonl(folder / "scores.jsonl", rows)


def delete_items(folder: Path) -> None:
    for name in ("scores.jsonl", "generations.jsonl", "samples.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if '"s59"' not in line))


def foreign(*names: str, candidate_right: int = 50) -> Change:
    """Files of another run, copied over this one's."""

    def change(folder: Path) -> None:
        other = build_run(folder.parent.parent / "elsewhere", "other", candidate_right)
        approve(other)
        for name in names:
            shutil.copy(other / name, folder / name)

    return change


def review_time(**shift: float) -> Change:
    def change(folder: Path) -> None:
        time = datetime.datetime.now(datetime.UTC) + datetime.timedelta(**shift)
        edit_json(folder / "review.json", lambda value: value.update(time=time.isoformat()))

    return change


def no_ship(override: bool) -> Change:
    """An honest no-ship, and an approval written by hand."""

    def change(folder: Path) -> None:
        replace_scores(folder, {(CANDIDATE, task, f"s{n}"): 0.0 for task in ("translate", "refuse") for n in range(60)})
        judge(folder)
        suite = folder / "suite.yaml"
        value = json.loads((folder / "review.json").read_text())
        digests = approval.present_digests(folder)
        assert digests["suite.yaml"] == file_sha256(suite)
        value |= {"digests": digests, "verdict": "no-ship"} | ({"override": "it is fine"} if override else {})
        (folder / "review.json").write_text(json.dumps(value))

    return change


def signature_asked(signature: str | None) -> Change:
    """A suite that wants signed approvals, and a review bound to it by hand."""

    def change(folder: Path) -> None:
        suite = yaml.safe_load((folder / "suite.yaml").read_text())
        (folder / "suite.yaml").write_text(yaml.safe_dump(suite | {"review": {"require_signature": True}}))
        judge(folder)
        digests = approval.present_digests(folder)
        edit_json(folder / "review.json", lambda value: value.update(digests=digests, signature=signature))

    return change


def symlink(name: str) -> Change:
    def change(folder: Path) -> None:
        elsewhere = folder.parent / "elsewhere"
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(elsewhere)

    return change


def hard_link(folder: Path) -> None:
    os.link(folder / "adapter" / WEIGHTS, folder.parent / "same")


def fifo(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def add(name: str, content: bytes) -> Change:
    return lambda folder: (folder / "adapter" / name).write_bytes(content)


def listed_as(name: str) -> Change:
    """A line in adapter.sha256 for a file outside of the adapter."""

    def change(folder: Path) -> None:
        with (folder / "adapter.sha256").open("a") as stream:
            stream.write(f"{file_sha256(folder / 'run.json')}  {name}\n")
        judge(folder)
        approve(folder)

    return change


def tensors(*described: tuple[str, list[int], int, int], data: int, filler: str = "") -> Callable[[Path], None]:
    """A safetensors file with a header as written: (name, shape, start, end) of float32 tensors."""

    def write(path: Path) -> None:
        parts = [
            f'"{name}":{json.dumps({"dtype": "F32", "shape": shape, "data_offsets": [start, end]})}'
            for name, shape, start, end in described
        ]
        header = ("{" + ",".join(parts) + filler + "}").encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x00" * data)

    return write


def weights(write: Callable[[Path], Any]) -> Change:
    return lambda folder: replace_weights(folder, write)


def recipe(text: str) -> Change:
    return settled(lambda folder: (folder / "recipe.yaml").write_text(text + ADAPTER + DATASETS))


def config(**values: Any) -> Change:
    return settled(lambda folder: edit_json(folder / "adapter" / "adapter_config.json", lambda v: v.update(values)))


def data_row(**values: Any) -> Change:
    return settled(lambda folder: edit_json(folder / "data.json", lambda rows: rows[0].update(values)))


def forged_digest(folder: Path) -> None:
    """A dataset that is in the repository, with other bytes than data.json says."""
    path = "data/nl2bash/MANIFEST.json"
    edit_json(folder / "data.json", lambda rows: rows[0].update(path=path))
    (folder / "recipe.yaml").write_text(RECIPE.replace("data/toy.jsonl", path))
    settle(folder)


NAN = {"w": np.array([1, np.nan], dtype=np.float32)}
CHEATS = [
    # What was measured
    Cheat("one score edited", lambda f: replace_scores(f, {(CANDIDATE, "translate", "s59"): 1.0}), ("scores.jsonl",)),
    Cheat("one score edited, decided again", lambda f: (replace_scores(f, {(CANDIDATE, "translate", "s59"): 1.0}),
          judge(f)), ("is not what Ada Lovelace reviewed",)),
    Cheat("metrics edited", edit_text("metrics.json", '"candidate": 0.91', '"candidate": 0.99'), ("metrics.json",)),
    Cheat("metrics edited and reviewed", lambda f: (edit_text("metrics.json", '"candidate": 0.91',
          '"candidate": 0.99')(f), approve(f)), ("comparisons is not what scores.jsonl gives",)),
    Cheat("margin edited", margin(0.5), ("suite.yaml",)),
    Cheat("laxer suite, decided again", laxer_suite, ("is not what Ada Lovelace reviewed",)),
    Cheat("failing items' scores deleted", delete_scores, ("scores",)),
    Cheat("the same, settled", settled(delete_scores), ("s59 lacks an answer",)),
    Cheat("failing items deleted everywhere, settled", settled(delete_items), ("not what was asked",)),
    Cheat("failing items marked invalid", lambda f: replace_scores(f, dict.fromkeys(FAILING)), ("scores.jsonl",)),
    Cheat("too many marked invalid, settled", lambda f: (replace_scores(f, {(CANDIDATE, "translate", f"s{n}"): None
          for n in (56, 57, 58)}), judge(f)), ("inconclusive", "override")),
    Cheat("gold edited", edit_text("samples.jsonl", '"gold":"gold"', '"gold":"other"'), ("not what was asked",)),
    Cheat("scores cut off", edit_text("scores.jsonl", '"cluster":"s59","category":null}\n', '"clu'), ("scores",), 2),
    Cheat("scores truncated to a whole line", lambda f: (f / "scores.jsonl").write_text("".join(
          (f / "scores.jsonl").read_text().splitlines(keepends=True)[:-1])), ("refuse",), 2),
    Cheat("metrics of another run", foreign("metrics.json"), ("measured on another run",)),
    Cheat("scores of another run", foreign("scores.jsonl"), ("is not what scores.jsonl gives",)),
    Cheat("evaluation unfinished", lambda f: edit_json(f / "run.json", lambda v: v["stages"].update(eval="running")),
          ("eval did not complete",)),
    Cheat("training unfinished", lambda f: edit_json(f / "train.json", lambda v: v.update(completed=False)),
          ("train.json",)),
    Cheat("adapter had no effect", lambda f: (edit_json(f / "metrics.json", lambda v: v["adapter_effect"].update(
          tensors_loaded=0)), approve(f)), ("is not what scores.jsonl gives",)),
    Cheat("measured against a weaker baseline", lambda f: (edit_json(f / "metrics.json", lambda v: v.update(
          baseline="run:weak")), approve(f)), ("the suite asks for base",)),
    # What was trained
    Cheat("recipe edited", lambda f: (f / "recipe.yaml").write_text("base_model: x/y\n"), ("another recipe",)),
    Cheat("recipe edited after training, settled", settled(lambda f: edit_json(f / "run.json", lambda v: v.update(
          recipe_sha256="c" * 64))), ("not the recipe that was trained",)),
    Cheat("data manifest edited", edit_text("data.json", '"rows": 9', '"rows": 8'), ("another data manifest",)),
    Cheat("data digest forged, settled", forged_digest, ("has other bytes than those trained on",)),
    Cheat("data without digest, settled", data_row(sha256=None), ("neither a digest nor a revision",)),
    Cheat("data licence unstated, settled", data_row(licence=None), ("licence of data/toy.jsonl is None",)),
    Cheat("data not for sale, settled", data_row(licence="CC-BY-NC-4.0"), ("'CC-BY-NC-4.0'",)),
    Cheat("base licence unknown, settled", lambda f: (config(base_model_name_or_path="who/knows")(f), recipe(
          f"base_model: who/knows\nrevision_of_model: {'a' * 40}\n")(f)), ("licence of who/knows is 'other'",)),
    Cheat("base unpinned, settled", lambda f: (config(base_model_name_or_path="HuggingFaceTB/SmolLM3-3B")(f), recipe(
          "base_model: HuggingFaceTB/SmolLM3-3B\n")(f)), ("pins no commit", "revision_of_model")),
    Cheat("base pinned to a branch, settled", lambda f: (config(base_model_name_or_path="HuggingFaceTB/SmolLM3-3B")(f),
          recipe("base_model: HuggingFaceTB/SmolLM3-3B\nrevision_of_model: main\n")(f)), ("pins no commit",)),
    Cheat("another base than trained, settled", config(base_model_name_or_path="x/other"), ("names base other",)),
    # The review
    Cheat("no review", lambda f: (f / "review.json").unlink(), ("not reviewed",)),
    Cheat("rejected", lambda f: review.main(["--run", str(f), "--decision", "reject", "--reviewer", "Bob"]),
          ("rejected by Bob",)),
    Cheat("review of another run", foreign("review.json"), ("is not what Ada Lovelace reviewed",)),
    Cheat("review too old", review_time(days=-31), ("31 days old", "30")),
    Cheat("review from the future", review_time(hours=2), ("from the future",)),
    Cheat("review without a zone", lambda f: edit_json(f / "review.json", lambda v: v.update(time="2026-01-01")),
          ("not a time with a zone",), 2),
    Cheat("no-ship approved by hand", no_ship(override=False), ("no-ship", "override")),
    Cheat("no-ship overridden where the suite forbids it", no_ship(override=True), ("no-ship", "override")),
    Cheat("not signed, where the suite asks for it", signature_asked(None), ("not signed", "SIGN=1")),
    Cheat("adapter swapped after review", swap_adapter, ("is not what Ada Lovelace reviewed",)),
    Cheat("adapter byte swapped", swap_bytes, ("has other bytes",)),
    Cheat("report rewritten", edit_text("report.md", "toy", "great"), ("report.md", "is not what")),
    # The adapter's files
    Cheat("extra file", add("notes.txt", b"hi"), ("notes.txt is not in adapter.sha256",)),
    Cheat("extra pickle, settled", settled(add("training_args.bin", pickle.dumps(1))), ("not a file of an adapter",)),
    Cheat("names that differ in case, settled", settled(add("Adapter_Model.safetensors", b"x")), ("not a file of an",)),
    Cheat("path out of the folder, settled", listed_as("../run.json"), ("../run.json",)),
    Cheat("absolute path, settled", listed_as("/etc/passwd"), ("/etc/passwd",)),
    Cheat("symlinked weights", symlink(f"adapter/{WEIGHTS}"), ("not a plain file",)),
    Cheat("symlinked adapter", symlink("adapter"), ("symbolic link",)),
    Cheat("symlinked scores", symlink("scores.jsonl"), ("symbolic link",)),
    Cheat("hard link", hard_link, ("hard link",)),
    Cheat("pipe in the adapter", fifo("adapter/tokenizer.json"), ("not a plain file",)),
    Cheat("pipe as metrics", fifo("metrics.json"), ("not a plain file",)),
    Cheat("pickle renamed", weights(lambda p: p.write_bytes(pickle.dumps({"w": [1.0] * 99}))), ("is a pickle",)),
    Cheat("header too large", weights(lambda p: p.write_bytes((20_000_000).to_bytes(8, "little") + b" " * 20_000_001)),
          ("header of 20000000 bytes",)),
    Cheat("overlapping tensors", weights(tensors(("a", [2], 0, 8), ("b", [2], 4, 12), data=12)), ("overlaps",)),
    Cheat("hidden bytes", weights(tensors(("a", [2], 0, 8), data=99)), ("belong to no tensor",)),
    Cheat("tensor named twice", weights(tensors(("a", [2], 0, 8), ("a", [2], 8, 16), data=16)), ("twice",)),
    Cheat("NaN", weights(lambda p: save_file(NAN, p)), ("NaN",)),
    Cheat("fewer tensors than measured", weights(lambda p: save_file({"w": np.ones(2, np.float32)}, p)), ("no proof",)),
    Cheat("code named in the config", config(auto_mapping={"parent_library": "os"}), ("names code to run",)),
    Cheat("code named in the tokenizer", settled(lambda f: edit_json(f / "adapter" / "tokenizer_config.json", lambda v:
          v.update(auto_map={"AutoTokenizer": ["x--y.py", None]}))), ("names code to run",)),
    # Credentials
    Cheat("token in answers that the report shows", settled(lambda f: (f / "generations.jsonl").write_text(
          (f / "generations.jsonl").read_text().replace("echo candidate", TOKEN))), ("report.md:", "token")),
    Cheat("token in a recipe comment", recipe(f"base_model: models/SmolLM2-135M-Instruct\n# {TOKEN}\n"),
          ("recipe.yaml:2",)),
    Cheat("token in tokenizer.json", settled(add("tokenizer.json", json.dumps({"x": TOKEN}).encode())),
          ("tokenizer.json is not the base's",)),
    Cheat("token in the card", lambda f: edit_json(f / "review.json", lambda v: v.update(reviewer=TOKEN)),
          ("README.md:",)),
    Cheat("token as the name of who rejects", lambda f: edit_json(f / "review.json", lambda v: v.update(
          reviewer=TOKEN, decision="reject")), ("rejected by [Hugging Face token removed]",)),
    Cheat("token as who reviewed other bytes", lambda f: (edit_json(f / "review.json", lambda v: v.update(
          reviewer=TOKEN)), (f / "report.md").write_text("x")), ("is not what [Hugging Face token removed]",)),
    Cheat("token as the time of the review", lambda f: edit_json(f / "review.json", lambda v: v.update(time=TOKEN)),
          ("not a time with a zone",), 2),
    Cheat("token as a key of the review", lambda f: edit_json(f / "review.json", lambda v: v.update({TOKEN: 1})),
          ("review.json: [Hugging Face token removed]: Extra inputs",), 2),
    Cheat("token in the weights' header", weights(lambda p: save_file({"w": np.ones(2, np.float32)}, p,
          metadata={"note": TOKEN})), ("header",)),
    # The record
    Cheat("publication.json broken", lambda f: (f / "publication.json").write_text("{}"), ("publication.json",), 2),
]  # fmt: skip


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_refused_before_anything_is_sent(cheat: Cheat, run: Path, hub: Hub, capsys: Capture) -> None:
    cheat.change(run)
    code, out, err = publish_run(run, capsys)
    assert code == cheat.code, err
    assert_one_line(err, *cheat.words)
    assert hub.log == [] and TOKEN not in out + err


def test_there_are_enough_ways() -> None:
    assert len({cheat.name for cheat in CHEATS}) == len(CHEATS) >= 60


@pytest.mark.parametrize("repo", ["toy", "a/b/c", "/toy", "a/", "some one/toy", "../toy", "a/toy.git", "a/b--c"])
def test_repository_names_that_are_none(repo: str, run: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(run, capsys, repo=repo)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "REPO=", "OWNER/NAME")


@pytest.mark.parametrize("tag", ["latest", "v1", "1.2.3", "v01.2.3", "v1.2.3/../main", "main"])
def test_tags_that_are_no_version(tag: str, run: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(run, capsys, "--tag", tag)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "--tag", "v1.2.0")


def test_an_override_is_published_where_the_suite_allows_it_only_with_a_reason(
    run: Path, hub: Hub, capsys: Capture
) -> None:
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"review": {"allow_override": True}}))
    no_ship(override=False)(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (1, [])
    assert_one_line(err, "no reason to override")
    no_ship(override=True)(run)
    code, _, err = publish_run(run, capsys)
    record = json.loads((run / "publication.json").read_text())
    assert (code, err, record["verdict"], record["override"]) == (0, "", "no-ship", "it is fine")


def test_a_signature_of_an_unlisted_key(
    run: Path, hub: Hub, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("listed", "other"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"ada {(tmp_path / 'listed.pub').read_text()}")
    monkeypatch.setattr("scripts.publishing.signing.allowed_signers", allowed.read_bytes)
    for name, expected in (("other", 1), ("listed", 0)):
        signature_asked(None)(run)
        made = approval.make_review(run, "approve", "Ada Lovelace", "", key=tmp_path / name)
        approval.write_review(run, made)
        code, _, err = publish_run(run, capsys)
        assert code == expected, err
        if expected:
            assert hub.log == []
            assert_one_line(err, "signature is of no key")
    assert json.loads((run / "publication.json").read_text())["signer"] == "ada"


# What only the Hub can tell: read, then refused without a write
