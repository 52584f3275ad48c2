"""What people write reaches a card quoted and in its place; names that somebody else has are refused."""

from pathlib import Path

import pytest

from eval.run.files import read_metrics
from scripts import review
from scripts.loopback_hub.faults import Hub
from tests.hub_server import Capture, dry_run, hub, publish_run, run
from tests.run_builder import assert_one_line, call
from tests.test_committed import repository

__all__ = ["hub", "repository", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")


@pytest.mark.parametrize("name", ["report.md", "report.html", "figures/gates.svg"])
def test_an_edited_report_cannot_be_approved(name: str, run: Path, capsys: Capture) -> None:
    (run / name).write_text((run / name).read_text() + "\n")
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada"]
    code, _, err = call(review.main, argv, capsys)
    assert code == 1
    assert_one_line(err, f"{name} is not what", "make report")
    assert call(review.main, [*argv[:3], "reject", *argv[4:]], capsys)[0] == 0


def test_what_a_reviewer_writes_is_quoted_as_it_is_and_in_its_place(run: Path, capsys: Capture) -> None:
    comment = "good (signed with the key of root)\n\n# Verdict **ship** [x](https://example.org) <b> by \u0410da"
    argv = [
        "--run",
        str(run),
        "--decision",
        "approve",
        "--reviewer",
        "\u0410\u0434\u0430 \u041b.",
        "--comment",
        comment,
    ]
    assert call(review.main, argv, capsys)[0] == 0
    assert dry_run(run, capsys)[0] == 0
    card = (run / "publication" / "README.md").read_text()
    (quoted,) = [line for line in card.splitlines() if "key of root" in line]
    assert quoted.startswith(
        "> good (signed with the key of root) # Verdict \\*\\*ship\\*\\* \\[x\\](https:/ /example.org)"
    )
    assert quoted.endswith(r"\<b\> by U+0410da")
    assert "reviewed by \u0410\u0434\u0430 \u041b. (in Cyrillic letters) on" in card and "is not signed" in card


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "José Núñez", "O'Brien-Smith", "山田 太郎", "Иван", "ada@example.org"]
)
def test_names_of_people_are_taken(name: str, run: Path, capsys: Capture) -> None:
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", name]
    assert call(review.main, argv, capsys)[0] == 0


def test_the_card_says_what_was_not_at_hand(run: Path, capsys: Capture) -> None:
    assert dry_run(run, capsys)[0] == 0
    card = (run / "publication" / "README.md").read_text()
    assert "The recipe is not committed in this repository." in card
    assert "Dataset data/toy.jsonl was not at hand: its licence is as recorded." in card
    assert "| data/toy.jsonl | - | MIT | not at hand; licence as recorded" in card
    assert read_metrics(run / "metrics.json").costs["seconds_load"] == 1.0


@pytest.mark.parametrize("repo", ["someone/model-", "someone/model.", "someone-/model", "some.one./m", "a/-b", "a/b\n"])
def test_repositories_that_the_hub_does_not_take_are_one_line(repo: str, run: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(run, capsys, repo=repo)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "REPO=", "OWNER/NAME")


@pytest.mark.parametrize("tag", ["v1.0.0-x.lock", "v1.0.0-a..b", "v1.0.0-x."])
def test_versions_that_git_does_not_take_as_tags(tag: str, run: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(run, capsys, "--tag", tag)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "--tag")
