"""The change to another bundle on a running line, with a real broker: no frame is lost, and no bad bundle taken."""

import itertools
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import onnx
import pytest

from edge_runtime.store import Store
from edge_runtime.verdict import Verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until

DONE, MISTAKE, MEND_FIRST = 0, 2, 78
SWITCHES = 6
FAR_FROM_FULL_LOAD_HZ = 100.0


def bundle(line: Line, *words: str | Path, status: int = DONE) -> str:
    """Run `kenpin-edge bundle`; what it printed, or its one line of refusal."""
    action, *rest = map(str, words)
    command = [sys.executable, "-m", "edge_runtime", "bundle", action, str(line.folder / "station.toml"), *rest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return (done.stdout if status == DONE else done.stderr).strip()


def version_of(line: Line, version: str) -> Path:
    """The line's bundle once more, as another version: the same weights, another file."""
    model = onnx.load(line.bundle)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept | {"kenpin.version": version})
    path = line.folder / f"shapes-{version}.onnx"
    onnx.save(model, path)
    return path


def verdicts(subscriber: Subscriber) -> list[Verdict]:
    return [Verdict.from_json(message.payload) for message in subscriber.verdicts()]


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [message.json() for message in subscriber.messages if message.topic.endswith("/event")]


def versions(subscriber: Subscriber) -> list[str]:
    """The versions that judged, one after the other."""
    return [version for version, _ in itertools.groupby(verdict.bundle.version for verdict in verdicts(subscriber))]


def wait_for_version(subscriber: Subscriber, version: str) -> None:
    wait_until(lambda: verdicts(subscriber)[-1].bundle.version == version, f"version {version} inspects")


def damage(line: Line, version: str) -> str:
    """Spoil an installed bundle's file; its sha256."""
    sha256 = Store(line.folder / "state").find("shapes", version).sha256
    path = line.folder / "state" / "bundles" / sha256 / "bundle.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    return sha256


def choose_unproven(line: Line, sha256: str) -> None:
    """Choose as `kenpin-edge bundle use` does once it has proven a bundle: the file was spoilt since."""
    Store(line.folder / "state").choose(sha256, None, beside=str(line.bundle))


@pytest.fixture
def running(line: Line, subscriber: Subscriber) -> Line:
    """A line that inspects at speed with version 1, and has version 2 installed."""
    line.draw(20)
    line.repeat, line.rate_hz = True, FAR_FROM_FULL_LOAD_HZ
    line.start()
    bundle(line, "install", version_of(line, "2"))
    wait_until(subscriber.verdicts, "verdicts arrive")
    return line


def test_no_frame_is_lost_while_bundles_are_switched_to_and_fro(running: Line, subscriber: Subscriber) -> None:
    bundle(running, "use", "shapes", "2")
    wait_for_version(subscriber, "2")
    for number in range(1, SWITCHES):
        bundle(running, "rollback")
        wait_for_version(subscriber, "12"[number % 2 == 0])
    running.stop()
    found = verdicts(subscriber)
    assert [verdict.seq for verdict in found] == list(range(1, len(found) + 1)), "a verdict is missing, or came twice"
    pictures = itertools.cycle(f"{n:04d}.png" for n in range(20))
    assert [verdict.picture for verdict in found] == list(itertools.islice(pictures, len(found))), "a frame was lost"
    assert versions(subscriber) == ["1", *itertools.islice(itertools.cycle("21"), SWITCHES)], "a switch went back"
    assert len({verdict.bundle.sha256 for verdict in found}) == 2
    assert {verdict.verdict for verdict in found} <= {"OK", "NG"}
    assert [event["kind"] for event in events(subscriber)] == ["bundle-switched"] * SWITCHES
    assert [event["bundle"]["version"] for event in events(subscriber)] == versions(subscriber)[1:]
    assert [event["was"]["version"] for event in events(subscriber)] == versions(subscriber)[:-1]
    assert "ERROR" not in running.log()


