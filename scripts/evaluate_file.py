"""Any model or adapter on any file of prompts and answers: what it says, and how often that is the answer.

    python -m scripts.evaluate_file --model-path MODEL --test-file FILE --output OUT [--max-tokens 256 --temperature 0]

MODEL: a folder or `org/name@commit`; an adapter's folder is put on the base that it names (--base names another). FILE:
JSON lines, JSON, CSV or Parquet in any usual shape (messages, prompt and completion, question and answer, ...). OUT:
one JSON line for each row, or with another ending than .jsonl one JSON object with `summary` and `results`.

A number and no verdict: nothing is compared, and equal texts are all that counts. A suite asks more. Killed, the same
command continues.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.adapters.file_names import CONFIG
from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, Load
from eval.contracts.plugins import find
from eval.contracts.task import Metric, OwnTask
from eval.model.backends import OURS
from eval.run.base_files import at_revision
from eval.run.candidate import digest_of
from eval.run.digests import file_sha256, json_sha256
from eval.run.environment import headline_versions
from eval.run.files import read_json, write_json, write_text
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, CANDIDATE, Generation, Record
from eval.statistics.paired import clopper_pearson_interval
from scripts.data.own_lines import read_lines
from scripts.data.own_shapes import Misshapen, as_read, messages, system_of

if TYPE_CHECKING:
    from eval.model.lm_tasks import LoadedTask

NAME = "file"
# How rows of the usual shapes are read: one request, one answer.
ROWS = OwnTask(
    name=NAME,
    data=None,
    request_of=lambda row: row["request"],
    gold_of=lambda row: row["answer"],
    score=lambda row, answer: {"exact_match": float(squeezed(answer) == squeezed(row["answer"]))},
    metrics={"exact_match": Metric("higher", phrase="are the answer, word for word")},
)
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Request:
    """One row of the file. `id`: its own, or where it stands."""

    id: str
    system: str
    request: str
    gold: str


def say(line: str) -> None:
    print(f"evaluate-file: {line}", flush=True)


def squeezed(text: str) -> str:
    """A text without differences in white space."""
    return " ".join(text.split())


def requests_of(file: Path) -> list[Request]:
    """The rows of the file. UserError for the first that is not one request with one answer."""
    lines, rejects = read_lines(file)
    if rejects:
        raise UserError(f"{file}: {rejects[0].where}: {rejects[0].reason}: mend or remove the row")
    found = []
    for line in lines:
        try:
            pair = as_read(line, ROWS, "")
        except Misshapen as error:
            raise UserError(f"{file}: {line.where}: {error}: mend or remove the row") from None
        found.append(Request(str(line.row.get("id", line.number)), system_of(line.row), pair.request, pair.gold))
    if not found:
        raise UserError(f"{file} holds no rows")
    if len({request.id for request in found}) < len(found):
        found = [Request(str(number), one.system, one.request, one.gold) for number, one in enumerate(found, start=1)]
    return found


def loaded(model: str, base: str | None, settings: BackendSettings, seed: int) -> tuple[Backend, str, str]:
    """The model, the arm that is it, and the digest of its files. UserError when it cannot be loaded."""
    load: Load = find("backends", settings.kind, OURS)
    adapter = Path(model)
    if (adapter / CONFIG).is_file():
        named = base or read_json(adapter / CONFIG).get("base_model_name_or_path")
        if not named:
            raise UserError(f"{adapter / CONFIG} names no base model: --base names it")
        backend = load(settings, Arms(*at_revision(str(named)), candidate=adapter), seed)
        return backend, CANDIDATE, str(backend.made_by(CANDIDATE)["adapter_sha256"])
    digest = digest_of(model)
    return load(settings, Arms(*at_revision(model)), seed), BASELINE, digest


def asked(requests: list[Request], backend: Backend, max_tokens: int, temperature: float) -> "LoadedTask":
    """The requests as the backend takes them, through the model's chat template where it has one."""
    from lm_eval.api.instance import Instance

    from eval.model.lm_tasks import LoadedTask, Sample

    settings: dict[str, Any] = {"until": [], "do_sample": temperature > 0, "max_gen_toks": max_tokens}
    settings |= {"temperature": temperature} if temperature > 0 else {}
    samples: list[Sample] = []
    for number, one in enumerate(requests):
        chat = messages(one.system, one.request, "")[:-1]
        text = backend.template.apply_chat_template(chat) if backend.template.can_chat else one.request
        instance = Instance("generate_until", {}, (text, settings), 0, (NAME, number, 1))
        samples.append(Sample(NAME, one.id, one.request, one.gold, one.id, None, {}, (instance,)))
    return LoadedTask(NAME, None, tuple(samples), NAME, "")


