"""A small plant whose parts may be killed: a station, a broker, a robot that asks, and a record of what was said."""

import hashlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.chain import GENESIS
from edge_runtime.verdict import Call, Verdict
from tests.integration.parts import Line, Mosquitto, wait_until
from train.datasets.shapes import draw

INSPECT = "kenpin/plant-a/L3/cam-2/cmd/inspect"
VERDICT = "kenpin/plant-a/L3/cam-2/verdict"
ANSWERS = "answers/robot"
NOBODY = 0x10
"""The broker's reason where nobody has subscribed to a request: then nobody was asked."""
FREE_RUNNING = '[trigger]\nkind = "interval"\nevery_s = 0.03\ntimeout_s = 3.0'
SESSION_S = 3600
SAVED_S = 0.2
"""After so long Mosquitto has saved what it acknowledged."""
CAUGHT_UP = 60
"""Verdicts that wait at a station that delivers, at most: those of the last second or two."""
DOUBTFUL = "doubtful"
"""How the name of a picture begins that must never be OK."""


class Client:
    """An MQTT 5 client whose session the broker keeps: what is said to it while it is away waits there."""

    def __init__(self, name: str, host: str, port: int, *topics: str, qos: int = 1) -> None:
        self._topics = [(topic, qos) for topic in topics]
        self.heard: list[tuple[bytes, bytes | None]] = []  # payload and correlation data, in order
        self.connected = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: self._subscribe(client)
        self.client.on_disconnect = lambda *_: self._lost()
        self.client.on_message = lambda _client, _data, message: self.heard.append(
            (bytes(message.payload), getattr(message.properties, "CorrelationData", None))
        )
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it so
        wishes.SessionExpiryInterval = SESSION_S
        self.client.connect_async(host, port, keepalive=5, clean_start=False, properties=wishes)
        self.client.loop_start()
        wait_until(self.connected.is_set, f"{name} is connected")

    def _subscribe(self, client: mqtt.Client) -> None:
        client.subscribe(self._topics)
        self.connected.set()

    def _lost(self) -> None:
        self.connected.clear()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Robot(Client):
    """Asks for inspections, one every now and then. `asked`: those that the broker took for somebody.

    `unsure`: those that were open when a connection was lost. Robot and broker send them again then, and need not know
    that the station has seen them: to it, what is not marked as sent again is asked again.
    """

    def __init__(self, host: str, port: int, every_s: float = 0.05) -> None:
        self.unsure: set[str] = set()
        self.asked: set[str] = set()
        self._sent: dict[int, str] = {}
        self._acknowledged: dict[int, ReasonCode] = {}
        self._count = 0
        self._over, self._pausing = threading.Event(), threading.Event()
        super().__init__("robot", host, port, ANSWERS)
        self.client.on_publish = lambda _client, _data, message, reason, _found: self._acknowledged.update(
            {message: reason}
        )
        self._thread = threading.Thread(target=self._work, args=(every_s,), daemon=True)
        self._thread.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within this nothing is asked."""
        self._pausing.set()
        yield
        self._pausing.clear()

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Within this nothing is asked, and all that was is answered."""
        with self.silent():
            time.sleep(SAVED_S)  # what was just published is acknowledged, and so counts as asked
            patiently(self.is_answered, 20.0)
            yield

    def is_answered(self) -> bool:
        """Whether all who asked have an answer."""
        return self.asked <= self.answered()

    def answered(self) -> set[str]:
        """Those that have an answer."""
        return {asked.decode() for _, asked in list(self.heard) if asked}

    def _lost(self) -> None:
        super()._lost()
        self.unsure |= ({*self.asked} | {*self._sent.values()}) - self.answered()

    def rest(self) -> None:
        """Ask nothing more."""
        self._over.set()
        self._thread.join()
        self._note()

    def _work(self, every_s: float) -> None:
        while not self._over.wait(every_s):
            if self.connected.is_set() and not self._pausing.is_set():
                self._count += 1
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it so
                properties.ResponseTopic = ANSWERS
                properties.CorrelationData = str(self._count).encode()
                sent = self.client.publish(INSPECT, b"", 1, properties=properties)
                self._sent[sent.mid] = str(self._count)
            self._note()

    def _note(self) -> None:
        for message in list(self._acknowledged):
            reason = self._acknowledged.pop(message)
            asked = self._sent.pop(message, None)
            if asked is not None and not reason.is_failure and reason.value != NOBODY:
                self.asked.add(asked)


