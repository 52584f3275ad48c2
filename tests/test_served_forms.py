"""Served forms that a server answers: the same questions to it and to the approved adapter, and what is refused."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.common.errors import Refused, UserError
from eval.config.suite_file import load_suite
from eval.model.endpoint import connection
from eval.model.endpoint.templates import TokenizerTemplate
from eval.model.lm_tasks import load_tasks
from eval.run.candidate import candidate_of
from eval.run.files import read_json, read_jsonl, write_json
from eval.run.records import BASELINE, CANDIDATE, Generation
from scripts import serve_check
from scripts.publishing.verify_run import refuse_brought
from scripts.serve_check import approved_by, check_served
from scripts.serving import gguf
from scripts.setup import gguf_tools
from tests.answering_server import Answering
from tests.run_builder import assert_one_line, call
from tests.test_suite import LIMIT, make_run, make_suite

pytestmark = pytest.mark.slow
KNOWN = "securecli_nl2bash_known"
KEY = "k-1234567890abcdef"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def approved(tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained run; what is judged goes into a folder of the test's own."""
    results, new_run, list_runs = tmp_path / "results", serve_check.new_run, serve_check.list_runs
    monkeypatch.setattr(serve_check, "new_run", lambda label, git, fields: new_run(label, git, fields, results))
    monkeypatch.setattr(serve_check, "list_runs", lambda: list_runs(results))
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)
    return make_run(tmp_path / "approved", tiny_model, tiny_adapter)


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering({"served": {}}, key=KEY) as serving:
        yield serving


def options_of(server: Answering, **more: str) -> dict[str, object]:
    return {"base_url": server.url, "candidate": "served", "key_env": "SERVED_KEY", **more}


def suite(path: Path, **task: object) -> Path:
    """Few items, and drift, which a server cannot be asked."""
    gates = [
        {"id": "kept", "task": KNOWN, "metric": "command_only", "rule": "noninferiority", "margin": 0.05},
        {"id": "near", "task": "drift", "metric": "kl", "rule": "max_value", "limit": 0.05, "tier": "advisory"},
    ]
    known = {"name": KNOWN, "limit": LIMIT, "cluster": "shape", "max_new_tokens": 4, **task}
    return make_suite(path, batch_size=LIMIT, tasks=[known, {"name": "drift", "limit": 2}], gates=gates)


def test_a_server_is_asked_the_same_questions_as_the_approved_adapter(
    approved: Path,
    server: Answering,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    tiny_model: Path,
) -> None:
    monkeypatch.setenv("SERVED_KEY", KEY)
    server.faults = ["400"]  # of the first answer: the check ends, and the same one goes on
    path = suite(tmp_path / "suite.yaml")
    with pytest.raises(UserError, match=r"candidate of securecli_nl2bash_known"):
        check_served(approved_by(approved), "endpoint", path, options_of(server))
    server.asked.clear()
    metrics = check_served(approved_by(approved), "endpoint", path, options_of(server))
    (judged,) = (tmp_path / "results").glob("served-endpoint-*")
    said = capsys.readouterr().out
    assert "task drift is left out, and with it gate near: a server gives no logits" in said
    assert "served: weights of unknown size" in said and "approved: " in said

    assert metrics.baseline == "run:approved" and [gate.id for gate in metrics.gates] == ["kept"]
    assert metrics.adapter_effect is not None and not metrics.adapter_effect.proven
    host = server.url.removeprefix("http://").removesuffix("/v1")
    about = metrics.provenance["served"]
    assert (about["form"], about["host"], about["name"], about["proven"]) == ("endpoint", host, "served", False)
    assert (
        f"what {host} answers as served; that it is endpoint of run approved is believed, not proven"
        in (judged / "report.md").read_text()
    )
    facts = metrics.provenance["device"]
    assert facts["baseline"]["base_tensors_sha256"] and metrics.provenance["base_tensors_sha256"] is None

    answers = read_jsonl(judged / "generations.jsonl", Generation)
    template = TokenizerTemplate.of(str(tiny_model), None, {})
    (task,) = load_tasks(load_suite(judged / "suite.yaml"), template)
    rendered = {sample.id: sample.prompt_sha256 for sample in task.samples}
    for arm in (BASELINE, CANDIDATE):
        assert {row.sample: row.prompt_sha256 for row in answers if row.arm == arm} == rendered
    assert {row.text for row in answers if row.arm == CANDIDATE} == {"true"}
    asked = [one["body"]["messages"] for one in server.asked if one["body"]]
    assert {template.apply_chat_template(messages) for messages in asked} == {
        str(sample.instances[0].args[0]) for sample in task.samples
    }
    assert {one["body"]["max_tokens"] for one in server.asked if one["body"]} == {4}

    assert not any(KEY in path.read_text(errors="replace") for path in judged.rglob("*") if path.is_file())
    with pytest.raises(Refused, match=r"cannot be proven"):
        refuse_brought(judged)


