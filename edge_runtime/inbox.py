"""Commands as they arrive: obeyed in order, answered once, acknowledged when the broker has the answer."""

import json
import logging
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import paho.mqtt.client as mqtt

from edge_runtime.commands import Command, Follow, Order
from edge_runtime.errors import KenpinError
from edge_runtime.letters import Letter
from edge_runtime.messages import NAME_LENGTH, LabelSet, Refusal

log = logging.getLogger(__name__)

SAID_EACH_S = 1.0
"""One line for what was refused within this time: a flood of commands must not be one of lines."""

MAX_PACKET_BYTES = 64 * 1024
"""A command is a few hundred bytes. In MQTT 5 the broker keeps larger ones away from us; in 3.1.1 it cannot be told."""
MOST_LEVELS = 128
"""Of a response topic: what EMQX takes by default. Mosquitto takes 200, and ends the connection of who publishes deeper
down."""
MOST_BYTES = 4096
"""The same of its UTF-8: MQTT ends at 65535, brokers and their ACLs mostly long before."""
SHOWN = 80
"""Characters of a topic that the log shows."""


@dataclass(slots=True)
class _Received:
    """A message as paho knows it, to be acknowledged in the order of arrival."""

    message: int
    qos: int
    settled: bool = False


class Inbox:
    """What a station is told. `take` is for paho's thread, the rest for any; no exception leaves it.

    `topic`: the station's, with "/" at its end. `send`: takes an answer. `acknowledge`: tells the broker that a message
    (paho's id, QoS) is done with. `say`: publishes the status again. `session`: the broker keeps what is not
    acknowledged for the station's next start.
    """

    def __init__(
        self,
        topic: str,
        send: Callable[[Letter], None],
        acknowledge: Callable[[int, int], object],
        say: Callable[[], None],
        *,
        session: bool,
    ) -> None:
        self._topic, self._send, self._acknowledge, self._say = topic, send, acknowledge, say
        self._session = session
        self._commands: Mapping[str, Command] = {}
        self._follow: Follow | None = None
        self._received: deque[_Received] = deque()  # as many as the broker sends without our acknowledgement
        self._settling = threading.Lock()
        self._said, self._unsaid = -SAID_EACH_S, 0  # when a refusal was last said, and how many were not since

    def obey(self, commands: Mapping[str, Command], follow: Follow) -> None:
        """Which commands there are, by name, and what follows the retained recipe."""
        self._commands, self._follow = commands, follow

    def connected(self) -> None:
        """A connection has begun: what was not acknowledged over the last one is sent again."""
        with self._settling:
            self._received.clear()

    def take(self, message: mqtt.MQTTMessage) -> None:
        """A message has come."""
        received = _Received(message.mid, message.qos)
        if message.qos > 0:
            with self._settling:
                self._received.append(received)
        correlation = getattr(message.properties, "CorrelationData", None)
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not every broker refuses it; here it would end paho's thread
            topic = "(no UTF-8)"
        if len(message.payload) > MAX_PACKET_BYTES:
            name = topic.removeprefix(self._topic)
            self._say_refused(name, f"{len(message.payload)} bytes, more than {MAX_PACKET_BYTES}")
            self._settle(received)
        elif topic == f"{self._topic}recipe":
            self._take_recipe(bytes(message.payload), correlation, retained=message.retain)
            self._settle(received)
        elif message.retain:  # whoever connects would be told it again, for years
            log.warning("%s: is retained, so it is not obeyed; delete it, and publish without", topic)
            self._settle(received)
        else:
            self._take_command(topic.removeprefix(f"{self._topic}cmd/"), message, correlation, received)

    def _take_recipe(self, payload: bytes, correlation: bytes | None, *, retained: bool) -> None:
        if self._follow is None:
            return
        try:
            self._follow(payload, correlation, retained)
        except Exception:  # a fault in it must end neither paho's thread nor in silence
            log.exception("the retained recipe: failed")

    def _take_command(
        self, name: str, message: mqtt.MQTTMessage, correlation: bytes | None, received: _Received
    ) -> None:
        payload = bytes(message.payload)
        asked = _request(payload)
        reply_to = getattr(message.properties, "ResponseTopic", None)
        if reply_to is None and asked is not None:
            reply_to = f"{self._topic}answer"
        elif reply_to is not None and (why := self._unfit(reply_to)):
            log.warning("cmd/%s: is not obeyed: it cannot be answered on %r, %s", name, reply_to[:SHOWN], why)
            self._settle(received)
            return
        if correlation is None and asked is not None:
            correlation = asked.encode()

        def answer(payload: bytes) -> None:
            if reply_to is None:
                self._settle(received)
            else:
                self._send(Letter(reply_to, payload, correlation, lambda: self._settle(received)))

        order = Order(
            payload,
            correlation,
            reply_to,
            answer,
            lambda: self._settle(received),
            message=message.mid,
            again=message.dup,
            stays=self._session and message.qos > 0,
        )
        said = self._obey(name, order, asked)
        if said is not None:
            answer(said.to_json())

    def _unfit(self, reply_to: str) -> str | None:
        """Why nothing may be answered there: an answer must neither look like another message of this station's, nor be
        one for which a broker ends the connection: the command would come again, and so would the answer.
        """
        if not reply_to:
            return "which is empty"
        if len(reply_to.encode()) > MOST_BYTES:
            return f"which is longer than {MOST_BYTES} bytes"
        if reply_to.count("/") >= MOST_LEVELS:
            return f"which has more than {MOST_LEVELS} levels"
        if any(unicodedata.category(character) == "Cc" for character in reply_to):
            return "which has control characters"
        if any(wild in reply_to for wild in "+#"):
            return "which has wildcards"
        if reply_to.startswith(self._topic) and reply_to != f"{self._topic}answer":
            return "which is a topic of the station's own"
        return None

    def _settle(self, received: _Received) -> None:
        """Acknowledge a message that is done with, and those behind it that are: MQTT wants the order of arrival."""
        with self._settling:
            received.settled = True
            while self._received and self._received[0].settled:
                first = self._received.popleft()
                self._acknowledge(first.message, first.qos)

    def _obey(self, name: str, order: Order, asked: str | None) -> LabelSet | Refusal | None:
        """Run a command; its answer, whatever happens. None: it answers later."""
        try:
            if name not in self._commands:
                error = f"unknown command {name!r}; known: {', '.join(self._commands)}"
                return Refusal(error=error, request=asked)
            answer = self._commands[name](order)
            if answer is not None:
                self._say()
        except KenpinError as error:
            self._say_refused(f"cmd/{name}", str(error))
            return Refusal(error=str(error), request=asked)
        except Exception as error:  # a command's fault must end neither paho's thread nor in silence
            log.exception("cmd/%s: failed", name)
            return Refusal(error=f"fault at the station: {error}", request=asked)
        return answer

    def _say_refused(self, name: str, why: str) -> None:
        now = time.monotonic()
        if now - self._said < SAID_EACH_S:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more were refused since the last line)" if self._unsaid else ""
        self._said, self._unsaid = now, 0
        log.warning("%s: refused: %s%s", name, why, more)


def _request(payload: bytes) -> str | None:
    """What a client without response topics wants to know its answer by, also where its command is refused."""
    try:
        wish = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    asked = wish.get("request") if isinstance(wish, dict) else None
    return asked if isinstance(asked, str) and 0 < len(asked) <= NAME_LENGTH and asked.isprintable() else None
