"""The backend `vllm` against a stand-in of that name: what it is started with, what it proves, that it ends with us.

vLLM itself has not run here. Its own parser (0.33) has read the command lines of `test_the_command_line`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.common.errors import UserError
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import PROOFS, Arms
from eval.contracts.numerics import four_bit
from eval.loading import both_arms
from eval.model.backends import effect_of, proves
from eval.model.endpoint.vllm_backend import Vllm, change, load
from eval.model.endpoint.vllm_command import VllmOptions, command_line, served_rank
from eval.model.endpoint.vllm_server import Started
from eval.run.baselines import Baseline
from eval.run.candidate import Candidate
from eval.run.digests import file_sha256, folder_digests, manifest_text, text_sha256
from eval.run.records import BASELINE, CANDIDATE
from tests.patience import slowness
from tests.stand_in_vllm import install
from tests.test_endpoint import item


def test_the_command_line() -> None:
    whole = VllmOptions(max_model_len=4096, gpu_memory_utilization=0.9, tensor_parallel_size=2, enforce_eager=True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    adapters = {CANDIDATE: Path("/tmp/a")}
    assert " ".join(command_line(whole, "org/base", commit, adapters, 9, "bfloat16", 42, 8000)) == (
        "vllm serve org/base --host 127.0.0.1 --port 8000 --served-model-name base --dtype bfloat16 --seed 42 "
        f"--generation-config vllm --revision {commit} --max-model-len 4096 --gpu-memory-utilization 0.9 "
        "--tensor-parallel-size 2 --enforce-eager --enable-lora --max-loras 1 --max-lora-rank 16 "
        "--lora-modules candidate=/tmp/a"
    )
    two = {**adapters, BASELINE: Path("/tmp/b")}
    line = " ".join(command_line(VllmOptions(), "eval", commit, two, 64, "auto", 1, 8001))
    assert line.endswith("--max-loras 2 --max-lora-rank 64 --lora-modules candidate=/tmp/a baseline=/tmp/b")
    assert "--revision" not in line, "a local folder has none"
    assert "lora" not in " ".join(command_line(VllmOptions(), "org/base", None, {}, 1, "auto", 1, 8001))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"use_dora": True}, "it has DoRA, which vLLM does not serve"),
        ({"modules_to_save": ["lm_head"], "bias": "all"}, "it has trained copies of modules, bias: all, which vLLM"),
        ({"rank_pattern": {"q_proj": 8}}, "it has ranks by module"),
        ({"r": 1024}, "rank 1024: vLLM serves ranks of 1 to 512"),
        ({"r": True}, "rank True"),
        ({"peft_type": "IA3"}, "serves LoRA adapters alone"),
    ],
)
def test_an_adapter_that_vllm_serves_otherwise_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 4, "bias": "none", "modules_to_save": None, "use_dora": False}
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(config))
    assert served_rank(tmp_path, Path("adapter")) == 4
    path.write_text(json.dumps({**config, **changed}))
    with pytest.raises(UserError, match=f"^adapter: .*{said}.*use backend hf$"):
        served_rank(tmp_path, Path("adapter"))


def started(way: str, folder: Path, base: Path, adapter: Path | None, **options: Any) -> Vllm:
    given = {"program": str(install(folder, way)), "start_s": 60.0 * slowness(), "retries": 0, **options}
    settings = BackendSettings(kind="vllm", dtype="float32", options=given)
    return load(settings, Arms(str(base), candidate=adapter), 7, say=lambda _: None)


def facts(folder: Path) -> Any:
    return json.loads((folder / "started.json").read_text())


def have_ended(pids: list[int]) -> bool:
    """Whether none of these processes runs any more; what nobody has waited for does not."""
    until = time.monotonic() + 15 * slowness()
    while time.monotonic() < until:
        if not any(runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="module")
def served(place: Path, tiny_model: Path, tiny_adapter: Path) -> Iterator[Vllm]:
    backend = started("serves", place, tiny_model, tiny_adapter)
    yield backend
    backend.let_go()


def test_vllm_is_given_the_adapters_bytes_and_asked_for_both_arms(
    served: Vllm, place: Path, tiny_adapter: Path
) -> None:
    given = facts(place)
    assert given["digests"] == {CANDIDATE: {p.name: file_sha256(p) for p in sorted(tiny_adapter.iterdir())}}
    assert given["arguments"]["max_lora_rank"] == 8 and given["arguments"]["seed"] == 7
    copy = Path(given["arguments"]["lora_modules"][0].partition("=")[2])
    assert copy != tiny_adapter and not copy.is_relative_to(tiny_adapter.parent)

    digest = text_sha256(manifest_text(folder_digests(tiny_adapter)))
    assert served.made_by(CANDIDATE)["adapter_sha256"] == digest
    assert served.made_by(BASELINE)["adapter_sha256"] is None
    assert served.capabilities == {"likelihoods", "proof_of_effect"} and not served.capabilities >= PROOFS
    assert not proves(served)

    prompt = served.template.apply_chat_template([{"role": "user", "content": "List files"}])
    one = item("s", "generate_until", (prompt, {"max_gen_toks": 8}), "List files")
    assert [served.answer(arm, [one])[0].text for arm in (BASELINE, CANDIDATE)] == ["true", "true"]
    effect = effect_of(served, [SimpleNamespace(samples=[one])], True)  # type: ignore[list-item]
    assert effect is not None and effect.probe_prompts == 1 and effect.max_logit_change == 1.5
    assert not effect.proven and not effect.is_denied, "seen by asking, not proven"


def test_an_adapter_that_changed_since_it_was_verified_is_not_judged(
    served: Vllm, tmp_path: Path, tiny_model: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What vLLM was given is known, though nothing is proven of what it made of it."""
    monkeypatch.setattr("eval.loading.load_backend", lambda *_: served)
    bench: Any = SimpleNamespace(suite=None, backend=None)
    digest = str(served.made_by(CANDIDATE)["adapter_sha256"])
    base = Baseline("base", None, None)
    assert both_arms(bench, Candidate(tmp_path, str(tiny_model), None, tiny_adapter, digest), base, print) is served
    with pytest.raises(UserError, match="changed since it was verified"):
        both_arms(bench, Candidate(tmp_path, str(tiny_model), None, tiny_adapter, "0" * 64), base, print)


