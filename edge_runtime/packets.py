"""What goes with a payload in MQTT 5 and has no place in 3.1.1; and what fits through a broker."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.letters import Letter

ANSWER_S = 60
"""A robot that has waited this long for its answer has given up: the broker need not keep it for longer."""
LONGEST = 268_435_455
"""Bytes of a packet that MQTT can tell: the bound of a broker that states none."""
HEAD = 5 + 2 + 2
"""Bytes at most beside topic, properties and payload: fixed header, length of the topic, message id."""
REMEDIES = {
    "QoS not supported": "it must offer QoS 1, without which no verdict is known to have arrived",
    "Retain not supported": "it must keep retained messages, which the status is",
    "Session taken over": "another client has this station's names: each station needs its own",
}
"""What a person can do about what a broker says."""


def _kenpin_version() -> str:
    try:
        return installed("kenpin")
    except PackageNotFoundError:
        return "checkout"  # run without being installed


VERSION = _kenpin_version()


def properties(
    packet: int = PacketTypes.PUBLISH, *, correlation: bytes | None = None, expires_s: int | None = None
) -> Properties:
    """Those of each message: a JSON text in UTF-8, and which kenpin wrote it.

    Who looks after many stations sees the version with any client and without knowing our JSON. Nothing else is said
    here: what counts stands in the payload, which is what is kept and held by the chain.
    """
    found = Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves it so
    found.ContentType = "application/json"
    found.PayloadFormatIndicator = 1
    found.UserProperty = [("kenpin-version", VERSION)]
    if correlation is not None:
        found.CorrelationData = correlation
    if expires_s is not None:
        found.MessageExpiryInterval = expires_s
    return found


class Sender:
    """Publishes at QoS 1 in the protocol that was chosen. `largest`: bytes of a packet that the broker takes.

    `complain`: called, with what to say, where a letter is too large; the packet itself would end the connection.
    """

    def __init__(self, client: mqtt.Client, *, five: bool, complain: Callable[[str], None]) -> None:
        self._client, self._five, self._complain = client, five, complain
        self.largest = LONGEST

    def publish(
        self, letter: Letter, *, retain: bool = False, expires_s: int | None = None
    ) -> mqtt.MQTTMessageInfo | None:
        """Publish, at QoS 1. None where it does not fit, which it complains of."""
        found = properties(correlation=letter.correlation, expires_s=expires_s) if self._five else None
        if (size := _size(letter, found)) > self.largest:
            self._complain(f"{letter.topic}: {size} bytes, the broker takes {self.largest} at most; raise its limit")
            return None
        return self._client.publish(letter.topic, letter.payload, 1, retain=retain, properties=found)


def _size(letter: Letter, found: Properties | None) -> int:
    """Bytes of the packet, at most."""
    beside = len(found.pack()) if found is not None else 0  # type: ignore[no-untyped-call]
    return HEAD + len(letter.topic.encode()) + beside + len(letter.payload)


def told(reason: ReasonCode) -> str:
    """What the broker says, and what can be done about it."""
    return "; ".join(text for text in (str(reason), REMEDIES.get(str(reason))) if text)
