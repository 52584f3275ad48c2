"""A bill of materials that CycloneDX's own validator accepts and that lists what was recorded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion

from eval.common.errors import UserError
from eval.run.files import write_json
from scripts.publishing.bom import render_bom
from scripts.publishing.card import EMBEDDED, Base, Evidence
from tests.run_builder import build_run
from tests.test_card import evidence_of, reviewed

BASE = EMBEDDED["models/SmolLM2-135M-Instruct"]
PACKAGES = {"torch": "2.13.0+cpu", "lm_eval": "0.4.11", "Jinja2": "3.1.6"}


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    run = build_run(tmp_path)
    write_json(run / "environment.json", {"packages": PACKAGES})
    return reviewed(run)


def written(evidence: Evidence, base: Base = BASE) -> dict[str, Any]:
    return json.loads(render_bom("someone/toy", base, evidence, "v1"))


def by_type(bom: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in bom["components"] if part["type"] == kind}


def test_the_librarys_own_validator_and_parser_accept_it(evidence: Evidence) -> None:
    from cyclonedx.validation.json import JsonStrictValidator

    bom = written(evidence)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    del bom["metadata"]["component"]["modelCard"]  # which the library cannot read yet
    parsed = Bom.from_json(bom)
    assert parsed and len(parsed.components) == len(bom["components"])


def test_a_broken_document_would_be_refused(evidence: Evidence) -> None:
    with pytest.raises(UserError, match="not valid CycloneDX"):
        written(replace(evidence, data=[{**evidence.data[0], "sha256": "no digest"}]))


def test_model_base_files_and_datasets_carry_digests_and_licences(evidence: Evidence) -> None:
    bom = written(evidence)
    model = bom["metadata"]["component"]
    weights = evidence.adapter_digests["adapter_model.safetensors"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "someone/toy", "v1")
    assert model["hashes"] == [{"alg": "SHA-256", "content": weights}]
    base = by_type(bom, "machine-learning-model")[BASE.hub_id]
    assert base["version"] == BASE.revision and base["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert base["purl"] == f"pkg:huggingface/{BASE.hub_id}@{BASE.revision}"
    data = by_type(bom, "data")["data/toy.jsonl"]
    assert data["hashes"][0]["content"] == "a" * 64 and data["licenses"] == [{"license": {"id": "MIT"}}]
    files = by_type(bom, "file")
    assert {name: part["hashes"][0]["content"] for name, part in files.items()} == evidence.adapter_digests


def test_packages_are_those_of_the_reviewed_environment(evidence: Evidence) -> None:
    found = by_type(written(evidence), "library")
    assert {name: part["version"] for name, part in found.items()} == PACKAGES
    assert found["torch"]["purl"].startswith("pkg:pypi/torch@2.13.0") and "lm-eval" in found["lm_eval"]["purl"]
    write_json(evidence.folder / "environment.json", {"packages": {"other": "1"}})
    found = by_type(written(evidence), "library")
    assert found.keys() == {"torch", "peft"}  # what metrics.json says: the changed file was not reviewed


def test_results_are_in_the_model_card_with_intervals(evidence: Evidence) -> None:
    bom = written(evidence)
    card = bom["metadata"]["component"]["modelCard"]
    first = card["quantitativeAnalysis"]["performanceMetrics"][0]
    row = evidence.metrics.comparisons[0]
    assert (first["slice"], first["type"]) == (row.task, "accuracy (higher is better) n=60")
    assert float(first["value"]) == row.candidate
    assert float(first["confidenceInterval"]["lowerBound"]) == row.candidate_interval.low
    references = {part["bom-ref"] for part in bom["components"]}
    assert {row["ref"] for row in card["modelParameters"]["datasets"]} <= references


def test_what_the_model_is_made_of_is_a_dependency(evidence: Evidence) -> None:
    bom = written(evidence)
    needs = {row["ref"]: row.get("dependsOn", []) for row in bom["dependencies"]}
    assert {"base-model", "dataset:0", "file:adapter_model.safetensors"} <= set(needs["model"])


def test_the_same_run_gives_the_same_bytes(evidence: Evidence) -> None:
    first = render_bom("someone/toy", BASE, evidence)
    again = render_bom("someone/toy", BASE, evidence_of(evidence.folder))
    assert first == again


def test_a_licence_outside_of_spdx_and_a_base_without_revision(evidence: Evidence) -> None:
    data = [{**evidence.data[0], "licence": "as agreed with Ada", "sha256": None, "revision": "abc", "rows": None}]
    bom = written(replace(evidence, data=data), Base("o/n", None, "other"))
    assert by_type(bom, "data")["data/toy.jsonl"]["licenses"] == [{"license": {"name": "as agreed with Ada"}}]
    assert by_type(bom, "machine-learning-model")["o/n"]["licenses"] == [{"license": {"name": "other"}}]
