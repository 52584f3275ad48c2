"""Mix a share of the base's own answers to general requests into a recipe, so that training takes less from the base.

    python -m scripts.replay --share 0.1 [--out FOLDER] [--file prompts.jsonl --licence MIT] [--seed 42] RECIPE

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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.config.suite_file import BackendSettings
from eval.contracts.backend import Arms, Backend, Load
from eval.contracts.numerics import number_type, to_be_trained
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
from scripts.data.replay_rows import NONE, Length, Prompt, draw, entry_for, fitting, is_trained, prompts_in, sifted
from scripts.data.token_counts import lengths_of
from scripts.evaluate_file import NAME, Request, answers, asked
from scripts.training.dataset_entries import TRAINING, Entry, inputs, read_rows
from scripts.training.leakage import guest_tests
from scripts.training.lint_recipe import load_recipe, resolve_recipe
from scripts.training.recipe_copy import copied
from scripts.training.recipe_data import dataset_problems

MADE_BY = "make replay"
PROMPTS = DATA / "prompts.jsonl"
ROWS, REJECTS, MANIFEST = "replay.jsonl", "rejects.jsonl", "MANIFEST.json"
KEPT = "answers"
BATCH = 32
LEAST_SHARE, MOST_SHARE = 0.001, 0.9
LICENCE = "MIT"  # of our prompts; a base's licence says what holds for its words


class Mixed(Record):
    """What was made: rows and learned tokens of the base's own, and their shares of the whole. `usable`: answers that
    the largest share would take."""

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


def base_of(recipe: dict[str, Any]) -> tuple[str, str | None]:
    """The recipe's base and its commit."""
    revision = recipe.get("revision_of_model")
    return str(recipe.get("base_model")), str(revision) if revision else None


def identity_of(recipe: dict[str, Any]) -> Any:
    """What the recipe's base is, by its bytes or its commit. UserError where neither is known."""
    base, revision = base_of(recipe)
    identity = base_identity(base, revision, None)
    if identity is None:
        raise UserError(f"{base} is no folder here, and no commit of it is named (revision_of_model): `make model`?")
    return identity


def answered(
    recipe: dict[str, Any], identity: Any, prompts: Sequence[Prompt], how: Asking, root: Path
) -> dict[str, Generation]:
    """The base's answer to each prompt, from the cache or asked now."""
    base = base_of(recipe)[0]
    texts = [[prompt.id, prompt.text] for prompt in prompts]
    trained = to_be_trained(recipe, "the recipe")
    numerics = trained.record() | {"dtype": number_type("auto", trained)}
    key = json_sha256([identity, numerics, texts, asdict(how), BATCH, headline_versions()])
    folder = root / ".cache" / "replay" / key[:16]
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{KEPT}.jsonl"
    with locked(folder):
        if (found := kept_in(kept, prompts)) is None:
            say(f"{base} answers {len(prompts)} prompts, at most {how.max_tokens} tokens each")
            found = ask(opened(recipe, how), prompts, how, PartialLog(folder, KEPT, Generation, key))
    return {answer.sample: answer for answer in found}


def kept_in(file: Path, prompts: Sequence[Prompt]) -> list[Generation] | None:
    """The answers that are kept; None where they are not there, or damaged, and have to be asked for."""
    try:
        found = read_jsonl(file, Generation)
    except UserError:
        return None
    return found if [answer.sample for answer in found] == [prompt.id for prompt in prompts] else None


def ask(backend: Backend, prompts: Sequence[Prompt], how: Asking, log: PartialLog[Generation]) -> list[Generation]:
    """Have every prompt answered that is not in the journal, and keep all answers."""
    requests = [Request(prompt.id, "", prompt.text, "") for prompt in prompts]
    task = asked(requests, backend, how.max_tokens, how.temperature)
    answers(backend, BASELINE, task, BATCH, log, say)
    found = log.finish([(BASELINE, NAME, prompt.id, 0) for prompt in prompts])
    log.discard()
    return found


def opened(recipe: dict[str, Any], how: Asking) -> Backend:
    """The base, loaded as training loads it. UserError when it cannot be."""
    load: Load = find("backends", "hf", OURS)
    arms = Arms(*base_of(recipe), trained=to_be_trained(recipe, "the recipe"))
    return load(BackendSettings(batch_size=BATCH), arms, how.seed)


def trained_files(recipe: dict[str, Any], root: Path) -> list[tuple[Entry, list[Path]]]:
    """The recipe's own datasets and their files. UserError for a dataset that is not on this machine, or not whole."""
    found = []
    for entry in inputs(recipe):
        files = entry.files(root) if entry.role == TRAINING else []
        if entry.given.get("shards") or "[" in str(entry.given.get("split")):
            raise UserError(f"{entry.where}: a part of {entry.path} is read, which is not counted: give it a file")
        if files is None:
            raise UserError(
                f"{entry.where}: {entry.path} is on the Hub, where tokens are not counted: copy it to data/"
            )
        found.append((entry, files))
    return found


