"""The steps of the workflows: what they pass on, what a person reads, and the comment on a pull request."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.run.files import read_json
from scripts.ci import __main__ as ci
from scripts.ci import comment, github, products, runner
from scripts.ci.answer import said_of
from scripts.ci.bundle import bundle
from tests import github_server
from tests.github_server import BOT, PERSON
from tests.run_builder import assert_one_line, build_run, call, replace_scores

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The files of a step. Waits of the client are none."""
    monkeypatch.setattr(github, "pause", lambda *_: None)
    monkeypatch.setattr(comment, "pause", lambda *_: None)
    paths = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for name, path in paths.items():
        monkeypatch.setenv(name, str(path))
    return paths


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[github_server.GitHub]:
    with github_server.serve() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return build_run(tmp_path / "results")


def outputs(files: dict[str, Path]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())


def test_the_products_become_a_matrix(files: dict[str, Path], capsys: Capture) -> None:
    assert call(ci.main, ["products", "--only", ""], capsys)[0] == 0
    assert json.loads(outputs(files)["names"]) == [one.name for one in products.load_products()]
    code, _, err = call(ci.main, ["products", "--only", "shel"], capsys)
    assert code == 2
    assert_one_line(err, "no product 'shel'", "shell")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("products: []", "products"),
        ("products: [{name: a, recipe: r, suite: s, hub_name: h, gpu: 1}]", "gpu"),
        ("products: [{name: a, recipe: $(x), suite: s, hub_name: h}]", "recipe"),
        ("products: [{name: a, recipe: r, suite: s, hub_name: h}, {name: a, recipe: b, suite: s, hub_name: h}]",
         "twice"),
        ("products: [{name: a, recipe: r, suite: s, hub_name: h, remote: {provider: x}}]", "provider"),
        ("products: [{name: a, recipe: r, suite: s, hub_name: h, served: {form: merged, quantize: true}}]",
         "form merged is not published"),
        ("products: [", "broken YAML"),
    ],
)  # fmt: skip
def test_a_broken_list_of_products_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "products.yaml"
    path.write_text(text)
    with pytest.raises(products.UserError, match=words):
        products.load_products(path)


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (1, 0), (3, 0), (2, 2), (7, 2)])
def test_an_answer_does_not_end_the_step_and_a_failure_does(
    code: int, ended: int, files: dict[str, Path], capsys: Capture
) -> None:
    found, _, err = call(ci.main, ["answer", "--", "sh", "-c", f"exit {code}"], capsys)
    assert found == ended
    if ended:
        assert_one_line(err, f"ended with {code}", "no verdict")
        assert not files["GITHUB_OUTPUT"].exists()
    else:
        assert outputs(files)["code"] == str(code)


@pytest.mark.parametrize(
    ("code", "served", "blocking", "ended"),
    [("0", "", "", 0), ("1", "", "", 1), ("3", "", "", 3), ("0", "1", "", 0), ("0", "1", "true", 1),
     ("3", "0", "true", 3)],
)  # fmt: skip
def test_the_gate_fails_by_what_was_answered(
    code: str, served: str, blocking: str, ended: int, capsys: Capture
) -> None:
    arguments = ["gate", "--title", "shell", "--code", code, "--served-code", served, "--form", "nf4"]
    found, out, _ = call(ci.main, [*arguments, "--blocking", blocking], capsys)
    assert found == ended
    assert out.startswith(f"::{said_of(int(code), 'shell')[0]} ") and ("the nf4 form" in out) == bool(served)


def test_no_ship_and_inconclusive_are_said_differently() -> None:
    said = [said_of(code, "shell") for code in (0, 1, 3)]
    assert [one[0] for one in said] == ["notice", "error", "warning"]
    assert "must not ship" in said[1][2] and "neither a pass nor a failure" in said[2][2]


def test_an_evaluation_that_gave_no_code_is_no_pass(capsys: Capture) -> None:
    for code in ("", "2", "x"):
        assert call(ci.main, ["gate", "--title", "shell", "--code", code], capsys)[0] == 2


def test_an_inconclusive_log_may_be_let_through_and_a_no_ship_never(capsys: Capture) -> None:
    for code, ended in (("3", 0), ("1", 1)):
        arguments = ["gate", "--title", "x", "--code", code, "--allow-inconclusive", "true"]
        assert call(ci.main, arguments, capsys)[0] == ended


