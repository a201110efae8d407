"""The recipe: which label is expected in which region, now."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_runtime.cameras import Clock
from edge_runtime.disk import write_whole
from edge_runtime.errors import RecipeError, remedy
from edge_runtime.messages import Labels

log = logging.getLogger(__name__)

CHANGES = 16
"""Changes that are remembered for pictures taken before them, and so the most within `CHANGES_S`."""
CHANGES_S = 1.0
"""Few pictures wait longer to be judged; nor does a line that works change its parts faster."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is expected now, in all regions, and what was in those that changed. `was` is empty where nothing did."""

    labels: Mapping[str, str]
    was: Mapping[str, str]


class _Kept(BaseModel):
    """`recipe.json`. `labels`: region → label, as commanded or from the retained topic, whichever came later.

    `heard`: the digest of the last retained recipe that was obeyed or refused. `waiting`: that one, where it was
    refused for a label that another bundle may know.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", serialize_by_alias=True, populate_by_name=True)

    schema_: Literal["kenpin.recipe/1"] = Field(default="kenpin.recipe/1", alias="schema")
    labels: Labels = {}
    heard: str | None = None
    waiting: Labels | None = None

    @model_validator(mode="before")
    @classmethod
    def _older(cls, kept: Any) -> Any:
        """At first the file had the labels and nothing else."""
        return kept if not isinstance(kept, dict) or isinstance(kept.get("labels"), dict) else {"labels": kept}


class Recipe:
    """The expected label per region. One object for all threads: the lock is inside.

    What was commanded is kept in `<data>/recipe.json`, and survives a restart: where it still fits the station and the
    bundle, it wins over the station file, because the change came later. `path`: that file. `regions`: their names.

    A retained recipe that was refused for a label the bundle does not know waits for one that does, until the next
    change: so the next product's recipe may come before its bundle.
    """

    def __init__(
        self, folder: Path, expected: Mapping[str, str], known: tuple[str, ...], clock: Clock = time.monotonic
    ) -> None:
        """Begin with the kept recipe in `folder`, else with the station file's (`expected`: region → label).

        `known`: the bundle's labels. `clock`: that of the frames' `taken`. Raises RecipeError where a kept recipe is
        there but damaged, or cannot be read: which part is expected is then in doubt, and kenpin does not guess.
        """
        self.path = folder / "recipe.json"
        self.regions = tuple(expected)
        self._known, self._clock = known, clock
        self._mutex = threading.Lock()
        self._before: deque[tuple[float, Mapping[str, str]]] = deque(
            maxlen=CHANGES
        )  # until when, and what; oldest first
        self._forgotten = -math.inf  # what was expected until then
        kept = self._on_disk = _kept(self.path)
        if kept.waiting is not None and self._fits(kept.waiting, known):
            log.info("%s: %s, refused until now, counts: this bundle knows it", self.path, kept.waiting)
            kept = kept.model_copy(update={"labels": kept.labels | kept.waiting, "waiting": None})
        fitting = self._fitting(kept.labels, expected)
        self._kept = kept.model_copy(update={"labels": fitting})
        self._labels: Mapping[str, str] = MappingProxyType(dict(expected) | fitting)

    def _fitting(self, kept: Labels, expected: Mapping[str, str]) -> Labels:
        """What of the kept labels still counts."""
        fitting: Labels = {}
        for region, label in kept.items():
            if region not in expected:
                log.warning("%s: region %s is no longer in the station file; left out", self.path, region)
                continue
            was = expected[region]
            if label not in self._known:
                why = f"the bundle does not know {label!r}; {was!r} instead"
                log.warning("%s: region %s: %s", self.path, region, why)
                continue
            if label != was:
                log.info("%s: region %s expects %r, as set over MQTT, not %r", self.path, region, label, was)
            fitting[region] = label
        return fitting

    @property
    def known(self) -> tuple[str, ...]:
        """The labels that the bundle knows now."""
        return self._known

    def labels(self) -> Mapping[str, str]:
        """Region → expected label. What is returned does not change when the recipe does."""
        with self._mutex:
            return self._labels

    def labels_at(self, taken: float) -> Mapping[str, str] | None:
        """What was expected when a picture was taken (`time.monotonic()`): a later change is not for that picture.

        None where that is not known any more: a belt may stand still with a part on it while the recipe changes often.
        """
        with self._mutex:
            if taken < self._forgotten:
                return None
            for until, labels in self._before:
                if taken < until:
                    return labels
            return self._labels

    def region(self, name: str | None) -> str:
        """The region of this name; None is the only one. Raises RecipeError where there is none, naming the known."""
        if name is None and len(self.regions) > 1:
            raise RecipeError(f"name the region; this station has: {', '.join(self.regions)}")
        if name is not None and name not in self.regions:
            raise RecipeError(f"unknown region {name!r}; this station has: {', '.join(self.regions)}")
        return self.regions[0] if name is None else name

    def change(self, wish: Mapping[str, str]) -> Change:
        """Expect other labels (`wish`: region → label) from the next picture on, on a command; on disk when it returns.

        All or none. Raises RecipeError, naming the known ones, where a label or region is unknown, where there are more
        changes than are remembered, and where the disk refuses; then the old labels stay.
        """
        with self._mutex:
            self._check_pace()
            self._check_known(wish)
            return self._take(wish, self._kept.heard)

    def heard(self, digest: str) -> bool:
        """Whether this is the retained recipe that was obeyed or refused last: then what came after it counts."""
        with self._mutex:
            return digest == self._kept.heard

    def follow(self, wish: Mapping[str, str], digest: str) -> Change:
        """As `change`, on a retained recipe. One that is refused is not refused again, but may wait; see the class."""
        with self._mutex:
            self._check_pace()
            try:
                self._check_known(wish)
            except RecipeError:
                waits = set(wish) <= set(self.regions)
                self._write(heard=digest, waiting=dict(wish) if waits else None)
                raise
            return self._take(wish, digest)

    def forget(self, digest: str | None) -> None:
        """Note a retained recipe that says nothing, or (None) that there is none any more. No label changes.

        Raises RecipeError where the disk refuses.
        """
        with self._mutex:
            self._write(heard=digest, waiting=None)

    @contextmanager
    def changing_to(self, bundle: str, known: tuple[str, ...]) -> Iterator[Change | None]:
        """Change to a bundle that knows the labels `known`; within this no label changes.

        `bundle`: its name. Gives what changes with it, where a refused recipe has waited for it. Raises RecipeError
        where a region expects a label that the bundle does not know; then, or where what is within this raises, nothing
        has changed.
        """
        with self._mutex:
            wish, before = self._check(bundle, known), self._kept
            if wish:
                self._write(labels=before.labels | wish, waiting=None)
            change = self._changed_by(wish)
            try:
                yield change if wish else None
            except BaseException:
                self._put(before)
                raise
            self._known = known
            self._expect(change)

    def check_against(self, bundle: str, known: tuple[str, ...]) -> None:
        """Raise RecipeError, as `changing_to` does, where a region expects a label that is not one of `known`."""
        with self._mutex:
            self._check(bundle, known)

    def _check(self, bundle: str, known: tuple[str, ...]) -> Labels:
        """What a bundle with these labels would change: the recipe that waits for it."""
        waiting = self._kept.waiting or {}
        wish = waiting if self._fits(waiting, known) else {}
        labels = {**self._labels, **wish}
        unknown = [f"{region} expects {label!r}" for region, label in labels.items() if label not in known]
        if unknown:
            why = f"which {bundle} does not know ({', '.join(known)})"
            raise RecipeError(f"region {', region '.join(unknown)}, {why}; set a label that both know first")
        return wish

    def _fits(self, wish: Labels, known: tuple[str, ...]) -> bool:
        return all(region in self.regions and label in known for region, label in wish.items())

    def _check_known(self, wish: Mapping[str, str]) -> None:
        for region in wish:
            self.region(region)
        for label in wish.values():
            if label not in self._known:
                raise RecipeError(f"unknown label {label!r}; the bundle knows: {', '.join(self._known)}")

    def _check_pace(self) -> None:
        if len(self._before) == CHANGES and self._clock() - self._before[0][0] < CHANGES_S:
            raise RecipeError(f"{CHANGES} changes within {CHANGES_S:g} s are enough; the last one stays, try again")

    def _take(self, wish: Mapping[str, str], heard: str | None) -> Change:
        self._write(labels={**self._kept.labels, **wish}, heard=heard, waiting=None)
        change = self._changed_by(wish)
        self._expect(change)
        return change

    def _changed_by(self, wish: Mapping[str, str]) -> Change:
        was = {region: self._labels[region] for region, label in wish.items() if self._labels[region] != label}
        return Change(MappingProxyType({**self._labels, **wish}), MappingProxyType(was))

    def _expect(self, change: Change) -> None:
        if change.was:
            if len(self._before) == CHANGES:
                self._forgotten, _ = self._before[0]
            self._before.append((self._clock(), self._labels))
            self._labels = change.labels

    def _write(self, **changes: Any) -> None:
        self._put(self._kept.model_copy(update=changes))

    def _put(self, kept: _Kept) -> None:
        if kept == self._kept == self._on_disk:  # not so where the file has what does not fit any more, or has waited
            return
        try:
            write_whole(self.path, kept.model_dump_json(exclude_none=True).encode())
        except OSError as error:
            raise RecipeError(f"{self.path}: cannot be written ({error.strerror}); the old label stays") from error
        self._kept = self._on_disk = kept


def _kept(path: Path) -> _Kept:
    try:
        return _Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Kept()
    except OSError as error:
        how = remedy(error, "correct its rights")
        why = f"{path}: cannot be read ({error.strerror}), so which part is expected is in doubt; {how}"
        raise RecipeError(why).due_to(error) from error
    except ValidationError as error:
        why = f"{path}: is damaged, so which part is expected is in doubt"
        raise RecipeError(f"{why}; delete it to begin as the station file says") from error
