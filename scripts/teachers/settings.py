"""What configs/teachers/*.yaml may say: whom to ask, how, and how much at most. Every mistake is said at once.

A key is named (`key_env`), never written. What decides a reply (model, sampling, instructions, ...) is in `asked_of`;
addresses, limits and shares may change between two runs of one expansion.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from eval.common.entries import Strict
from eval.common.errors import UserError
from eval.common.reading import read_text
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.model.endpoint.options import Address, Body, Pace

Ask = Literal["pairs", "answers"]
# Decided by the sampling, the plan or this program.
OURS = {"model", "messages", "max_tokens", "temperature", "top_p", "seed", "stream", "n"}


class Sampling(Strict):
    """How a model draws; recorded in every row."""

    temperature: float = Field(0.8, ge=0, le=5)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1, le=32_768, description="of one reply")


class Teacher(Strict):
    """What every teacher has."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]{0,59}$", description="stands in every row")
    share: float = Field(1.0, gt=0, le=1000, description="of the rows, beside the other teachers' shares")
    max_requests: int = Field(2000, ge=1, description="replies of this teacher, those of earlier runs included")


class Model(Teacher):
    """A teacher that is a language model."""

    model: str = Field(min_length=1, max_length=300)
    revision: str | None = Field(None, max_length=200, description="which one, where the name does not say")
    sampling: Sampling = Sampling()
    max_tokens: int = Field(2_000_000, ge=1, description="of prompts and replies, those of earlier runs included")


class EndpointTeacher(Model, Pace, Address):
    """A model behind an OpenAI-compatible server."""

    kind: Literal["endpoint"]
    body: Body = Field(default_factory=dict, description="added to every request, such as response_format")

    @field_validator("body")
    @classmethod
    def _not_ours(cls, body: Body) -> Body:
        if taken := sorted(body.keys() & OURS):
            raise ValueError(f"{taken[0]} has a key of its own, outside of body")
        return body


class LocalTeacher(Model):
    """A model of this machine, through transformers: a folder, or a name on the Hub."""

    kind: Literal["local"]


class GrammarTeacher(Teacher):
    """No model: the training side of a grammar (scripts/data/grammar.py)."""

    kind: Literal["grammar"]
    folder: Path = Path("data/nl2bash")


class TemplateTeacher(Teacher):
    """No model: requests and answers with slots, and values for these, in one YAML file."""

    kind: Literal["templates"]
    file: Path = Field(description="from the repository's root")


AnyTeacher = Annotated[EndpointTeacher | LocalTeacher | GrammarTeacher | TemplateTeacher, Field(discriminator="kind")]
WRITTEN = (GrammarTeacher, TemplateTeacher)  # by a person, without a model


class Plan(Strict):
    """One file of configs/teachers."""

    ask: Ask = Field("pairs", description="pairs: new rows like the seeds; answers: own answers to the rows' requests")
    instructions: str = Field("", max_length=20_000, description="told to every teacher besides")
    fields: list[str] = Field(
        default_factory=list, max_length=20, description="of a row, beside `request` and `answer`: shown, and wanted"
    )
    examples: int = Field(5, ge=1, le=50, description="seeds shown in one request for pairs")
    rows: int = Field(5, ge=1, le=50, description="new rows that one request asks for")
    seed: int = Field(42, ge=0, le=2**31)
    dedupe: Literal["near", "same"] = Field(
        "near", description="near: requests that share 70 % of their letters in fours are one; same: equal ones only"
    )
    dry_after: int = Field(20, ge=1, description="replies in a row without a new row, and a teacher is asked no more")
    teachers: list[AnyTeacher] = Field(min_length=1, max_length=20, description="in order of preference, for merging")

    @model_validator(mode="after")
    def _fits(self) -> "Plan":
        names = [teacher.name for teacher in self.teachers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two teachers are called {twice[0]}")
        if self.ask == "answers" and any(isinstance(teacher, WRITTEN) for teacher in self.teachers):
            raise ValueError("a grammar and templates answer no requests but their own: use `ask: pairs`")
        return self


def load_plan(path: Path) -> Plan:
    """UserError with everything that is wrong; no value is repeated, since one could be a key."""
    try:
        return Plan.model_validate(parse_yaml(read_text(path)))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: CONFIG= names one, such as configs/teachers/openai.yaml") from None
    except BrokenYaml as error:
        raise UserError(f"{path}: {error}: mend it") from None
    except ValidationError as error:
        problems = [said(problem) for problem in error.errors(include_url=False, include_input=False)]
        raise UserError(f"{path}: {'; '.join(problems)}") from None


def said(problem: Any) -> str:
    """One problem that pydantic found, with its place."""
    place = ".".join(str(part) for part in problem["loc"])
    words = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {words}" if place else words


def asked_of(plan: Plan) -> dict[str, Any]:
    """What decides the replies: the same here, and an expansion that was cut off goes on."""
    kept = {"name", "kind", "model", "revision", "sampling", "body", "folder", "file"}
    teachers = [teacher.model_dump(mode="json", include=kept) for teacher in plan.teachers]
    plain = plan.model_dump(mode="json", include={"ask", "instructions", "fields", "examples", "rows", "seed"})
    return {**plain, "teachers": teachers}
