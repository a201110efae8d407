"""The broker: is it there, is its certificate good for long enough, and what may this station do there?

It is asked as a client of its own name: a station that runs is not thrown out. An event of kind `check` is published to
see whether that is allowed; a verdict or a status is not, because it would be a wrong one.
"""

import queue
import socket
import ssl
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from cryptography import x509
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from uuid_utils import uuid7

from edge_runtime.access import secure
from edge_runtime.checks.finding import Finding, fail, ok, warn
from edge_runtime.messages import Checked, EventHead, event
from edge_runtime.station import Mqtt, Station

PATIENCE_S = 5.0
SOON = timedelta(days=30)
"""How long before a certificate ends somebody should know."""


def look_at_broker(station: Station) -> Iterator[Finding]:
    """Reaches it, shows who we are, and asks for what the daemon needs. Raises KeyFileError."""
    at = station.mqtt
    where = f"{at.host}:{at.port}"
    try:
        with socket.create_connection((at.host, at.port), PATIENCE_S):
            pass
    except OSError as error:
        yield fail("broker", f"{where}: cannot be reached ({error})", "start it, or correct [mqtt]; verdicts wait")
        return
    if at.tls:
        yield from _certificates(at)
    yield from _asked(station, where)


def _certificates(at: Mqtt) -> Iterator[Finding]:
    """Until when the broker's and our own certificate hold."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # to read it; paho verifies it, below
    try:
        with (
            socket.create_connection((at.host, at.port), PATIENCE_S) as bare,
            context.wrap_socket(bare, server_hostname=at.host) as shown,
        ):
            theirs = shown.getpeercert(binary_form=True)
    except OSError as error:
        yield fail("broker", f"{at.host}:{at.port}: speaks no TLS ({error})", "correct port or tls under [mqtt]")
        return
    if theirs is not None:
        yield _until("the broker's certificate", x509.load_der_x509_certificate(theirs))
    if at.certificate is not None:
        try:
            ours = x509.load_pem_x509_certificate(Path(at.certificate).read_bytes())
        except (OSError, ValueError):
            return  # said with its remedy when it is used
        yield _until(f"{at.certificate}", ours)


def _until(what: str, certificate: x509.Certificate) -> Finding:
    end, now = certificate.not_valid_after_utc, datetime.now(UTC)
    text = f"{what} holds until {end:%Y-%m-%d}"
    if end < now:
        return fail("certificate", f"{what} ended on {end:%Y-%m-%d}", "renew it, and check the clock")
    if certificate.not_valid_before_utc > now:
        begin = certificate.not_valid_before_utc
        return fail("certificate", f"{what} holds from {begin:%Y-%m-%d} on", "check the clock")
    return warn("certificate", text, "renew it in time") if end - now < SOON else ok("certificate", text)


def _asked(station: Station, where: str) -> Iterator[Finding]:
    """Connect, subscribe to the commands, publish an event: with what reason code each is answered."""
    at = station.mqtt
    protocol = mqtt.MQTTv5 if at.version == "5" else mqtt.MQTTv311
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=f"kenpin-check-{uuid.uuid4().hex[:8]}", protocol=protocol
    )
    secure(client, at)
    answers = _Answers(client)
    try:
        client.connect(at.host, at.port, keepalive=15)
    except OSError as error:  # ssl's, too
        why = getattr(error, "verify_message", None) or error
        yield fail("broker", f"{where}: no connection ({why})", "correct [mqtt], above all ca and host")
        return
    client.loop_start()
    try:
        if refusal := answers.refusal("connect"):
            yield fail("broker", f"{where}: refuses the station ({refusal})", "correct user, password or certificate")
            return
        yield ok("broker", f"{where}: connected{' over TLS' if at.tls else ''}{f' as {at.user}' if at.user else ''}")
        yield from _allowed(station, client, answers)
    finally:
        client.disconnect()
        client.loop_stop()


def _allowed(station: Station, client: mqtt.Client, answers: "_Answers") -> Iterator[Finding]:
    """What the broker lets a connected client do."""
    topic = station.topic
    client.subscribe(topic("cmd/+"), qos=1)
    if refusal := answers.refusal("subscribe"):
        yield fail("broker", f"may not subscribe to {topic('cmd/+')} ({refusal})", "let it, in the broker's ACL")
    else:
        yield ok("broker", f"may subscribe to {topic('cmd/+')}")
    client.publish(topic("event"), _event(station), qos=1)
    if refusal := answers.refusal("publish"):
        remedy = "let it, in the broker's ACL, and publish verdict and status, too"
        yield fail("broker", f"may not publish to {topic('event')} ({refusal})", remedy)
    else:
        yield ok("broker", f"may publish to {topic('event')}; verdict and status are not tried")


class _Answers:
    """What the broker says to each question, as paho's thread hears it."""

    def __init__(self, client: mqtt.Client) -> None:
        self._heard: queue.Queue[tuple[str, str | None]] = queue.Queue()
        client.on_connect, client.on_subscribe, client.on_publish = (
            self._callback(kind) for kind in ("connect", "subscribe", "publish")
        )

    def refusal(self, kind: str) -> str | None:
        """Why it was refused; None where it was not."""
        while True:
            try:
                said, refusal = self._heard.get(timeout=PATIENCE_S)
            except queue.Empty:
                return f"no answer within {PATIENCE_S:.0f} s"
            if said == kind:
                return refusal

    def _callback(self, kind: str) -> Callable[..., None]:
        def callback(
            _client: mqtt.Client, _data: Any, _what: Any, reason: ReasonCode | list[ReasonCode], *_: Any
        ) -> None:
            first = reason[0] if isinstance(reason, list) else reason
            self._heard.put((kind, str(first) if first.is_failure else None))

        return callback


def _event(station: Station) -> bytes:
    who = {"site": station.site, "line": station.line, "station": station.station}
    return event(EventHead(id=str(uuid7()), at=datetime.now(UTC), **who), Checked())