def test_an_adapter_without_effect_is_denied_one_and_the_server_ends(
    tmp_path: Path, tiny_model: Path, tiny_adapter: Path
) -> None:
    backend = started("has no effect", tmp_path, tiny_model, tiny_adapter)
    one = item("s", "generate_until", ("List files", {"max_gen_toks": 8}), "List files")
    effect = effect_of(backend, [SimpleNamespace(samples=[one])], True)  # type: ignore[list-item]
    assert effect is not None and effect.is_denied and effect.tensors == 8 and effect.max_logit_change == 0.0
    backend.let_go()
    assert have_ended(facts(tmp_path)["pids"])


def test_a_vllm_that_fails_says_so_with_its_last_words(tmp_path: Path, tiny_model: Path, tiny_adapter: Path) -> None:
    with pytest.raises(UserError, match=r"ended with 3 before it answered: .*more than the card has\?\[0m$"):
        started("fails", tmp_path / "fails", tiny_model, tiny_adapter)
    assert have_ended(facts(tmp_path / "fails")["pids"])
    hangs = Started(["sleep", "600"], os.environ, tmp_path / "hangs")
    with pytest.raises(UserError, match=r"^sleep did not answer within 0\.5 s \(start_s\): it said nothing$"):
        hangs.wait_until(lambda: False, 0.5)
    none = Started([str(tmp_path / "none")], os.environ, tmp_path / "log")
    with pytest.raises(UserError, match=r"none ended with 127 before it answered: .*No such file"):
        none.wait_until(lambda: False, 30 * slowness())


def test_a_quantised_base_is_not_served_as_another(tiny_model: Path) -> None:
    arms = Arms(str(tiny_model), trained=four_bit("bfloat16"))
    with pytest.raises(UserError, match=r"backend vllm serves its base not quantised.*4bit.*`load: bf16`"):
        load(BackendSettings(kind="vllm"), arms, 7)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_does_not_outlive_who_started_it(number: signal.Signals, tmp_path: Path) -> None:
    server = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    code = (
        "import os, sys, time; from pathlib import Path; from eval.model.endpoint.vllm_server import Started\n"
        f"Started([sys.executable, '-c', {server!r}], os.environ, Path({str(tmp_path / 'log')!r})); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 30 * slowness()
    while not (tmp_path / "log").is_file() or not (tmp_path / "log").read_text().strip():
        assert time.monotonic() < until and parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    parent.wait()
    assert have_ended([int((tmp_path / "log").read_text())])


def test_what_does_not_heed_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)"
    running = Started([sys.executable, "-c", deaf], os.environ, tmp_path / "log", grace=0.3)
    running.wait_until(lambda: bool((tmp_path / "log").read_text().strip()), 30 * slowness())
    running.stop()
    assert have_ended([int((tmp_path / "log").read_text())])


def test_a_change_is_the_largest_of_a_common_token() -> None:
    assert change({"a": -1.0, "b": -2.0}, {"a": -1.25, "c": -2.0}) == 0.25
    assert change({"a": -0.5}, {"b": -1.5}) == 1.5 and change({"a": -0.5}, {"a": -0.5}) == 0.0