def own_length(recipe: dict[str, Any], trained: Sequence[tuple[Entry, list[Path]]], root: Path) -> Length:
    """What the recipe trains on by itself: rows that it drops are not among it."""
    total = NONE
    for entry, files in trained:
        rows = (row for file in files for _, row in read_rows(file, entry.given))
        lengths = lengths_of(recipe, entry.given, rows, root)
        total = sum((one for one in lengths if is_trained(one, recipe)), start=total)
    return total


def replay(
    path: Path, share: float, out: Path | None, file: Path, how: Asking, root: Path = ROOT, licence: str | None = None
) -> Mixed:
    """Ask, sift, draw, write. UserError for bad input, before anything is written. `licence`: of the prompts."""
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
    guards = Guards.of(root, guest_tests(root, path.parent))
    prompts = prompts_in(file, guards)
    try:
        identity = identity_of(recipe)
        copy = copied(read_text(path), entry, comment, ending)
        own = own_length(recipe, trained_files(recipe, root), root)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None

    rows, rejects = sifted(prompts, answered(recipe, identity, prompts, how, root), guards)
    lengths = lengths_of(recipe, entry, (row.row() for row in rows), root)
    fit, long = fitting(rows, list(lengths), longest)
    rejects += long
    chosen, added = draw(fit, own, share)
    for (stage, reason), count in Counter((one.stage, one.reason) for one in rejects).most_common():
        say(f"{count} of {len(prompts)} left out: {stage}: {reason}")
    mixed = Mixed(
        recipe=shown(folder / f"{path.stem}{ending}.yaml", root),
        rows=added.rows,
        tokens=added.learned,
        share_of_tokens=added.learned / (added + own).learned,
        share_of_rows=added.rows / (added + own).rows,
        usable=len(fit),
    )
    files = {
        ROWS: lines(row.row() for row in chosen),
        REJECTS: lines(asdict(one) for one in rejects),
        Path(mixed.recipe).name: copy.encode(),
    }
    base, revision = base_of(recipe)
    about = {"base_model": base, "base_revision": revision, **asdict(how), **mixed.model_dump(exclude={"recipe"})}
    write(folder, files, [path, file], licence, about)
    return mixed


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines, without what is empty."""
    kept = ({name: value for name, value in row.items() if value != ""} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in kept).encode()


def write(
    folder: Path, files: dict[str, bytes], sources: Sequence[Path], licence: str | None, about: dict[str, Any]
) -> None:
    """Write the files, the manifest last. UserError before one of somebody else's is written over."""
    ours = sources[-1].resolve() == PROMPTS.resolve()
    content = {
        "schema_version": 1,
        "made_by": MADE_BY,
        "source": f"{'authored' if ours else 'own'} prompts, answered by the base that is trained",
        "licence": LICENCE if ours else licence,
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


def number(name: str, text: str, least: float, most: float, kind: Callable[[str], float] = float) -> float:
    """A number that was given; `kind` int: a whole one. UserError for none, or one outside its bounds."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UserError(f"{name}={text} is not a {'whole ' * (kind is int)}number from {least:g} to {most:,.10g}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.replay", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help="recipe name or file")
    parser.add_argument("--share", default="0.1", help="of the tokens that are learned (default: 0.1)")
    parser.add_argument("--out", help="a folder of the repository; default: data/own/<recipe>-replay<percent>")
    parser.add_argument("--file", help='general prompts of your own, a JSON line {"prompt": ...} each')
    parser.add_argument("--licence", help="of those prompts, as an SPDX identifier; publishing asks for it")
    parser.add_argument("--temperature", default="1", help="of the answers; 0: the likeliest words (default: 1)")
    parser.add_argument("--seed", default="42", help="of drawn answers (default: 42)")
    given = parser.parse_args(argv)
    share = number("SHARE", given.share, LEAST_SHARE, MOST_SHARE)
    how = Asking(number("TEMPERATURE", given.temperature, 0, 10), int(number("SEED", given.seed, 0, 2**31, int)))
    out = Path(given.out).expanduser() if given.out else None
    file = Path(given.file).expanduser() if given.file else PROMPTS
    if given.licence and not given.file:
        raise UserError(f"LICENCE={given.licence} is of prompts of your own: name them with FILE=, or leave it out")
    mixed = replay(resolve_recipe(given.recipe), share, out, file, how, ROOT, given.licence or None)
    say(
        f"{mixed.rows} of {mixed.usable} usable answers: {100 * mixed.share_of_tokens:.1f} % of what is learned "
        f"({mixed.tokens:,} tokens), {100 * mixed.share_of_rows:.1f} % of the rows"
    )
    if given.file and not given.licence:
        say("no licence is stated, and publishing asks for one: LICENCE=MIT, or what holds for the prompts")
    say(f"make train RECIPE={mixed.recipe}")
    folder = Path(mixed.recipe).parent
    return Answer(0, mixed, files=[Path(mixed.recipe), *(folder / name for name in (ROWS, REJECTS, MANIFEST))])


if __name__ == "__main__":
    run_command(main)
