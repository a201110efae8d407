"""The demo's MES: it counts what comes out of the line, and orders the changeover to the next part."""

import json
import threading
import uuid
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from demo.broker import HOST
from edge_runtime.errors import BrokerError
from edge_runtime.verdict import Verdict

STATION = "kenpin/demo/L1/cam-1"
ANSWERS = "demo/mes/answers"
ANSWER_WITHIN_S = 5.0


class Mes:
    """An MQTT 5 client of its own, as a plant's MES is. It knows of the line only what the broker tells it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._changed = threading.Condition()
        self._seen: set[str] = set()
        self._answers: dict[bytes, dict[str, Any]] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(HOST, self._port)
        self._client.subscribe([(f"{STATION}/verdict", 1), (ANSWERS, 1)])
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, picture: str, seconds: float) -> bool:
        """Wait until the verdict on `picture` has come; False where it has not within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: picture in self._seen, seconds)

    def set_label(self, label: str) -> dict[str, Any]:
        """Order the changeover, and return the station's answer. Raises BrokerError where none comes."""
        correlation = uuid.uuid4().bytes
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's constructor has no types
        properties.ResponseTopic = ANSWERS
        properties.CorrelationData = correlation
        self._client.publish(f"{STATION}/cmd/set-label", json.dumps({"label": label}), qos=1, properties=properties)
        with self._changed:
            if not self._changed.wait_for(lambda: correlation in self._answers, ANSWER_WITHIN_S):
                raise BrokerError(HOST, self._port, "the station did not answer set-label; read daemon.log")
            return self._answers[correlation]

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            if message.topic == ANSWERS:
                correlation = getattr(message.properties, "CorrelationData", b"")
                self._answers[correlation] = json.loads(message.payload)
            else:
                picture = Verdict.from_json(bytes(message.payload)).picture
                self._seen.add(picture or "")
            self._changed.notify_all()
