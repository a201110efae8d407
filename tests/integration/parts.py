"""Real parts: a Mosquitto, a subscriber, and the daemon as its own process."""

import json
import os
import queue
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from train.datasets.shapes import draw

DEADLINE_S = 30.0
"""Nothing here takes as long; who waits longer has found a fault."""


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for `condition`, or fail saying `what` did not happen."""
    give_up = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail(f"within {deadline_s:.0f} s it did not happen that {what}")
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Mosquitto:
    """A broker that can be stopped and started again on the same port.

    `acl`: lines of an ACL file. `config`: further lines of its configuration; they say who may come in. `address`: what
    it listens on. `keeps`: whether sessions and what waits in them outlive it. `prefix`: what starts its command line.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    acl: str | None = None
    config: str = "allow_anonymous true\n"
    address: str = "127.0.0.1"
    keeps: bool = False
    prefix: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.fail("these tests need the Mosquitto broker: apt-get install mosquitto, or run `make test`")
        config = f"listener {self.port} {self.address}\n{self.config}user root\n"
        if self.keeps:  # at each change, so that a kill loses none
            config += f"persistence true\npersistence_location {self.folder}/\n"
            config += "autosave_on_changes true\nautosave_interval 1\n"
            config += "max_inflight_messages 0\n"  # what it has acknowledged shall be in the socket, not in its memory
        else:
            config += "persistence false\n"
        if self.acl is not None:
            (self.folder / "acl").write_text(self.acl)
            (self.folder / "acl").chmod(0o600)
            config += f"acl_file {self.folder / 'acl'}\n"
        (self.folder / "mosquitto.conf").write_text(config)
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [*self.prefix, program, "-v", "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers, f"Mosquitto answers; see {self.folder / 'mosquitto.log'}")

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def freeze(self) -> None:
        """Acknowledge nothing from now on, as a network that is cut: what is sent stays in flight."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    retain: bool
    properties: Any

    def json(self) -> Any:
        return json.loads(self.payload)


class Subscriber:
    """An independent MQTT 5 client that keeps all it receives, in order."""

    def __init__(self, port: int, topic: str = "#", enter: Callable[[mqtt.Client], None] | None = None) -> None:
        """`enter`: what it shows to be let in."""
        self.messages: list[Message] = []
        ready: queue.Queue[bool] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: ready.put(True)
        self.client.on_message = lambda _client, _data, m: self.messages.append(
            Message(m.topic, bytes(m.payload), m.retain, m.properties)
        )
        if enter is not None:
            enter(self.client)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        ready.get(timeout=DEADLINE_S)

    def verdicts(self) -> list[Message]:
        return [message for message in self.messages if message.topic.endswith("/verdict")]

    def states(self) -> list[str]:
        return [message.json()["state"] for message in self.messages if message.topic.endswith("/status")]

    def request(self, topic: str, payload: bytes, correlation: bytes) -> Message:
        """Send a command with a response topic and wait for its answer."""
        before = len(self.messages)
        self.ask(topic, payload, correlation)

        def answers() -> list[Message]:
            return [message for message in self.messages[before:] if message.topic == "answers/test"]

        wait_until(answers, f"{topic} is answered")
        return answers()[0]

    def ask(self, topic: str, payload: bytes, correlation: bytes) -> None:
        """Send a command whose answer goes to `answers/test`."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it so
        properties.ResponseTopic = "answers/test"
        properties.CorrelationData = correlation
        self.client.publish(topic, payload, 1, properties=properties)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Line:
    """A station's folder with its file, pictures and bundle, and the daemon that runs there.

    `access`: further lines of [mqtt]. `trigger`: its table, where the pictures are not the triggers. `camera`: its
    table, where it is not the folder of pictures. `options`: of the command. `environment`: of the daemon's process,
    beside this one's.
    """

    folder: Path
    port: int
    bundle: Path
    station: str = "cam-2"
    broker: str = "127.0.0.1"
    rate_hz: float = 50.0
    repeat: bool = False
    expected: str = "solid-circle"
    trusted_key: Path | None = None
    access: str = ""
    trigger: str = ""
    camera: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    def draw(self, count: int) -> None:
        self.pictures.mkdir(exist_ok=True)
        rng = np.random.default_rng(7)
        for number in range(count):
            cv2.imwrite(str(self.pictures / f"{number:04d}.png"), draw("solid-circle", rng, defective=False))

    def write(self) -> Path:
        """Write STATION.toml, and tell where it is."""
        trust = "" if self.trusted_key is None else f'trusted_keys = ["{self.trusted_key}"]\n'
        path = self.folder / "station.toml"
        path.write_text(
            f'site = "plant-a"\nline = "L3"\nstation = "{self.station}"\nbundle = "{self.bundle}"\n'
            f'data = "state"\n{trust}'
            f"{self.camera or self._replay}\n"
            f'[region.J4]\nexpected = "{self.expected}"\n'
            f"{self.trigger}\n"
            f'[mqtt]\nhost = "{self.broker}"\nport = {self.port}\n{self.access}'
        )
        return path

    @property
    def _replay(self) -> str:
        repeat = str(self.repeat).lower()
        return f'[camera]\nkind = "folder"\npath = "pictures"\nrate_hz = {self.rate_hz}\nrepeat = {repeat}'

    def start(self, *others: Path) -> subprocess.Popen[str]:
        """Write STATION.toml and start `kenpin-edge run` as its own process; the log goes to a file.

        `others`: the files of stations that run in the same process.
        """
        command = [sys.executable, "-m", "edge_runtime", "run", str(self.write()), *map(str, others), *self.options]
        with (self.folder / "daemon.log").open("a") as log:
            self._process = subprocess.Popen(command, stderr=log, text=True, env=os.environ | self.environment)
        return self._process

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def waiting(self) -> int:
        """How many verdicts the outbox holds."""
        return self._ask_outbox("SELECT count(*) FROM verdicts")

    def last_seq(self) -> int:
        """How many verdicts there were ever."""
        return self._ask_outbox("SELECT json_extract(json, '$.seq') FROM state")

    def _ask_outbox(self, question: str) -> int:
        with closing(sqlite3.connect(self.folder / "state" / "outbox.db")) as db:
            return int(db.execute(question).fetchone()[0])

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text()

    def stop(self) -> None:
        """End the daemon as a service manager does, with all verdicts sent."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(DEADLINE_S)
        assert status == 0, f"exit status {status}\n{self.log()}"

    def freeze(self) -> None:
        """Let the daemon do nothing until `thaw`, not even reach for the broker."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
