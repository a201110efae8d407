"""The station on its MQTT 5 broker: status, will, commands, and the verdicts that `publisher` sends.

Topics are `<prefix>/<site>/<line>/<station>/` + `verdict`, `status`, `event`, `cmd/<name>`; `docs/format.md` describes
them.
"""

import hashlib
import json
import logging
import math
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from uuid_utils import uuid7

from edge_runtime.access import secure
from edge_runtime.commands import Command, Order
from edge_runtime.errors import BrokerError, KenpinError
from edge_runtime.letters import Letter, Letters
from edge_runtime.outbox import Outbox
from edge_runtime.publisher import Publisher
from edge_runtime.station import Station
from edge_runtime.topics import topic_of

log = logging.getLogger(__name__)

STATUS_SCHEMA = "kenpin.status/1"
EVENT_SCHEMA = "kenpin.event/1"
KEEPALIVE_S = 15
"""After one and a half of these without a sign of life the broker sends the will."""
RECONNECT_S = (1, 10)
"""First and longest pause between two attempts to reach the broker."""
MAX_PACKET_BYTES = 64 * 1024
"""A command is a few hundred bytes; the broker keeps larger ones away from us."""
WITH_WILL = "Disconnect with will message"
"""MQTT 5's reason code 0x04."""
TAKEN_OVER = "Session taken over"
"""MQTT 5's reason code 0x8E, as paho names it."""
FAREWELL_S = 2.0
"""How long the last status may take."""
SESSION_S = 60
"""How long the broker keeps commands for a station that is away: long enough for a restart to answer who has asked, and
short enough that none is obeyed which everybody has forgotten."""
UNANSWERED = 20
"""Commands that the broker may have sent us and we not acknowledged."""

Facts = Callable[[], dict[str, Any]]
"""What a status says: the state, and beyond it bundle and recipe."""


@dataclass(slots=True)
class _Received:
    """A command as paho knows it, to be acknowledged when its answer is with the broker, in the order of arrival."""

    message: int
    qos: int
    connection: int
    settled: bool = False