@dataclass(frozen=True, slots=True)
class Tally:
    """What went wrong, which must all be 0; and how much there was of what may be.

    `asked_again`: requests that were open when their broker died and got two verdicts of two pictures.
    """

    lost: int
    out_of_order: int
    unchained: int
    ok_on_doubt: int
    unanswered: int
    answered_twice: int
    another_under_the_same_id: int
    verdicts: int
    repeats: int
    requests: int
    asked_again: int

    @property
    def wrong(self) -> dict[str, int]:
        """What is not 0 and must be."""
        kinds = (
            "lost",
            "out_of_order",
            "unchained",
            "ok_on_doubt",
            "unanswered",
            "answered_twice",
            "another_under_the_same_id",
        )
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}


@dataclass
class Plant:
    """All of it. `line` inspects free-running, twenty or thirty verdicts a second, and on request.

    `witness`: hears at QoS 0 what `record` does, and what the robot is told. A client that acknowledges may lose what
    it has not read yet when the broker dies: its next acknowledgement fails, and it closes. One that only listens reads
    to the end. So between them they have heard all that the broker has taken.
    """

    line: Line
    broker: Mosquitto
    host: str = "127.0.0.1"
    record: Client = field(init=False)
    witness: Client = field(init=False)
    robot: Robot = field(init=False)

    def begin(self) -> None:
        """Draw pictures, doubtful ones among them, and start the station and who listens."""
        pictures = self.line.pictures
        pictures.mkdir(exist_ok=True)
        rng = np.random.default_rng(7)
        for number in range(12):
            picture = draw("solid-circle", rng, defective=False)
            doubtful = number % 4 == 3
            if doubtful:
                picture = np.full_like(picture, 0 if number == 3 else 255)
            cv2.imwrite(str(pictures / f"{DOUBTFUL if doubtful else 'good'}-{number:02d}.png"), picture)
        self.line.repeat = True
        self.line.trigger = FREE_RUNNING
        self.record = Client("record", self.host, self.broker.port, VERDICT)
        self.witness = Client("witness", self.host, self.broker.port, VERDICT, ANSWERS, qos=0)
        self.line.start()
        wait_until(lambda: self.record.heard, "verdicts arrive")
        self.robot = Robot(self.host, self.broker.port)

    def kill_the_daemon(self) -> None:
        """kill -9, and start it again as a service manager does."""
        process = self.line.process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.line.start()

    def kill_the_broker(self) -> None:
        """kill -9, and start it again.

        Mosquitto saves what it has acknowledged a moment later, and what it forgets no station can know: so all who
        listen are there, and nothing new is asked in its last moment. What was asked before may be open.
        """
        listeners = (self.record, self.witness, self.robot)
        wait_until(lambda: all(listener.connected.is_set() for listener in listeners), "all listen")
        with self.robot.silent():
            time.sleep(SAVED_S)
            self.broker.stop()
        self.broker.start()

    def between(self, low_s: float, high_s: float, rng: random.Random) -> None:
        """Let things go on for a while."""
        time.sleep(rng.uniform(low_s, high_s))

    def end(self) -> Tally:
        """Let the robot rest, the station say all it has, and stop it; then count."""
        self.robot.rest()
        self._wait_for_answers()
        seq = self.line.last_seq()
        wait_until(lambda: self.line.last_seq() > seq, "inspection goes on")  # before, SIGTERM finds nobody listening
        wait_until(lambda: self.line.waiting() < CAUGHT_UP, "the station has caught up")  # it does not wait at its end
        self.line.stop()
        patiently(self.is_all_heard, 30.0)
        for listener in (self.record, self.witness, self.robot):
            listener.close()
        return self.tally()

    def _wait_for_answers(self) -> None:
        """Wait until all who asked are answered, as long as answers come: the tally says who was not."""
        robot, count = self.robot, -1
        while not robot.is_answered() and len(robot.heard) > count:
            count = len(robot.heard)
            patiently(partial(self._more_answers_than, count), 20.0)

    def _more_answers_than(self, count: int) -> bool:
        return len(self.robot.heard) > count

    def is_all_heard(self) -> bool:
        """Whether what the station's outbox counts has come to the record."""
        return not self.line.waiting() and len(self._heard()) >= self.line.last_seq()

    def _first(self) -> list[tuple[int, Verdict, bytes]]:
        """Verdicts as who de-duplicates by id sees them."""
        seen: dict[str, tuple[int, Verdict, bytes]] = {}
        for payload, _ in list(self.record.heard):
            verdict = Verdict.from_json(payload)
            seen.setdefault(verdict.id, (verdict.seq, verdict, payload))
        return list(seen.values())

    def _heard(self) -> dict[int, bytes]:
        """What anybody heard, by number."""
        heard = [*self.record.heard, *self.witness.heard]
        verdicts = [payload for payload, asked in heard if asked is None]  # the others are answers
        return {Verdict.from_json(payload).seq: payload for payload in verdicts}

    def tally(self) -> Tally:
        """Count what was heard."""
        first = self._first()
        payload_of: dict[str, set[bytes]] = {}
        for payload, _ in self.record.heard:
            payload_of.setdefault(Verdict.from_json(payload).id, set()).add(payload)
        seqs = [seq for seq, *_ in first]
        by_seq = self._heard()
        prev = {0: GENESIS} | {seq: hashlib.sha256(payload).hexdigest() for seq, payload in by_seq.items()}
        answers: dict[str, set[str]] = {}
        for payload, asked in [*self.robot.heard, *self.witness.heard]:
            if asked is not None:
                said = json.loads(payload)  # a verdict, or that too many wait: that is an answer, too
                answers.setdefault(asked.decode(), set()).add(said.get("id", "refused"))
        published = Counter(verdict.request for _, verdict, _ in first if verdict.request)
        twice = {asked for asked, ids in answers.items() if len(ids) > 1} | {
            asked for asked, n in published.items() if n > 1
        }
        return Tally(
            lost=self.line.last_seq() - len(by_seq),
            out_of_order=sum(later < earlier for earlier, later in pairwise(seqs)),
            unchained=sum(verdict.prev != prev.get(seq - 1, verdict.prev) for seq, verdict, _ in first),
            ok_on_doubt=sum(
                verdict.verdict is Call.OK and (verdict.picture or DOUBTFUL).startswith(DOUBTFUL)
                for _, verdict, _ in first
            ),
            unanswered=len(self.robot.asked - set(answers)),
            answered_twice=len(twice - self.robot.unsure),
            another_under_the_same_id=sum(len(payloads) > 1 for payloads in payload_of.values())
            + (len(first) - len({seq for seq, *_ in first})),
            verdicts=len(first),
            repeats=len(self.record.heard) - len(first),
            requests=len(self.robot.asked),
            asked_again=len(twice & self.robot.unsure),
        )


def patiently(condition: Callable[[], object], seconds: float) -> None:
    """Wait for `condition`, but not for ever: what did not happen is counted, and no reason to count nothing."""
    give_up = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.05)


def folder(path: Path) -> Path:
    """Make a folder."""
    path.mkdir(parents=True)
    return path
