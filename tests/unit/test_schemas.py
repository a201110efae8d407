"""The published schemas are what the code sends, and the AsyncAPI document is one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from edge_runtime import asyncapi
from edge_runtime.messages import event
from edge_runtime.schemas import documents, schemas

DOCS = Path(__file__).parents[2] / "docs"
ASYNCAPI = Path(__file__).with_name("asyncapi-3.0.0.json")


def problems(document: Any) -> list[str]:
    """What AsyncAPI's own schema has against a document."""
    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI.read_text()))
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", sorted(documents()))
def test_what_is_published_is_what_the_code_says(name: str) -> None:
    kept = (DOCS / name).read_text(encoding="utf-8")
    assert kept == documents()[name], "run: python -m edge_runtime.schemas docs"


def test_nothing_else_is_published() -> None:
    assert {f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir()} == documents().keys() - {"asyncapi.yaml"}


def test_the_document_is_an_asyncapi_3_document() -> None:
    assert problems(yaml.safe_load((DOCS / "asyncapi.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [(("operations", "inspect", "bindings", "mqtt", "qos"), 3), (("channels", "verdict", "address"), 7)],
)
def test_a_document_that_is_none_is_refused(place: tuple[str, ...], wrong: object) -> None:
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = wrong
    assert problems(document)


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = asyncapi.document()
    for reference in references(document):
        inner = document
        for name in reference.removeprefix("#/").split("/"):
            inner = inner[name]


def test_every_example_is_what_its_message_says() -> None:
    document = asyncapi.document()
    for name, message in document["components"]["messages"].items():
        schema = message["payload"] | {"components": document["components"]}
        assert message["examples"], name
        for example in message["examples"]:
            jsonschema.Draft7Validator(schema).validate(example["payload"])


def test_every_message_fits_its_published_schema() -> None:
    known = schemas()
    examples: list[tuple[str, bytes]] = [
        ("verdict", asyncapi.VERDICT.to_json()),
        ("answer", asyncapi.VERDICT.to_json()),
        ("answer", asyncapi.LABEL_SET.to_json()),
        ("answer", asyncapi.REFUSED.to_json()),
        ("status", asyncapi.STATUS.to_json()),
        ("status", asyncapi.OFFLINE.to_json()),
        *(("event", event(asyncapi.HEAD, what)) for what in asyncapi.HAPPENINGS),
    ]
    for name, payload in examples:
        jsonschema.Draft202012Validator(known[name]).validate(json.loads(payload))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("verdict", {"schema": "kenpin.verdict/1"}),
        ("status", {"schema": "kenpin.status/1", "state": "asleep", "site": "a", "line": "b", "station": "c"}),
        ("event", {"schema": "kenpin.event/1", "kind": "camera-lost", "why": "no head"}),
        ("inspect", {"lable": 1}),
        ("set-label", {"region": "J4"}),
        ("recipe", {"J4": 7}),
        ("recipe", {}),
        ("answer", {"ok": True}),
    ],
)
def test_what_is_no_such_message_does_not_fit(name: str, wrong: object) -> None:
    assert not jsonschema.Draft202012Validator(schemas()[name]).is_valid(wrong)
