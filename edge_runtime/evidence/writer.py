"""Which verdicts' pictures are kept, and the thread that writes them."""

import hashlib
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import cv2

from edge_runtime.cameras import Clock, Frame
from edge_runtime.events import Tell
from edge_runtime.evidence.config import EvidenceLimits
from edge_runtime.evidence.overview import overview
from edge_runtime.evidence.store import PictureStore, name_of, room_for
from edge_runtime.inspector import Inspection, Look
from edge_runtime.logs import here
from edge_runtime.messages import EvidenceResumed, EvidenceStopped
from edge_runtime.picture import Image
from edge_runtime.verdict import Call, Verdict

log = logging.getLogger(__name__)

KEPT = 8
"""Pictures that may wait to be written, some ten megabytes each of a large camera: a burst of bad parts."""
DRAIN_S = 3.0
"""How long may be written at the end; of 5 megapixels in colour one takes a fifth of a second."""
TICK_S = 1.0
"""How often it is looked whether there is room again."""
RETRY_S = 60.0
"""After a disk has failed: how long it is left alone."""
RELIEF = 1.1
"""By how much more than `min_free_bytes` must be free again, so that it does not stop and resume with each file."""
QUALITY = 90
"""Of the JPEG that a person looks at; the frame itself loses nothing."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    verdict: Verdict
    frame: Image
    looks: Mapping[str, Look]


class Evidence:
    """Keeps pictures of verdicts in `store`. A context manager: within it, it writes. For several threads.

    `tell` gets `EvidenceStopped` and `EvidenceResumed`.

    `kept`: how many were written; `dropped`: wanted, but not named in the verdict, since the writer was behind or the
    disk was full; `failed`: named in the verdict, and then not written. `stopped`: why nothing is kept now, else None.
    """

    def __init__(self, store: PictureStore, limits: EvidenceLimits, tell: Tell, clock: Clock = time.monotonic) -> None:
        self._store, self._limits, self._tell, self._clock = store, limits, tell, clock
        self._named = 0  # pictures that are named, and neither written nor given up yet
        self._mutex = threading.Lock()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()  # bounded by what is named
        self._over = threading.Event()
        self._thread = threading.Thread(target=here(self._work), name="evidence", daemon=True)
        self.kept = self.dropped = self.failed = 0
        self.stopped: str | None = None
        self._missed_before = 0
        self._behind = False
        self._again, self._needed = 0.0, 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, for some seconds at most."""
        self._queue.put(None)
        self._thread.join(DRAIN_S)
        self._over.set()
        left = self._take_what_waits()
        if left:
            self.failed += left
            log.warning("%d pictures that verdicts name were not written before the end", left)

    def name(self, frame: Frame, inspection: Inspection) -> Verdict:
        """The verdict, with the name of its picture where one is to be kept: before the outbox has it."""
        verdict = inspection.verdict
        if frame.pixels is None or not self._wants(verdict):
            return verdict
        with self._mutex:
            room = self.stopped is None and self._named < KEPT
            self._named += room
        if not room:
            self.dropped += 1
            self._say_if_behind()
            return verdict
        return verdict.model_copy(update={"evidence": f"{name_of(verdict)}.png"})

    def keep(self, frame: Frame, kept: Verdict, looks: Mapping[str, Look]) -> None:
        """Have the picture that `kept` names written; does not wait. `kept`: the verdict as it is on the disk.

        `frame` and `looks` are held until then, and must not be written into.
        """
        if kept.evidence is not None and frame.pixels is not None:
            self._queue.put(_Waiting(kept, frame.pixels, looks))

    def _done(self) -> None:
        with self._mutex:
            self._named -= 1

    def _wants(self, verdict: Verdict) -> bool:
        if not self._limits.max_bytes:
            return False
        return verdict.verdict is not Call.OK or is_sampled(verdict.id, self._limits.ok_share)

    def _say_if_behind(self) -> None:
        if self.stopped is None and not self._behind:
            self._behind = True
            log.warning("pictures come faster than they can be written; verdicts go on without them")

    def _work(self) -> None:
        said = ""
        while True:
            try:
                self._look_after()
            except Exception as error:  # if this thread died, no picture would be written and nobody would know
                if str(error) != said:
                    log.exception("looking after the pictures failed; trying again every %.0f s", TICK_S)
                said = str(error)
            else:
                said = ""
            try:
                job = self._queue.get(timeout=TICK_S)
            except queue.Empty:
                if self._over.is_set():
                    return
                continue
            if job is None or self._over.is_set():
                return
            try:
                self._write(job)
            except Exception:
                self.failed += 1
                log.exception("the picture %s cannot be drawn or written", job.verdict.evidence)
            finally:
                self._done()

    def _look_after(self) -> None:
        """Between two pictures: what is too old, whether the disk has room again, whether all is written."""
        if not self._limits.max_bytes:
            return
        if self._behind and self._queue.empty():
            self._behind = False
            log.info("all pictures that waited are written; %d were left out since the start", self.dropped)
        try:
            self._store.forget_old()
            if self.stopped is not None and self._clock() >= self._again and self._has_room_again():
                self._resume()
        except OSError as error:
            self._stop(error)

    def _write(self, job: _Waiting) -> None:
        if self.stopped is not None:
            self.failed += 1
            return
        drawn = overview(job.verdict, job.frame, job.looks)
        files = {
            ".jpg": cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes(),
            ".json": job.verdict.to_json(),
            ".png": cv2.imencode(".png", job.frame)[1].tobytes(),
        }
        self._needed = room_for([len(data) for data in files.values()])
        try:
            if self._free() - self._needed < self._limits.min_free_bytes:
                self._stop(None)
            elif self._store.put(name_of(job.verdict), files):
                self.kept += 1
                return
            else:
                log.warning("%s is larger than max_bytes under [evidence]; it is not kept", job.verdict.evidence)
        except OSError as error:
            self._stop(error)
        self.failed += 1

    def _free(self) -> int:
        """Bytes that are free for us on the disk. Raises OSError."""
        self._store.folder.mkdir(parents=True, exist_ok=True)
        disk = os.statvfs(self._store.folder)
        return disk.f_bavail * disk.f_frsize

    def _has_room_again(self) -> bool:
        """Whether the disk takes a picture; where it had failed, tried with as many bytes. Raises OSError."""
        if self._free() - self._needed < RELIEF * self._limits.min_free_bytes:
            return False
        if self._again:
            trial = self._store.folder / ".trial"
            try:
                trial.write_bytes(bytes(self._needed))
            finally:
                trial.unlink(missing_ok=True)
        return True

    def _stop(self, error: OSError | None) -> None:
        """No picture is named from now on: the disk has failed, or (None) has too little room. Said once."""
        self._again = self._clock() + RETRY_S if error is not None else 0.0
        if self.stopped is not None:
            return
        least = self._limits.min_free_bytes / 1e6
        self.stopped = f"{error}" if error is not None else f"less than {least:.0f} MB are free on the disk"
        self._missed_before = self.dropped + self.failed
        log.warning("pictures are no longer kept: %s; verdicts go on", self.stopped)
        self._tell(EvidenceStopped(why=self.stopped))

    def _resume(self) -> None:
        self.stopped, self._again = None, 0.0
        missed = self.dropped + self.failed - self._missed_before
        log.info("pictures are kept again; %d were left out meanwhile", missed)
        self._tell(EvidenceResumed(missed=missed))

    def _take_what_waits(self) -> int:
        left = 0
        while True:
            try:
                left += self._queue.get_nowait() is not None
            except queue.Empty:
                return left


def is_sampled(verdict_id: str, share: float) -> bool:
    """Whether the picture of this OK verdict is of the `share` that is kept: by its id alone, so always the same."""
    return int.from_bytes(hashlib.sha256(verdict_id.encode()).digest()[:8]) < share * 2**64
