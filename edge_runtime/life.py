"""One station's life: from a camera's frames to verdicts on their way. `inspect` is where a newcomer starts to read."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from edge_runtime.broker import Broker
from edge_runtime.bundle import Bundle
from edge_runtime.cameras import Frame, open_camera
from edge_runtime.cameras.capture import Capture
from edge_runtime.changeover import Changeover, first_bundle
from edge_runtime.commands import set_label
from edge_runtime.engine import about
from edge_runtime.outbox import Outbox
from edge_runtime.pulse import Pulse
from edge_runtime.recipe import Recipe
from edge_runtime.requests import Requests
from edge_runtime.station import Station
from edge_runtime.store import Choice, Store
from edge_runtime.triggers import Triggers
from edge_runtime.triggers.config import CameraTrigger, PresenceTrigger

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""At the end of a replay: how long no verdict may be delivered before we say so and leave them in the outbox."""
HASTE_S = 2.0
"""The same when we were told to stop: service managers kill after a while."""
BEAT_S = 0.5
"""How often it is looked whether the state has changed."""


def inspect(station: Station, stop: threading.Event, share: Callable[[Bundle], Bundle]) -> None:
    """Inspect as `station` says, until its source ends or `stop` is set. `share`: the bundle on the engine to be used.

    Raises StoreError, BundleError, KeyFileError, PictureError (of a mark), CameraError, RecipeError or OutboxError
    where it cannot start or go on, and BrokerError where a replay has ended and verdicts could not be delivered; they
    stay in the outbox for the next run.
    """
    store = Store(station.data, station.trusted_keys)
    bundle, choice = first_bundle(station, store)

    with ExitStack() as life:
        outbox = life.enter_context(Outbox(station.data))
        recipe = Recipe(station.data, station.expected(), bundle.info.labels)
        changeover = Changeover(station, store, recipe, bundle, choice, share)
        wake = threading.Event()

        def facts() -> dict[str, object]:
            judges = changeover.inspector.bundle
            return {
                "state": pulse.state(),
                "bundle": judges.ref.model_dump(),
                "engine": about(judges.engine),
                "recipe": dict(recipe.labels()),
            }

        broker = Broker(station, outbox, facts)
        each = isinstance(station.trigger, CameraTrigger)
        capture = Capture(partial(open_camera, station.camera), wake, broker.tell, each=each)
        pulse = Pulse(capture, time.monotonic)

        def looked(frame: Frame) -> None:
            changeover.framing.watch(frame)
            if isinstance(station.trigger, PresenceTrigger):  # a part was looked for, which is inspecting
                pulse.beat()

        triggers = Triggers(station.trigger, capture, wake, stop, looked)
        requests = Requests(triggers.ask, lambda _key: None)
        broker.obey({"inspect": requests.inspect, "set-label": set_label(recipe)})

        _say_what_begins(station, bundle, choice, recipe)
        life.enter_context(capture)
        life.enter_context(broker)
        life.enter_context(changeover.watching(broker.tell))
        life.enter_context(_saying(broker, pulse))
        try:
            for shot in triggers:
                inspector = changeover.inspector  # before the labels: see there
                labels = recipe.labels_at(shot.frame.taken)
                inspection = inspector.inspect(shot.frame, labels, shot.trigger, shot.asked_by)
                verdict = outbox.append(inspection.verdict)
                broker.wake()
                if shot.key is not None:
                    requests.answer(shot.key, verdict.to_json())
                if shot.frame.pixels is not None:
                    pulse.beat()
        finally:  # also where the outbox is full: what it holds must go out
            stopped = stop.is_set()
            if stopped:
                waiting = broker.drain(HASTE_S, within_s=HASTE_S)
            else:
                waiting = broker.drain(PATIENCE_S, enough=stop.is_set)
        if waiting and not stop.is_set():
            raise broker.undelivered(waiting)
    log.info("%s stopped after %d verdicts; %d wait in %s", station.station, triggers.count, waiting, outbox.path)


def _say_what_begins(station: Station, bundle: Bundle, choice: Choice | None, recipe: Recipe) -> None:
    name = f"{bundle.info.name}-{bundle.info.version}"
    name += f" (chosen, not {station.bundle_named} of the station file)" if choice else ""
    expected = dict(recipe.labels())
    log.info("%s inspects with %s on %s, expecting %s", station.station, name, bundle.engine.setting, expected)
    if station.trusted_keys:
        log.info("%s is signed by a trusted key", bundle.path)
    else:
        log.info("%s is not checked for a signature: the station file names no trusted_keys", bundle.path)


@contextmanager
def _saying(broker: Broker, pulse: Pulse) -> Iterator[None]:
    """Within this, a state that has changed is published within a second."""
    over = threading.Event()

    def work() -> None:
        said = pulse.state()
        while not over.wait(BEAT_S):
            if (now := pulse.state()) is not said:
                said = now
                broker.say()

    thread = threading.Thread(target=work, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
