"""Mix a share of the base's own answers to general requests into a recipe, so that training takes less from the base.

    python -m scripts.replay --share 0.1 [--out FOLDER] [--file prompts.jsonl] [--temperature 1 --seed 42] RECIPE

Into OUT (default: data/own/<recipe>-replay10) go replay.jsonl (the rows), rejects.jsonl (answers that were left out,
and why), a copy of the recipe that names replay.jsonl as one more dataset, and MANIFEST.json. The copy is Axolotl's
YAML like the recipe: `make train RECIPE=OUT/<copy>.yaml`.

The share is one of the tokens that a loss is taken on, not of rows: an answer in prose is several times as long as a
command. Answers are drawn at temperature 1 by default, since what a base would say is its distribution; they are asked
once for a base, a list of prompts and settings, and kept in .cache/replay: killed, the same command continues, and
another share asks nothing.
"""

import argparse
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, Load
from eval.contracts.numerics import trained_in
from eval.contracts.plugins import find
from eval.model.backends import OURS
from eval.run.base_files import base_identity
from eval.run.digests import file_sha256, json_sha256
from eval.run.environment import headline_versions
from eval.run.files import json_text, read_jsonl, write_bytes
from eval.run.folder import locked
from eval.run.partial_log import PartialLog
from eval.run.records import BASELINE, Generation, Record
from scripts.data.build_replay import DATA, Guards
from scripts.data.own_files import refuse_foreign, shown
from scripts.data.replay_rows import NONE, Length, Prompt, draw, sifted
from scripts.data.token_counts import lengths_of
from scripts.evaluate_file import NAME, Request, answers, asked
from scripts.training.dataset_entries import TRAINING, Entry, inputs, read_rows
from scripts.training.leakage import guest_tests, test_rows
from scripts.training.lint_recipe import load_recipe, resolve_recipe
from scripts.training.recipe_copy import copied
from scripts.training.recipe_data import dataset_problems

MADE_BY = "make replay"
PROMPTS = DATA / "prompts.jsonl"
ROWS, REJECTS, MANIFEST = "replay.jsonl", "rejects.jsonl", "MANIFEST.json"
KEPT = "answers"
BATCH = 32
LEAST_SHARE, MOST_SHARE = 0.001, 0.9
LICENCE = "MIT"  # of the prompts; a base's licence says what holds for its words


class Mixed(Record):
    """What was made: rows and learned tokens of the base's own, and their shares of the whole. `usable`: answers that a
    larger share could take as well."""

    recipe: str
    rows: int
    tokens: int
    share_of_tokens: float
    share_of_rows: float
    usable: int


@dataclass(frozen=True)
class Asking:
    """How the base is asked. `temperature` 0: its likeliest words."""

    temperature: float = 1.0
    seed: int = 42
    max_tokens: int = 128


def say(line: str) -> None:
    print(f"replay: {line}", flush=True)


def prompts_in(file: Path, guards: Guards) -> list[Prompt]:
    """The general requests of a file. UserError for a row that is none, or that asks what a test asks."""
    found: list[Prompt] = []
    for number, row in enumerate(test_rows(file), start=1):
        text = row.get("prompt")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f'{file}: line {number} has no `prompt`: each line is {{"prompt": a general request}}')
        if problem := guards.against_request(text):
            raise UserError(f"{file}: line {number} {problem}: remove it, or the table of what was kept means nothing")
        found.append(Prompt(str(row.get("id", f"line {number}")), str(row.get("category", "")), text))
    if not found or len({prompt.id for prompt in found}) < len(found):
        raise UserError(f"{file}: " + ("two lines have one id" if found else "holds no prompts"))
    return found


def base_of(recipe: dict[str, Any]) -> tuple[str, str | None]:
    """The recipe's base and its commit."""
    revision = recipe.get("revision_of_model")
    return str(recipe.get("base_model")), str(revision) if revision else None


