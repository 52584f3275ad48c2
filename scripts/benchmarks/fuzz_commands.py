"""What `make fuzz-inputs` runs: every command that reads something, its words, and the files that it reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command: its module, the words after it (run folders by name in braces), and the files it reads."""

    module: str
    words: tuple[str, ...]
    files: tuple[str, ...]
    heavy: bool = False  # a second or more each: fewer of them


RUN_FILES = ("run.json", "train.json", "metrics.json", "scores.jsonl", "suite.yaml", "recipe.yaml", "data.json")
ADAPTER = (
    "adapter.sha256",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "adapter/tokenizer.json",
)
COMMANDS = {
    "gate": Command("eval.gates.decide", ("--run", "{run}"),
                    ("metrics.json", "scores.jsonl", "suite.yaml", "run.json")),
    "gates": Command("eval.gates.decide", ("--suite", "{run}/suite.yaml", "--scores", "{run}/scores.jsonl"),
                     ("scores.jsonl", "suite.yaml")),
    "logs": Command("eval.logs.verb", (
        "--a", "{case}/logs/a", "--b", "{case}/logs/b", "--suite", "{case}/logs/s.yaml", "--out={case}/out"),
        ("../logs/a/x.eval", "../logs/b/x.eval", "../logs/s.yaml")),
    "logs-starter": Command("eval.logs.verb", (
        "--a", "{case}/logs/a.jsonl", "--b", "{case}/logs/b.jsonl", "--starter={case}/s.yaml"),
        ("../logs/a.jsonl", "../logs/b.jsonl")),
    "report": Command("eval.report.rendering", ("--run", "{run}"), (*RUN_FILES, "generations.jsonl", "samples.jsonl")),
    "export": Command("scripts.export", ("--run", "{run}"), ("metrics.json", "scores.jsonl", "train.json")),
    "track": Command("scripts.track", ("--run", "{run}", "--to", "mlflow"),
                     (*RUN_FILES, "environment.json", "report.md")),
    "sync": Command("scripts.track", ("--sync", "--folder", "{case}"), ("../wandb/offline-run-1/securecli.json",)),
    "bless": Command("scripts.bless", ("--run", "{run}"), (*RUN_FILES, *ADAPTER)),
    "review": Command("scripts.review", ("--run", "{run}"), ("metrics.json", "review.json", "run.json")),
    "approve": Command("scripts.review", ("--run", "{run}", "--decision", "approve", "--reviewer", "Ada"),
                       (*RUN_FILES, *ADAPTER, "report.md")),
    "sign": Command("scripts.review", (
        "--run", "{run}", "--decision", "approve", "--reviewer", "Ada", "--sign", "--key", "{run}/key"), ("key",)),
    "publish": Command("scripts.publish", ("--run", "{run}", "--repo", "someone/model", "--dry-run"),
                       (*RUN_FILES, *ADAPTER, "review.json", "environment.json", "report.md", "samples.jsonl")),
    "demo-publish": Command("scripts.demo_publish", ("--run", "{run}", "--reviewer", "Ada"), (*RUN_FILES, *ADAPTER)),
    "runs": Command("scripts.runs", (), ("run.json", "metrics.json", "../other/metrics.json", "../other/run.json")),
    "compare": Command("scripts.runs", ("compare", "{run}", "{case}/other"),
                       ("run.json", "metrics.json", "scores.jsonl", "../other/scores.jsonl", "generations.jsonl")),
    "eval": Command("eval.suite", ("--run", "{run}", "--config", "{run}/suite.yaml", "--no-cache"),
                    ("run.json", "train.json", "recipe.yaml", "suite.yaml", *ADAPTER)),
    "noise-floor": Command("scripts.noise_floor", ("--suite", "{run}/suite.yaml"), ("suite.yaml",)),
    "damage-check": Command("scripts.damage_check", ("--run", "{run}", "--suite", "{run}/suite.yaml"), ADAPTER),
    "bench-collateral": Command("scripts.benchmarks.collateral", ("--run", "{run}"),
                                (*RUN_FILES, "generations.jsonl", "samples.jsonl")),
    "lint": Command("scripts.training.lint_recipe", ("{run}/recipe.yaml",), ("recipe.yaml",), heavy=True),
    "preflight": Command("scripts.training.preflight", ("{run}/recipe.yaml",), ("recipe.yaml",)),
    "train": Command("scripts.training.train", ("{run}/recipe.yaml",), ("recipe.yaml",), heavy=True),
    "generate": Command("eval.suite", ("--generate", "--run", "{run}", "--config", "{run}/suite.yaml", "--no-cache"),
                        ("run.json", "train.json", "recipe.yaml", "suite.yaml", *ADAPTER)),
    "judge-run": Command("eval.suite", ("--judge", "--run", "{case}/answered", "--no-cache"), tuple(
        f"../answered/{name}" for name in ("generated.json", "generations.jsonl", "samples.jsonl", "suite.yaml",
                                           "run.json", "adapter.sha256", "environment.json"))),
    "advise": Command("scripts.advise", ("--run", "{run}"), (*RUN_FILES, "generations.jsonl", "samples.jsonl")),
    "repeat": Command("scripts.repeat", ("--seeds", "2", "--suite", "{run}/suite.yaml", "--", "{run}/recipe.yaml"),
                      ("suite.yaml", "recipe.yaml")),
    "sweep": Command("scripts.sweep", (
        "--sweep", "{case}/sweep.yaml", "--suite", "{run}/suite.yaml", "--", "{run}/recipe.yaml"),
        ("../sweep.yaml", "suite.yaml", "recipe.yaml"), heavy=True),
    "replay": Command("scripts.replay", ("--share", "0.1", "--file", "{case}/prompts.jsonl", "{run}/recipe.yaml"),
                      ("../prompts.jsonl", "recipe.yaml"), heavy=True),
    "quantize": Command("scripts.quantize", ("--run", "{run}", "--method", "nf4", "--suite", "{run}/suite.yaml"),
                        ("run.json", "train.json", "recipe.yaml", "data.json", "metrics.json", *ADAPTER)),
    "serve-check": Command("scripts.serve_check", ("--run", "{run}", "--form", "nf4"),
                           ("run.json", "train.json", "recipe.yaml", *ADAPTER)),
    "remote": Command("scripts.remote.__main__", (
        "start", "--on=hf-jobs", "--max-hours", "2", "--budget", "5", "--detach", "--", "{run}/recipe.yaml"),
        ("recipe.yaml", "../jobs/sct-toy-1/job.json"), heavy=True),
    "remote-status": Command("scripts.remote.__main__", ("status",), ("../jobs/sct-toy-1/job.json",)),
    "remote-logs": Command("scripts.remote.__main__", ("logs", "--", "sct-toy-1"), ("../jobs/sct-toy-1/job.json",)),
    "remote-stop": Command("scripts.remote.__main__", ("stop", "--", "sct-toy-1"), ("../jobs/sct-toy-1/job.json",)),
    "data-config": Command("scripts.data.pipeline", (
        "--config", "{case}/data.yaml", "--nl2bash", "{case}/nl2bash", "--out", "{case}/out"),
        ("../data.yaml", "../nl2bash/all.nl", "../nl2bash/all.cm"), heavy=True),
    "expand": Command("scripts.teachers.expand", (
        "--file", "{case}/seeds.jsonl", "--config", "{case}/plan.yaml", "--out", "{case}/expanded", "--rows", "5",
        "--domain=nl2bash"),
        ("../seeds.jsonl", "../plan.yaml", "../expanded/MANIFEST.json", "../expanded/replies.partial.jsonl"),
        heavy=True),
    "merge": Command("scripts.teachers.merge", (
        "--files", "{case}/seeds.jsonl,{case}/more.jsonl", "--config", "{case}/plan.yaml", "--out", "{case}/out",
        "--domain=nl2bash"), ("../seeds.jsonl", "../more.jsonl", "../plan.yaml")),
    "validate": Command("scripts.teachers.validate", ("--file", "{case}/seeds.jsonl", "--domain=nl2bash"),
                        ("../seeds.jsonl",)),
    "check": Command("scripts.check", ("ls -l",), ()),
    "risk": Command("eval.risk.__main__", ("--jsonl", "{case}/commands.jsonl"), ("../commands.jsonl",)),
    "judge": Command("eval.judge.__main__", ("--jsonl", "{case}/cases.jsonl"), ("../cases.jsonl",)),
    "sandbox": Command("eval.sandbox.__main__", ("--fixture", "{case}", "--", "ls"), ()),
    "secrets": Command("eval.run.secret_patterns", ("{run}/recipe.yaml",), ("recipe.yaml",)),
    "build-data": Command("scripts.data.build_retention", ("--data", "{case}/retention"),
                          ("../retention/questions.yaml", "../retention/neutral.yaml"), heavy=True),
    "fuzz-risk": Command("scripts.benchmarks.fuzz_risk", ("--inputs", "5", "--nl2bash", "{case}/nl2bash"),
                         ("../nl2bash/all.cm",), heavy=True),
}  # fmt: skip
