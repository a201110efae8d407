"""What is in `deploy/` fits the code: names that exist, and a unit that says the same as the docs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.metrics.figures import Metrics
from tests.unit.test_metrics import READINGS

ROOT = Path(__file__).parents[2]
SUFFIXES = r"_(bucket|sum|count)$"


def exported() -> set[str]:
    """The names of all figures, without what Prometheus appends to a histogram's."""
    text = Metrics(lambda: READINGS).text().decode()
    named = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    return {name for name in named if name.startswith(("kenpin_", "process_"))}


@pytest.mark.parametrize(
    "path",
    ["deploy/prometheus/kenpin.rules.yml", "deploy/prometheus/grafana-dashboard.json", "docs/operations.md"],
)
def test_only_figures_that_there_are_are_named(path: str) -> None:
    named = {re.sub(SUFFIXES, "", name) for name in re.findall(r"\bkenpin_\w+", (ROOT / path).read_text())}
    assert named, path
    assert named <= exported(), named - exported()


def test_each_figure_is_told_of_in_the_docs() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    missing = {name for name in exported() if name.startswith("kenpin_") and name not in text}
    assert not missing


def test_each_alert_is_told_of_in_the_docs() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "kenpin.rules.yml").read_text()
    text = (ROOT / "docs" / "operations.md").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    assert len(alerts) > 5
    assert [alert for alert in alerts if f"`{alert}`" not in text] == []


def expressions(node: Any) -> Iterator[str]:
    """Each query of a dashboard."""
    if isinstance(node, dict):
        if "expr" in node:
            yield node["expr"]
        for inner in node.values():
            yield from expressions(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from expressions(inner)


def test_the_dashboard_is_json_and_each_panel_asks_something() -> None:
    dashboard = json.loads((ROOT / "deploy" / "prometheus" / "grafana-dashboard.json").read_text())
    assert all(list(expressions(panel)) for panel in dashboard["panels"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_unit_gives_no_right_that_is_not_needed() -> None:
    unit = (ROOT / "deploy" / "systemd" / "kenpin-edge@.service").read_text().splitlines()
    for line in (
        "Type=notify",
        "User=kenpin",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "MemoryDenyWriteExecute=yes",
        "RestartPreventExitStatus=2 78",
    ):
        assert line in unit, line
