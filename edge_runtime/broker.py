"""The station on its MQTT broker: status, will, events, what it is told, and the verdicts that `publisher` sends.

Topics are `<prefix>/<site>/<line>/<station>/` + `verdict`, `status`, `event`, `recipe`, `cmd/<name>` and `answer`;
`docs/format.md` describes them.
"""

import logging
import math
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self, cast

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from uuid_utils import uuid7

from edge_runtime.access import client_id, secure
from edge_runtime.commands import Command, Follow
from edge_runtime.errors import BrokerError
from edge_runtime.inbox import MAX_PACKET_BYTES, Inbox
from edge_runtime.letters import Letter, Letters
from edge_runtime.logs import of_station
from edge_runtime.messages import Condition, EventHead, Happening, Refusal, State, Status, event
from edge_runtime.outbox import Outbox
from edge_runtime.packets import ANSWER_S, LONGEST, REMEDIES, Sender, properties, told
from edge_runtime.publisher import Publisher
from edge_runtime.rejoin import RIVAL_S, Rejoin
from edge_runtime.station import Station

log = logging.getLogger(__name__)

KEEPALIVE_S = 15
"""After one and a half of these without a sign of life the broker sends the will."""
WITH_WILL = "Disconnect with will message"
"""MQTT 5's reason code 0x04."""
PROBE_S = 1.0
"""How long it may take to hear whether a broker that closed a connection is still there."""
TAKEN_OVER = "Session taken over"
"""MQTT 5's reason code 0x8E, as paho names it."""
FAREWELL_S = 2.0
"""How long the last status may take, and after it the last answers."""
SESSION_S = 60
"""How long the broker keeps commands for a station that is away: long enough for a restart to answer who has asked, and
short enough that none is obeyed which everybody has forgotten. MQTT 3.1.1 has no such bound, so there it keeps none."""
UNANSWERED = 20
"""Commands that the broker may have sent us and we not acknowledged."""
ANSWERS = 1100
"""Answers that may wait: as many as the commands that Mosquitto queues by default (1000), with those in flight. Not all
brokers keep to UNANSWERED: 2.0.11 sends all that it has queued when a station is back, or with `max_inflight_messages
0` at any time; and an answer that gives way to another leaves somebody unanswered."""
IN_FLIGHT = 20
"""The same of what we send, unless the broker takes fewer."""
DENIED = 20
"""Topics of which it is said that the broker refuses them, once a connection."""
GIVEN_UP = -1
"""In the place of paho's id: of a letter that does not fit through the broker."""

Facts = Callable[[], Condition]
"""What a status says."""


