"""`kenpin-edge watch`: verdicts in a terminal, as they come."""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from edge_runtime.access import secure
from edge_runtime.console import for_machines
from edge_runtime.errors import BrokerError, UsageError
from edge_runtime.station import Mqtt
from edge_runtime.verdict import Call, RegionVerdict, Verdict

KEEPALIVE_S = 15
HELLO_S = 5.0
"""How long a broker may take to answer before we say that it is none."""

COLOURS = {Call.OK: "green", Call.NG: "bold red", Call.ERROR: "bold yellow"}
WHO, PARTS = 18, 32
"""Cells of a terminal's line."""
HEADER = (
    f"{'time (UTC)':12}  {'station':{WHO}}  {'expected → found':{PARTS}}  {'verdict':7}  {'reason':10}  "
    f"{'defect':>6}  {'other':>6}  {'ms':>7}  picture"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for. `count`: end after so many verdicts; 0 never ends."""

    mqtt: Mqtt
    save: Path | None = None
    count: int = 0
    as_json: bool = False


def watch(wishes: Wishes) -> None:
    """Show verdicts until `count` of them have come. Nothing that comes is left out or de-duplicated.

    What is published while the connection is lost does not come; a gap in a station's `seq` is said in one line.

    Raises BrokerError where the broker is not there, speaks no such MQTT or refuses; later it reconnects by itself.
    Raises UsageError where the file to save to cannot be written, KeyFileError where one to get in with cannot be used.
    """
    with ExitStack() as stack:
        saved = stack.enter_context(_open(wishes.save)) if wishes.save else None
        _Watch(wishes, saved).run()


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as error:
        raise UsageError(f"--save {path}: cannot be written ({error.strerror}); name another file") from error


class _Watch:
    """One subscription. paho's callbacks run in the calling thread, and what they raise ends `run`."""

    def __init__(self, wishes: Wishes, saved: IO[bytes] | None) -> None:
        self._wishes, self._saved = wishes, saved
        self._console = Console(highlight=False)
        self._seen = 0
        self._last: dict[str, int] = {}  # the last seq of each station
        self._subscribed = False
        five = wishes.mqtt.version == "5"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311)
        secure(self._client, wishes.mqtt)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Connect, or raise at once; then show until enough have come."""
        try:
            self._client.connect(self._wishes.mqtt.host, self._wishes.mqtt.port, KEEPALIVE_S)
        except (OSError, ValueError) as error:  # ValueError: a host that is none
            raise self._error(f"cannot be reached ({error}); start it, or give --host and --port") from error
        give_up = time.monotonic() + HELLO_S
        while not self._subscribed:
            if time.monotonic() > give_up or self._client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS:
                raise self._error(
                    f"does not answer as an MQTT {self._wishes.mqtt.version} broker does; give its --host and --port"
                )
        if not self._wishes.as_json:
            self._print(Text(HEADER, style="bold"))
        if not self._is_enough():
            self._client.loop_forever()

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _found: Any) -> None:
        if reason.is_failure:
            raise self._error(f"refuses ({reason})")
        client.subscribe(f"{self._wishes.mqtt.prefix}/+/+/+/verdict", qos=1)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _id: int, reasons: list[ReasonCode], _found: Any) -> None:
        if reasons[0].is_failure:
            raise self._error(f"refuses the subscription ({reasons[0]})")
        self._subscribed = True

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _found: Any) -> None:
        if self._subscribed and reason.is_failure:
            self._say(f"the broker closed the connection ({reason}); trying again")

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self._is_enough():
            return
        try:
            verdict = Verdict.from_json(bytes(message.payload))
        except ValidationError as error:
            self._say(f"{message.topic}: not a verdict ({error.error_count()} mistakes), {len(message.payload)} bytes")
            return
        line = bytes(message.payload).replace(b"\n", b" ") + b"\n"  # kenpin's own has no line breaks, others' may
        if self._saved:
            self._saved.write(line)
            self._saved.flush()
        if self._wishes.as_json:
            sys.stdout.write(for_machines(line.decode()))
            sys.stdout.flush()
        else:
            for region in verdict.regions:
                self._print(_row(verdict, region))
        self._say_if_missed(verdict)
        self._seen += 1
        if self._is_enough():
            client.disconnect()

    def _say_if_missed(self, verdict: Verdict) -> None:
        who = f"{verdict.site}/{verdict.line}/{verdict.station}"
        before = self._last.get(who, verdict.seq - 1)
        if verdict.seq > before + 1:
            self._say(f"{who}: {verdict.seq - before - 1} verdicts missed before {verdict.seq}")
        self._last[who] = verdict.seq

    def _is_enough(self) -> bool:
        return 0 < self._wishes.count <= self._seen

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
        sys.stdout.flush()

    @staticmethod
    def _say(what: str) -> None:
        sys.stderr.write(f"kenpin-edge: {what}\n")

    def _error(self, why: str) -> BrokerError:
        return BrokerError(self._wishes.mqtt.host, self._wishes.mqtt.port, why)


def _row(verdict: Verdict, region: RegionVerdict) -> Text:
    """One line of the table."""
    who = _column(f"{verdict.line}/{verdict.station}/{region.name}", WHO, keep_end=True)
    text = Text()
    text.append(f"{verdict.captured_at:%H:%M:%S}.{verdict.captured_at.microsecond // 1000:03}  {who}  ")
    text.append(f"{_parts(region)}  ", style="bold" if region.found else "")
    text.append(f"{region.verdict:7}  ", style=COLOURS[region.verdict])
    text.append(f"{region.reason:10}  {_score(region.defect_score)}  {_score(region.mismatch_score)}  ")
    text.append(f"{verdict.latency_ms.total:7.1f}  {verdict.picture or ''}")
    return text


def _parts(region: RegionVerdict) -> str:
    """What was expected, and what was found instead; of two long names a half each."""
    if not region.found:
        return _column(region.expected, PARTS)
    found = f" → {region.found}"
    room = max(PARTS // 2, PARTS - cell_len(found))
    expected = region.expected if cell_len(region.expected) <= room else _column(region.expected, room)
    return _column(expected + found, PARTS)


def _column(text: str, cells: int, *, keep_end: bool = False) -> str:
    """`text` in as many cells of a terminal, of which a Chinese character takes two; an ellipsis for what is left out.

    `keep_end`: leave out the beginning.
    """
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    if not keep_end:
        return set_cell_size(set_cell_size(text, cells - 1).rstrip() + "…", cells)
    while cell_len(text) > cells - 1:
        text = text[1:]
    return set_cell_size("…" + text, cells)


def _score(score: float | None) -> str:
    return f"{score:6.3f}" if score is not None else f"{'-':>6}"
