"""Completions of the backend `endpoint`: likelihoods, and the prompts that `hf` would give."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from eval.config.suite_file import BackendSettings
from eval.model.endpoint import connection
from eval.model.endpoint.likelihoods import moved_spaces
from eval.model.endpoint.serving import load
from eval.run.records import BASELINE, CANDIDATE
from tests.answering_server import LIKELY, Answering
from tests.conftest import EMBEDDED
from tests.test_endpoint import BROUGHT, MODELS, item, loaded


def choice(name: str = "c1") -> Any:
    pairs = [("The capital of France is ", "Paris"), ("The capital of France is", " Paris by the Seine")]
    return item(name, "loglikelihood", *pairs, "capital")


def test_likelihoods_are_found_out_by_asking_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)
    with Answering(MODELS, likelihoods=True) as server:
        backend = loaded(server, api="completions")
        assert backend.capabilities == {"likelihoods"} and len(server.texts()) == 1
        rows = [backend.answer(arm, [choice()])[0] for arm in (BASELINE, CANDIDATE)]
        base, candidate = LIKELY["base"], LIKELY["candidate"]
        assert json.loads(rows[0].text) == [[base, False], [4 * base, False]], "spaces belong to what follows"
        assert json.loads(rows[1].text) == [[candidate, True], [4 * candidate, True]]
        assert rows[0].tokens is None and rows[0].finish == "stop"
        assert server.asked[-1]["body"]["prompt"] == "The capital of France is Paris by the Seine"
        assert loaded(server, api="completions", likelihoods="none").capabilities == frozenset()
        said: list[str] = []
        server.likelihoods = False
        options = {"base_url": server.url, "baseline": "base", "candidate": "candidate", "api": "completions"}
        settings = BackendSettings(kind="endpoint", options=options)
        assert load(settings, BROUGHT, 42, say=said.append).capabilities == frozenset()
        assert len(said) == 1 and "no task may ask for them: " in said[0] and "its log-probabilities" in said[0]
        server.likelihoods = True
        for faults in (["400"], ["500", "500"]):
            server.faults = list(faults)
            assert loaded(server, api="completions").capabilities == frozenset(), "refused, or failed at"


def test_spaces_move_to_what_follows() -> None:
    assert moved_spaces("a  ", "b") == ("a", "  b") and moved_spaces("a", " b") == ("a", " b")


@pytest.mark.slow  # imports transformers
def test_completions_get_the_prompts_of_hf_with_one_first_token() -> None:
    with Answering(MODELS) as server:
        check_prompts(server)


def check_prompts(server: Answering) -> None:
    backend = loaded(server, api="completions", tokenizer=str(EMBEDDED))
    text = backend.template.apply_chat_template([{"role": "user", "content": "request 5"}])
    assert text.endswith("<|im_start|>assistant\n") and backend.template.prompt(text) == text, "this one adds none"
    (row,) = backend.answer(CANDIDATE, [item("s", "generate_until", (text, {"max_gen_toks": 4}), "request 5")])
    assert row.text == "ls 5" and server.asked[-1]["body"]["prompt"] == text

    class Adds:
        bos_token, bos_token_id, chat_template = "<s>", 1, None

        def __call__(self, text: str) -> Any:
            return SimpleNamespace(input_ids=[1, 2])

    from eval.model.endpoint.templates import TokenizerTemplate

    assert TokenizerTemplate(Adds(), "x", {}).prompt("<s>[INST]") == "[INST]"
