"""What a station says that cannot be there: a retained status in its name, over a connection for just that."""

import logging
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.access import client_id, secure
from edge_runtime.errors import KenpinError
from edge_runtime.letters import Letter
from edge_runtime.messages import State, Status
from edge_runtime.packets import Sender
from edge_runtime.station import Station

log = logging.getLogger(__name__)

WITHIN_S = 5.0
"""How long the broker may take to let us in, and then to take the status."""


def tell_absent(station: Station, why: str) -> bool:
    """Publish that `station` is offline, and `why`; whether the broker has it. Raises nothing.

    Under another client's name than the station's own, so that the session in which the broker keeps its commands stays
    as it is.
    """
    at, five = station, station.mqtt.version == "5"
    topic = at.topic("status")
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id(topic),
        protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
    )
    client.connect_timeout = WITHIN_S
    let_in = threading.Event()
    client.on_connect = lambda _client, _data, _flags, reason, _found: None if reason.is_failure else let_in.set()
    status = Status(state=State.OFFLINE, why=why, site=at.site, line=at.line, station=at.station)
    try:
        secure(client, at.mqtt)
        client.connect(at.mqtt.host, at.mqtt.port)
    except (OSError, KenpinError) as error:  # ssl's are OSErrors, too
        log.debug("the broker cannot be told (%s)", error)
        return False
    client.loop_start()
    try:
        if not let_in.wait(WITHIN_S):
            return False
        sent = Sender(client, five=five, complain=log.debug).publish(Letter(topic, status.to_json()), retain=True)
        if sent is None:
            return False
        sent.wait_for_publish(WITHIN_S)
        return sent.is_published()
    except (RuntimeError, ValueError) as error:  # paho's words for: the connection ended meanwhile
        log.debug("the broker was not told (%s)", error)
        return False
    finally:
        client.disconnect()
        client.loop_stop()