def test_what_is_handed_on_has_the_adapter_and_nothing_else_that_weighs(
    run: Path, tmp_path: Path, files: dict[str, Path], capsys: Capture
) -> None:
    for name in ("training/checkpoint-1/model.safetensors", "served/nf4/model.safetensors", "train.log", "review.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("x")
    code, _, err = call(ci.main, ["hand-on", "--run", str(run), "--out", str(tmp_path / "out")], capsys)
    assert code == 0, err
    handed = {
        path.relative_to(tmp_path / "out/toy").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert {"adapter/adapter_model.safetensors", "metrics.json", "report.md", "scores.jsonl"} <= handed
    assert not {
        name for name in handed if name.startswith(("training", "served")) or name in ("train.log", "review.json")
    }
    assert len(outputs(files)["evidence"]) == 64


def test_a_credential_in_a_run_leaves_nothing_to_upload(run: Path, tmp_path: Path, capsys: Capture) -> None:
    (run / "recipe.yaml").write_text("wandb: hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345\n")
    code, _, err = call(ci.main, ["hand-on", "--run", str(run), "--out", str(tmp_path / "out")], capsys)
    assert code == 1 and not list((tmp_path / "out").iterdir())
    assert_one_line(err, "recipe.yaml", "Hugging Face")


def test_an_adapter_that_is_not_its_list_s_is_not_handed_on(run: Path, tmp_path: Path) -> None:
    (run / "adapter" / "optimizer.pt").write_text("x")
    with pytest.raises(products.UserError, match=r"optimizer\.pt"):
        bundle(run, tmp_path / "out")


def summarise(run: Path, out: Path, capsys: Capture, *more: str) -> str:
    arguments = ["summary", "--title", "shell", "--run", str(run), "--digest", "d" * 64, "--environment",
                 "publish-shell", "--out", str(out), *more]  # fmt: skip
    code, said, err = call(ci.main, arguments, capsys)
    assert code == 0, err
    return said


def test_the_summary_says_what_failed_and_how_to_approve(
    run: Path, tmp_path: Path, files: dict[str, Path], capsys: Capture
) -> None:
    said = summarise(run, tmp_path / "v/shell", capsys, "--code", "0")
    assert "shell: SHIP" in said and f"approve `publish-shell` with `{'d' * 16}`" in said
    page = files["GITHUB_STEP_SUMMARY"].read_text()
    assert page.startswith(said[:40]) and "The whole report" in page and "![" not in page
    assert read_json(tmp_path / "v/shell/verdict.json") == {"product": "shell", "evidence": "d" * 64, "ships": True}


def test_what_does_not_ship_is_not_offered(tmp_path: Path, files: dict[str, Path], capsys: Capture) -> None:
    bad = build_run(tmp_path / "bad", candidate_right=10)
    said = summarise(bad, tmp_path / "v/bad", capsys, "--code", "1")
    assert "NO-SHIP" in said and "To approve" not in said and "fail" in said
    good = build_run(tmp_path / "good")
    summarise(good, tmp_path / "v/good", capsys, "--code", "0", "--served-code", "1", "--blocking", "true")
    files["GITHUB_OUTPUT"].unlink(missing_ok=True)
    assert call(ci.main, ["shipped", "--verdicts", str(tmp_path / "v")], capsys)[0] == 0
    assert json.loads(outputs(files)["shipped"]) == []


def test_text_of_a_run_is_no_command_of_the_runner(capsys: Capture) -> None:
    runner.annotate("error", "a:b,c", "x\n::add-mask::y%")
    assert capsys.readouterr().out == "::error title=a%3Ab%2Cc::x%0A::add-mask::y%25\n"
    with pytest.raises(ValueError, match="several lines"):
        runner.set_outputs(run="x\nevil=1")


def write_verdict(folder: Path, text: str = "verdict") -> list[str]:
    (folder / "verdict-shell").mkdir(parents=True, exist_ok=True)
    (folder / "verdict-shell/summary.md").write_text(text)
    return ["comment", "--verdicts", str(folder)]


def test_the_comment_is_written_once_and_then_anew(
    served: github_server.GitHub, tmp_path: Path, capsys: Capture
) -> None:
    served.open_pull(3, branch="other")
    served.open_pull(4, state="closed")
    served.open_pull(7)
    quoted = {"id": 1, "user": PERSON, "body": comment.MARK + " quoted by a person"}
    served.comments += [quoted, {"id": 2, "user": BOT, "body": "another bot"}, {"id": 3, "user": PERSON, "body": "x"}]
    for text in ("first", "second"):
        assert call(ci.main, write_verdict(tmp_path / "v", text), capsys)[0] == 0
    ours = [row for row in served.comments if row["id"] >= 100]
    assert len(ours) == 1 and "second" in ours[0]["body"] and "first" not in ours[0]["body"]
    assert quoted["body"].endswith("by a person") and "/issues/7/" in "".join(served.asked)


@pytest.mark.parametrize("fault", [(0, "POST", "/comments"), (502, "POST", "/comments"), (500, "GET", "/pulls")])
def test_a_lost_answer_adds_no_second_comment(
    fault: tuple[int, str, str], served: github_server.GitHub, tmp_path: Path, capsys: Capture
) -> None:
    served.open_pull(7)
    served.faults.append(fault)
    code, _, err = call(ci.main, write_verdict(tmp_path / "v"), capsys)
    assert (code, len(served.comments)) == (0, 1), err


def test_a_comment_that_may_not_be_written_is_one_line(
    served: github_server.GitHub, tmp_path: Path, capsys: Capture
) -> None:
    served.open_pull(7)
    served.faults.append((403, "POST", "/comments"))
    code, out, err = call(ci.main, write_verdict(tmp_path / "v"), capsys)
    assert code == 2 and served.token not in out + err
    assert_one_line(err, "403", "permissions")


def test_a_very_long_comment_is_cut(served: github_server.GitHub, tmp_path: Path, capsys: Capture) -> None:
    served.open_pull(7)
    assert call(ci.main, write_verdict(tmp_path / "v", "word " * 30_000), capsys)[0] == 0
    assert len(served.comments[0]["body"]) < 65_536 and "cut" in served.comments[0]["body"][-80:]


def test_without_a_pull_request_nothing_is_written(
    served: github_server.GitHub, tmp_path: Path, capsys: Capture
) -> None:
    code, out, _ = call(ci.main, write_verdict(tmp_path / "v"), capsys)
    assert code == 0 and "no open pull request" in out and not [row for row in served.asked if "POST" in row]


def test_outside_of_a_workflow_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    code, _, err = call(ci.main, write_verdict(tmp_path / "v"), capsys)
    assert code == 2
    assert_one_line(err, "GITHUB_REPOSITORY is not set")


def test_scores_that_fail_are_named(tmp_path: Path, capsys: Capture) -> None:
    run = build_run(tmp_path / "r", candidate_right=22)
    replace_scores(run, {})
    assert "inconclusive" in summarise(run, tmp_path / "v", capsys, "--code", "3").lower()
