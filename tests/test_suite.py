"""The suite through its real entry point: real lm-eval and PEFT, a tiny model, the embedded one where it counts."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.bash.parsing import METRICS
from eval.common.errors import run_command
from eval.config.suite_file import load_suite
from eval.execution.collateral import METRICS as COLLATERAL
from eval.gates.decide import EXIT_CODES
from eval.run.digests import file_sha256, write_manifest
from eval.run.files import read_json, read_jsonl, read_metrics, write_json
from eval.run.records import Judgement, Observation, Score
from scripts.publishing.verify_scores import check_decision, check_items
from tests import preloaded
from tests.conftest import EMBEDDED, make_adapter
from tests.hf_model import load_hf

pytestmark = pytest.mark.slow
LIMIT, BATCH = 16, 4
TOKENS = 12  # of an answer: the tiny model never ends one by itself
# The evaluation, which kills itself as soon as its second batch is on the disk.
KILLED = f"""
import os, signal
from eval.common.errors import run_command
from eval.run.partial_log import PartialLog
from eval.suite import main
add = PartialLog.add
PartialLog.add = lambda log, rows: (add(log, rows), len(log.rows) > {BATCH} and os.kill(os.getpid(), signal.SIGKILL))
run_command(main)
"""


def make_suite(path: Path, limit: int = LIMIT, batch_size: int = BATCH, **changes: Any) -> Path:
    task = "securecli_nl2bash_known"
    suite = {
        "name": "tiny",
        "description": "a few items",
        "backend": {"dtype": "float32", "batch_size": batch_size},
        "tasks": [{"name": task, "limit": limit, "cluster": "shape", "max_new_tokens": TOKENS}],
        "gates": [{"id": "form", "task": task, "metric": "command_only", "rule": "superiority", "min_gain": 0.05}],
    }
    path.write_text(yaml.safe_dump(suite | changes))
    return path


def make_executing_suite(path: Path) -> Path:
    """The suite of a few items, whose answers are judged by execution, and some watched on the canary machine."""
    known = {"name": "securecli_nl2bash_known", "limit": LIMIT, "cluster": "shape", "execute": "robust"}
    harm = {"name": "securecli_adversarial", "limit": BATCH, "execute": "canary"}
    known["max_new_tokens"] = harm["max_new_tokens"] = TOKENS
    return make_suite(path, tasks=[known, harm])


def make_run(folder: Path, base: Path, adapter: Path) -> Path:
    """A trained run as scripts/training/train.py leaves it, around an adapter made here."""
    folder.mkdir(parents=True)
    shutil.copytree(adapter, folder / "adapter")
    write_manifest(folder / "adapter", folder / "adapter.sha256")
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"base_model": str(base), "adapter": "lora"}))
    write_json(folder / "data.json", [])
    write_json(folder / "train.json", {"completed": True, "steps": 1, "curve": [[1, 2.0]]})
    write_json(
        folder / "run.json",
        {
            "schema_version": 1,
            "run": folder.name,
            "created": "2026-01-01T00:00:00+00:00",
            "recipe": "tiny",
            "base_model": str(base),
            "seed": 1,
            "git": {"commit": None, "dirty": None},
            "stages": {"train": "completed"},
        },
    )
    return folder


def evaluation(run: Path, suite: Path) -> list[str | Path]:
    """The evaluation's command line, as the runbook has it; answers are kept beside the run."""
    return [
        sys.executable,
        "eval/run_eval_suite.py",
        "--config",
        suite,
        "--run",
        run,
        "--cache",
        run.parent / "answers",
    ]


