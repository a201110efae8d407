"""The programs and command lines of docs/mqtt.md, as they stand there, at a real station."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.parts import Line, Subscriber, wait_until
from tests.integration.quick import wait_for_event, wait_for_station

DOCS = Path(__file__).parents[2] / "docs"
PAGE, TRIGGERS = ((DOCS / name).read_text() for name in ("mqtt.md", "triggers.md"))
SCADA, ROBOT, PLC, MES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SEE, ASK, SET_LABEL, SET_RECIPE, ASK_311 = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(ASK_SHORTLY,) = re.findall(r"^```sh\n(.*?)^```", TRIGGERS, re.DOTALL | re.MULTILINE)
NO_ANSWER = 27
"""Exit status of `mosquitto_rr`."""


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


def shell(line: str, station: Line) -> subprocess.Popen[str]:
    if shutil.which("mosquitto_rr") is None:
        pytest.fail("these tests need Mosquitto's clients: apt-get install mosquitto-clients, or run `make test`")
    assert "-h 10.0.0.5" in line
    command = line.replace("-h 10.0.0.5", f"-h 127.0.0.1 -p {station.port}")
    return subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ask(line: str, station: Line) -> tuple[dict[str, object], int]:
    """What the line printed, and its exit status."""
    running = shell(line, station)
    said, _ = running.communicate(timeout=60)
    return json.loads(said.strip() or "{}"), running.returncode


@pytest.mark.parametrize("line", [ASK, ASK_SHORTLY, ASK_311], ids=["mqtt.md", "triggers.md", "3.1.1"])
def test_a_shell_asks_and_is_answered(station: Line, subscriber: Subscriber, line: str) -> None:
    station.start()
    wait_for_station(subscriber)
    said, status = ask(line, station)
    assert (said["verdict"], status) == ("NG", 0), "J5 shows something else"
    assert said["request"]


def test_a_shell_that_gets_no_answer_says_so(station: Line) -> None:
    assert ask(ASK.replace("-W 6", "-W 1"), station) == ({}, NO_ANSWER)


def test_a_shell_sets_what_is_expected(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    assert ask(SET_LABEL, station) == ({"ok": True, "region": "J5", "label": "A12", "was": "B7"}, 0)
    assert ask(ASK, station)[0]["verdict"] == "OK"
    assert ask(SET_RECIPE.replace('"J5": "A12"', '"J5": "C3"'), station) == ({}, 0)
    told = wait_for_event(subscriber, "recipe-changed", count=2)
    assert told["recipe"] == {"J4": "A12", "J5": "C3"}


def test_a_shell_sees_what_stations_say(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    watching = shell(f"exec {SEE}", station)
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith('kenpin/plant-a/L3/cam-2/status {"state":"idle"')
    ask(ASK, station)
    assert '"request":' in watching.stdout.readline() + watching.stdout.readline()
    watching.terminate()
    watching.communicate()


def test_a_command_over_64_kib_never_arrives(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    padded = station.folder / "padded"
    send = f"mosquitto_pub -h 10.0.0.5 -q 1 -t kenpin/plant-a/L3/cam-2/cmd/inspect -f {padded}"
    padded.write_text('{"request": "1"' + " " * 65_536 + "}")
    before = station.log()
    assert ask(send, station) == ({}, 0), "and nobody is told"
    assert ask(ASK, station)[0]["seq"] == 1
    assert station.log() == before
    padded.write_text('{"request": "2"' + " " * 60_000 + "}")
    assert ask(send, station) == ({}, 0)
    assert ask(ASK, station)[0]["seq"] == 3


@pytest.mark.parametrize("program_text", [ROBOT, PLC], ids=["robot", "plc"])
def test_who_asks_gets_a_verdict_or_hears_why_not(station: Line, subscriber: Subscriber, program_text: str) -> None:
    station.start()
    wait_for_station(subscriber)
    assert run(program_text, station) == ("NG", 1), "J5 shows something else"
    subscriber.request("kenpin/plant-a/L3/cam-2/cmd/set-label", b'{"region": "J5", "label": "A12"}', b"1")
    assert run(program_text, station) == ("OK", 0)
    station.stop()
    assert run(program_text, station) == ("no answer", 1)


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