def answers(
    backend: Backend,
    arm: str,
    task: "LoadedTask",
    batch_size: int,
    log: PartialLog[Generation],
    say: Callable[[str], None],
) -> list[Generation]:
    """An answer to every sample, in their order; those that are in the log are not asked again."""
    backend.check_lengths([task])
    batches = backend.plan([task], batch_size)
    for number, batch in enumerate(batches, start=1):
        left = [sample for sample in batch if (arm, NAME, sample.id, 0) not in log.rows]
        if left:
            log.add(backend.answer(arm, batch))
        say(f"batch {number}/{len(batches)}")
    return [log.rows[arm, NAME, sample.id, 0] for sample in task.samples]


def evaluated(requests: list[Request], said: list[Generation]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary, and a row for each request."""
    rows = []
    for one, answer in zip(requests, said, strict=True):
        right = bool(ROWS.score({"answer": one.gold}, answer.text)["exact_match"])
        made = {"answer": answer.text, "exact_match": right, "tokens": answer.tokens, "finish": answer.finish}
        rows.append({"id": one.id, "prompt": one.request, "expected": one.gold, **made})
    count, n = sum(bool(row["exact_match"]) for row in rows), len(rows)
    interval = clopper_pearson_interval(count, n, CONFIDENCE)
    return {"n": n, "exact_match": count / n, "interval": interval.model_dump(), "confidence": CONFIDENCE}, rows


def write_out(out: Path, summary: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The results where they were asked for; of JSON lines the summary stands beside them."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix != ".jsonl":
        write_json(out, {"summary": summary, "results": rows})
        return
    write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_json(out.with_suffix(".summary.json"), summary)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate_file", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model-path", required=True, help="model or adapter: a folder, or org/name@commit")
    parser.add_argument("--test-file", required=True, type=Path, help="rows with a prompt and an answer")
    parser.add_argument("--output", required=True, type=Path, help="where the results go: .jsonl or .json")
    parser.add_argument("--max-tokens", type=int, default=256, help="of an answer (default: 256)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: the likeliest token (default)")
    parser.add_argument("--base", help="of an adapter, in place of the base that it names")
    parser.add_argument("--load", default="as-trained", choices=["as-trained", "bf16", "4bit", "8bit"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=42, help="of drawn answers")
    arguments = parser.parse_args(argv)
    for name, least, most in (("max_tokens", 1, 4096), ("temperature", 0, 10), ("batch_size", 1, 4096)):
        if not least <= getattr(arguments, name) <= most:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}: {least} to {most}")
    return arguments


class AnsweredFile(Record):
    """Shares of answers that are the expected text, with the ends of their interval."""

    n: int
    exact_match: float
    low: float
    high: float


def main(argv: list[str] | None = None) -> int:
    given = parse_arguments(argv)
    requests = requests_of(given.test_file)
    settings = BackendSettings(load=given.load, batch_size=given.batch_size)
    backend, arm, digest = loaded(given.model_path, given.base, settings, given.seed)
    task = asked(requests, backend, given.max_tokens, given.temperature)
    decides = [digest, file_sha256(given.test_file), settings.model_dump(), given.max_tokens, given.temperature]
    key = json_sha256([*decides, given.seed, backend.facts(), headline_versions()])
    given.output.parent.mkdir(parents=True, exist_ok=True)
    log = PartialLog(given.output.parent, given.output.name, Generation, key)
    said = answers(backend, arm, task, given.batch_size, log, say)
    summary, rows = evaluated(requests, said)
    about = {"model": Path(given.model_path).name, "sha256": digest, "test_file": given.test_file.name}
    about |= {"max_tokens": given.max_tokens, "temperature": given.temperature, "seed": given.seed}
    write_out(given.output, {**summary, **about}, rows)
    log.discard()
    low, high = (100 * summary["interval"][end] for end in ("low", "high"))
    print(f"{100 * summary['exact_match']:.1f} % of {summary['n']} answers are the expected text", end=" ")
    print(f"({low:.1f} to {high:.1f} at {100 * CONFIDENCE:.0f} %): {given.output}")
    result = AnsweredFile(n=summary["n"], exact_match=summary["exact_match"], low=low / 100, high=high / 100)
    return Answer(0, result, files=[given.output])


if __name__ == "__main__":
    run_command(main)
