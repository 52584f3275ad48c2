"""Write a working folder for a domain of your own: `make new DOMAIN=text2sql AT=~/text2sql`.

    python -m scripts.new_domain [--at FOLDER] NAME

domain.py, suite.yaml, NAME-cpu.yaml (the recipe of the demo with other data), README.md with the commands in order, and
rows.jsonl with examples, all of which load as they are. By default in domains/, which git ignores: a domain is a
repository of its own. Templates are in scripts/templates/domain.
"""

import argparse
import json
import keyword
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.contracts.domains import OURS, find_task
from eval.run.files import write_text
from eval.run.records import Record
from scripts.data.own_files import shown
from scripts.training.lint_recipe import resolve_recipe

TEMPLATES = ROOT / "scripts" / "templates" / "domain"
FILES = {name: f"{name}.j2" for name in ("domain.py", "suite.yaml", "README.md", "rows.jsonl")}
FILES[".gitignore"] = "gitignore.j2"
RECIPE = "smollm2-135m-cpu"
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
LONGEST = 40
PLAIN = re.compile(r"[\w./-]+")  # a path that YAML reads as it is
# Of the recipe that is copied: the comment at its head, and what it says of its data.
HEAD, DATA = re.compile(r"\A(?:#.*\n)+"), re.compile(r"^# Data\..*?^val_set_size: 0\n", re.MULTILINE | re.DOTALL)


def new_domain(name: str, at: Path | None = None, root: Path = ROOT) -> Path:
    """Write the folder and give its path. UserError for a name that cannot be one, or a folder that is taken."""
    check_name(name)
    folder = (at or root / "domains" / name).expanduser().absolute()
    if folder.resolve().is_relative_to((root / "eval").resolve()):
        raise UserError(f"{folder} is in eval/, where only domains of this repository are: AT= names another folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there and not an empty folder: AT= names another one, or move it away")
    named = shlex.quote(shown(folder, root))  # its commands are copied into a shell
    words = {"name": name, "task": name.replace("-", "_"), "folder": named, "recipe": f"{name}-cpu.yaml"}
    texts = {file: rendered(template, words) for file, template in FILES.items()}
    texts[words["recipe"]] = recipe(read_text(resolve_recipe(RECIPE)), name, data_path(folder, root))
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        write_text(folder / file, text)
    return folder


def data_path(folder: Path, root: Path) -> str:
    """Where the recipe finds its rows. It is published with the recipe: from the repository where the folder is
    beside it, so that it says nothing of this machine."""
    if folder.is_relative_to(root.parent) and not folder.is_relative_to(root):
        return f"../{folder.relative_to(root.parent)}/train.jsonl"
    return f"{shown(folder, root)}/train.jsonl"


def check_name(name: str) -> None:
    """UserError for what cannot name a domain, its task and its folder."""
    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise UserError(
            f"DOMAIN={name} cannot name a domain: at most {LONGEST} small letters, digits and single `-` or `_`, a "
            "letter first, such as text2sql"
        )
    if name in OURS or find_task(name.replace("-", "_")):
        raise UserError(f"DOMAIN={name}: one of this repository has that name: choose another")


def rendered(template: str, words: dict[str, str]) -> str:
    """A template's text with the words in their places."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return environment.get_template(template).render(words)


def recipe(text: str, name: str, train: str) -> str:
    """The demo's recipe for a domain: its own data and folders, and a comment that is true of it."""
    head = f"# A LoRA adapter for {name} on SmolLM2-135M-Instruct, on a CPU: settings of configs/train/{RECIPE}.yaml.\n"
    path = train if PLAIN.fullmatch(train) else json.dumps(train)
    data = (
        "# Data, written by `make data`. No validation split: the suite judges on test.jsonl\n"
        f"datasets:\n  - path: {path}\n    type: chat_template\n    field_messages: messages\n"
        "    roles_to_train: [assistant]\n    train_on_eos: turn\nval_set_size: 0\n"
    )
    for pattern, new in ((HEAD, head), (DATA, data)):
        pieces = pattern.split(text, maxsplit=1)
        text = new.join(pieces)
        if len(pieces) < 2:
            raise UserError(f"configs/train/{RECIPE}.yaml is not as scripts/new_domain.py knows it: adapt its patterns")
    return text.replace(f"prepared/{RECIPE}", f"prepared/{name}").replace(f"outputs/{RECIPE}", f"outputs/{name}")


class Made(Record):
    """The folder of a domain that works, and the commands to go on with."""

    folder: str
    next: list[str]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.new_domain", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--at", help="the folder to write; default: domains/NAME")
    parser.add_argument("name", help="small letters, digits, - and _")
    given = parser.parse_args(argv)
    folder = new_domain(given.name, Path(given.at) if given.at else None)
    print(f"new: {shown(folder, ROOT)} has a domain that works; next, as its README.md says:", file=sys.stderr)
    commands = [line.strip() for line in read_text(folder / "README.md").splitlines() if line.startswith("    make")]
    print("\n".join(commands))
    return Answer(0, Made(folder=shown(folder, ROOT), next=commands), files=sorted(folder.iterdir()))


if __name__ == "__main__":
    run_command(main, "new")