def answered(recipe: dict[str, Any], prompts: Sequence[Prompt], how: Asking, root: Path) -> dict[str, Generation]:
    """The base's answer to each prompt, from the cache or asked now. UserError where the base is not there."""
    base, revision = base_of(recipe)
    identity = base_identity(base, revision, None)
    if identity is None:
        raise UserError(
            f"{base} is no folder here, and the recipe names no commit of it (revision_of_model): `make model`?"
        )
    texts = [[prompt.id, prompt.text] for prompt in prompts]
    numerics = trained_in(recipe, "the recipe").record()
    key = json_sha256([identity, numerics, texts, asdict(how), BATCH, headline_versions()])
    folder = root / ".cache" / "replay" / key[:16]
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{KEPT}.jsonl"
    with locked(folder):
        if not kept.is_file():
            say(f"{base} answers {len(prompts)} prompts, at most {how.max_tokens} tokens each")
            ask(opened(recipe, how), prompts, how, PartialLog(folder, KEPT, Generation, key))
        found = read_jsonl(kept, Generation)
    return {answer.sample: answer for answer in found}


def ask(backend: Backend, prompts: Sequence[Prompt], how: Asking, log: PartialLog[Generation]) -> None:
    """Have every prompt answered that is not in the journal, and keep all answers."""
    requests = [Request(prompt.id, "", prompt.text, "") for prompt in prompts]
    task = asked(requests, backend, how.max_tokens, how.temperature)
    answers(backend, BASELINE, task, BATCH, log, say)
    log.finish([(BASELINE, NAME, prompt.id, 0) for prompt in prompts])
    log.discard()


def opened(recipe: dict[str, Any], how: Asking) -> Backend:
    """The base, loaded as training loads it. UserError when it cannot be."""
    load: Load = find("backends", "hf", OURS)
    arms = Arms(*base_of(recipe), trained=trained_in(recipe, "the recipe"))
    return load(BackendSettings(batch_size=BATCH), arms, how.seed)


def trained_files(recipe: dict[str, Any], root: Path) -> list[tuple[Entry, list[Path]]]:
    """The recipe's own datasets and their files. UserError for a dataset that is not on this machine."""
    found = []
    for entry in inputs(recipe):
        files = entry.files(root) if entry.role == TRAINING else []
        if files is None:
            raise UserError(
                f"{entry.where}: {entry.path} is on the Hub, where tokens are not counted: copy it to data/"
            )
        found.append((entry, files))
    return found


def own_length(recipe: dict[str, Any], trained: Sequence[tuple[Entry, list[Path]]], root: Path) -> Length:
    """What the recipe trains on by itself."""
    total = NONE
    for entry, files in trained:
        rows = (row for file in files for _, row in read_rows(file, entry.given))
        total = sum(lengths_of(recipe, entry.given, rows, root), start=total)
    return total


def entry_for(recipe: dict[str, Any], rows: Path, root: Path) -> dict[str, Any]:
    """How the copy names the rows: trained like the recipe's own chats."""
    first = next((one for one in recipe.get("datasets") or [] if isinstance(one, dict)), {})
    entry: dict[str, Any] = {"path": shown(rows, root), "type": "chat_template", "field_messages": "messages"}
    entry |= {"roles_to_train": ["assistant"]}
    return entry | ({"train_on_eos": first["train_on_eos"]} if "train_on_eos" in first else {})


