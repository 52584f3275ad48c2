"""The backend `endpoint` against a server of this machine: what is sent, what is taken, what ends in one line."""

import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, MessagesAsJson
from eval.model import backends
from eval.model.endpoint import connection
from eval.model.endpoint.connection import wait_of
from eval.model.endpoint.serving import Endpoint, load
from eval.run.records import BASELINE, CANDIDATE
from tests.answering_server import FAULTS, Answering
from tests.patience import slowness

MODELS = {"base": {}, "candidate": {f"request {n}": f"ls {n}" for n in range(40)}}
BROUGHT = Arms("base", brought=True)
QUICK = {"timeout_s": 5.0 * slowness(), "retries": 2}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)
    with Answering(MODELS) as serving:
        yield serving


def loaded(server: Answering, arms: Arms = BROUGHT, **options: Any) -> Endpoint:
    given = {"base_url": server.url, "baseline": "base", "candidate": "candidate", **QUICK, **options}
    return load(BackendSettings(kind="endpoint", options=given), arms, 42, say=lambda _: None)


def sample(number: int, **settings: Any) -> Any:
    text = f"request {number}"
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": text}]
    prompt = MessagesAsJson().apply_chat_template(messages)
    return item(f"s{number}", "generate_until", (prompt, {"until": [], "max_gen_toks": 32, **settings}), text)


def item(name: str, kind: str, *arguments: tuple[Any, ...] | str, request: str = "") -> Any:
    *arguments, text = arguments if isinstance(arguments[-1], str) else (*arguments, request)
    instances = [SimpleNamespace(request_type=kind, args=given) for given in arguments]
    return SimpleNamespace(
        task="t", id=name, repeat=0, request=text, kind=kind, prompt_sha256=name, instances=instances
    )


def test_answers_come_back_in_order_and_both_arms_are_asked_the_same(server: Answering) -> None:
    backend = loaded(server, concurrency=8)
    batch = [sample(n) for n in range(20)]
    server.pace = 0.03
    rows = backend.answer(CANDIDATE, batch)
    assert [(row.sample, row.text) for row in rows] == [(f"s{n}", f"ls {n}") for n in range(20)]
    assert {(row.arm, row.tokens, row.finish, row.adapter_sha256) for row in rows} == {(CANDIDATE, 3, "stop", None)}
    assert 2 <= server.most_at_once <= 8
    server.pace = 0.0
    backend.answer(BASELINE, batch)
    asked = [one["body"] for one in server.asked if one["body"]]
    for name in ("base", "candidate"):
        bodies = sorted(json.dumps({**one, "model": ""}) for one in asked if one["model"] == name)
        assert len(bodies) == 20
        assert json.loads(bodies[0]) == {
            "model": "", "max_tokens": 32, "temperature": 0.0, "seed": 42,
            "messages": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "request 0"}],
        }  # fmt: skip
    assert backend.capabilities == frozenset() and not backends.proves(backend) and backend.identity is None


def test_one_thread_alone_asks_where_the_suite_says_so(server: Answering) -> None:
    server.pace = 0.01
    loaded(server, concurrency=1).answer(BASELINE, [sample(n) for n in range(5)])
    assert server.most_at_once == 1


def test_stop_strings_are_sent_and_applied_here_too(server: Answering) -> None:
    server.models = {**MODELS, "base": {"request 1": "ls -l; rm x\nthen"}}
    (row,) = loaded(server).answer(BASELINE, [sample(1, until=["\n", ";", "a", "b", "c"])])
    assert (row.text, row.finish) == ("ls -l", "stop")
    assert server.asked[-1]["body"]["stop"] == ["\n", ";", "a", "b"], "of which OpenAI's API takes four"


