"""The programs of docs/mqtt.md, as they stand there, at a real station."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.parts import Line, Subscriber, wait_until
from tests.integration.quick import wait_for_station

PAGE = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text()
SCADA, ROBOT, PLC, MES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def program(text: str, port: int, folder: Path) -> subprocess.Popen[str]:
    path = folder / "program.py"
    path.write_text(text)
    command = [sys.executable, "-W", "error", str(path), "127.0.0.1", str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(text: str, line: Line) -> tuple[str, int]:
    running = program(text, line.port, line.folder)
    said, complained = running.communicate(timeout=60)
    assert complained == ""
    return said.strip(), running.returncode


@pytest.mark.parametrize("ask", [ROBOT, PLC], ids=["robot", "plc"])
def test_who_asks_gets_a_verdict_or_hears_why_not(station: Line, subscriber: Subscriber, ask: str) -> None:
    station.start()
    wait_for_station(subscriber)
    assert run(ask, station) == ("NG", 1), "J5 shows something else"
    subscriber.request("kenpin/plant-a/L3/cam-2/cmd/set-label", b'{"region": "J5", "label": "A12"}', b"1")
    assert run(ask, station) == ("OK", 0)
    station.stop()
    assert run(ask, station) == ("no answer", 1)


def test_mes_sets_a_recipe_and_hears_what_became_of_it(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    assert run(MES, station) == ("recipe-changed {'J4': 'B7', 'J5': 'A12'}", 0)
    refused = run(MES.replace('"J4": "B7"', '"J4": "D4"'), station)[0]
    assert refused == "recipe-refused {'J4': 'B7', 'J5': 'A12'} unknown label 'D4'; the bundle knows: A12, B7, C3"


def test_scada_sees_stations_and_verdicts(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    scada = program(SCADA, station.port, station.folder)
    assert scada.stdout is not None
    assert scada.stdout.readline() == "plant-a/L3/cam-2 idle\n"
    subscriber.request("kenpin/plant-a/L3/cam-2/cmd/inspect", b"", b"1")
    lines = [scada.stdout.readline(), scada.stdout.readline()]
    assert "plant-a/L3/cam-2 1 NG {'NG': 1}\n" in lines
    scada.terminate()
    scada.communicate()
    wait_until(lambda: scada.returncode is not None, "it has ended")
