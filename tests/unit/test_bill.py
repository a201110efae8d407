"""The bill says what trained a bundle, keeps CycloneDX's schema, and is the same for the same bundle."""

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from edge_runtime.bundle import Bundle, Provenance
from export.bill import bill


@pytest.fixture
def trained(readable_bundle: Bundle) -> Bundle:
    """The readable bundle, as if it had been trained."""
    provenance = Provenance(
        data="harness",
        data_digest="ab" * 32,
        seed=7,
        created="2026-11-24T10:29:38+00:00",
        commit="07fbbb18b2a632f7e7512cbb30607d04bed7fd27",
        packages={"kenpin": "0.1.0", "keras": "3.15.1", "numpy": "2.4.6"},
    )
    metrics = {"defect_auroc": 0.98765, "false_alarm_rate": 0.0125, "false_alarm_low": 0.004, "baselines": [{"a": 1}]}
    info = readable_bundle.info.model_copy(update={"provenance": provenance, "metrics": metrics})
    return replace(readable_bundle, info=info)


def test_a_bill_keeps_the_schema(trained: Bundle) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill(trained).decode()) is None


def test_a_bill_names_the_bundle_its_data_set_and_its_figures(trained: Bundle) -> None:
    told = json.loads(bill(trained))
    model = told["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "readable", "1")
    assert model["hashes"] == [{"alg": "SHA-256", "content": trained.sha256}]
    assert {entry["name"]: entry["value"] for entry in model["properties"]} == {
        "kenpin:labels": "3",
        "kenpin:view": "16x16x1",
        "kenpin:seed": "7",
        "kenpin:commit": "07fbbb18b2a632f7e7512cbb30607d04bed7fd27",
        "kenpin:held-out:defect_auroc": "0.9877",
        "kenpin:held-out:false_alarm_rate": "0.0125",
    }
    (data,) = (component for component in told["components"] if component["type"] == "data")
    assert (data["name"], data["hashes"]) == ("harness", [{"alg": "SHA-256", "content": "ab" * 32}])
    assert told["metadata"]["timestamp"] == "2026-11-24T10:29:38+00:00"


def test_a_bill_names_the_packages_as_scanners_look_them_up(trained: Bundle) -> None:
    libraries = [component for component in json.loads(bill(trained))["components"] if component["type"] == "library"]
    assert {(component["name"], component.get("purl")) for component in libraries} == {
        ("keras", "pkg:pypi/keras@3.15.1"),
        ("numpy", "pkg:pypi/numpy@2.4.6"),
        ("kenpin", None),
    }


def test_the_same_bundle_has_the_same_bill_and_another_another(trained: Bundle) -> None:
    assert bill(trained) == bill(trained)
    other = json.loads(bill(replace(trained, sha256="cd" * 32)))
    assert other["serialNumber"] != json.loads(bill(trained))["serialNumber"]