class Broker:
    """The connection of one station. A context manager: within it the station is on line as soon as the broker is.

    The broker's absence is no error here: paho tries again by itself, verdicts wait in the outbox, and one line says
    so. paho's own thread runs the callbacks and the commands.
    """

    def __init__(self, station: Station, outbox: Outbox, facts: Facts) -> None:
        """`facts`: what the status says now. Raises KeyFileError where a file that [mqtt] names cannot be used."""
        self._station, self._outbox, self._facts = station, outbox, facts
        self._commands: Mapping[str, Command] = {}
        self._connected = False
        self._connection = 0
        self._complained = False
        # Unlike names joined by "-", a digest is no other station's; unlike a topic, every broker takes it for an id.
        who = f"kenpin-{hashlib.sha256(self._topic('').encode()).hexdigest()[:16]}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=who, protocol=mqtt.MQTTv5, manual_ack=True)
        secure(self._client, station.mqtt)
        jitter = 1 + random.random()  # noqa: S311  # a plant's stations shall not all come back in the same moment
        low, high = (jitter * seconds for seconds in RECONNECT_S)
        self._client.reconnect_delay_set(low, high)  # type: ignore[arg-type]  # fractions will do
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        will = _json(PacketTypes.WILLMESSAGE)
        self._client.will_set(
            self._topic("status"), self._status({"state": "offline"}), qos=1, retain=True, properties=will
        )
        self._stating = threading.Lock()  # of two statuses the one with the newer facts is sent last, and so retained
        self._publisher = Publisher(outbox, self._publish_verdict)
        self._events = Letters(self._publish_letter)
        self._answers = Letters(self._publish_letter)
        self._received: deque[_Received] = deque()  # at most UNANSWERED of them
        self._settling = threading.Lock()

    def obey(self, commands: Mapping[str, Command]) -> None:
        """Which commands there are, by name. To be said before the connection begins."""
        self._commands = commands

    def __enter__(self) -> Self:
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it so
        wishes.MaximumPacketSize = MAX_PACKET_BYTES
        wishes.ReceiveMaximum = UNANSWERED
        wishes.SessionExpiryInterval = SESSION_S
        self._client.connect_async(self._host, self._port, KEEPALIVE_S, clean_start=False, properties=wishes)
        self._publisher.start()
        self._client.loop_start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say `stopped` and leave. After a fault the last will speaks: nobody shall take that for a clean end."""
        self._publisher.stop()
        faulty = kind is not None and not issubclass(kind, BrokerError)
        if self._connected and not faulty:
            try:
                self._send_status({"state": "stopped"}).wait_for_publish(FAREWELL_S)
            except (RuntimeError, ValueError) as error:  # paho's words for: the connection ended meanwhile
                log.warning("the last status was not sent (%s)", error)
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, WITH_WILL) if faulty else None)
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, now."""
        return self._connected

    def measure(self, delivered: Callable[[float], None]) -> None:
        """Tell `delivered` how long after it was sent a verdict was acknowledged. To be said before the connection."""
        self._publisher.delivered = delivered

    def wake(self) -> None:
        """Say that the outbox has a new verdict."""
        self._publisher.wake()

    def tell(self, kind: str, **facts: object) -> None:
        """Publish an event, now or when the broker is there, and the status again. Facts that are None are left out."""
        told = {"kind": kind} | {name: fact for name, fact in facts.items() if fact is not None}
        head = {"schema": EVENT_SCHEMA, "id": str(uuid7()), **self._who(), "at": _now()}
        self._events.send(Letter(self._topic("event"), json.dumps(head | told).encode()))
        self.say()

    def say(self) -> None:
        """Publish the status as it is now."""
        if self._connected:  # else it is sent with the connection
            self._send_status()

    def drain(self, patience_s: float, enough: Callable[[], bool] = lambda: False, within_s: float = math.inf) -> int:
        """As the publisher's: wait until all verdicts are delivered, within bounds; how many still wait."""
        return self._publisher.drain(patience_s, enough, within_s)

    def undelivered(self, waiting: int) -> BrokerError:
        """The error that tells of `waiting` verdicts that could not be sent."""
        why = "took no verdicts" if self._connected else "cannot be reached"
        remedy = "start it or correct [mqtt], then run again and they are sent"
        return BrokerError(self._host, self._port, f"{why}; {waiting} wait in {self._outbox.path}; {remedy}")

    def _topic(self, leaf: str) -> str:
        at = self._station
        return topic_of(at.mqtt.prefix, at.site, at.line, at.station, leaf)

    def _who(self) -> dict[str, str]:
        at = self._station
        return {"site": at.site, "line": at.line, "station": at.station}

    def _status(self, other: dict[str, Any]) -> bytes:
        """What is retained. `other` has the state where that is not the one of now."""
        status: dict[str, Any] = {"schema": STATUS_SCHEMA, **self._who()}
        if other.get("state") != "offline":  # the will is written at the start: what it said would be out of date
            status |= {"at": _now(), **self._facts()}
        return json.dumps(status | other).encode()

    def _send_status(self, other: dict[str, Any] | None = None) -> mqtt.MQTTMessageInfo:
        properties = _json(PacketTypes.PUBLISH)
        with self._stating:
            status = self._status(other or {})
            return self._client.publish(self._topic("status"), status, 1, retain=True, properties=properties)

    def _publish_verdict(self, payload: bytes) -> int:
        return self._client.publish(self._topic("verdict"), payload, 1, properties=_json(PacketTypes.PUBLISH)).mid

    def _publish_letter(self, letter: Letter) -> int:
        properties = _json(PacketTypes.PUBLISH)
        if letter.correlation is not None:
            properties.CorrelationData = letter.correlation
        return self._client.publish(letter.topic, letter.payload, 1, properties=properties).mid

    # paho's callbacks, all in its thread. An exception would end that thread, so commands catch theirs.

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, found: Properties | None
    ) -> None:
        if reason.is_failure:
            self._complain(f"refuses the station ({reason})")
            return
        self._complained = False
        with self._settling:
            self._connection += 1
            self._received.clear()  # the broker sends them again
        self._publisher.connected(getattr(found, "ReceiveMaximum", 65535), client.drop_out_messages)
        self._connected = True
        fresh = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)  # no command twice
        client.subscribe(self._topic("cmd/+"), options=fresh)
        self._send_status()
        self._events.connected()
        self._answers.connected()
        log.info("broker %s:%d: connected", self._host, self._port)

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._complain(f"cannot be reached ({sys.exception()})")

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _found: Any) -> None:
        self._connected = False
        self._publisher.disconnected()
        self._events.disconnected()
        self._answers.disconnected()
        if reason.is_failure:
            twice = "; another client has this station's names" if str(reason) == TAKEN_OVER else ""
            self._complain(f"closed the connection ({reason}{twice})")

    def _on_publish(self, _client: mqtt.Client, _data: Any, message: int, reason: ReasonCode, _found: Any) -> None:
        self._publisher.acknowledged(message, str(reason) if reason.is_failure else None)
        self._events.acknowledged(message)
        self._answers.acknowledged(message)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        name = message.topic.removeprefix(self._topic("cmd/"))
        received = _Received(message.mid, message.qos, self._connection)
        if message.qos > 0:
            self._received.append(received)
        reply_to = getattr(message.properties, "ResponseTopic", None)
        correlation = getattr(message.properties, "CorrelationData", None)

        def answer(payload: bytes) -> None:
            if reply_to is None:
                self._settle(received)
            elif any(wild in reply_to for wild in "+#"):
                log.warning("cmd/%s: cannot be answered on %r, which has wildcards", name, reply_to)
                self._settle(received)
            else:
                self._answers.send(Letter(reply_to, payload, correlation, lambda: self._settle(received)))

        facts = self._obey(name, Order(bytes(message.payload), correlation, reply_to, answer))
        if facts is not None:
            answer(json.dumps(facts).encode())

    def _settle(self, received: _Received) -> None:
        """Acknowledge a command that is done with, and those behind it that are: MQTT wants the order of arrival."""
        with self._settling:
            received.settled = True
            while self._received and self._received[0].settled:
                first = self._received.popleft()
                self._client.ack(first.message, first.qos)

    def _obey(self, name: str, order: Order) -> dict[str, Any] | None:
        """Run a command; its answer, whatever happens. None: it answers later."""
        try:
            if name not in self._commands:
                return {"ok": False, "error": f"unknown command {name!r}; known: {', '.join(self._commands)}"}
            facts = self._commands[name](order)
            if facts is None:
                return None
            self.say()
        except KenpinError as error:
            log.warning("cmd/%s: refused: %s", name, error)
            return {"ok": False, "error": str(error)}
        except Exception as error:  # a command's fault must end neither paho's thread nor in silence
            log.exception("cmd/%s: failed", name)
            return {"ok": False, "error": f"fault at the station: {error}"}
        return {"ok": True, **facts}

    @property
    def _host(self) -> str:
        return self._station.mqtt.host

    @property
    def _port(self) -> int:
        return self._station.mqtt.port

    def _complain(self, why: str) -> None:
        """One line an outage, however often paho tries."""
        if not self._complained:
            self._complained = True
            wait = f"verdicts wait in {self._outbox.path} until it is back"
            log.warning("broker %s:%d: %s; %s; else correct [mqtt]", self._host, self._port, why, wait)


def _json(packet: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves it so
    properties.ContentType = "application/json"
    return properties


def _now() -> str:
    """The time as messages have it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
