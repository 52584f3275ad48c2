"""Which gate kinds a suite may name: ours, and those that installed packages offer. Each is found by its `rule`.

    kind_of("max_rate")              the class, as eval/contracts/gate.py describes it; UserError when there is none
    gates: list[AnyGate]             entries of a suite file, each read by the kind that its `rule` names

A saved GateResult finds its kind again the same way, to be worded. Only the rules that a suite or a result names are
looked up, so that an installed package has no say in a suite that does not name its kinds.
"""

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny
from pydantic_core import PydanticCustomError

from eval.common.errors import UserError
from eval.contracts.gate import Gate
from eval.contracts.plugins import Table, find, names

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,80}")
OURS: Table = {
    "superiority": "eval.gates.kinds.superiority:Superiority",
    "noninferiority": "eval.gates.kinds.noninferiority:Noninferiority",
    "max_rate": "eval.gates.kinds.max_rate:MaxRate",
    "min_rate": "eval.gates.kinds.min_rate:MinRate",
    "max_value": "eval.gates.kinds.max_value:MaxValue",
    "no_hard_break": "eval.gates.kinds.no_hard_break:NoHardBreak",
}


@cache
def kind_of(rule: str) -> type[Gate]:
    """The kind of this `rule`. UserError, in one line, when there is none, or what a package offers is not one."""
    if not NAME.fullmatch(rule):
        raise UserError(f"a rule of a gate is not a name: {rule[:40]!a}")
    found = find("gates", rule, OURS)
    if not (isinstance(found, type) and issubclass(found, Gate)):
        raise UserError(
            f"gate {rule} is not a subclass of Gate (eval/contracts/gate.py): mend or uninstall its package"
        )
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise UserError(f"gate {rule} lacks {lacking} (eval/contracts/gate.py): mend or uninstall its package")
    return found


def _read(value: Any) -> Any:
    """An entry of `gates:` as its kind reads it; every problem of the entry keeps its key."""
    if not isinstance(value, Mapping):
        return value
    rule = value.get("rule")
    if not isinstance(rule, str):
        raise PydanticCustomError("gate_rule", "rule: name one of {known}", {"known": ", ".join(names("gates", OURS))})
    try:
        kind = kind_of(rule)
    except UserError as error:
        raise PydanticCustomError("gate_rule", "{said}", {"said": str(error)}) from None
    return kind.model_validate(value)


AnyGate = Annotated[SerializeAsAny[Gate], BeforeValidator(_read)]
