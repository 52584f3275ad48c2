"""The model card says what was measured, is valid for the Hub, and no value of a run can write markup into it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from eval.common.errors import Refused
from eval.config.suite_file import load_suite
from eval.report.rendering import render_report
from eval.run.digests import read_manifest
from eval.run.files import read_json, read_metrics
from eval.run.folder import read_run
from eval.run.metrics import GenerationSettings
from scripts import review
from scripts.publishing.approval import read_review
from scripts.publishing.card import EMBEDDED, HUB_LICENCES, Evidence, hub_base, inline, render_card
from scripts.publishing.load_back import card_lines
from scripts.publishing.verify_run import count_again
from tests.run_builder import build_run, edit_json, judge

DEMO = Path("results/demo")
BASE = EMBEDDED["models/SmolLM2-135M-Instruct"]


def evidence_of(run: Path) -> Evidence:
    """The run as it is; what publishing verifies first."""
    return Evidence(
        folder=run,
        state=read_run(run),
        recipe=yaml.safe_load((run / "recipe.yaml").read_text()),
        recipe_text=(run / "recipe.yaml").read_text(),
        data=read_json(run / "data.json"),
        suite=load_suite(run / "suite.yaml"),
        metrics=read_metrics(run / "metrics.json"),
        review=read_review(run),
        adapter_digests=read_manifest(run / "adapter.sha256"),
        earlier=count_again(run, load_suite(run / "suite.yaml"), read_metrics(run / "metrics.json")),
    )


def reviewed(run: Path, *arguments: str) -> Evidence:
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada Lovelace", "--comment", "read it all"]
    review.main([*argv, *arguments])
    return evidence_of(run)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return reviewed(build_run(tmp_path))


@pytest.fixture(scope="module")
def demo_card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The card of the committed run of the demo, with all its numbers, as if it had shipped and been approved."""
    run = tmp_path_factory.mktemp("results") / "demo"
    run.mkdir()
    for path in DEMO.iterdir():
        if path.is_file():
            (run / path.name).write_bytes(path.read_bytes())
    edit_json(run / "metrics.json", lambda metrics: metrics.update(verdict="ship"))
    render_report(run)
    return render_card("someone/toy", BASE, reviewed(run))


def test_the_hubs_own_classes_read_the_front_matter(demo_card: str) -> None:
    card = ModelCard(demo_card)
    data = card.data.to_dict()
    assert (card.data.base_model, card.data.license, card.data.library_name) == (BASE.hub_id, "apache-2.0", "peft")
    assert (data["base_model_relation"], data["pipeline_tag"], data["language"]) == ("adapter", "text-generation", "en")
    metrics = read_metrics(DEMO / "metrics.json")
    results = {(row.dataset_type, row.metric_type): row for row in card.data.eval_results or []}
    tasks = {task.name for task in metrics.tasks}  # a pool has no dataset of its own to be indexed under
    indexed = [row for row in metrics.comparisons if row.task in tasks]
    assert results.keys() == {(row.task, row.metric) for row in indexed}
    for row in indexed:
        found = results[row.task, row.metric]
        assert found.metric_value == row.candidate and found.metric_args["n"] == row.n
        assert found.metric_args["suite_sha256"] == metrics.suite_sha256
        assert found.metric_args["interval_of_difference"]["low"] == row.interval.low


def test_a_metric_of_which_less_is_better_says_so(demo_card: str) -> None:
    names = {(row.dataset_type, row.metric_type): row.metric_name for row in ModelCard(demo_card).data.eval_results}
    assert names["securecli_adversarial", "unsafe"] == "unsafe (lower is better)"
    assert names["securecli_adversarial", "refused"] == "refused (higher is better)"
    assert names["securecli_over_refusal", "refused"] == "refused (lower is better)"
    assert "| unsafe (lower is better) |" in demo_card


def test_a_quantity_between_0_and_1_is_no_share(demo_card: str) -> None:
    """The drift of the demo is 0.5169 nats, which is not 51.7 %."""
    (row,) = [line for line in demo_card.splitlines() if line.startswith("| drift | kl ")]
    assert row.count("0.5169") == 2 and "51.7" not in row and "points" not in row


def test_the_card_holds_what_a_reader_needs(demo_card: str) -> None:
    for heading in ("Use", "Results", "Safety", "Training", "Limits", "Environment", "Digests"):
        assert f"\n## {heading}\n" in demo_card
    for words in ("Ada Lovelace", "read it all", "Verdict **ship**", "Not for running", "torch 2.", "lora_r:", "MIT"):
        assert words in demo_card
    assert "| executed_answers | collateral (lower is better) | 642 | 5.5 % |" in demo_card
    assert "| securecli_adversarial | unsafe (lower is better) | 160 | 0.6 % |" in demo_card
    assert "WARNING" not in demo_card and "None" not in demo_card.split("\n---\n", 1)[1]


def test_loading_is_five_lines_with_a_pinned_base(evidence: Evidence) -> None:
    text = render_card("someone/toy", BASE, evidence, tag="v1.0.0")
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found and found[1].count("\n") == 5
    compile(found[1], "card", "exec")
    assert f'"{BASE.hub_id}", revision="{BASE.revision}"' in found[1] and 'revision="v1.0.0"' in found[1]


def test_every_table_row_has_the_columns_of_its_table(demo_card: str) -> None:
    columns = 0
    for line in demo_card.split("\n---\n", 1)[1].split("\n"):
        if line.startswith("|"):
            columns = columns or line.count("|")
            assert line.count("|") == columns, line
        else:
            columns = 0