def test_a_switch_is_told_as_an_event_and_in_the_retained_status(
    running: Line, subscriber: Subscriber, broker: Mosquitto
) -> None:
    bundle(running, "use", "shapes", "2")
    wait_until(lambda: events(subscriber), "an event arrives")
    wait_for_version(subscriber, "2")
    (event,) = events(subscriber)
    assert event["schema"] == "kenpin.event/1"
    assert (event["site"], event["line"], event["station"]) == ("plant-a", "L3", "cam-2")
    assert set(event) == {"schema", "id", "site", "line", "station", "at", "kind", "bundle", "was"}
    (message,) = (message for message in subscriber.messages if message.topic.endswith("/event"))
    assert not message.retain
    assert message.properties.ContentType == "application/json"
    wait_until(
        lambda: any(
            message.topic.endswith("/status") and message.json().get("bundle") == event["bundle"]
            for message in subscriber.messages
        ),
        "the status tells of it",
    )
    late = Subscriber(broker.port, "kenpin/+/+/+/status")
    wait_until(lambda: late.messages, "the status is retained")
    status = late.messages[0].json()
    late.close()
    assert (status["state"], status["bundle"]) == ("inspecting", event["bundle"])
    assert event["bundle"] == verdicts(subscriber)[-1].bundle.model_dump()


def test_a_damaged_bundle_is_refused_while_inspection_goes_on(running: Line, subscriber: Subscriber) -> None:
    sha256 = damage(running, "2")
    assert "is no ONNX file" in bundle(running, "use", "shapes", "2", status=MISTAKE)
    choose_unproven(running, sha256)
    wait_until(lambda: events(subscriber), "an event arrives")
    (event,) = events(subscriber)

    def since() -> list[Verdict]:
        """The verdicts on pictures taken after the bundle was refused."""
        refused_at = datetime.fromisoformat(event["at"])
        return [verdict for verdict in verdicts(subscriber) if verdict.captured_at > refused_at]

    wait_until(lambda: len(since()) > 50, "inspection goes on after the refusal")
    assert {verdict.bundle.version for verdict in since()} == {"1"}
    assert (event["kind"], event["wanted"]["sha256"]) == ("bundle-refused", sha256)
    assert "is no ONNX file" in event["why"]
    assert event["bundle"]["version"] == "1"
    running.stop()
    found = verdicts(subscriber)
    assert [verdict.seq for verdict in found] == list(range(1, len(found) + 1))
    assert versions(subscriber) == ["1"]
    (line,) = [text for text in running.log().splitlines() if " ERROR " in text]
    assert " ERROR the chosen bundle is refused, shapes-1 goes on: " in line
    assert Store(running.folder / "state").choice() is None, "the old choice is back"


def test_a_choice_survives_a_restart_and_a_damaged_one_stops_the_line_in_one_line(
    running: Line, subscriber: Subscriber
) -> None:
    bundle(running, "use", "shapes", "2")
    wait_for_version(subscriber, "2")
    running.stop()
    seen = len(subscriber.verdicts())
    running.start()
    wait_until(lambda: len(subscriber.verdicts()) > seen, "verdicts arrive after the restart")
    assert versions(subscriber) == ["1", "2"]
    assert f"cam-2 inspects with shapes-2 (chosen, not {running.bundle} of the station file)" in running.log()
    running.stop()
    damage(running, "2")
    seen = len(subscriber.verdicts())
    assert running.start().wait(60) == MEND_FIRST
    (told,) = [text for text in running.log().splitlines() if text.startswith("kenpin-edge: ")]
    assert told.endswith("no other takes its place: install it again, or kenpin-edge bundle rollback")
    assert len(subscriber.verdicts()) == seen, "nothing was inspected with another bundle"
    assert bundle(running, "rollback").startswith("shapes 1 ")
    running.start()
    wait_until(lambda: len(subscriber.verdicts()) > seen, "the one before inspects")
    assert verdicts(subscriber)[-1].bundle.version == "1"


def test_an_event_waits_for_a_broker_that_is_away(running: Line, broker: Mosquitto) -> None:
    broker.stop()
    bundle(running, "use", "shapes", "2")
    wait_until(lambda: "inspects with shapes-2" in running.log(), "the log tells of the switch")
    running.freeze()  # an event is not retained: who listens must be there first
    broker.start()
    subscriber = Subscriber(broker.port)
    running.thaw()
    wait_until(lambda: events(subscriber), "the event arrives")
    assert [event["kind"] for event in events(subscriber)] == ["bundle-switched"]
    subscriber.close()


def test_the_list_says_which_one_is_in_use(running: Line) -> None:
    bundle(running, "use", "shapes", "2")
    rows = [json.loads(row) for row in bundle(running, "list", "--json").splitlines()]
    assert {(row["version"], row["in_use"], row["previous"]) for row in rows} == {
        ("1", False, True),
        ("2", True, False),
    }
