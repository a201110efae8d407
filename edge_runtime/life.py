"""One station's life: from a camera's frames to verdicts on their way. `inspect` is where a newcomer starts to read."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edge_runtime.broker import Broker
from edge_runtime.bundle import Bundle
from edge_runtime.cameras import Frame, open_camera
from edge_runtime.cameras.capture import Capture
from edge_runtime.changeover import Changeover, first_bundle
from edge_runtime.commands import follow_recipe, set_label
from edge_runtime.committer import Committer
from edge_runtime.errors import EngineError
from edge_runtime.evidence.store import PictureStore
from edge_runtime.evidence.writer import Evidence
from edge_runtime.faults import Faults, is_judged
from edge_runtime.inspector import Look
from edge_runtime.messages import OutboxDamaged, State, VerdictsShed
from edge_runtime.metrics import Meters, NoMeters
from edge_runtime.outbox import Outbox
from edge_runtime.pulse import Pulse
from edge_runtime.rebuild import GoesOn
from edge_runtime.recipe import Recipe
from edge_runtime.requests import Requests
from edge_runtime.reread import Reread
from edge_runtime.service import Service, Ward
from edge_runtime.station import Station
from edge_runtime.store import Choice, Store
from edge_runtime.triggers import Shot, Triggers
from edge_runtime.triggers.config import CameraTrigger, PresenceTrigger
from edge_runtime.verdict import Verdict
from edge_runtime.vitals import Vitals

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""At the end of a replay: how long no verdict may be delivered before we say so and leave them in the outbox."""
HASTE_S = 2.0
"""How long in all where we were told to stop, since service managers kill after a while, or after a fault: the next
start inspects, and sends the rest beside it."""


def inspect(
    path: Path, station: Station, stop: threading.Event, share: Callable[[Bundle], Bundle], service: Service
) -> None:
    """Inspect as `station` says, until its source ends or `stop` is set.

    `path`: its file, which may be read again. `share`: the bundle on the engine to be used. `service`: looks after it.

    Raises StoreError, BundleError, KeyFileError, PictureError (of a mark), CameraError, RecipeError or OutboxError
    where it cannot start or go on, EngineError where nothing can be judged any more, and BrokerError where a replay has
    ended and verdicts could not be delivered; they stay in the outbox for the next run.
    """
    with ExitStack() as stack:
        life = Life(station, stop, share, partial(service.goes_on, station.address), stack)
        stack.enter_context(life.capture)
        life.meters = stack.enter_context(_metered(life))
        life.broker.measure(life.meters.delivered)
        stack.enter_context(life.broker)
        stack.enter_context(life.evidence)
        stack.enter_context(life.changeover.watching(life.broker.tell))
        try:
            with life.committer, service.looking_after(life.ward(path)):
                for shot in life.triggers:
                    life.judge(shot)
            if not stop.is_set():
                life.check_engine()
        except BaseException:  # also where the outbox is full: what it holds must go out, but nobody inspects meanwhile
            life.broker.leave(State.OFFLINE)
            life.requests.end()
            life.broker.drain(HASTE_S, within_s=HASTE_S)
            raise
        life.requests.end()
        if stop.is_set():
            waiting = life.broker.drain(HASTE_S, within_s=HASTE_S)
        else:
            life.broker.leave(State.IDLE)
            waiting = life.broker.drain(PATIENCE_S, enough=stop.is_set)
        if waiting and not stop.is_set():
            raise life.broker.undelivered(waiting)
    count, path = life.triggers.count, life.outbox.path
    log.info("%s stopped after %d verdicts; %d wait in %s", station.station, count, waiting, path)


class _Picture(NamedTuple):
    """What evidence is made of, once the verdict is on the disk; held for those only that get any."""

    frame: Frame
    looks: Mapping[str, Look]


