"""The plant's broker of deploy/mosquitto, with exactly that ACL: who may, can; who may not, cannot."""

import queue
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_runtime.verdict import Verdict
from tests.integration.parts import DEADLINE_S, Line, Message, Mosquitto, Subscriber, wait_until
from tests.integration.quick import TOPIC, assert_conforms, quick_line, wait_for_station
from tests.integration.test_access import Authority

DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
USERS = ("cam-2", "mes", "robot-7", "plc-3", "scada")


class Plant:
    """The broker as deployed, and those who come in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority(folder / "certs")
        authority.issue("broker")
        self.ca = authority.ca.rename(folder / "certs" / "plant-ca.pem")
        for user in USERS:
            create = [] if (folder / "kenpin.passwd").exists() else ["-c"]
            subprocess.run(
                ["mosquitto_passwd", "-b", *create, str(folder / "kenpin.passwd"), user, f"pw-{user}"], check=True
            )
            (folder / f"{user}.password").write_text(f"pw-{user}\n")
            (folder / f"{user}.password").chmod(0o600)
        (folder / "kenpin.acl").write_text((DEPLOY / "kenpin.acl").read_text())
        (folder / "kenpin.acl").chmod(0o600)
        config = (DEPLOY / "mosquitto.conf").read_text().replace("/etc/mosquitto", str(folder))
        kept = [line for line in config.splitlines() if not line.startswith(("listener", "persistence"))]
        self.broker = Mosquitto(folder, config="\n".join(kept) + "\n")
        self.broker.start()
        self._clients: list[Subscriber] = []

    def enter(self, user: str, topic: str) -> Subscriber:
        def show(client: mqtt.Client) -> None:
            client.username_pw_set(user, f"pw-{user}")
            client.tls_set_context(ssl.create_default_context(cafile=self.ca))

        self._clients.append(Subscriber(self.broker.port, topic, show))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()
            assert_conforms(client.messages)
        self.broker.stop()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    (tmp_path / "plant").mkdir()
    plant = Plant(tmp_path / "plant")
    yield plant
    plant.close()


@pytest.fixture
def guarded(plant: Plant, tmp_path: Path) -> Iterator[Line]:
    """The station, let in as cam-2."""
    access = f'tls = true\nca = "{plant.ca}"\nuser = "cam-2"\npassword_file = "{plant.folder}/cam-2.password"\n'
    line = quick_line(tmp_path / "line", plant.broker.port, access)
    line.start()
    yield line
    line.end()


def publish(client: Subscriber, topic: str, payload: bytes = b"", reply_to: str | None = None) -> str:
    """What the broker says of a publish: its reason code."""
    said: queue.Queue[str] = queue.Queue()
    client.client.on_publish = lambda _client, _data, _id, reason, _found: said.put(str(reason))
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if reply_to is not None:
        properties.ResponseTopic = reply_to
        properties.CorrelationData = b"1"
    client.client.publish(topic, payload, 1, properties=properties)
    return said.get(timeout=DEADLINE_S)


def answer(client: Subscriber, topic: str, payload: bytes, reply_to: str) -> Message:
    assert publish(client, topic, payload, reply_to) == "Success"
    wait_until(lambda: [m for m in client.messages if m.topic == reply_to], f"{topic} is answered")
    return [m for m in client.messages if m.topic == reply_to][-1]


def test_each_does_its_own(guarded: Line, plant: Plant) -> None:
    scada, mes, robot = (
        plant.enter("scada", "kenpin/#"),
        plant.enter("mes", "answers/mes/#"),
        plant.enter("robot-7", "answers/robot-7/#"),
    )
    wait_for_station(scada)
    changed = answer(mes, f"{TOPIC}cmd/set-label", b'{"region": "J4", "label": "B7"}', "answers/mes/set-label").json()
    assert changed["was"] == "A12"
    assert publish(mes, f"{TOPIC}recipe", b'{"J5": "C3"}') == "Success"
    wait_until(lambda: "region J5 expects 'C3'" in guarded.log(), "the recipe is followed")
    verdict = Verdict.from_json(answer(robot, f"{TOPIC}cmd/inspect", b"", "answers/robot-7/inspect").payload)
    assert [region.expected for region in verdict.regions] == ["B7", "C3"]
    wait_until(scada.verdicts, "SCADA sees the verdict")
    assert Verdict.from_json(scada.verdicts()[0].payload) == verdict


@pytest.mark.parametrize(
    ("user", "leaf"),
    [
        ("scada", "cmd/inspect"),
        ("scada", "cmd/set-label"),
        ("scada", "recipe"),
        ("scada", "status"),
        ("robot-7", "cmd/set-label"),
        ("robot-7", "recipe"),
        ("robot-7", "verdict"),
        ("mes", "cmd/inspect"),
        ("mes", "verdict"),
        ("plc-3", "cmd/set-label"),
        ("cam-2", "cmd/set-label"),
        ("cam-2", "recipe"),
    ],
)
def test_what_is_not_ones_own_is_refused(plant: Plant, user: str, leaf: str) -> None:
    client = plant.enter(user, "answers/none")
    assert publish(client, f"{TOPIC}{leaf}", b'{"region": "J4", "label": "B7"}') == "Not authorized"


def test_a_station_cannot_speak_for_another(plant: Plant) -> None:
    cam_2 = plant.enter("cam-2", "answers/none")
    for leaf in ("verdict", "status", "event", "answer"):
        assert publish(cam_2, f"kenpin/plant-a/L3/cam-3/{leaf}", b"{}") == "Not authorized"


@pytest.mark.usefixtures("guarded")
def test_a_robot_hears_neither_verdicts_nor_other_peoples_answers(plant: Plant) -> None:
    curious, mes, scada = plant.enter("robot-7", "#"), plant.enter("mes", "#"), plant.enter("scada", "kenpin/#")
    wait_for_station(scada)
    answer(curious, f"{TOPIC}cmd/inspect", b"", "answers/robot-7/1")
    wait_until(scada.verdicts, "the verdict is published")
    answer(mes, f"{TOPIC}cmd/set-label", b'{"region": "J4", "label": "B7"}', "answers/mes/1")
    assert {message.topic for message in curious.messages} == {f"{TOPIC}status", "answers/robot-7/1"}


def test_a_topic_that_was_forgotten_in_the_acl_is_named_once(plant: Plant, tmp_path: Path) -> None:
    rules = (plant.folder / "kenpin.acl").read_text().replace(f"topic write {TOPIC}event\n", "")
    plant.broker.stop()
    (plant.folder / "kenpin.acl").write_text(rules)
    plant.broker.start()
    access = f'tls = true\nca = "{plant.ca}"\nuser = "cam-2"\npassword_file = "{plant.folder}/cam-2.password"\n'
    line = quick_line(tmp_path / "line", plant.broker.port, access)
    line.start()
    mes, scada = plant.enter("mes", "answers/mes/#"), plant.enter("scada", "kenpin/#")
    wait_for_station(scada)
    for number, label in enumerate(("B7", "C3")):
        wish = f'{{"region": "J4", "label": "{label}"}}'.encode()
        answer(mes, f"{TOPIC}cmd/set-label", wish, f"answers/mes/{number}")
    refused = f"refuses {TOPIC}event (Not authorized); correct its ACL"
    wait_until(lambda: refused in line.log(), "it says so")
    assert line.log().count(refused) == 1
    line.end()


def test_nobody_comes_in_without_a_password(plant: Plant) -> None:
    refused: queue.Queue[str] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set_context(ssl.create_default_context(cafile=plant.ca))
    client.on_connect = lambda _client, _data, _flags, reason, _found: refused.put(str(reason))
    client.connect("127.0.0.1", plant.broker.port)
    client.loop_start()
    assert refused.get(timeout=DEADLINE_S) == "Not authorized"
    client.loop_stop()
