"""The demo's broker: rumqttd, which comes inside the package iotcore, since a newcomer has none running.

A plant has its own (Mosquitto, EMQX, HiveMQ, …); point `[mqtt]` in STATION.toml there.
"""

import socket
from pathlib import Path

from iotcore import Broker

from edge_runtime.errors import BrokerError

HOST = "127.0.0.1"

CONFIG = """\
id = 0

[router]
id = 0
max_connections = 16
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10

[v5.1]
name = "demo"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 100
"""


def refuse_taken(port: int) -> None:
    """Raise BrokerError where something else listens on `port`, before minutes of training are spent."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = f"the demo's broker cannot listen there ({error.strerror}); choose another: make demo PORT={port + 1}"
            raise BrokerError(HOST, port, why) from error


def broker(folder: Path, port: int) -> Broker:
    """An MQTT 5 broker on `port`, while in its `with` block. Its configuration is kept in `folder`."""
    config = folder / "broker.toml"
    config.write_text(CONFIG.format(host=HOST, port=port))
    return Broker(config_path=str(config))
