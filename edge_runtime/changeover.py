"""The change from one bundle, or one engine, to another while the line runs.

The new one is loaded and proves itself beside the old one, which goes on inspecting; then one reference changes.
Whatever is wrong with the new one, the old one stays.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, repeat

from edge_runtime.bundle import Bundle, load_bundle
from edge_runtime.engine import about
from edge_runtime.errors import TRY_AGAIN, BundleError, KenpinError, StoreError
from edge_runtime.events import Tell
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector
from edge_runtime.logs import here
from edge_runtime.messages import (
    BundleRefused,
    BundleSwitched,
    EngineRef,
    EngineRefused,
    EngineSwitched,
    RecipeChanged,
    Wanted,
)
from edge_runtime.recipe import Change, Recipe
from edge_runtime.station import Station
from edge_runtime.store import SHORT, Choice, Store
from edge_runtime.tuning import tuned

log = logging.getLogger(__name__)

POLL_S = 0.5
"""How often the choice is looked at: a person who changes over waits a second, and the file is 300 bytes."""
STOP_S = 1.0
"""How long stopping waits for a bundle that is just proving itself, or an engine that compiles: the end of the process
ends that, too."""


def first_bundle(station: Station, store: Store) -> tuple[Bundle, Choice | None]:
    """The bundle to begin with, proven and fit for the station: the chosen one or, where none is, the station file's.

    Never another than the one that was meant: a bundle that a person replaced may have been replaced because it let
    defects pass, and a stopped line is better than a wrong OK. Raises StoreError, BundleError or StationError.
    """
    choice = store.choice()
    if choice is None:
        bundle = load_bundle(station.bundle, station.trusted_keys)
    elif choice.beside != station.bundle_named:
        entry = store.entry(choice.sha256)
        why = f"{entry or choice.sha256} was chosen when the station file named {choice.beside!r}"
        now = f"now it names {station.bundle_named!r}, so which is meant is in doubt"
        how = "choose again with kenpin-edge bundle use, or delete this file to inspect with the station file's"
        raise StoreError(store.choice_path, f"{why}; {now}: {how}")
    else:
        try:
            bundle = store.load(choice.sha256)
        except BundleError as error:
            if error.service_status == TRY_AGAIN:  # it may well be whole
                raise
            how = "it is the chosen one and no other takes its place: install it again, or kenpin-edge bundle rollback"
            raise BundleError(error.path, f"{error.why}; {how}") from error
    station.check_against(bundle.info)
    return bundle, choice


class Changeover:
    """Which inspector judges now, `inspector`, and the thread that replaces it when another bundle is chosen.

    `framing`: the regions that whoever judges looks at.

    Who judges a frame takes `inspector` before the labels: should both change in between, the labels that were expected
    when the picture was taken are still ones that this inspector knows.
    """

    def __init__(
        self,
        station: Station,
        store: Store,
        recipe: Recipe,
        bundle: Bundle,
        choice: Choice | None,
        share: Callable[[Bundle], Bundle],
    ) -> None:
        """Begin with `bundle`; `choice` is what chose it, None where the station file did.

        `share`: a bundle on the engine that it shall run on, which may be one that others use, too. Raises PictureError
        where a mark's template cannot be used.
        """
        self._station, self._store, self._recipe, self._share = station, store, recipe, share
        self._replacing = threading.Lock()  # held for no longer than a frame takes
        self.framing = Framing(station.region, station.mark, station.gate, station.source)
        self.inspector = self._inspector(bundle)
        self._settled = choice  # what chose the bundle that judges
        self._seen = choice
        self._complaint = ""
        self._stop = threading.Event()

    @contextmanager
    def watching(self, tell: Tell) -> Iterator[None]:
        """Within this, a choice counts within a second and the time that the new bundle needs to prove itself.

        After it nothing is switched, put back or told any more; a choice that came too late counts at the next start.
        It begins with the engine that a tune file chose for the bundle that judges.
        """
        thread = threading.Thread(target=here(partial(self._work, tell)), name="changeover", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(STOP_S)

    def look(self, tell: Tell) -> None:
        """Change over if another bundle was chosen since the last look; if it must not be, say why, and put it back."""
        try:
            choice = self._store.choice()
        except StoreError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._refuse(None, str(error), tell)
            return
        self._complaint = ""
        if choice is None:  # deleted: the next start is with the station file's, also if another is refused until then
            self._seen = self._settled = None
            return
        if choice == self._seen:
            return
        self._seen = choice
        if choice.sha256 == self.inspector.bundle.sha256:
            self._settled = choice
            return
        try:
            changed = self._change_to(choice)
        except KenpinError as error:
            self._refuse(choice, "; ".join(str(error).splitlines()), tell)
        except Exception as error:  # a fault of ours or of the engine's: the old bundle still judges
            log.exception("changing to %s failed", choice.sha256)
            self._refuse(choice, f"fault at the station: {error}", tell)
        else:
            if changed is not None:
                self._tell_of(*changed, tell)
                self.speed_up(tell)

    def adopt(self, station: Station) -> None:
        """Judge as `station` says from the next frame on: its regions and thresholds. For any thread.

        The marks' templates are read anew: under the same name may lie another picture. Raises StationError where the
        bundle that judges now does not fit it, and PictureError where a template cannot be used; then nothing has
        changed.
        """
        now = self._station
        framing = Framing(station.region, station.mark, station.gate, station.source)
        same = (station.region, station.mark, station.gate) == (now.region, now.mark, now.gate)
        if same and not framing.marks.redrawn(self.framing.marks):
            framing = self.framing
        with self._replacing:
            station.check_against(self.inspector.bundle.info)
            if framing is not self.framing:
                framing.follow(self.framing)  # else a frozen camera would be taken for one that works, for some frames
            self._station, self.framing = station, framing
            self.inspector = self._as_stated(self.inspector)

    def speed_up(self, tell: Tell) -> None:
        """Go on with the engine that the bundle's tune file chose, once it has proven itself; if it does not, say why.

        May take minutes; the plain engine judges meanwhile.
        """
        slow = self.inspector.bundle
        try:
            fast = tuned(slow)
            following = self._inspector(fast)
        except KenpinError as error:
            why = "; ".join(str(error).splitlines())
            log.warning("%s goes on with %s: %s", self._station.station, slow.engine.setting, why)
            tell(EngineRefused(engine=EngineRef(**about(slow.engine)), why=why))
            return
        if fast is not slow and not self._stop.is_set():
            with self._replacing:
                self.inspector = self._as_stated(following)
            log.info("%s runs its bundle with %s from now on", self._station.station, fast.engine.setting)
            tell(EngineSwitched(engine=EngineRef(**about(fast.engine)), was=EngineRef(**about(slow.engine))))

    def _change_to(self, choice: Choice) -> tuple[Bundle, Change | None] | None:
        """Let the chosen bundle judge from the next frame on; None once stopping.

        Gives the one that judged until now, and what changes in the recipe with it.
        """
        bundle = self._store.load(choice.sha256)
        self._station.check_against(bundle.info)
        following, was = self._inspector(bundle), self.inspector.bundle
        if self._stop.is_set():
            return None
        with (
            self._replacing,
            self._recipe.changing_to(f"{bundle.info.name}-{bundle.info.version}", bundle.info.labels) as change,
        ):
            self._station.check_against(bundle.info)  # once more: it may have been read again meanwhile
            self.inspector = self._as_stated(following)
        self._settled = choice
        return was, change

    def _tell_of(self, was: Bundle, recipe: Change | None, tell: Tell) -> None:
        """Say that another bundle judges."""
        now = self.inspector.bundle.ref
        name = f"{now.name}-{now.version} ({now.sha256[:SHORT]})"
        log.info(
            "%s inspects with %s from now on, not %s-%s", self._station.station, name, was.ref.name, was.ref.version
        )
        tell(BundleSwitched(bundle=now, was=was.ref))
        if recipe is not None:
            log.info("the retained recipe that waited for it counts from now on: %s", dict(recipe.labels))
            tell(RecipeChanged(recipe=dict(recipe.labels), was=dict(recipe.was), by="bundle"))

    def _refuse(self, choice: Choice | None, why: str, tell: Tell) -> None:
        """Say that the old bundle stays, and make it the choice again, so that a restart finds what runs now."""
        if self._stop.is_set():
            return
        bundle = self.inspector.bundle.ref
        log.error("the chosen bundle is refused, %s-%s goes on: %s", bundle.name, bundle.version, why)
        wanted: Wanted | None = None
        if choice is not None:
            entry = self._store.entry(choice.sha256)
            wanted = Wanted(
                sha256=choice.sha256, name=entry.name if entry else None, version=entry.version if entry else None
            )
            try:
                self._store.put_back(choice, self._settled)
            except StoreError as error:
                log.error("what was chosen before cannot be put back: %s", error)  # noqa: TRY400  # a person's line
        tell(BundleRefused(bundle=bundle, wanted=wanted, why=why))

    def _inspector(self, bundle: Bundle) -> Inspector:
        """An inspector whose thresholds are the bundle's own, where the station states none."""
        at = self._station
        limits = at.limits(bundle.info.thresholds)
        return Inspector(self._share(bundle), self.framing, limits, at.site, at.line, at.station)

    def _as_stated(self, inspector: Inspector) -> Inspector:
        """`inspector`, with what the station file says now."""
        at = self._station
        return replace(inspector, framing=self.framing, limits=at.limits(inspector.bundle.info.thresholds))

    def _work(self, tell: Tell) -> None:
        for step in chain([self.speed_up], repeat(self.look)):
            try:
                step(tell)
            except Exception:  # if this thread died, no bundle could be changed and nobody would know
                log.exception("loading an engine or a bundle failed; looking again in %.1f s", POLL_S)
            if self._stop.wait(POLL_S):
                return
