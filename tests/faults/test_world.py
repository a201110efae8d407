"""The network is cut, the disk full, the clock jumps, the camera is pulled out: as in `test_kills`, nothing is lost."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_runtime.verdict import Call, Verdict
from tests.cameras.conftest import mjpeg, plug
from tests.cameras.gige import ID, Plug
from tests.cameras.mjpeg import MjpegCamera
from tests.faults.plant import INSPECT, Plant, folder
from tests.faults.world import FAR, Clock, Network, fill, small_disk
from tests.integration.conftest import broker, line, subscriber
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until

__all__ = ["broker", "line", "mjpeg", "plug", "subscriber"]  # fixtures
ON_REQUEST = '[trigger]\nkind = "request"\ntimeout_s = 1.0'


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.remove()


def assert_all_well(plant: Plant) -> None:
    tally = plant.end()
    assert not tally.wrong, f"{tally}\n{plant.line.log()}"
    assert tally.verdicts > tally.requests > 0


def test_a_network_that_is_cut_again_and_again(tmp_path: Path, bundle_path: Path, network: Network) -> None:
    broker = Mosquitto(folder(tmp_path / "broker"), address=FAR, keeps=True, prefix=network.there)
    broker.start()
    plant = Plant(Line(folder(tmp_path / "line"), broker.port, bundle_path, broker=FAR), broker, FAR)
    try:
        plant.begin()
        rng = random.Random(7)  # noqa: S311  # no secret
        for _ in range(3):
            plant.between(0.5, 2.0, rng)
            network.cut()
            plant.between(0.5, 3.0, rng)
            network.mend()
        assert_all_well(plant)
    finally:
        plant.line.end()
        broker.stop()


def test_a_disk_that_is_full_for_a_while(tmp_path: Path, bundle_path: Path) -> None:
    broker = Mosquitto(folder(tmp_path / "broker"), keeps=True)
    broker.start()
    plant = Plant(Line(folder(tmp_path / "line"), broker.port, bundle_path), broker)
    state = plant.line.folder / "state"
    try:
        with small_disk(state, 64):
            plant.begin()
            for _ in range(2):
                ballast = fill(state)
                heard = len(plant.record.heard)
                wait_until(lambda heard=heard: len(plant.record.heard) > heard + 60, "inspection goes on")  # type: ignore[misc]
                ballast.unlink()
                wait_until((state / "reserve").exists, "there is room again, and some is set aside")
            assert_all_well(plant)
            plant.line.end()
    finally:
        plant.line.end()
        broker.stop()


def test_a_clock_that_jumps_forth_and_back(tmp_path: Path, plant: Plant) -> None:
    clock = Clock(tmp_path)
    plant.line.environment = clock.environment
    plant.kill_the_daemon()
    for seconds in (3600, -86400, 7 * 86400, 0):
        clock.set_off_by(seconds)
        heard = len(plant.record.heard)
        wait_until(lambda heard=heard: len(plant.record.heard) > heard + 30, "inspection goes on")  # type: ignore[misc]
    seen = {Verdict.from_json(payload).captured_at.date() for payload, _ in plant.record.heard}
    assert len(seen) >= 3, "the clock did not jump"
    assert_all_well(plant)


def asked(subscriber: Subscriber, name: str) -> Verdict:
    return Verdict.from_json(subscriber.request(INSPECT, b"", name.encode()).payload)


def sees(subscriber: Subscriber, name: str) -> bool:
    """Whether there was a picture, whatever was thought of it."""
    return "no picture" not in (asked(subscriber, name).regions[0].detail or "")


def assert_goes_and_comes_back(
    line: Line, subscriber: Subscriber, pull: Callable[[], object], plug_in: Callable[[], object]
) -> None:
    line.trigger = ON_REQUEST
    line.start()
    wait_until(subscriber.states, "the station is there")
    wait_until(lambda: sees(subscriber, "before"), "it sees")
    pull()
    wait_until(lambda: asked(subscriber, "pulled").verdict is Call.ERROR, "there is no picture")
    wait_until(lambda: subscriber.states()[-1] == "blind", "the status says so")
    answer = asked(subscriber, "without")
    assert answer.verdict is Call.ERROR
    assert "the camera is lost" in str(answer.regions[0].detail)
    plug_in()
    wait_until(lambda: subscriber.states()[-1] != "blind", "the camera is back")
    wait_until(lambda: sees(subscriber, "back"), "it sees again")
    line.stop()
    verdicts = [Verdict.from_json(message.payload) for message in subscriber.verdicts()]
    assert [verdict.seq for verdict in verdicts] == list(range(1, len(verdicts) + 1))
    kinds = [message.json()["kind"] for message in subscriber.messages if message.topic.endswith("/event")]
    assert kinds[-2:] == ["camera-lost", "camera-back"]


def test_a_network_camera_that_loses_power_and_has_it_again(
    line: Line, subscriber: Subscriber, mjpeg: Callable[..., MjpegCamera]
) -> None:
    camera = mjpeg()
    line.camera = (
        f'[camera]\nkind = "stream"\nurl = "http://127.0.0.1:{camera.port}/"\ntimeout_s = 1.0\ndelay_s = 0.1\n'
    )
    assert_goes_and_comes_back(line, subscriber, camera.stop, lambda: mjpeg(camera.port))


def test_a_gige_camera_that_is_pulled_out_and_put_back(line: Line, subscriber: Subscriber, plug: Plug) -> None:
    camera = plug()
    line.camera = f'[camera]\nkind = "aravis"\nid = "{ID}"\n[gate]\nfrozen = 0\n'

    def pull() -> None:
        camera.kill()
        camera.wait()

    assert_goes_and_comes_back(line, subscriber, pull, plug)