class Broker:
    """The connection of one station. A context manager: within it the station is on line as soon as the broker is.

    The broker's absence is no error here: paho tries again by itself, verdicts wait in the outbox, and one line says
    so. paho's own thread runs the callbacks and the commands.
    """

    def __init__(self, station: Station, outbox: Outbox, facts: Facts) -> None:
        """`facts`: what the status says now. Raises KeyFileError where a file that [mqtt] names cannot be used."""
        self._station, self._outbox, self._facts = station, outbox, facts
        self._five = station.mqtt.version == "5"
        self._connected = False
        self._complained = False  # one line an outage
        self._rivalled = False  # one line, however often
        self._too_large = False  # one line a connection
        self._denied: set[str] = set()  # one line a topic and connection
        self._leaving: tuple[State, datetime] | None = None  # what is said instead of the facts, since when it is so
        self._thread: threading.Thread | None = None  # paho's, while it shall run
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id(self._station.topic("")),
            protocol=mqtt.MQTTv5 if self._five else mqtt.MQTTv311,
            clean_session=None if self._five else True,
            manual_ack=True,
        )
        secure(self._client, station.mqtt)
        self._rejoin = Rejoin(time.monotonic, random.Random())  # noqa: S311  # no secret
        self._pause(self._rejoin.pauses())
        self._client.on_socket_open = self._on_socket_open
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        will = Status(state=State.OFFLINE, **self._who()).to_json()
        wills = properties(PacketTypes.WILLMESSAGE) if self._five else None
        self._client.will_set(self._station.topic("status"), will, qos=1, retain=True, properties=wills)
        self._sender = Sender(self._client, five=self._five, complain=self._complain_of_size)
        self._publisher = Publisher(outbox, self._publish_verdict)
        self._statuses = Letters(self._publish_status, most=1)  # each has the facts of when it goes out
        self._events = Letters(self._publish_event)
        self._answers = Letters(self._publish_answer, most=ANSWERS)
        self._inbox = Inbox(self._station.topic(""), self._answers.send, self._client.ack, self.say, session=self._five)

    def obey(self, commands: Mapping[str, Command], follow: Follow) -> None:
        """Which commands there are, by name, and what follows the retained recipe. Before the connection begins."""
        self._inbox.obey(commands, follow)

    def __enter__(self) -> Self:
        if self._five:
            wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it so
            wishes.MaximumPacketSize = MAX_PACKET_BYTES
            wishes.ReceiveMaximum = UNANSWERED
            wishes.SessionExpiryInterval = SESSION_S
            self._client.connect_async(self._host, self._port, KEEPALIVE_S, clean_start=False, properties=wishes)
        else:
            self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._publisher.start()
        self._client.loop_start()
        self._thread = self._client._thread  # noqa: SLF001  # paho does not say whether it lives
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say `stopped` and leave. After a fault the last will speaks: nobody shall take that for a clean end."""
        self._thread = None
        self._publisher.stop()
        faulty = kind is not None and not issubclass(kind, BrokerError)
        self._leaving = State.OFFLINE if faulty else State.STOPPED, datetime.now(UTC)
        with_will = faulty and self._five  # 3.1.1 cannot ask for it, so there the station says the same itself
        if self._connected and not with_will:
            try:
                last = self._sender.publish(self._status_letter(), retain=True)
                if last is not None:
                    last.wait_for_publish(FAREWELL_S)
                # The broker has sent all commands that it had before it acknowledged that, so their answers are here.
                self._answers.drain(FAREWELL_S)
            except (RuntimeError, ValueError) as error:  # paho's words for: the connection ended meanwhile
                log.warning("the last status was not sent (%s)", error)
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, WITH_WILL) if with_will else None)
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, now."""
        return self._connected

    def hung(self) -> str | None:
        """What does not go on, in words: nobody would see that paho's thread has died, and `connected` would stay."""
        thread = self._thread
        return None if thread is None or thread.is_alive() else "the thread of the broker's connection has died"

    def measure(self, delivered: Callable[[float], None]) -> None:
        """Tell `delivered` how long after it was sent a verdict was acknowledged. To be said before the connection."""
        self._publisher.delivered = delivered

    def wake(self) -> None:
        """Say that the outbox has a new verdict."""
        self._publisher.wake()

    def tell(self, what: Happening) -> None:
        """Publish an event, now or when the broker is there, and the status again."""
        head = EventHead(id=str(uuid7()), at=datetime.now(UTC), **self._who())
        self._events.send(Letter(self._station.topic("event"), event(head, what)))
        self.say()

    def say(self) -> None:
        """Publish the status as it is now, or as it will be when the last one is with the broker."""
        if self._connected:  # else it is sent with the connection
            self._statuses.send(Letter(self._station.topic("status"), b""))

    def leave(self, state: State) -> None:
        """Say `state` from now on, whatever the facts are: nobody inspects any more, and what waits is still sent."""
        self._leaving = state, datetime.now(UTC)
        self.say()

    def drain(self, patience_s: float, enough: Callable[[], bool] = lambda: False, within_s: float = math.inf) -> int:
        """As the publisher's: wait until all verdicts are delivered, within bounds; how many still wait."""
        return self._publisher.drain(patience_s, enough, within_s)

    def undelivered(self, waiting: int) -> BrokerError:
        """The error that tells of `waiting` verdicts that could not be sent."""
        why = "took no verdicts" if self._connected else "cannot be reached"
        remedy = "start it or correct [mqtt], then run again and they are sent"
        return BrokerError(self._host, self._port, f"{why}; {waiting} wait in {self._outbox.path}; {remedy}")

    def _who(self) -> dict[str, str]:
        at = self._station
        return {"site": at.site, "line": at.line, "station": at.station}

    def _status_letter(self) -> Letter:
        """What is retained."""
        state, since = self._leaving or (None, None)
        if state is State.OFFLINE:
            status = Status(state=State.OFFLINE, **self._who())
        else:
            facts = self._facts()
            facts = facts.model_copy(update={"state": state, "since": since}) if state else facts
            status = Status(**dict(facts), at=datetime.now(UTC), **self._who())
        return Letter(self._station.topic("status"), status.to_json())

    def _publish_verdict(self, payload: bytes) -> int:
        sent = self._sender.publish(Letter(self._station.topic("verdict"), payload))
        if sent is None:  # the publisher waits: neither may it be lost, nor another come before it
            raise BrokerError(self._host, self._port, f"takes no verdict of {len(payload)} bytes")
        return sent.mid

    def _publish_status(self, _letter: Letter) -> int:
        sent = self._sender.publish(self._status_letter(), retain=True)
        return sent.mid if sent is not None else self._give_up(self._statuses)

    def _publish_event(self, letter: Letter) -> int:
        sent = self._sender.publish(letter)
        return sent.mid if sent is not None else self._give_up(self._events)

    def _publish_answer(self, letter: Letter) -> int:
        sent = self._sender.publish(letter, expires_s=ANSWER_S)
        if sent is None:
            asked = letter.correlation.decode(errors="replace") if letter.correlation is not None else None
            why = Refusal(error="the answer is larger than what the broker takes; see the topic verdict", request=asked)
            sent = self._sender.publish(Letter(letter.topic, why.to_json(), letter.correlation), expires_s=ANSWER_S)
        return sent.mid if sent is not None else self._give_up(self._answers)

    @staticmethod
    def _give_up(letters: Letters) -> int:
        letters.acknowledged(GIVEN_UP)  # heard when this one is known by that id
        return GIVEN_UP

    # paho's callbacks, all in its thread. An exception would end that thread.

    @staticmethod
    def _on_socket_open(_client: mqtt.Client, _data: Any, opened: Any) -> None:
        """Send each packet at once, also where the one before is not acknowledged yet."""
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _let_it_send(self) -> None:
        """Acknowledge what has come to the broker's TCP at once, and not in 40 ms or with what we say next.

        Brokers that leave Nagle's algorithm on, as Mosquitto does by default, wait for that with their next packet: a
        robot's request, or the acknowledgement without which the next answer does not go out.
        """
        if (opened := cast("socket.socket | None", self._client.socket())) is not None:
            with suppress(OSError):  # it is being closed
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # for this time

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, found: Properties | None
    ) -> None:
        of_station(self._station.place)  # paho's thread is not begun here
        if reason.is_failure:
            self._rejoin.refused()
            self._complain(f"refuses the station ({told(reason)})")
            return
        if getattr(found, "MaximumQoS", 1) == 0:
            self._complain(f"refuses the station ({REMEDIES['QoS not supported']})")
            return
        self._complained = self._too_large = False
        self._denied.clear()
        self._rejoin.connected()
        self._inbox.connected()
        takes = getattr(found, "ReceiveMaximum", IN_FLIGHT)
        client._max_inflight_messages = min(IN_FLIGHT, takes)  # noqa: SLF001  # paho neither asks the broker nor is told
        self._sender.largest = getattr(found, "MaximumPacketSize", LONGEST)
        self._publisher.connected(takes, client.drop_out_messages)
        self._connected = True
        self._subscribe()
        for letters in (self._statuses, self._events, self._answers):
            letters.connected()
        self.say()
        log.info("broker %s:%d: connected", self._host, self._port)

    def _subscribe(self) -> None:
        """To commands, but none that the broker has kept: none twice; and to the recipe, which it keeps."""
        commands, recipe = self._station.topic("cmd/+"), self._station.topic("recipe")
        if self._five:
            fresh = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            self._client.subscribe([(commands, fresh), (recipe, SubscribeOptions(qos=1))])
        else:
            self._client.subscribe([(commands, 1), (recipe, 1)])

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _id: int, reasons: list[ReasonCode], _found: Any) -> None:
        for leaf, reason in zip(("cmd/+", "recipe"), reasons, strict=False):
            if reason.is_failure:
                where, topic = f"{self._host}:{self._port}", self._station.topic(leaf)
                log.warning("broker %s: refuses %s (%s); the station hears nothing there", where, topic, reason)

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        of_station(self._station.place)
        self._rejoin.refused()
        self._complain(f"cannot be reached ({sys.exception()})")

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _found: Any) -> None:
        if not self._connected:
            return
        self._connected = False
        self._publisher.disconnected()
        for letters in (self._statuses, self._events, self._answers):
            letters.disconnected()
        taken_over = str(reason) == TAKEN_OVER
        if not taken_over and not self._is_there():  # it ended itself: no rival threw us out
            self._rejoin.refused()
        pauses = self._rejoin.ended(taken_over=taken_over)
        self._pause(pauses)
        if not (rival := pauses[0] >= RIVAL_S):
            self._rivalled = False
        if reason.is_failure and not self._rivalled:
            self._rivalled = rival
            why = told(reason) if taken_over or not rival else f"{reason}, again and again; {REMEDIES[TAKEN_OVER]}"
            self._complain(f"closed the connection ({why})" + (f"; trying again in {pauses[0]:.0f} s" if rival else ""))

    def _is_there(self) -> bool:
        """Whether anybody listens where the broker did, just now."""
        try:
            socket.create_connection((self._host, self._port), PROBE_S).close()
        except OSError:
            return False
        return True

    def _on_publish(self, _client: mqtt.Client, _data: Any, message: int, reason: ReasonCode, _found: Any) -> None:
        self._let_it_send()
        self._publisher.acknowledged(message, str(reason) if reason.is_failure else None)
        for letters in (self._statuses, self._events, self._answers):
            if reason.is_failure and (topic := letters.topic_of(message)) is not None and self._is_news(topic):
                log.warning("broker %s:%d: refuses %s (%s); correct its ACL", self._host, self._port, topic, reason)
            letters.acknowledged(message)

    def _is_news(self, denied: str) -> bool:
        """Whether it was not said of this topic yet; nor are more than DENIED: who asks may name another each time."""
        news = denied not in self._denied and len(self._denied) < DENIED
        if news:
            self._denied.add(denied)
        return news

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._let_it_send()
        self._inbox.take(message)

    def _pause(self, pauses: tuple[float, float]) -> None:
        """How long to wait before the next attempts to connect: first, longest."""
        first, longest = pauses
        self._client.reconnect_delay_set(first, longest)  # type: ignore[arg-type]  # fractions will do

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

    def _complain_of_size(self, what: str) -> None:
        """One line a connection."""
        if not self._too_large:
            self._too_large = True
            log.error("broker %s:%d: %s; verdicts wait in %s", self._host, self._port, what, self._outbox.path)