def test_a_task_that_draws_is_asked_to_and_a_greedy_one_is_not(server: Answering) -> None:
    backend = loaded(server)
    for settings, sent in (
        ({"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "top_p": 0.9}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"do_sample": False, "temperature": 0.7, "top_k": 5}, {"temperature": 0.0}),
        ({"repetition_penalty": 1.1}, {"temperature": 0.0, "repetition_penalty": 1.1}),
    ):
        backend.answer(BASELINE, [sample(0, **settings)])
        body = server.asked[-1]["body"]
        assert {name: body[name] for name in body.keys() - {"model", "messages", "max_tokens", "seed"}} == sent


def test_an_arm_may_be_a_request_of_its_own_kind_and_templates_get_the_recipes_arguments(server: Answering) -> None:
    """llama.cpp has one model and a scale for each adapter."""
    arms = Arms("base", brought=True, template_arguments={"enable_thinking": False})
    on, off = {"lora": [{"id": 0, "scale": 1}]}, {"lora": [{"id": 0, "scale": 0}]}
    backend = loaded(server, arms, candidate="base", candidate_body=on, baseline_body=off)
    for arm, body in ((CANDIDATE, on), (BASELINE, off)):
        backend.answer(arm, [sample(0)])
        assert server.asked[-1]["body"].items() >= {**body, "model": "base"}.items()
        assert server.asked[-1]["body"]["chat_template_kwargs"] == {"enable_thinking": False}
    assert backend.settings().template_arguments == {"enable_thinking": False}


AGAIN = [
    "429", "500", "503", "cut", "hung up", "no JSON", "deep", "latin", "packed", "a list", "no choices",
    "choices of text", "no content", "a number", "half a letter", "another model", "the other arm", "10 MB", "1 MB",
]  # fmt: skip


@pytest.mark.parametrize("fault", AGAIN)
def test_what_may_go_well_another_time_is_asked_again(fault: str, server: Answering) -> None:
    backend = loaded(server)
    server.faults = [fault, fault]
    assert [row.text for row in backend.answer(CANDIDATE, [sample(3)])] == ["ls 3"]
    server.faults = [fault] * 3
    line = r"^http://127\.0\.0\.1:\d+/v1: candidate of t: s3: .*\(asked 3 times\):"
    with pytest.raises(UserError, match=line) as said:
        backend.answer(CANDIDATE, [sample(3)])
    assert "\n" not in str(said.value) and len(str(said.value)) < 500 and not server.faults


@pytest.mark.parametrize("fault", ["slow head", "slow body"])
def test_an_answer_that_drips_ends_with_its_time(fault: str, server: Answering) -> None:
    backend = loaded(server, timeout_s=0.4, retries=0)
    server.faults = [fault]
    started = time.monotonic()
    with pytest.raises(UserError, match=r"did not end within 0\.4 s \(timeout_s\)"):
        backend.answer(BASELINE, [sample(0)])
    assert time.monotonic() - started < 3 * slowness()


ONCE = {
    "400": r"refuses with code 400: too long\?\[31m Bearer \*\*\*$",
    "401": r"code 401, it takes another key: ",
    "404": r"code 404: no such model: is base_url right, with /v1",
    "redirect": r"it redirects to elsewhere\.example, which is not followed: give the right base_url",
    "429 for long": r"asks to wait 9000 s, longer than longest_wait_s",
}


@pytest.mark.parametrize("fault", ONCE)
def test_what_will_not_get_better_is_not_asked_again(
    fault: str, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TESTS", "sk-1234567")
    server.key = "sk-1234567"
    backend = loaded(server, key_env="SECRET_OF_TESTS")
    server.faults = [fault]
    asked = len(server.asked)
    with pytest.raises(UserError, match=ONCE[fault]) as said:
        backend.answer(CANDIDATE, [sample(1)])
    assert len(server.asked) == asked + 1 and "sk-1234567" not in str(said.value) and "\x1b" not in str(said.value)


def test_every_fault_is_tested() -> None:
    assert FAULTS.keys() == {*AGAIN, *ONCE, "slow head", "slow body", "odd usage", "400 soon", "late"}


def test_a_servers_wait_is_kept_to(server: Answering) -> None:
    backend = loaded(server)
    server.faults = ["429"]
    started = time.monotonic()
    backend.answer(BASELINE, [sample(0)])
    assert time.monotonic() - started >= 0.1


def test_waits_are_read_as_the_standard_writes_them() -> None:
    assert wait_of("7") == 7.0 and wait_of("0.5") == 0.5 and wait_of("-3") == 0.0
    assert 50 < (wait_of(formatdate(time.time() + 60, usegmt=True)) or 0) <= 60
    assert [wait_of(text) for text in (None, "soon", "nan", "inf", "")] == [None] * 5


def test_pauses_double_and_differ(server: Answering) -> None:
    asking = loaded(server).server
    pauses = [[asking._pause(number, None, "x") for number in range(12)] for _ in range(20)]
    for number in range(12):
        most = min(connection.LONGEST_WAIT, connection.FIRST_WAIT * 2**number)
        assert all(most / 2 <= one[number] <= most for one in pauses)
    assert len({one[0] for one in pauses}) > 10


def test_the_first_that_fails_ends_the_others(server: Answering) -> None:
    backend = loaded(server, concurrency=2, retries=0)
    server.faults, server.pace = ["400"], 0.05
    with pytest.raises(UserError, match="refuses with code 400"):
        backend.answer(BASELINE, [sample(n) for n in range(40)])
    assert len(server.asked) < 10


def test_a_count_that_is_no_number_is_no_count(server: Answering) -> None:
    backend = loaded(server)
    server.faults = ["odd usage"]
    assert [row.tokens for row in backend.answer(CANDIDATE, [sample(1)])] == [None]


def test_the_key_goes_in_a_header_and_nowhere_else(
    server: Answering, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.key = "sk-1234567"
    with pytest.raises(UserError, match=r"code 401, it wants a key: name its variable in key_env"):
        loaded(server)
    with pytest.raises(UserError, match=r"SECRET_OF_TESTS \(key_env\) is not set"):
        loaded(server, key_env="SECRET_OF_TESTS")
    monkeypatch.setenv("SECRET_OF_TESTS", "sk-other")
    with pytest.raises(UserError, match=r"code 401, it takes another key: wrong key \*\*\*"):
        loaded(server, key_env="SECRET_OF_TESTS")
    monkeypatch.setenv("SECRET_OF_TESTS", "sk-1234567")
    backend = loaded(server, key_env="SECRET_OF_TESTS")
    rows = backend.answer(CANDIDATE, [sample(1)])
    assert server.asked[-1]["headers"]["Authorization"] == "Bearer sk-1234567"
    written = json.dumps([row.model_dump() for row in rows]) + backend.settings().model_dump_json()
    written += json.dumps(backend.facts()) + "".join(capsys.readouterr())
    assert "sk-1234567" not in written
    monkeypatch.setenv("SECRET_OF_TESTS", "two\nlines")
    with pytest.raises(UserError, match="holds letters that no key has"):
        loaded(server, key_env="SECRET_OF_TESTS")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "ftp://x/v1"}, "base_url: not an address like"),
        ({"base_url": "http://me:sk-1@127.0.0.1/v1"}, "base_url: holds a user or a password"),
        ({"base_url": "http://127.0.0.1/v1?key=sk-1"}, "base_url: has a `\\?`"),
        ({"base_url": "http://127.0.0.1:99999/v1"}, "base_url: not an address"),
        ({"key_env": "sk-1234567"}, "key_env: not the NAME of an environment variable"),
        ({"key": "sk-1234567"}, "key: Extra inputs are not permitted"),
        ({"candidate": "base"}, "baseline and candidate are both base: name two models, or use --self-check"),
        ({"candidate_body": {"temperature": 1}}, "candidate_body: temperature is not an arm's to set"),
        ({"concurrency": 0, "retries": -1}, "concurrency: .*; retries: "),
        ({"candidate": "tuned"}, r"has no model tuned \(candidate of options\): it has base, candidate$"),
    ],
)
def test_a_wrong_option_is_one_line_before_anything_is_asked(
    options: dict[str, Any], said: str, server: Answering
) -> None:
    with pytest.raises(UserError, match=said) as found:
        loaded(server, **options)
    assert "sk-1" not in str(found.value) and "\n" not in str(found.value) and not server.texts()


