"""For every test: the order, what a skip means, patience. For the slow ones: a tiny model and a LoRA adapter for it."""

import atexit
import functools
import gc
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from tests import durations, no_network, preloaded, preloaded_server

# How long an example takes says something about the machine, not about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
LONGEST_FIRST = (
    "test_extending", "test_types", "test_rehearse", "test_training_end", "test_train", "test_ranks",
    "test_sandbox_hostile", "test_suite", "test_sandbox", "test_spot_answers", "test_hub_faults", "test_hub_bounds",
    "test_adopt", "test_publish_scores", "test_hub_end_to_end", "test_growth", "test_space_page", "test_fuzz_inputs",
    "test_product_suite", "test_teachers", "test_workflow_walk", "test_judge", "test_hooks", "test_tracking",
    "test_remote_faults", "test_remote_machine", "test_makefile", "test_agents", "test_publish_attacks",
    "test_programs", "test_leakage", "test_base_proof", "test_publish_chain", "test_sequential_suite",
    "test_generate", "test_retention", "test_space", "test_own_rows", "test_architecture", "test_endpoint",
    "test_served_suite", "test_baselines", "test_recipes", "test_review", "test_canary", "test_generation_settings",
    "test_answer_cache", "test_drift", "test_noise", "test_memory", "test_publish",
)  # fmt: skip
# Their tests wait for models, sandboxes, servers, other processes, very many inputs or draws: not in `make test-fast`.
WAITING = (
    "test_bench_replay", "test_bench_verdict", "test_canary", "test_collateral", "test_collected", "test_data",
    "test_dictionary_backend", "test_drawn", "test_endpoint", "test_executed", "test_full_disk", "test_fuzz_inputs",
    "test_gate_sense", "test_gates_properties", "test_growth", "test_hooks", "test_hub_bounds", "test_hub_end_to_end",
    "test_hub_faults", "test_hub_results", "test_judge", "test_judge_asked", "test_judge_limits", "test_judge_scenes",
    "test_leakage", "test_lock", "test_logs_hostile", "test_lost_clusters", "test_make_venv", "test_makefile",
    "test_memory", "test_nl2bash_fixture", "test_own_rows", "test_packed_rows", "test_packing", "test_parts",
    "test_product_suite", "test_programs", "test_publish_attacks", "test_publish_beside", "test_publish_chain",
    "test_publish_git", "test_publish_hub_state", "test_publish_races", "test_publish_scores", "test_publish_variant",
    "test_publish_written", "test_recipes", "test_remote_faults", "test_remote_machine", "test_replay",
    "test_report_browser", "test_retention", "test_review_page", "test_risk_robust", "test_risk_tools", "test_run_lock",
    "test_safety_data", "test_sandbox", "test_sandbox_hostile", "test_sandbox_root", "test_sandbox_trees",
    "test_sandbox_user", "test_secrets", "test_sequential", "test_served_suite", "test_spot_draw", "test_stats",
    "test_sweep", "test_system_metrics", "test_teachers", "test_track", "test_types", "test_vllm",
)  # fmt: skip

ALL_SLOW = re.compile(r"^pytestmark = \[?pytest\.mark\.slow\b", re.MULTILINE)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first, so that two workers end together; those that wait for others are slow."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    for item in items:
        if item.path.stem in WAITING:
            item.add_marker(pytest.mark.slow)


