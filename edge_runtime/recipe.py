"""The recipe: which label is expected in which region, now."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_runtime.disk import write_whole
from edge_runtime.errors import RecipeError

log = logging.getLogger(__name__)

CHANGES = 16
"""Changes that are remembered for pictures taken before them: no camera is slower than that many commands."""


@dataclass(frozen=True, slots=True)
class Change:
    """A label that was changed. `was`: the label that the region expected before."""

    region: str
    label: str
    was: str


class Recipe:
    """The expected label per region. One object for all threads: the lock is inside.

    What was commanded is kept in `<data>/recipe.json`, and survives a restart: where it still fits the station and the
    bundle, it wins over the station file, because the change came later. `path`: that file.
    """

    def __init__(self, folder: Path, expected: Mapping[str, str], known: tuple[str, ...]) -> None:
        """Begin with the kept recipe in `folder`, else with the station file's (`expected`: region → label).

        `known`: the bundle's labels. Raises RecipeError where a kept recipe is there but damaged: which part is
        expected is then in doubt, and kenpin does not guess.
        """
        self.path = folder / "recipe.json"
        self._known = known
        self._mutex = threading.Lock()
        labels = dict(expected)
        self._commanded: dict[str, str] = {}
        self._before: deque[tuple[float, Mapping[str, str]]] = deque(
            maxlen=CHANGES
        )  # until when, and what; oldest first
        for region, label in _kept(self.path).items():
            if region not in labels:
                log.warning("%s: region %s is no longer in the station file; left out", self.path, region)
            elif label not in known:
                instead = labels[region]
                why = f"the bundle does not know {label!r}; {instead!r} instead"
                log.warning("%s: region %s: %s", self.path, region, why)
            else:
                if label != labels[region]:
                    was = labels[region]
                    log.info("%s: region %s expects %r, as set by command, not %r", self.path, region, label, was)
                labels[region] = self._commanded[region] = label
        self._labels: Mapping[str, str] = MappingProxyType(labels)

    def labels(self) -> Mapping[str, str]:
        """Region → expected label. What is returned does not change when the recipe does."""
        with self._mutex:
            return self._labels

    def labels_at(self, taken: float) -> Mapping[str, str]:
        """What was expected when a picture was taken (`time.monotonic()`): a later change is not for that picture."""
        with self._mutex:
            for until, labels in self._before:
                if taken < until:
                    return labels
            return self._labels

    def set(self, region: str | None, label: str) -> Change:
        """Expect `label` in `region` from the next picture on; on disk when this returns.

        `region` may be None where there is only one. Raises RecipeError, naming the known ones, where label or region
        are unknown, and where the disk refuses; then the old label stays.
        """
        with self._mutex:
            if region is None:
                if len(self._labels) > 1:
                    raise RecipeError(f"name the region; this station has: {', '.join(self._labels)}")
                region = next(iter(self._labels))
            if region not in self._labels:
                raise RecipeError(f"unknown region {region!r}; this station has: {', '.join(self._labels)}")
            if label not in self._known:
                raise RecipeError(f"unknown label {label!r}; the bundle knows: {', '.join(self._known)}")
            change = Change(region, label, self._labels[region])
            commanded = {**self._commanded, region: label}
            try:
                write_whole(self.path, json.dumps(commanded).encode())
            except OSError as error:
                raise RecipeError(f"{self.path}: cannot be written ({error.strerror}); the old label stays") from error
            self._commanded = commanded
            self._before.append((time.monotonic(), self._labels))
            self._labels = MappingProxyType({**self._labels, region: label})
            return change

    @contextmanager
    def changing_to(self, bundle: str, known: tuple[str, ...]) -> Iterator[None]:
        """Change to a bundle that knows the labels `known`; within this no label changes.

        `bundle`: its name. Raises RecipeError where a region expects a label that it does not know; then nothing has
        changed.
        """
        with self._mutex:
            self._check(bundle, known)
            yield
            self._known = known

    def check_against(self, bundle: str, known: tuple[str, ...]) -> None:
        """Raise RecipeError, as `changing_to` does, where a region expects a label that is not one of `known`."""
        with self._mutex:
            self._check(bundle, known)

    def _check(self, bundle: str, known: tuple[str, ...]) -> None:
        unknown = [f"{region} expects {label!r}" for region, label in self._labels.items() if label not in known]
        if unknown:
            why = f"which {bundle} does not know ({', '.join(known)})"
            raise RecipeError(f"region {', region '.join(unknown)}, {why}; set a label that both know first")


def _kept(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if not isinstance(kept, dict) or not all(isinstance(label, str) for label in kept.values()):
        raise _damaged(path)
    return kept


def _damaged(path: Path) -> RecipeError:
    return RecipeError(
        f"{path}: is damaged, so which part is expected is in doubt; delete it to begin as the station file says"
    )
