"""The bill of materials of a published adapter: CycloneDX 1.6 JSON, with models, datasets and packages.

    text = render_bom(repo, base, evidence)      bom.cdx.json, valid by CycloneDX's own schema

What the adapter is made of and with: its files, its base, the datasets with digests and licences, every Python package
of the machine that evaluated it. The same run gives the same bytes. Results are in the model's `modelCard`, which the
library does not write yet (11.12), so it is added to the library's JSON before validation.

Not protected against: a dataset or package that is not what its name says. It lists what was recorded, and looks up no
vulnerability.
"""

import functools
import json
import uuid
from datetime import datetime
from typing import Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.spdx import fixup_id
from packageurl import PackageURL

from eval.adapters.file_names import WEIGHTS
from eval.common.errors import UserError
from eval.run.digests import file_sha256
from eval.run.files import read_json
from scripts.publishing.card import Base, Evidence, directions

NAME = "bom.cdx.json"
MODEL_WEIGHTS = "model.safetensors"  # of a variant; one in several files has no digest of them all
HUB = "https://huggingface.co/"


def render_bom(repo: str, base: Base, evidence: Evidence, tag: str | None = None) -> str:
    """The bill of materials as text. `tag` is the published version, the run's id by default.

    Raises UserError when a record of the run cannot be expressed in it.
    """
    text = json.dumps(bill(repo, base, evidence, tag or evidence.run), indent=2, ensure_ascii=False) + "\n"
    if found := problem(text):
        raise UserError(f"{evidence.folder.name}: its bill of materials is not valid CycloneDX: {found[:200]}")
    return text


@functools.lru_cache(maxsize=8)  # a tenth of a second, and a second try renders the same text
def problem(text: str) -> str:
    """What CycloneDX's own schema says against a document; nothing when it is valid."""
    from cyclonedx.validation.json import JsonStrictValidator  # two seconds, for grammars of formats

    return str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or "")


def bill(repo: str, base: Base, evidence: Evidence, version: str) -> dict[str, Any]:
    """The document as JSON."""
    model = Component(
        name=repo,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        description=f"{said_of(evidence)} {base.hub_id}",
        hashes=sha256(evidence.adapter_digests.get(MODEL_WEIGHTS if evidence.variant else WEIGHTS)),
        licenses=licences(base.licence),
        external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(HUB + repo))],
        properties=[
            Property(name="securecli:verdict", value=evidence.metrics.verdict),
            Property(name="securecli:suite_sha256", value=evidence.metrics.suite_sha256),
            Property(name="securecli:recipe_sha256", value=evidence.review.digests.get("recipe.yaml")),
        ],
    )
    owner, name = base.hub_id.split("/")
    parent = Component(
        name=base.hub_id,
        version=base.revision,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="base-model",
        description="base model" + (f". {base.note}" if base.note else ""),
        licenses=licences(base.licence),
        purl=PackageURL("huggingface", owner, name, (base.revision or "").lower() or None),
        external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(HUB + base.hub_id))],
    )
    files = [
        Component(name=name, type=ComponentType.FILE, bom_ref=f"file:{name}", hashes=sha256(digest))
        for name, digest in sorted(evidence.adapter_digests.items())
    ]
    datasets = [dataset(number, row) for number, row in enumerate(evidence.data)]
    libraries = [
        Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"package:{name}",
            purl=PackageURL("pypi", None, name.lower().replace("_", "-"), version),
        )
        for name, version in packages(evidence).items()
    ]
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([repo, version, evidence.review.digests])),
        components=[parent, *files, *datasets, *libraries],
    )
    bom.metadata.component = model
    bom.metadata.timestamp = datetime.fromisoformat(evidence.review.time)
    bom.register_dependency(model, [parent, *files, *datasets])
    written: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    written["metadata"]["component"]["modelCard"] = model_card(evidence, [str(row.bom_ref) for row in datasets])
    return written


def said_of(evidence: Evidence) -> str:
    """What goes up, before the name of its base."""
    if evidence.variant is None:
        return "LoRA adapter of"
    return f"{evidence.variant.form.upper()} quantisation of adapter {evidence.variant.adapter_sha256[:12]} merged into"


def dataset(number: int, row: dict[str, Any]) -> Component:
    """A dataset of data.json."""
    return Component(
        name=str(row["path"]),
        version=row.get("revision"),
        type=ComponentType.DATA,
        bom_ref=f"dataset:{number}",
        description=f"{row.get('rows') or 'unknown number of'} rows, source: {row.get('source') or 'unknown'}",
        hashes=sha256(row.get("sha256")),
        licenses=licences(row.get("licence")),
    )


def packages(evidence: Evidence) -> dict[str, str]:
    """Version by name of every package of the machine that evaluated; those of metrics.json when it was not kept.

    environment.json counts only as the reviewer saw it.
    """
    file = evidence.folder / "environment.json"
    if file.is_file() and evidence.review.digests.get(file.name) == file_sha256(file):
        found = read_json(file).get("packages")
    else:
        found = evidence.metrics.provenance.get("packages")
    return {str(name): str(version) for name, version in (found or {}).items()}


def sha256(digest: str | None) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []


def licences(name: str | None) -> list[DisjunctiveLicense]:
    """By SPDX identifier where it is one, else by name; none for none."""
    if not name:
        return []
    identifier = fixup_id(name)
    return [DisjunctiveLicense(id=identifier) if identifier else DisjunctiveLicense(name=name)]


def model_card(evidence: Evidence, datasets: list[str]) -> dict[str, Any]:
    """CycloneDX's `modelCard`: what it was trained on, every result with its interval, what it is for and not for."""
    better = directions(evidence.suite)
    results = []
    for row in evidence.metrics.comparisons:
        if row.candidate is None:
            continue
        words = [row.metric, better.get((row.task, row.metric), ""), f"n={row.n}"]
        result: dict[str, Any] = {
            "type": " ".join(word for word in words if word),
            "value": repr(row.candidate),
            "slice": row.task,
        }
        if row.candidate_interval:
            low, high = row.candidate_interval.low, row.candidate_interval.high
            result["confidenceInterval"] = {"lowerBound": repr(low), "upperBound": repr(high)}
        results.append(result)
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "text-generation",
            "architectureFamily": "transformer",
            "datasets": [{"ref": reference} for reference in datasets],
        },
        "quantitativeAnalysis": {"performanceMetrics": results},
        "considerations": {
            "useCases": [evidence.suite.description],
            "technicalLimitations": [
                "Answers must not be run unread or outside a sandbox; only what the suite asks is measured."
            ],
        },
    }
