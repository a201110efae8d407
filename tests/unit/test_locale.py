"""Nothing but how a terminal shows letters depends on the locale: not what is judged, kept or called by a name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.file_names import as_text, from_text
from export.signing import read_private, sign
from tests.unit.conftest import Pair, View, write_readable_bundle

ASCII = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""A locale that knows no letters but ASCII's, and needs no other to be built here."""
LATIN = os.environ | {"PYTHONIOENCODING": "latin-1"}
LINE, REGION, BUNDLE = "検品", "左の部品", "部品.onnx"


@pytest.fixture
def station(tmp_path: Path, readable_view: View) -> Path:
    """A station whose names, labels and files are Japanese."""
    write_readable_bundle(tmp_path / BUNDLE, ("良品", "B7"))
    (tmp_path / "写真").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "写真" / f"枚{number}.png"), readable_view(20 + number, 20, 180))
    path = tmp_path / "station.toml"
    path.write_text(
        f'site = "s"\nline = "{LINE}"\nstation = "c"\nbundle = "{BUNDLE}"\ndata = "状態"\n'
        f'[camera]\nkind = "folder"\npath = "写真"\nrate_hz = 50.0\n'
        f'[region."{REGION}"]\nexpected = "良品"\n[evidence]\nok_share = 1.0\n[mqtt]\nhost = "127.0.0.1"\nport = 1\n',
        encoding="utf-8",
    )
    return path


def told(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "edge_runtime", *map(str, words)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def test_regions_tells_of_letters_that_the_terminal_lacks(station: Path) -> None:
    picture, out = station.parent / "写真" / "枚0.png", station.parent / "部.png"
    done = told(ASCII, "regions", station, picture, "--out", out)
    assert (done.returncode, done.stderr) == (0, b"")
    name = REGION.encode("ascii", "backslashreplace")
    assert done.stdout.startswith(b"region " + name)
    assert out.is_file()


@pytest.mark.parametrize("environment", [ASCII, LATIN])
def test_check_fails_for_what_is_wrong_and_not_for_the_locale(station: Path, environment: dict[str, str]) -> None:
    found = [json.loads(line) for line in told(environment, "check", station, "--json").stdout.splitlines()]
    assert {each["check"] for each in found if each["level"] == "fail"} == {"broker"}, found
    assert f"{REGION} expects 良品" in [each["text"] for each in found if each["check"] == "recipe"]
    assert told(environment, "check", station).returncode == 1


def test_a_run_keeps_and_calls_all_as_it_does_elsewhere(station: Path) -> None:
    done = told(ASCII, "run", station)
    assert b"127.0.0.1:1: cannot be reached" in done.stderr, done.stderr.decode()
    state = station.parent / "状態"
    kept = [json.loads(line) for log in (state / "ledger").glob("*.jsonl") for line in log.read_bytes().splitlines()]
    assert [(each["picture"], each["verdict"]) for each in kept] == [("枚0.png", "OK"), ("枚1.png", "OK")]
    assert len(list((state / "evidence").glob("**/*.png"))) >= 2
    assert told(ASCII, "audit", station).returncode == 0


@pytest.mark.parametrize("environment", [ASCII, LATIN])
def test_what_is_for_machines_says_the_same_in_any_locale(station: Path, environment: dict[str, str]) -> None:
    pictures = sorted((station.parent / "写真").iterdir())
    done = told(environment, "score", station.parent / BUNDLE, *pictures, "--label", "良品")
    assert done.returncode == 0, done.stderr.decode()
    assert [json.loads(line)["picture"] for line in done.stdout.splitlines()] == list(map(str, pictures))


def test_a_mark_is_cut_for_a_station_file_in_any_locale(tmp_path: Path) -> None:
    drawn = np.random.default_rng(1).integers(100, 110, (200, 200)).astype(np.uint8)
    cv2.circle(drawn, (100, 100), 15, 250, -1)
    cv2.imwrite(str(tmp_path / "frame.png"), drawn)
    mark = tmp_path / "左ä.png"
    done = told(LATIN, "mark", tmp_path / "frame.png", mark, "--box", "70", "70", "60", "60")
    assert done.returncode == 0, done.stderr.decode()
    table = done.stdout.decode()
    assert table.startswith('[mark."\\u5de6\\u00e4"]\n')


HEADER = """
from rich.console import Console
from edge_runtime.console import begin
from edge_runtime.watch import HEADER
begin()
Console(highlight=False).print(HEADER, soft_wrap=True)
"""


def test_the_table_of_watch_begins_where_the_terminal_has_no_arrow() -> None:
    done = subprocess.run([sys.executable, "-c", HEADER], capture_output=True, env=LATIN, check=False)
    assert b"expected \\u2192 found" in done.stdout, done.stderr.decode()


def test_a_signature_is_told_where_the_terminal_has_no_ellipsis(unsigned: Path, plant: Pair) -> None:
    sign(unsigned, read_private(plant.key))
    command = [sys.executable, "-m", "export.cli", "verify", str(unsigned), "--key", str(plant.pub)]
    done = subprocess.run(command, capture_output=True, env=LATIN, check=False)
    assert done.stdout.endswith(b"\\u2026 and unchanged\n"), done.stderr.decode()


@pytest.mark.parametrize("name", ["part.onnx", "部品.onnx", "Stück.png"])
def test_a_file_that_a_text_names_is_called_by_that_text(name: str) -> None:
    assert as_text(from_text(name)) == name
