"""What configs/data/NAME.yaml may say, typed: unknown keys are errors, and all errors come at once.

    config = load_config(Path("configs/data/nl2bash.yaml"))        UserError names file and key of every problem

Every field's description is its documentation.
"""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from eval.common.entries import Strict
from eval.common.errors import UserError
from eval.common.reading import read_bytes
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.risk.findings import rules

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,60}[a-z0-9])?")
COMMIT = re.compile(r"[0-9a-f]{40}")
NL2BASH = "NL2BASH"  # in place of a path: the folder that the variable of this name holds


class Source(Strict):
    """One place rows come from."""

    name: str = Field(description="how rows of it are called in data.json and rejects.jsonl")
    kind: Literal["hub", "file", "pairs", "grammar"] = Field(
        description="hub: a dataset on the Hugging Face Hub; file: JSONL, JSON, CSV, TSV or Parquet; pairs: a folder "
        "with all.nl and all.cm, a request and a command a line; grammar: the authored grammar of data/nl2bash"
    )
    path: str = Field(
        "", description=f"org/name, or a file or folder from the repository; {NL2BASH}: what NL2BASH= names"
    )
    revision: str | None = Field(None, description="the full 40-digit commit of a Hub dataset; required there")
    subset: str | None = Field(None, description="configuration of a Hub dataset")
    split: str = Field("train", description="split of a Hub dataset")
    columns: dict[Literal["request", "answer"], str] = Field(
        default_factory=dict, description="the two columns of its rows; without: the usual names and shapes are tried"
    )
    licence: str | None = Field(None, description="SPDX identifier; publishing asks for it")
    origin: str = Field("", description="where it is from, for a reader")
    commands: bool = Field(True, description="answers are Bash; false: syntax, danger and golds do not look at them")
    share: float | None = Field(
        None, gt=0, lt=1, description="at most this share of all training rows; which rows follows from the seed"
    )

    @model_validator(mode="after")
    def _complete(self) -> "Source":
        if self.kind != "grammar" and not self.path:
            raise ValueError(f"source {self.name}: names no path")
        if len(self.columns) == 1:
            raise ValueError(f"source {self.name}: columns: name both request and answer, or neither")
        if self.kind == "hub" and not COMMIT.fullmatch(str(self.revision)):
            raise ValueError(f"source {self.name}: not pinned: set revision to the full 40-digit commit of {self.path}")
        return self


class Danger(Strict):
    """Which commands are too dangerous to be taught."""

    rules: list[str] = Field(
        default_factory=list,
        description="rules of docs/risk_rules.md that reject a row beside all that block a command",
    )

    @model_validator(mode="after")
    def _known(self) -> "Danger":
        if unknown := [name for name in self.rules if name not in rules()]:
            raise ValueError(f"danger.rules: there is no rule {unknown[0]}: see docs/risk_rules.md")
        return self


class Split(Strict):
    """Which rows are kept out of training, to choose a checkpoint by or to test with; whole groups change sides."""

    share: float = Field(0.05, ge=0, lt=1, description="of the rows that no test has; 0 keeps none out")
    test: float = Field(
        0, ge=0, lt=0.5, description="of all rows, for test.jsonl, which a suite asks and no training sees; 0: none"
    )
    by: Literal["request", "command"] = Field(
        "request",
        description="what groups rows: near-duplicate and same-template requests; command: the same command too",
    )


class Config(Strict):
    """One dataset: where its rows come from, and what they must be."""

    name: str
    description: str = ""
    seed: int = Field(1, ge=0, description="of whatever is drawn: the share of a source, the order of the rows")
    system: str = Field(
        "Answer with one Bash command and nothing else.", description="system message of rows of commands"
    )
    sources: list[Source] = Field(min_length=1)
    similar: float = Field(0.8, ge=0.5, le=1, description="near-duplicate: share of the two requests' grams (Jaccard)")
    tests_similar: float = Field(0.8, ge=0.5, le=1, description="the same, for nearly asking what a test asks")
    danger: Danger = Danger()
    personal: bool = Field(True, description="leave out rows with personal data")
    golds: Literal["no", "fails", "strict"] = Field(
        "no",
        description="run every command in a file tree made for it, and leave out what fails; strict: what does nothing "
        "too, which of other people's rows is mostly the fault of the tree",
    )
    split: Split = Split()
    recipe: str | None = Field(
        None,
        description="recipe whose tokenizer, template and sequence_len count the tokens; none: they are not counted",
    )

    @model_validator(mode="after")
    def _sound(self) -> "Config":
        if not NAME.fullmatch(self.name):
            raise ValueError("name: small letters, digits and dashes, at most 62: it becomes a folder")
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources: two are called {twice[0]}")
        return self


def load_config(path: Path) -> Config:
    """The dataset that a file describes. UserError, with every problem, for any other file."""
    if not path.is_file():
        raise UserError(f"{path} is not there: CONFIG= names a file such as configs/data/nl2bash.yaml")
    try:
        value: Any = parse_yaml(read_bytes(path).decode())
        return Config.model_validate(value)
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}: mend the YAML") from None
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors()]
        raise UserError(f"{path}: {'; '.join(said).replace('Value error, ', '')}") from None