def replay(path: Path, share: float, out: Path | None, file: Path, how: Asking, root: Path = ROOT) -> Mixed:
    """Ask, sift, draw, write. UserError for bad input, before anything is written."""
    recipe = load_recipe(path)
    if problems := dataset_problems(recipe, root, path.parent):
        raise UserError(f"{path.name}: {problems[0]}")
    longest = recipe.get("sequence_len")
    if recipe.get("rl") or type(longest) is not int or longest < 1:
        raise UserError(
            f"{path}: replay is for recipes that learn answers, not preferences, with `sequence_len` as a number"
        )
    ending = f"-replay{100 * share:g}".replace(".", "_")
    folder = (out or root / "data" / "own" / f"{path.stem}{ending}").absolute()
    if not folder.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{folder} is outside the repository, where no recipe reads data: OUT= names another folder")
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise UserError(f"{folder} cannot be made, since a file of that name is there: OUT= names another folder")
    entry = entry_for(recipe, folder / ROWS, root)
    comment = f"The base's own answers to general requests, {100 * share:g} % of the learned tokens (`make replay`)"
    copy = copied(read_text(path), entry, comment, ending)

    guards = Guards.of(root, guest_tests(root, path.parent))
    prompts = prompts_in(file, guards)
    trained = trained_files(recipe, root)
    rows, rejects = sifted(prompts, answered(recipe, prompts, how, root), guards)
    own = own_length(recipe, trained, root)
    lengths = lengths_of(recipe, entry, (row.row() for row in rows), root)
    chosen, added, long = draw(rows, list(lengths), own, share, longest)
    rejects += long
    for (stage, reason), count in Counter((one.stage, one.reason) for one in rejects).most_common():
        say(f"{count} of {len(prompts)} left out: {stage}: {reason}")
    mixed = Mixed(
        recipe=shown(folder / f"{path.stem}{ending}.yaml", root),
        rows=added.rows,
        tokens=added.learned,
        share_of_tokens=added.learned / (added + own).learned,
        share_of_rows=added.rows / (added + own).rows,
        usable=len(prompts) - len(rejects),
    )
    files = {
        ROWS: lines(row.row() for row in chosen),
        REJECTS: lines(asdict(one) for one in rejects),
        Path(mixed.recipe).name: copy.encode(),
    }
    base, revision = base_of(recipe)
    about = {"base_model": base, "base_revision": revision, **asdict(how), **mixed.model_dump(exclude={"recipe"})}
    write(folder, files, [path, file], about)
    return mixed


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines, without what is empty."""
    kept = ({name: value for name, value in row.items() if value != ""} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in kept).encode()


def write(folder: Path, files: dict[str, bytes], sources: Sequence[Path], about: dict[str, Any]) -> None:
    """Write the files, the manifest last. UserError before one of somebody else's is written over."""
    content = {
        "schema_version": 1,
        "made_by": MADE_BY,
        "source": "authored prompts, answered by the base that is trained",
        "licence": LICENCE,
        "replay": about,
        "inputs": [{"path": source.name, "sha256": file_sha256(source)} for source in sources],
        "files": [
            {"path": name, "sha256": hashlib.sha256(text).hexdigest(), "rows": text.count(b"\n")}
            for name, text in files.items()
        ],
    }
    whole = {**files, MANIFEST: json_text(content).encode()}
    for source in sources:
        refuse_foreign(folder, whole, source, MADE_BY)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in whole.items():
        write_bytes(folder / name, text)


def number(name: str, text: str, least: float, most: float) -> float:
    """A number that was given. UserError for none, or one outside its bounds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UserError(f"{name}={text} is not a number from {least:g} to {most:g}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.replay", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help="recipe name or file")
    parser.add_argument("--share", default="0.1", help="of the tokens that are learned (default: 0.1)")
    parser.add_argument("--out", help="a folder of the repository; default: data/own/<recipe>-replay<percent>")
    parser.add_argument("--file", help='general prompts of your own, a JSON line {"prompt": ...} each')
    parser.add_argument("--temperature", default="1", help="of the answers; 0: the likeliest words (default: 1)")
    parser.add_argument("--seed", default="42", help="of drawn answers (default: 42)")
    given = parser.parse_args(argv)
    share = number("SHARE", given.share, LEAST_SHARE, MOST_SHARE)
    seed = number("SEED", given.seed, 0, 2**31)
    if seed != int(seed):
        raise UserError(f"SEED={given.seed} is not a whole number")
    how = Asking(number("TEMPERATURE", given.temperature, 0, 10), int(seed))
    out = Path(given.out).expanduser() if given.out else None
    file = Path(given.file).expanduser() if given.file else PROMPTS
    mixed = replay(resolve_recipe(given.recipe), share, out, file, how, ROOT)
    say(
        f"{mixed.rows} of {mixed.usable} usable answers: {100 * mixed.share_of_tokens:.1f} % of what is learned "
        f"({mixed.tokens:,} tokens), {100 * mixed.share_of_rows:.1f} % of the rows"
    )
    say(f"make train RECIPE={mixed.recipe}")
    folder = Path(mixed.recipe).parent
    return Answer(0, mixed, files=[Path(mixed.recipe), *(folder / name for name in (ROWS, REJECTS, MANIFEST))])


if __name__ == "__main__":
    run_command(main)
