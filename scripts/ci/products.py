"""What the workflows train, evaluate and publish: configs/products.yaml, one entry a product.

products = load_products()                 every product; UserError in one line for a file that is not as it should be
product = find_product("shell")
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_bytes
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.files import first_problem

FILE = ROOT / "configs" / "products.yaml"
METHOD = "nf4"  # of `make quantize`, whose variants are published
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
File = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]  # a name in configs/, or a path


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Served(Entry):
    """The served form that is held against the adapter (`make serve-check`)."""

    form: Literal["merged", "nf4"] = Field(description="forms that a machine without other tools can make")
    suite: File | None = Field(None, description="its suite; configs/serve/served.yaml without one")
    blocking: bool = Field(False, description="whether the form has to pass before the adapter may be published")
    quantize: bool = Field(
        False,
        description="whether an adapter that ships is quantised by `make quantize`, as a variant to be published; then "
        "the job fails unless the variant ships, too",
    )

    @model_validator(mode="after")
    def _is_quantised(self) -> "Served":
        if self.quantize and self.form != METHOD:
            raise ValueError(f"quantize: form {self.form} is not published: {METHOD} is")
        return self


class Remote(Entry):
    """The rented machine that trains and evaluates, for a recipe that needs a GPU."""

    provider: Literal["hf-jobs", "runpod"]
    max_hours: float = Field(gt=0, le=72, description="after which the machine ends, whatever it has done")
    budget_usd: float = Field(gt=0, le=1000, description="the most it may cost")


class Product(Entry):
    """One product: a recipe under a suite, and where it goes."""

    name: Word = Field(description="also names the environment that approves it: publish-<name>")
    recipe: File
    suite: File
    hub_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="on the Hub, below vars.HUB_OWNER")
    domain: File | None = Field(
        None, description="folder of a domain of its own: publishing believes the code, data and suite committed there"
    )
    served: Served | None = None
    remote: Remote | None = Field(None, description="without it, the runner itself trains, on its CPU")

    @model_validator(mode="after")
    def _can_be_quantised(self) -> "Product":
        if self.remote and self.served and self.served.quantize:
            raise ValueError("served.quantize: what a rented machine trains is quantised by hand (docs/quantising.md)")
        return self


class Products(Entry):
    products: list[Product] = Field(min_length=1)


def load_products(path: Path = FILE) -> list[Product]:
    """Every product, in the file's order. UserError for a file that is missing, broken, or names one twice."""
    try:
        found = Products.model_validate(parse_yaml(read_bytes(path).decode("utf-8"))).products
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it lists the products (docs/ci.md)") from None
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}") from None
    names = [product.name for product in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path} names {twice[0]} twice: a product's name is its own")
    return found


def find_product(name: str, path: Path = FILE) -> Product:
    """The product of a name. UserError when there is none."""
    found = {product.name: product for product in load_products(path)}
    if name not in found:
        raise UserError(f"no product {name!r} in {path.name}: there is {', '.join(found)}")
    return found[name]


def outputs_of(product: Product) -> dict[str, object]:
    """What steps of a workflow need of a product, as outputs: nothing is an empty text."""
    served, remote = product.served, product.remote
    return {
        "recipe": product.recipe,
        "suite": product.suite,
        "hub_name": product.hub_name,
        "domain": product.domain or "",
        "served_form": served.form if served else "",
        "served_suite": (served.suite or "") if served else "",
        "served_blocking": "true" if served and (served.blocking or served.quantize) else "",
        "served_quantize": "true" if served and served.quantize else "",
        "remote_provider": remote.provider if remote else "",
        "remote_hours": f"{remote.max_hours:g}" if remote else "",
        "remote_budget": f"{remote.budget_usd:g}" if remote else "",
    }


def label_of(name: str) -> str:
    """A product's name as a heading shows it; whoever calls this may not have a file of products."""
    return re.sub(r"[^\w .-]+", "", name)[:60] or "run"
