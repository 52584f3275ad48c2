"""A non-inferiority suite, with a model of a server in place of a form that is loaded here.

    beside_suite(configs/serve/served.yaml, options, run / "suite.yaml", say)

What needs logits is left out, and said: a server gives none.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from eval.common.errors import UserError
from eval.common.reading import read_text
from eval.common.strict_yaml import parse_yaml
from eval.config.suite_file import load_suite
from eval.contracts.backend import Say
from eval.contracts.domains import reads_logits
from eval.run.files import write_text


def beside_suite(source: Path, options: Mapping[str, Any], target: Path, say: Say) -> None:
    """Write the suite as `target`. UserError for one that is wrong, or that asks for another backend than hf."""
    suite = load_suite(source)  # every mistake, said of the file that was named
    if suite.backend.kind != "hf":
        raise UserError(f"{source}: backend {suite.backend.kind}: a served form is compared with what hf loads: use hf")
    raw = parse_yaml(read_text(source))
    backend = raw.get("backend") or {}
    raw["backend"] = {**backend, "kind": "beside", "options": dict(options)}
    for name in [task.name for task in suite.tasks if reads_logits(task.name)]:
        raw["tasks"] = [task for task in raw["tasks"] if task["name"] != name]
        gates = [gate.id for gate in suite.gates if gate.task == name]
        raw["gates"] = [gate for gate in raw["gates"] if gate["id"] not in gates]
        named = f", and with it gate {', '.join(gates)}" if gates else ""
        say(f"task {name} is left out{named}: a server gives no logits")
    for domain in (raw.get("domains") or {}).values():
        if isinstance(domain, dict) and domain.get("folder"):
            domain["folder"] = os.path.relpath(source.parent / domain["folder"], target.parent)
    write_text(target, yaml.safe_dump(raw, sort_keys=False, allow_unicode=True))
