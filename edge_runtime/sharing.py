"""One engine for several stations of one PC: who comes while it runs waits, and all who wait run as one batch.

Nobody waits for a batch to fill: where the engine is free, one view runs at once. Each station waits with one view at a
time, and the longest waiting is always in the next batch, so none is passed over; a station whose camera is dead asks
for nothing, and delays nobody.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Arrays, Engine, Setting
from edge_runtime.errors import EngineError

log = logging.getLogger(__name__)

MOST = 16
"""Views in one batch: a GPU is busy with so many, and on a CPU nobody waits long for the others'."""

Found = dict[str, npt.NDArray[Any]]


@dataclass(slots=True, eq=False)
class _Call:
    """What one station wants to know, until `found` or `failed` is there."""

    outputs: tuple[str, ...]
    feeds: Arrays
    found: Found | None = None
    failed: Exception | None = None

    @property
    def done(self) -> bool:
        return self.found is not None or self.failed is not None

    @property
    def views(self) -> int:
        """How many views it asks about."""
        return max(len(values) for values in self.feeds.values())

    @property
    def kind(self) -> object:
        """What must be the same for two calls to run as one; None where it runs alone: a view under several labels."""
        if len({len(values) for values in self.feeds.values()}) != 1:
            return None
        return self.outputs, {name: (values.shape[1:], values.dtype) for name, values in self.feeds.items()}


class SharedEngine:
    """An engine that several threads ask at once, and that answers what waits as one batch. See `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self.setting, self.version = engine.setting, engine.version
        self._engine = engine
        self._turn = threading.Condition()
        self._busy = False
        self._waiting: deque[_Call] = deque()  # at most one for each thread that asks

    def run(self, outputs: Sequence[str], feeds: Arrays) -> Found:
        """As `Engine` says. Where a batch fails, each of it is tried alone: one bad view fails no other."""
        call = _Call(tuple(outputs), feeds)
        with self._turn:
            self._waiting.append(call)
        while not call.done:
            with self._turn:
                while self._busy and not call.done:
                    self._turn.wait()
                if call.done:
                    break
                batch = self._next()  # what waits longest first, whosever it is
                self._busy = True
            try:
                self._answer(batch)
            finally:
                with self._turn:
                    self._busy = False
                    self._turn.notify_all()
        if call.found is None:
            assert call.failed is not None  # noqa: S101  # that is what done means
            raise call.failed
        return call.found

    def _next(self) -> list[_Call]:
        """The call that waits longest, and those that can run with it, in the order they came."""
        batch = [self._waiting.popleft()]
        kind, views = batch[0].kind, batch[0].views
        for call in list(self._waiting) if kind is not None else []:
            if call.kind == kind and views + call.views <= MOST:
                self._waiting.remove(call)
                batch.append(call)
                views += call.views
        return batch

    def _answer(self, batch: list[_Call]) -> None:
        if len(batch) > 1:
            try:
                self._answer_as_one(batch)
            except Exception:  # noqa: BLE001  # whose view it was shows below
                log.debug("a batch of %d failed; each is tried alone", len(batch))
        for call in batch:
            if not call.done:
                try:
                    call.found = self._engine.run(call.outputs, call.feeds)
                except Exception as error:  # noqa: BLE001  # raised where it was asked
                    call.failed = error

    def _answer_as_one(self, batch: list[_Call]) -> None:
        feeds = {name: np.concatenate([call.feeds[name] for call in batch]) for name in batch[0].feeds}
        found = self._engine.run(batch[0].outputs, feeds)
        begin = 0
        for call in batch:
            end = begin + call.views
            call.found = {name: values[begin:end] for name, values in found.items()}
            begin = end


class Pool:
    """The engines that stations of one process share: one for each bundle and setting, while somebody uses it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._engines: WeakValueDictionary[tuple[str, Setting], SharedEngine] = WeakValueDictionary()

    def share(self, bundle: Bundle) -> Bundle:
        """`bundle` on the engine that others run it on, too; on its own, which the next ones share, where that one no
        longer says what was trained. Raises EngineError where that does not, either.
        """
        if isinstance(bundle.engine, SharedEngine):
            return bundle
        key, own = (bundle.sha256, bundle.engine.setting), SharedEngine(bundle.engine)
        with self._mutex:
            engine = self._engines.setdefault(key, own)
        try:
            return bundle.on(engine)
        except EngineError as error:
            if engine is own:
                raise
            log.warning("%s; a new one takes its place", error)
        with self._mutex:
            self._engines[key] = own
        return bundle.on(own)
