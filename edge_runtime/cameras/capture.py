"""The thread that owns the camera: it opens it, grabs, and opens it again when it was lost."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Self

from edge_runtime import messages
from edge_runtime.cameras import Camera, Clock, Frame, SourceEnded
from edge_runtime.errors import CameraError, CameraLost
from edge_runtime.events import Tell
from edge_runtime.logs import here

log = logging.getLogger(__name__)

GRAB_S = 0.25
"""How long one attempt to grab may take: so long may stopping take, too."""
BACKOFF_S = (0.5, 10.0)
"""First and longest pause between two attempts to open a camera: it doubles in between."""
KEPT = 8
"""Frames that may wait: a second's worth of a fast line, and some ten megabytes each of a large camera."""
MISSED = 1000
"""Triggers without a picture that may wait for their ERROR; each takes a millisecond to answer. Of a longer gap in the
camera's count the rest is only counted: as many at once are rather a count that cannot be believed."""
CLOSING_S = 2.0
"""How long a driver may take to let go; some hang."""


class Capture:
    """Frames as they come from the camera, for one other thread to take. A context manager: within it, it grabs.

    With `each`, every frame is a trigger, and none is lost: where the inspector is slower than a live camera, and where
    the camera's count shows that a frame was lost on the way, a frame without pixels comes in its place. Without it the
    oldest give way, and are counted. A replay waits for who is late.

    `wake` is set when there is something to take. `lost_since`: since when there is no camera (`clock`), None while
    there is one. `seen`: when the thread last went round; long ago, where a driver hangs.
    """

    def __init__(
        self,
        open_one: Callable[[], Camera],
        wake: threading.Event,
        tell: Tell,
        *,
        each: bool,
        clock: Clock = time.monotonic,
    ) -> None:
        self._open, self._wake, self._tell, self._each, self._clock = open_one, wake, tell, each, clock
        self._waiting: deque[Frame] = deque()
        self._room = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=here(self._work), name="camera", daemon=True)
        self._camera: Camera | None = None
        self._last: int | None = None
        self.frames = self.dropped = self.missed = self.reconnects = 0
        self.lost_since: float | None = None
        self.seen = clock()
        self._ended = False
        self._fault: Exception | None = None

    def __enter__(self) -> Self:
        """Open the camera, and begin. Raises CameraError; a camera that does not answer yet is waited for."""
        try:
            self._camera = self._open()
        except CameraLost as error:
            self._lose(error)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._room.set()
        self._thread.join(GRAB_S + CLOSING_S)
        if self._thread.is_alive():
            log.warning("the camera's driver does not let go; it ends with the process")

    @property
    def ended(self) -> bool:
        """Whether a replay is over and all of it was taken. Raises what ended it, where that was a fault."""
        if not self._ended or self._waiting:
            return False
        if self._fault is not None:
            raise self._fault
        return True

    @property
    def over(self) -> bool:
        """Whether nothing is grabbed any more, because a replay has ended or something failed for good."""
        return self._ended

    def take(self) -> Frame | None:
        """The frame that waits longest; None where none does."""
        try:
            frame = self._waiting.popleft()
        except IndexError:
            return None
        self._room.set()
        return frame

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._waiting)

    def _work(self) -> None:
        pause_s = BACKOFF_S[0]
        try:
            while not self._stop.is_set():
                self.seen = self._clock()
                try:
                    if self._camera is None:
                        self._camera = self._open()
                        self._found()
                    if (frame := self._camera.grab(GRAB_S)) is not None:
                        pause_s = BACKOFF_S[0]
                        # What came just now was exposed that much earlier: who asks for a picture wants a later one.
                        exposed = replace(frame, taken=frame.taken - self._camera.delay_s)
                        self._take_in(exposed, self._camera)
                except SourceEnded:
                    break
                except Exception as error:
                    if self._camera is not None and not self._camera.live:
                        raise
                    if not isinstance(error, CameraError):
                        log.exception("the camera's driver failed")
                    self._lose(error)
                    self._stop.wait(pause_s)
                    pause_s = min(2 * pause_s, BACKOFF_S[1])
        except Exception as error:  # noqa: BLE001  # raised in the thread that takes, by `ended`
            self._fault = error
        finally:
            self._let_go()
            self._ended = True
            self._wake.set()

    def _take_in(self, frame: Frame, camera: Camera) -> None:
        self.frames += 1
        if self._each and camera.live and self._last is not None:
            gap = frame.sequence - self._last - 1
            for number in range(1, min(gap, MISSED) + 1):
                self._miss(self._last + number, frame, "was lost between the camera and this station")
            if (more := gap - MISSED) > 0:
                self.missed += more
                log.error("%d triggers more were lost between the camera and this station, without a verdict", more)
        self._last = frame.sequence
        if not camera.live:
            while len(self._waiting) >= KEPT and not self._stop.is_set():
                self._room.clear()
                if len(self._waiting) >= KEPT:
                    self._room.wait(GRAB_S)
                self.seen = self._clock()
        elif len(self._waiting) >= KEPT:
            self.dropped += 1
            if self._each:
                self._miss(frame.sequence, frame, f"came while {KEPT} others waited to be judged")
                return
            with suppress(IndexError):  # all were taken just now
                self._waiting.popleft()
        self._put(frame)

    def _miss(self, sequence: int, like: Frame, why: str) -> None:
        """Put in the place of a frame what tells that it is missing."""
        self.missed += 1
        while len(self._waiting) >= MISSED and not self._stop.wait(0.01):
            self.seen = self._clock()
        self._put(Frame(None, like.captured_ns, sequence, 0.0, trouble=why, taken=like.taken))

    def _put(self, frame: Frame) -> None:
        self._waiting.append(frame)
        self._wake.set()

    def _found(self) -> None:
        self.reconnects += 1
        since, self.lost_since = self.lost_since, None
        away_s = self._clock() - since if since is not None else 0.0
        log.info("the camera is back after %.1f s", away_s)
        self._tell(messages.CameraBack(away_s=round(away_s, 1)))

    def _lose(self, error: Exception) -> None:
        """Say so once an outage, and let go, which may take a driver seconds."""
        self._last = None
        if self.lost_since is None:
            self.lost_since = self._clock()
            log.warning("%s; trying again until it is back", error)
            self._tell(messages.CameraLost(why=str(error)))
        self._let_go()

    def _let_go(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        try:
            camera.close()
        except Exception:
            log.exception("closing the camera failed")
