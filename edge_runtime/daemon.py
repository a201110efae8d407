"""`kenpin-edge run`: the daemon of one station. `run` is where a newcomer starts to read."""

import logging
import signal
import threading
from pathlib import Path
from types import FrameType

from edge_runtime.broker import Broker
from edge_runtime.cameras import open_camera
from edge_runtime.changeover import Changeover, first_bundle
from edge_runtime.commands import set_label
from edge_runtime.engine import about
from edge_runtime.outbox import Outbox
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import Store

log = logging.getLogger(__name__)

TRIGGER = "camera"
"""Folder and video cameras set the pace themselves."""
PATIENCE_S = 10.0
"""At the end of a replay: how long no verdict may be delivered before we say so and leave them in the outbox."""
HASTE_S = 2.0
"""The same when we were told to stop: service managers kill after a while."""


def run(path: Path) -> None:
    """Inspect as the station file `path` says, until the source ends or SIGTERM or SIGINT comes.

    Raises StationError, StoreError, BundleError, KeyFileError, CameraError, RecipeError or OutboxError where it cannot
    start or go on, and BrokerError where a replay has ended and verdicts could not be delivered; they stay in the
    outbox for the next run.
    """
    station = Station.read(path)
    store = Store(station.data, station.trusted_keys)
    bundle, choice = first_bundle(station, store)
    stop = _stop_on_signals()

    with Outbox(station.data) as outbox, open_camera(station.camera, stop.wait) as camera:
        recipe = Recipe(station.data, station.expected(), bundle.info.labels)
        changeover = Changeover(station, store, recipe, bundle, choice)

        def facts() -> dict[str, object]:
            judges = changeover.inspector.bundle
            return {
                "bundle": judges.ref.model_dump(),
                "engine": about(judges.engine),
                "recipe": dict(recipe.labels()),
            }

        with (
            Broker(station, outbox, {"set-label": set_label(recipe)}, facts) as broker,
            changeover.watching(broker.tell),
        ):
            name = f"{bundle.info.name}-{bundle.info.version}"
            name += f" (chosen, not {station.bundle_named} of the station file)" if choice else ""
            expected = dict(recipe.labels())
            log.info("%s inspects with %s on %s, expecting %s", station.station, name, bundle.engine.setting, expected)
            if station.trusted_keys:
                log.info("%s is signed by a trusted key", bundle.path)
            else:
                log.info("%s is not checked for a signature: the station file names no trusted_keys", bundle.path)
            count = 0
            try:
                while frame := camera.grab():
                    inspector = changeover.inspector  # before the labels: see there
                    verdict = inspector.inspect(frame, recipe.labels_at(frame.captured_ns), TRIGGER)
                    outbox.append(verdict)
                    broker.wake()
                    count += 1
            finally:  # also where the outbox is full: what it holds must go out
                stopped = stop.is_set()
                if stopped:
                    waiting = broker.drain(HASTE_S, within_s=HASTE_S)
                else:
                    waiting = broker.drain(PATIENCE_S, enough=stop.is_set)
            if waiting and not stop.is_set():
                raise broker.undelivered(waiting)
    log.info("%s stopped after %d verdicts; %d wait in %s", station.station, count, waiting, outbox.path)


def _stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets. A second one ends the process as if nobody listened."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, on_signal)
    return stop