class Life:
    """The parts of one station, and what each tells the others.

    `given_up`: why it ends by itself; None while it goes on.
    """

    def __init__(
        self,
        station: Station,
        stop: threading.Event,
        share: Callable[[Bundle], Bundle],
        goes_on: GoesOn,
        stack: ExitStack,
    ) -> None:
        """Make them; what must be closed is left to `stack`. `goes_on`: as the outbox's. Raises as `inspect` does."""
        self.station = station
        store = Store(station.data, station.trusted_keys)
        bundle, choice = first_bundle(station, store)
        limits = station.evidence
        pictures = PictureStore(station.data / "evidence", max_bytes=limits.max_bytes, max_age_days=limits.max_age_days)
        self.outbox = stack.enter_context(
            Outbox(
                station.data,
                on_shed=self._shed,
                on_damage=self._damaged,
                give_up=pictures.give_up,
                goes_on=goes_on,
            )
        )
        self.committer = Committer(self.outbox)
        self.meters: Meters = NoMeters()
        self.recipe = Recipe(station.data, station.expected(), bundle.info.labels)
        self.changeover = Changeover(station, store, self.recipe, bundle, choice, share)
        self.broker = Broker(station, self.outbox, lambda: self.vitals.facts())  # noqa: PLW0108  # made of the broker, below
        self.evidence = Evidence(pictures, limits, self.broker.tell)
        wake = threading.Event()
        each = isinstance(station.trigger, CameraTrigger)
        self.capture = Capture(partial(open_camera, station.camera), wake, self.broker.tell, each=each)
        self.pulse, self.faults = Pulse(self.capture, time.monotonic), Faults(time.monotonic)
        self.given_up: EngineError | None = None
        self.triggers = Triggers(station.trigger, self.capture, wake, stop, self._watch, check=self.committer.check)
        self.requests = Requests(self.triggers.ask, self.outbox.answered, self.outbox.forget_answer)
        tell = self.broker.tell
        commands = {"inspect": self.requests.inspect, "set-label": set_label(self.recipe, tell)}
        self.broker.obey(commands, follow_recipe(self.recipe, tell))
        self.vitals = Vitals(
            self.capture,
            self.triggers,
            self.pulse,
            self.changeover,
            self.recipe,
            self.committer,
            self.outbox,
            self.broker,
            self.evidence,
            self.outbox.balance().verdicts,
        )
        _say_what_begins(station, bundle, choice, self.recipe)

    def ward(self, path: Path) -> Ward:
        """What the process' service looks after. `path`: the station file."""
        reread = Reread(path, self.station, self.changeover, self.broker.tell)
        vitals = self.vitals
        hung = vitals.hung, vitals.only_driver_hung
        return Ward(self.station.address, *hung, self.pulse.state, vitals.line, self.broker.say, reread)

    def judge(self, shot: Shot) -> None:
        """Give a shot its verdict. Raises OutboxError where verdicts cannot be kept."""
        inspector = self.changeover.inspector  # before the labels: see there
        labels = self.recipe.labels_at(shot.frame.taken)
        inspection = inspector.inspect(shot.frame, labels, shot.trigger, shot.asker)
        named = self.evidence.name(shot.frame, inspection)
        picture = _Picture(shot.frame, inspection.looks) if named.evidence is not None else None
        key = shot.asker.key if shot.asker is not None else None
        then = partial(self._kept, key, picture, time.perf_counter())
        # Somebody waits for it, and no frame does: one that came while a disk has to catch its breath might be dropped.
        at_once = shot.asker is not None and not self.capture.waiting
        delivery = shot.asker.delivery if shot.asker is not None else None
        self.committer.keep(named, then, request=delivery, at_once=at_once)
        self.faults.count(named)
        if is_judged(named):
            self.pulse.beat()
            return
        self.pulse.refuse()
        if (why := self.faults.lasting) is not None and self.given_up is None:
            self.given_up = EngineError(str(inspector.bundle.engine.setting), f"{why}; it is to be started anew")
            self.triggers.end("the engine fails, and the station is started anew")

    def check_engine(self) -> None:
        """Raise EngineError where the engine was given up: everything asked of it failed."""
        if self.given_up is not None:
            raise self.given_up

    def _kept(self, key: str | None, picture: "_Picture | None", decided: float, verdict: Verdict) -> None:
        """It is on the disk: it may be published, and who asked may know.

        `key`: of the request; `decided`: when it was (`perf_counter`).
        """
        self.broker.wake()
        self.meters.judged(verdict, time.perf_counter() - decided)
        try:
            if key is not None:
                self.requests.answer(key, verdict.to_json())
        finally:  # what is named has its place among those that wait, which only the writer gives back
            if picture is not None:
                self.evidence.keep(picture.frame, verdict, picture.looks)

    def _watch(self, frame: Frame) -> Frame:
        """A frame of a free-running camera came; with what is wrong with it."""
        try:
            frame = self.changeover.framing.watch(frame)
        except Exception:  # noqa: BLE001  # where it is judged, it is looked at again, and that fault is its verdict
            return frame
        if frame.pixels is None or frame.trouble is not None or not self.triggers.sees:
            self.pulse.refuse()
        elif self.faults.going_on:
            pass  # that a picture could be judged does not say that it would be
        elif isinstance(self.station.trigger, PresenceTrigger):  # to look for a part is to inspect
            self.pulse.beat()
        else:
            self.pulse.sees()
        return frame

    def _shed(self, count: int, first: int, last: int) -> None:
        """Verdicts were given up undelivered, for want of room."""
        self.broker.tell(VerdictsShed(count=count, first=first, last=last))

    def _damaged(self, why: str, moved_to: str) -> None:
        """The outbox was made anew."""
        self.broker.tell(OutboxDamaged(why=why, moved_to=moved_to))


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
def _metered(life: Life) -> Iterator[Meters]:
    """Within this, figures are served where the station file asks for them."""
    if life.station.metrics is None:
        yield NoMeters()
        return
    from edge_runtime.metrics.server import serving  # what it needs takes 50 ms to load

    with serving(life.station.metrics, life.vitals.readings, life.vitals.hung, life.broker.tell) as meters:
        yield meters