def test_a_server_that_is_not_there_is_one_line(server: Answering) -> None:
    url = server.url
    server.__exit__()
    with pytest.raises(UserError, match=r"its list of models: .*refused.*is the server well\?"):
        loaded(server, base_url=url, retries=0)
    options = {"base_url": url, "baseline": "a", "candidate": "b"}
    settings = BackendSettings(kind="endpoint", dtype="float32", options=options)
    with pytest.raises(UserError, match="dtype and load are the server's own"):
        load(settings, BROUGHT, 42)


def test_a_self_check_asks_the_base_twice(server: Answering) -> None:
    backend = loaded(server, Arms("base"))
    for arm in (BASELINE, CANDIDATE):
        backend.answer(arm, [sample(1)])
    assert [model for model, _ in server.texts()] == ["base", "base"]


def test_what_an_api_cannot_be_asked_is_refused_before(server: Answering) -> None:
    plain = item("p", "generate_until", ("Question: 1+1?", {"max_gen_toks": 4}), "1+1")
    begun = json.dumps([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}])
    for one, said in (
        (plain, "asks in plain text"),
        (item("b", "generate_until", (begun, {}), "x"), "begins the answer itself"),
        (sample(1, no_repeat_ngram_size=3), "no_repeat_ngram_size: no server knows it"),
    ):
        with pytest.raises(UserError, match=f"task t.*{said}"):
            loaded(server).check_lengths([SimpleNamespace(samples=[one])])  # type: ignore[list-item]
    completions = loaded(server, api="completions")
    completions.check_lengths([SimpleNamespace(samples=[plain])])  # type: ignore[list-item]
    with pytest.raises(UserError, match="a task asks in messages, and `api: completions` has no template"):
        completions.template.apply_chat_template([{"role": "user", "content": "x"}])


def test_the_first_answer_that_fails_ends_those_under_way(server: Answering) -> None:
    """A thread that waits for a slow answer is not left to its time-out of two minutes."""
    backend = loaded(server, concurrency=2)
    server.faults = ["400 soon", "late"]
    started = time.monotonic()
    with pytest.raises(UserError, match="code 400"):
        backend.answer(BASELINE, [sample(0), sample(1)])
    assert time.monotonic() - started < 5 * slowness()


def test_interrupted_it_asks_no_more(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits before the next try is let go at once, and not after half a minute."""
    backend = loaded(server, retries=5)
    monkeypatch.setattr(connection, "FIRST_WAIT", 20.0)
    server.faults = ["503"] * 9
    threading.Timer(0.2, backend.server.close).start()
    started = time.monotonic()
    with pytest.raises(UserError, match="code 503"):
        backend.answer(BASELINE, [sample(0)])
    assert time.monotonic() - started < 5 * slowness()