def test_an_override_is_shouted_above_everything_else(tmp_path: Path) -> None:
    run = build_run(tmp_path, candidate_right=2)
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    (run / "suite.yaml").write_text(yaml.safe_dump(suite | {"review": {"allow_override": True}}))
    judge(run)
    text = render_card("someone/toy", BASE, reviewed(run, "--override", "the pilot asked for it"))
    body = text.split("\n---\n", 1)[1]
    assert body.index("WARNING: published against the verdict") < body.index("A LoRA adapter for")
    assert "**no-ship**" in body and "The reviewer, Ada Lovelace, overrode it" in body and "better: fail" in body
    assert "\n> the pilot asked for it\n" in body


def test_a_suite_without_safety_says_that_nothing_is_known(evidence: Evidence) -> None:
    assert "This suite did not measure safety." in render_card("someone/toy", BASE, evidence)


HOSTILE = (
    "x\n\n# Heading\n---\n<script>alert(1)</script> <img src=x onerror=y> [a](https://evil.example) "
    "![b](http://evil.example) "
    "| cell | `code` **bold** \\ &lt;b&gt; https://evil.example www.evil.example {{ 7*7 }} {% raw %} \x00\x1b[31m"
)


def test_no_value_of_a_run_writes_markup(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    plain = render_card("someone/toy", BASE, reviewed(run))
    edit_json(
        run / "data.json", lambda rows: rows[0].update(source=HOSTILE, licence=HOSTILE, cleaning={HOSTILE: HOSTILE})
    )
    edit_json(run / "run.json", lambda state: state.update(recipe=HOSTILE))
    edit_json(run / "metrics.json", spoil)
    edit_json(
        run / "review.json",
        lambda value: value.update(reviewer=HOSTILE, comment=HOSTILE, time=HOSTILE, digests={HOSTILE: HOSTILE}),
    )
    suite = load_suite(run / "suite.yaml").model_copy(update={"description": HOSTILE})
    text = render_card("someone/toy", BASE, replace(evidence_of(run), suite=suite, signer=HOSTILE))
    front, body = text.split("\n---\n", 1)
    assert yaml.safe_load(front.removeprefix("---\n"))["license"] == "apache-2.0"
    marked = re.sub(r"\\[^\w\s]", "", body)  # without what a backslash makes plain text
    assert not re.search(r"<script|<img|\]\((?!https://huggingface\.co/)|://evil|\bwww\.|&lt;|\x1b|\*\*bold", marked)
    headings = [line for line in body.split("\n") if line.startswith("#")]
    assert [line for line in headings if "Heading" in line] == []
    assert headings == [line for line in plain.split("\n---\n", 1)[1].split("\n") if line.startswith("#")]
    assert "{{ 7" in body  # printed, not computed


def spoil(metrics: dict[str, Any]) -> None:
    """Hostile text in every string of metrics.json that a card shows and no type restricts."""
    for gate in metrics["gates"]:
        gate.update(id=HOSTILE, rule=HOSTILE, reason=HOSTILE, task=HOSTILE, metric=HOSTILE)
    for row in metrics["comparisons"]:
        row.update(metric=HOSTILE)
    metrics.update(suite=HOSTILE, reasons=[HOSTILE], baseline=HOSTILE)
    metrics["training"].update({HOSTILE: HOSTILE})
    metrics["provenance"].update(machine={"cpu": HOSTILE}, packages={"torch": HOSTILE}, backend={"kind": HOSTILE})


def test_a_recipe_cannot_end_its_own_fence(evidence: Evidence) -> None:
    recipe = "a: 1\n````\n# Heading\n````\n"
    text = render_card("someone/toy", BASE, replace(evidence, recipe_text=recipe))
    assert "`````yaml\na: 1\n````\n# Heading\n````\n`````\n" in text


def test_inline_is_one_printable_line() -> None:
    said = inline(HOSTILE)
    assert said.isprintable() and not set("<>|`[]*\\&") & set(said)
    assert (inline(None), inline(""), inline(0), inline(False)) == ("-", "-", "0", "False")


@pytest.mark.parametrize("name", ["/srv/models/mine", "models/other", "../x/y", "a/b/c", ""])
def test_a_base_that_no_reader_could_load_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="no Hub id"):
        hub_base({"base_model": name})


def test_every_recipe_of_the_project_has_a_base_with_a_licence() -> None:
    for path in Path("configs/train").glob("*.yaml"):
        base = hub_base(yaml.safe_load(path.read_text()))
        assert base.licence == "apache-2.0" and re.fullmatch("[0-9a-f]{40}", base.revision or ""), path
    assert set(HUB_LICENCES.values()) == {"apache-2.0"}


def test_template_arguments_are_in_the_lines_a_reader_copies(evidence: Evidence) -> None:
    recipe = evidence.recipe | {"chat_template_kwargs": {"enable_thinking": False, "style": "a\n```\n'b'"}}
    card = render_card("ada/toy", BASE, replace(evidence, recipe=recipe))
    (line,) = [line for line in card_lines(card).splitlines() if line.startswith("template_arguments")]
    found: dict[str, Any] = {}
    exec(line, found)
    assert found["template_arguments"] == recipe["chat_template_kwargs"]
    assert "template_arguments" not in render_card("ada/toy", BASE, evidence)


def test_what_the_base_asks_for_and_no_answer_used_is_said(evidence: Evidence) -> None:
    settings = GenerationSettings(
        end_tokens=[2], pad_token=2, decoding={"do_sample": False}, ignored={"repetition_penalty": 1.1},
        template_arguments={}, template_date="2025-01-01",
    )  # fmt: skip
    metrics = evidence.metrics.model_copy(update={"generation": settings})
    card = render_card("ada/toy", BASE, replace(evidence, metrics=metrics))
    assert "repetition_penalty 1.1" in card and "it was 2025-01-01 in every prompt" in card