def all_slow(path: Path) -> bool:
    """Whether every test of a file is slow."""
    return path.stem in WAITING or ALL_SLOW.search(path.read_text(encoding="utf-8")) is not None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are left out, a file of nothing else is not even imported: most import torch."""
    left_out = "not slow" in config.option.markexpr and collection_path.match("test_*.py")
    return True if left_out and all_slow(collection_path) else None


def pytest_configure(config: pytest.Config) -> None:
    """No network, no waiting for disks, one thread of torch, as in the processes that are forked, and a folder for what
    the processes of this session share; workers find it in their environment."""
    no_network.refuse()
    os.environ["OMP_NUM_THREADS"] = preloaded.SURROUNDINGS["OMP_NUM_THREADS"]  # torch reads it where it is imported
    os.fsync = lambda descriptor: None  # a machine that loses its power is in no test
    if preloaded.SESSION not in os.environ:
        folder = tempfile.mkdtemp(prefix="tests-")
        os.environ[preloaded.SESSION] = f"{os.getpid()}:{folder}"
        config.add_cleanup(lambda: shutil.rmtree(folder))
        asked = config.args_source is pytest.Config.ArgsSource.ARGS or "not slow" in config.option.markexpr
        if config.getoption("numprocesses", None) and not asked:
            preloaded.start()  # imports while the workers do: the tests that take longest wait for it


def pytest_collection_finish() -> None:
    """What was imported is kept to the end: the garbage collector need not look at it again and again, a tenth of the
    time that Python takes."""
    gc.freeze()
    gc.set_threshold(*preloaded_server.COLLECT_AFTER)


def pytest_sessionfinish() -> None:
    """pytest collects garbage five times to hear what nobody closed: all of it was in use until now. Where Python ends,
    libraries count what nobody has collected as leaks."""
    gc.freeze()
    atexit.register(gc.unfreeze)


@pytest.hookimpl(tryfirst=True)  # before it is sent
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """The process that collects what the workers report would import a warning's class, and with it its library: torch,
    for a line of PEFT's."""
    if warning_message.category.__module__ != "builtins":
        said = f"{warning_message.category.__name__}: {warning_message.message}"
        warning_message.category, warning_message.message = UserWarning, UserWarning(said)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", type=Path, metavar="FILE", help="write seconds of each file and slow test")
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped has failed, as in `make test`")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Only the process that collects what the workers report has any to record."""
    if path := config.getoption("--record-durations"):
        reports = [report for kind in terminalreporter.stats.values() for report in kind]
        durations.record(path, [report for report in reports if hasattr(report, "duration")])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return not_skipped(report, item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return not_skipped(report, collector.config)


def not_skipped(report: Report, config: pytest.Config) -> Report:
    """With --no-skips, a skip is a failure that says why the test could not run."""
    if report.skipped and config.getoption("--no-skips"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{why} (nothing may be skipped here: --no-skips)"
    return report


class Everything:
    """Holds whatever is asked for."""

    def __contains__(self, item: object) -> bool:
        return True


@pytest.fixture
def made_up_runs(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For tests that publish runs which nobody trained, on a base whose tokenizer files take a few bytes.

    Their suites count as committed and the branch that is checked out as merged, but where a test is marked
    committed_suites; their answers count as given again, but where it is marked spot_answers.
    """
    monkeypatch.setattr("scripts.publishing.verify_base.ROOT", toy_root(tmp_path_factory.getbasetemp() / "toy-root"))
    if not request.node.get_closest_marker("committed_suites"):
        monkeypatch.setattr("scripts.publishing.verify_guests.committed_suites", Everything)
        monkeypatch.setattr("scripts.publishing.committed.protected", lambda root: ())
    if not request.node.get_closest_marker("spot_answers"):
        from scripts.publishing.spot_record import Spot

        monkeypatch.setattr("scripts.publish.spot_answers", lambda evidence, count, reason: Spot())


@functools.cache
def toy_root(folder: Path) -> Path:
    from tests.run_builder import write_tokenizer

    write_tokenizer(folder / EMBEDDED)
    return folder


EMBEDDED = Path("models/SmolLM2-135M-Instruct")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with the embedded model's chat template and the commoner words it knows."""
    from tests.small_tokenizer import small_tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    return make_model(folder, small_tokenizer(folder))


def make_model(folder: Path, tokenizer: Any, width: int = 32) -> Path:
    """A two-layer Llama with random weights for this tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(base: Path, target: Path, scale: float) -> Path:
    """A LoRA adapter on the query projections whose update B is random and scaled (0: an adapter without effect)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * scale)
    model.save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "tiny", scale=1.0)