@pytest.mark.parametrize(
    ("change", "task", "said"),
    [
        ({"candidate": "else"}, {}, "has no model else (candidate of options): it has served"),
        ({"base_url": "ftp://x"}, {}, "backend beside: options: base_url: not an address like"),
        ({"base_url": "http://me:secret@x/v1"}, {}, "holds a user or a password"),
        ({}, {"chat": False}, f"task {KNOWN} asks in plain text (`chat: false`)"),
    ],
    ids=["another model", "no address", "a password", "plain text"],
)
def test_what_cannot_be_asked_is_refused_before_anything_is(
    change: dict[str, str],
    task: dict[str, object],
    said: str,
    approved: Path,
    server: Answering,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVED_KEY", KEY)
    options = options_of(server, **change)
    with pytest.raises(UserError) as refused:
        check_served(approved_by(approved), "endpoint", suite(tmp_path / "suite.yaml", **task), options)
    assert said in str(refused.value) and "secret" not in str(refused.value)
    assert not any(one["body"] for one in server.asked)


def test_a_suite_with_likelihoods_or_another_backend_is_refused(
    approved: Path, server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_KEY", KEY)
    reads = {"id": "knows", "task": "securecli_retention", "metric": "acc", "rule": "noninferiority", "margin": 0.05}
    tasks = [{"name": "securecli_retention", "limit": 2}]
    for changes, said in (
        ({"tasks": tasks, "gates": [reads]}, "task securecli_retention asks for likelihoods"),
        ({"backend": {"kind": "vllm"}}, "a served form is compared with what hf loads"),
    ):
        path = make_suite(tmp_path / "suite.yaml", **changes)
        with pytest.raises(UserError, match=said):
            check_served(approved_by(approved), "endpoint", path, options_of(server))


def test_what_is_missing_is_said_in_one_line(
    approved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(gguf, "TOOLS", tmp_path / "tools")
    for words, said in (
        (["--form", "endpoint", "--url", "http://127.0.0.1:9/v1"], "needs URL="),
        (["--form", "gguf"], "run `make gguf-tools` once"),
        (["--form", "gguf", "--quant", "f16"], "run `make gguf-tools` once"),
    ):
        code, _, message = call(serve_check.main, ["--run", str(approved), *words], capsys)
        assert code == 2 and said in message
        assert_one_line(message)


def tools_in(folder: Path, said: object) -> gguf.Tools:
    """Tools as `make gguf-tools` leaves them; their Python repeats what llama.cpp is to say of a file."""
    tools = gguf.Tools(folder)
    for path in (tools.python, tools.converter):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\ncat > {folder}/asked\nenv > {folder}/environment\necho '{json.dumps(said)}'\n")
        path.chmod(0o755)
    write_json(folder / gguf.MADE, {"version": gguf.VERSION})
    return tools


def test_tools_of_another_version_are_not_used(tmp_path: Path) -> None:
    tools = tools_in(tmp_path / "tools", {})
    assert gguf.found_tools(tools.folder) == tools
    write_json(tools.folder / gguf.MADE, {"version": "0.0.1"})
    with pytest.raises(UserError, match="make gguf-tools"):
        gguf.found_tools(tools.folder)
    assert not gguf_tools.is_built(tools), "it imports nothing"


def test_without_a_compiler_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"needs cmake and a C\+\+ compiler"):
        gguf_tools.install(tmp_path / "tools")
    assert not (tmp_path / "tools").exists()


def test_llama_has_to_ask_the_same_tokens_and_end_at_the_same(
    approved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "mine")  # llama-cpp-python's server would read it as its own setting
    candidate = candidate_of(approved)
    template = TokenizerTemplate.of(candidate.base_model, None, {})
    prompts = [template.tokenizer(template.apply_chat_template(chat)).input_ids for chat in gguf.CHATS]
    right = {"prompts": prompts, "ends": [*template.end_tokens(), 0]}
    tools = tools_in(tmp_path / "right", right)
    gguf.check_prompts(tools, tmp_path / "model.gguf", candidate)
    assert read_json(tools.folder / "asked") == gguf.CHATS
    assert "MODEL=" not in (tools.folder / "environment").read_text()
    for name, wrong, said in (
        ("other", right | {"prompts": [prompts[0], [7, *prompts[1]]]}, "prompts differ at token 0"),
        ("longer", right | {"prompts": [[*prompts[0], 7], prompts[1]]}, f"prompts are {len(prompts[0]) + 1} tokens"),
        ("endless", right | {"ends": []}, "does not end an answer at token"),
    ):
        with pytest.raises(UserError, match=said):
            gguf.check_prompts(tools_in(tmp_path / name, wrong), tmp_path / "model.gguf", candidate)


def test_llamas_server_is_started_for_us_alone() -> None:
    tools = gguf.Tools(Path("tools"))
    command = gguf.server_command(tools, Path("model.gguf"), "gguf-q8_0", 1234)
    assert command[:3] == ["tools/venv/bin/python", "-m", "llama_cpp.server"]
    given = dict(zip(command[3::2], command[4::2], strict=True))
    assert (given["--host"], given["--port"], given["--model_alias"]) == ("127.0.0.1", "1234", "gguf-q8_0")
    assert gguf.port_of("a") == gguf.port_of("a") != gguf.port_of("b")
    assert "API_KEY" not in gguf.clean_environment() and gguf.KEY not in os.environ


@pytest.mark.parametrize(
    ("before", "kind", "same"),
    [
        ({"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "BPE", True),
        ({"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}, "BPE", False),
        ({"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}, "BPE", False),
        ({"type": "Sequence", "pretokenizers": []}, "BPE", False),
        (None, "BPE", False),
        ({"type": "ByteLevel", "add_prefix_space": False}, "Unigram", False),
    ],
)
def test_only_a_tokenizer_that_splits_as_gpt2_is_called_so(before: object, kind: str, same: bool) -> None:
    assert gguf.splits_as_gpt2({"pre_tokenizer": before, "model": {"type": kind}}) is same