def evaluate(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of the suite's command, in this process (torch loads once for the whole file)."""
    from eval.suite import main

    kept = [] if "--cache" in arguments else ["--no-cache"]
    monkeypatch.setattr(sys, "argv", ["run_eval_suite.py", *map(str, arguments), *kept])
    with pytest.raises(SystemExit) as stopped:
        run_command(main)
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def evaluated(tiny_model: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted evaluation, started as the runbook says."""
    folder = tmp_path_factory.mktemp("suite")
    run = make_run(folder / "run", tiny_model, tiny_adapter)
    command = evaluation(run, make_executing_suite(folder / "suite.yaml"))
    done = subprocess.run([preloaded.python(), *command[1:]], capture_output=True, text=True)
    assert done.returncode in EXIT_CODES.values(), done.stderr
    assert done.stdout.count("\nverdict:") == 1
    return run


@pytest.mark.usefixtures("made_up_runs")
def test_publishing_derives_all_of_it_again(evaluated: Path) -> None:
    suite, metrics = load_suite(evaluated / "suite.yaml"), read_metrics(evaluated / "metrics.json")
    scores = read_jsonl(evaluated / "scores.jsonl", Score)
    check_decision(suite, metrics, scores, evaluated)
    check_items(suite, metrics, scores, evaluated)


def test_every_file_of_a_run_is_written_and_matches_its_schema(evaluated: Path) -> None:
    for name in ("metrics.json", "report.md", "report.html", "suite.yaml", "environment.json", "samples.jsonl"):
        assert (evaluated / name).stat().st_size > 0
    assert not list(evaluated.glob("*.partial*"))
    schemas = {name: validator(Path(f"eval/schemas/{name}.schema.json")) for name in ("metrics", "score", "generation")}
    schemas["metrics"].validate(read_json(evaluated / "metrics.json"))
    for name, file in (("score", "scores.jsonl"), ("generation", "generations.jsonl")):
        lines = (evaluated / file).read_text().splitlines()
        rows = [json.loads(line) for line in lines if json.loads(line)["task"] == "securecli_nl2bash_known"]
        a_sample = len(METRICS) + len(COLLATERAL) + 2 if name == "score" else 1  # and flagged, executes_equal
        assert len(rows) == 2 * LIMIT * a_sample
        for line in lines:
            schemas[name].validate(json.loads(line))


def validator(schema: Path) -> Any:
    """Of a JSON Schema that is one; `jsonschema.validate` would check the schema again for every line."""
    import jsonschema

    kind = jsonschema.validators.validator_for(read_json(schema))
    kind.check_schema(read_json(schema))
    return kind(read_json(schema))


def test_every_answer_was_executed_or_watched(evaluated: Path) -> None:
    executed = read_jsonl(evaluated / "executions.jsonl", Judgement)
    assert len(executed) == 2 * LIMIT and {row.verdict for row in executed} <= {"accept", "reject"}
    assert all(row.gold is not None and row.gold.exit == 0 for row in executed if row.rule != "no_command")
    watched = read_jsonl(evaluated / "observations.jsonl", Observation)
    assert len(watched) == 2 * BATCH and not any(row.invalid for row in watched)
    metrics = read_json(evaluated / "metrics.json")
    assert sum(metrics["tasks"][0]["executed"]["candidate"].values()) == LIMIT
    assert "| securecli_nl2bash_known | candidate |" in (evaluated / "report.md").read_text()


def test_the_adapter_is_proven_to_act(evaluated: Path) -> None:
    effect = read_json(evaluated / "metrics.json")["adapter_effect"]
    assert effect["tensors"] == effect["tensors_loaded"] == 8
    assert effect["nonzero_updates"] == 4
    assert effect["max_logit_change"] > 0 and effect["answers_changed"] > 0


def test_both_arms_saw_the_same_prompts(evaluated: Path) -> None:
    rows = [json.loads(line) for line in (evaluated / "generations.jsonl").read_text().splitlines()]
    arms = {
        arm: {row["sample"]: row["prompt_sha256"] for row in rows if row["arm"] == arm}
        for arm in ("baseline", "candidate")
    }
    assert arms["baseline"] == arms["candidate"] and len(arms["baseline"]) == LIMIT + BATCH


def test_a_killed_evaluation_keeps_its_answers_and_ends_the_same(
    evaluated: Path, tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    command = evaluation(run, make_executing_suite(tmp_path / "suite.yaml"))
    killed = preloaded.run([sys.executable, "-c", KILLED, *command[2:]])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    partial = run / "generations.partial.jsonl"
    kept = [json.loads(line) for line in partial.read_text().splitlines()[1 : 1 + BATCH]]
    assert not (run / "metrics.json").exists()
    with partial.open("a") as stream:
        stream.write('{"arm": "baseline", "ta')  # a line torn by the kill

    assert evaluate(monkeypatch, *command[2:]) in EXIT_CODES.values()
    assert (run / "scores.jsonl").read_bytes() == (evaluated / "scores.jsonl").read_bytes()
    after = [json.loads(line) for line in (run / "generations.jsonl").read_text().splitlines()]
    assert all(row in after for row in kept), "finished answers were made again"


def test_an_adapter_without_effect_never_ships(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_model, make_adapter(tiny_model, tmp_path / "idle", scale=0.0))
    gate = {"id": "g", "task": "securecli_nl2bash_known", "metric": "flagged", "rule": "max_rate", "limit": 0.9}
    code = evaluate(monkeypatch, "--config", make_suite(tmp_path / "suite.yaml", gates=[gate]), "--run", run)
    metrics = read_json(run / "metrics.json")
    assert metrics["gates"][0]["outcome"] == "pass"
    assert (code, metrics["verdict"]) == (3, "inconclusive")
    assert "nothing changed" in metrics["reasons"][0] and "othing changed" in (run / "report.md").read_text()


def test_base_against_itself_never_ships_and_is_identical(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.run import candidate

    monkeypatch.setattr(
        candidate, "new_run", lambda label, git, fields, results: make_self_check(tmp_path / "self", fields)
    )
    code = evaluate(
        monkeypatch, "--config", make_suite(tmp_path / "s.yaml"), "--self-check", "--base-model", tiny_model
    )
    metrics = read_json(tmp_path / "self" / "metrics.json")
    assert code in (1, 3) and metrics["verdict"] != "ship"
    assert "nothing changed" in metrics["reasons"][0]
    assert all(comparison["wins"] == comparison["losses"] == 0 for comparison in metrics["comparisons"])


def make_self_check(folder: Path, fields: dict[str, Any]) -> Path:
    folder.mkdir()
    write_json(folder / "run.json", {"run": "self", "created": "2026-01-01", "git": {}, **fields})
    return folder


def test_a_damaged_adapter_is_no_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded base with an adapter whose weights are blown up: enough items to be sure it is no better."""
    run = make_run(tmp_path / "run", EMBEDDED, make_adapter(EMBEDDED, tmp_path / "damaged", scale=3.0))
    known = "securecli_nl2bash_known"
    gate = {"id": "form", "task": known, "metric": "command_only", "rule": "superiority", "min_gain": 0.5}
    # By themselves: in clusters they would be worth four.
    tasks = [{"name": known, "limit": 8, "max_new_tokens": 8}]
    backend = {"dtype": "float32", "batch_size": 8}
    suite = make_suite(tmp_path / "suite.yaml", tasks=tasks, gates=[gate], backend=backend)
    assert evaluate(monkeypatch, "--config", suite, "--run", run) == 1
    assert read_json(run / "metrics.json")["verdict"] == "no-ship"


def test_a_greedy_chat_reply_of_the_embedded_model_ends_by_itself() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.bfloat16)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    tokens = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    reply = model.generate(**tokens, max_new_tokens=100, do_sample=False)[0, tokens["input_ids"].shape[1] :]
    assert len(reply) < 100 and reply[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token == "<|im_end|>"
    assert "Paris" in tokenizer.decode(reply)


def index_our_tasks_only(patch: pytest.MonkeyPatch) -> None:
    """lm-eval looks a name up among ours, and not also in an index of all it ships, which takes 12 s to make."""
    from lm_eval.tasks import TaskManager

    patch.setattr(TaskManager, "__init__", partialmethod(TaskManager.__init__, include_defaults=False))


def test_plain_lm_eval_gives_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base arm of the suite against lm-eval's own command on the same items, metric by metric."""
    from lm_eval._cli import HarnessCLI

    command = [
        "lm_eval", "run", "--model", "hf", "--model_args",
        f"pretrained={EMBEDDED},dtype=float32", "--include_path", "eval/tasks", "--tasks", "securecli_nl2bash_known",
        "--apply_chat_template", "--limit", str(BATCH), "--batch_size", str(BATCH), "--device", "cpu",
        "--gen_kwargs", f"max_gen_toks={TOKENS}",
        "--output_path", str(tmp_path / "plain"), "--log_samples",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # which the command sets, and does not take back
    index_our_tasks_only(monkeypatch)
    line = HarnessCLI()
    line.execute(line.parse_args())
    plain = json.loads(next((tmp_path / "plain").rglob("results_*.json")).read_text())["results"]
    theirs = {
        name.removesuffix(",none"): value
        for name, value in plain["securecli_nl2bash_known"].items()
        if name.endswith(",none") and "_stderr" not in name
    }
    from eval.config.suite_file import load_suite
    from eval.model import lm_tasks

    asked = {"name": "securecli_nl2bash_known", "limit": BATCH, "max_new_tokens": TOKENS}
    suite = load_suite(make_suite(tmp_path / "s.yaml", tasks=[asked]))
    model = load_hf(suite, EMBEDDED)
    tasks = lm_tasks.load_tasks(suite, model.template)
    answers = [answer for batch in model.plan(tasks, BATCH) for answer in model.answer("baseline", batch)]
    scores = lm_tasks.score(tasks, answers)
    ours = {
        name: sum(row.value or 0.0 for row in scores if row.metric == name) / BATCH
        for name in {row.metric for row in scores}
    }
    assert theirs == pytest.approx(ours)
    assert ours["syntax_valid"] > 0, "a comparison of zeros proves little"


def test_prompts_equal_the_training_rows(tmp_path: Path) -> None:
    """The prompt lm-eval builds is, to the character, what Axolotl trained on for the same messages."""
    from transformers import AutoTokenizer

    from eval.config.suite_file import load_suite
    from eval.model import lm_tasks

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)

    class Template:
        tokenizer_name = "embedded"

        @staticmethod
        def apply_chat_template(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            return str(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
            )

    for sample in lm_tasks.load_tasks(load_suite(make_suite(tmp_path / "s.yaml")), Template())[0].samples:
        assert sample.instances[0].args[0] == Template.apply_chat_template(sample.doc["messages"][:-1])


def break_adapter_bytes(run: Path) -> None:
    weights = run / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")


def other_base(run: Path) -> None:
    config = run / "adapter" / "adapter_config.json"
    write_json(config, read_json(config) | {"base_model_name_or_path": "models/other"})
    write_manifest(run / "adapter", run / "adapter.sha256")


def nan_weights(run: Path) -> None:
    import safetensors.torch

    weights = run / "adapter" / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, weights)
    write_manifest(run / "adapter", run / "adapter.sha256")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_adapter_bytes, "adapter_model.safetensors has other bytes"),
        (lambda run: (run / "adapter" / "adapter_config.json").unlink(), "adapter_config.json is missing"),
        (other_base, "was trained on models/other"),
        (nan_weights, "NaN or infinity"),
        (lambda run: write_json(run / "train.json", {"completed": False}), "not fully trained"),
        (lambda run: (run / "train.json").unlink(), "not fully trained"),
        (lambda run: (run / "recipe.yaml").unlink(), "no recipe.yaml"),
        (lambda run: (run / "run.json").write_text("{"), "not valid JSON"),
    ],
)
def test_a_bad_run_is_one_line_and_loses_nothing(
    damage: Any, message: str, tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    damage(run)
    before = {path: file_sha256(path) for path in run.rglob("*") if path.is_file()}
    assert evaluate(monkeypatch, "--config", make_suite(tmp_path / "suite.yaml"), "--run", run) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and message in errors[0]
    assert all(path.exists() for path in before)


def test_an_unknown_task_and_an_empty_task_are_one_line(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = make_run(tmp_path / "run", tiny_model, tiny_adapter)
    index_our_tasks_only(monkeypatch)
    gate = {"id": "g", "task": "securecli_nl2bsh", "metric": "m", "rule": "superiority", "min_gain": 0.1}
    suite = make_suite(tmp_path / "a.yaml", tasks=[{"name": "securecli_nl2bsh"}], gates=[gate])
    assert evaluate(monkeypatch, "--config", suite, "--run", run) == 2
    assert "task securecli_nl2bsh is unknown" in capsys.readouterr().err

    from eval.model import lm_tasks

    tasks = tmp_path / "tasks"
    shutil.copytree("eval/tasks", tasks)
    (tmp_path / "empty.jsonl").write_text("")
    known = tasks / "nl2bash" / "securecli_nl2bash_known.yaml"
    known.write_text(known.read_text().replace("data/nl2bash/test_known.jsonl", str(tmp_path / "empty.jsonl")))
    monkeypatch.setattr(lm_tasks, "TASKS_FOLDER", tasks)
    assert evaluate(monkeypatch, "--config", make_suite(tmp_path / "b.yaml"), "--run", run) == 2
    assert "error: task securecli_nl2bash_known" in capsys.readouterr().err
