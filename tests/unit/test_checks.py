"""`kenpin-edge check` tells each thing under a word of its own, and nothing but findings."""

import json
from pathlib import Path

import cv2
import pytest

from edge_runtime.cli import main
from edge_runtime.recipe import Recipe
from tests.rights import bound_by_rights
from tests.unit.conftest import READABLE_LABELS, View, write_readable_bundle
from tests.unit.test_edge_cli import Captured, station


@pytest.fixture
def file(tmp_path: Path, readable_view: View) -> Path:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), readable_view(20, 20, 180, 180))
    return station(tmp_path, write_readable_bundle(tmp_path / "part.onnx"))


def found(file: Path, captured: Captured) -> dict[str, list[tuple[str, str]]]:
    """Word → level and text of what is found. Nothing may be said beside that."""
    main(["check", str(file), "--json"])
    out, err = captured.readouterr()
    assert err == ""
    told: dict[str, list[tuple[str, str]]] = {}
    for line in map(json.loads, out.splitlines()):
        told.setdefault(line["check"], []).append((line["level"], line["text"]))
    return told


def test_a_damaged_recipe_is_told_as_that(file: Path, capsys: Captured) -> None:
    (file.parent / "state").mkdir()
    (file.parent / "state" / "recipe.json").write_text("{")
    told = found(file, capsys)
    assert [level for level, _ in told["bundle"]] == ["ok"]
    ((level, text),) = told["recipe"]
    assert level == "fail"
    assert "recipe.json: is damaged" in text


def test_a_label_kept_for_a_region_that_is_gone_is_a_finding(file: Path, capsys: Captured) -> None:
    (file.parent / "state").mkdir()
    Recipe(file.parent / "state", {"J4": "A12", "J9": "B7"}, READABLE_LABELS).change({"J9": "C3"})
    told = found(file, capsys)
    assert told["recipe"][0] == ("ok", "J4 expects A12")
    ((level, text),) = told["recipe"][1:]
    assert level == "warn"
    assert text.endswith("region J9 is no longer in the station file; left out")


def test_data_that_we_may_not_look_into_is_told_with_what_to_do(file: Path, capsys: Captured) -> None:
    (file.parent / "state").mkdir(mode=0)
    with bound_by_rights():
        main(["check", str(file)])
    lines = [line for line in capsys.readouterr().out.splitlines() if "Permission denied" in line]
    assert {line.split()[1] for line in lines} >= {"disk", "outbox"}, lines
    assert all(line.endswith("; run as the service's user, or give it the right") for line in lines), lines


def test_a_mark_that_cannot_be_used_is_told_as_that(file: Path, capsys: Captured) -> None:
    region = 'expected = "A12"'
    mark = '[mark.left]\ntemplate = "left.png"\nat = [0, 0]\nsearch = 4\n'
    file.write_text(file.read_text().replace(region, f"{region}\nbox = [0, 0, 16, 16]") + mark)
    told = found(file, capsys)
    assert "left.png: cannot be read" in told["marks"][0][1]
    assert [level for level, _ in told["bundle"]] == ["ok"]
