"""Triggers: which frame is judged, and why. Each gets exactly one verdict, in bounded time."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edge_runtime.cameras import Clock, Frame
from edge_runtime.cameras.capture import Capture
from edge_runtime.commands import Asker
from edge_runtime.errors import TriggerError
from edge_runtime.triggers.config import CameraTrigger, IntervalTrigger, PresenceTrigger, TriggerConfig
from edge_runtime.triggers.presence import Presence

TICK_S = 0.1
"""How often a deadline is looked at while nothing comes."""
MOST_ASKED = 64
"""Requests that may wait for their picture."""
REST_S = 5.0
"""At the end: how long frames that wait are still judged. Service managers kill after a while, and the last verdicts,
pictures and answers have to go out after that."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One trigger and its picture, or the fact that it has none. `trigger`: as the verdict names it.

    `asker`: who asked for it over MQTT.
    """

    frame: Frame
    trigger: str
    asker: Asker | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A trigger that waits for its picture: one taken at `since` or later, and here before `deadline`."""

    since: float
    deadline: float
    trigger: str
    asker: Asker | None = None

    def shot(self, frame: Frame) -> Shot:
        """With its picture."""
        return Shot(frame, self.trigger, self.asker)


class Triggers:
    """The shots of a station, one after the other, until it is to stop or a replay is over. For one thread.

    `wake` is set by who has something for it: the capture, and `ask`. `watch` sees each frame of a free-running camera,
    also those that are never judged, and gives it back with what is wrong with it. `check` is called each time round,
    and raises where there can be no more verdicts. `count`: how many triggers there were. `seen`: when the thread last
    went round, which it does every TICK_S at least while it is in no shot.
    """

    def __init__(
        self,
        config: TriggerConfig,
        capture: Capture,
        wake: threading.Event,
        stop: threading.Event,
        watch: Callable[[Frame], Frame],
        clock: Clock = time.monotonic,
        *,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """Raises PictureError where the picture of an empty zone cannot be used."""
        self._presence = Presence(config) if isinstance(config, PresenceTrigger) else None
        self._watch, self._check = watch, check
        self._config, self._capture, self._wake, self._stop, self._clock = config, capture, wake, stop, clock
        self._asked: deque[_Asked] = deque()
        self._newest: Frame | None = None
        self._trouble: str | None = None
        self._over: str | None = None
        self._due = clock()
        self.count = 0
        self.seen = clock()

    def ask(self, asker: Asker) -> None:
        """Have a picture that is taken from now on judged for a request. For any thread.

        Raises TriggerError where that cannot be; then it is no trigger.
        """
        if isinstance(self._config, CameraTrigger | PresenceTrigger):
            raise TriggerError('this station judges what it sees by itself; set kind = "request" under [trigger]')
        if len(self._asked) >= MOST_ASKED:
            raise TriggerError(f"{MOST_ASKED} requests wait already; ask again when they are answered")
        now = self._clock()
        self._asked.append(_Asked(now, now + self._config.timeout_s, "mqtt", asker))
        self._wake.set()

    def end(self, why: str) -> None:
        """End as where told to stop, after what waits has its shot; `why`: for who has asked. For who iterates."""
        self._over = why

    @property
    def sees(self) -> bool:
        """Whether parts can be looked for in what the camera gives; True where none are."""
        return self._presence is None or self._presence.sees

    def __iter__(self) -> Iterator[Shot]:
        for shot in self._shots():
            self.count += 1
            yield shot

    def _shots(self) -> Iterator[Shot]:
        while self._over is None and not self._stop.is_set():
            self.seen = self._clock()
            self._check()
            self._wake.clear()
            shot = self._next()
            if shot is not None:
                yield shot
            elif self._capture.ended and not self._asked:
                break
            else:
                self._wake.wait(self._pause_s())
        # Also by one that stops, each frame that came as a trigger is judged, who has asked is answered, and what is in
        # view is judged; a tick nobody waits for.
        if isinstance(self._config, CameraTrigger):
            yield from self._waiting_frames()
        while self._asked:
            self.seen = self._clock()
            if (asked := self._asked.popleft()).asker is not None:
                yield self._without_picture(asked, self._why_over())
        for frame in self._presence.rest() if self._presence is not None else []:
            yield Shot(frame, "presence")

    def _waiting_frames(self) -> Iterator[Shot]:
        """Those that wait now: no more, or a fast camera would keep a station from stopping."""
        begin = self._clock()
        for _ in range(self._capture.waiting):
            self.seen = self._clock()
            if (frame := self._capture.take()) is None:
                return
            if frame.pixels is not None and self.seen - begin >= REST_S:
                frame = replace(frame, pixels=None, trouble=f"was not judged: {self._why_over()}")
            yield Shot(frame, "camera")

    def _why_over(self) -> str:
        return self._over or "the station was told to stop"

    def _next(self) -> Shot | None:
        """The next shot, where there is one now."""
        if isinstance(self._config, CameraTrigger):
            frame = self._capture.take()
            return None if frame is None else Shot(frame, "camera")
        self._tick()
        if self._presence is not None and (part := self._presence.due(idle=not self._capture.waiting)) is not None:
            return Shot(part, "presence")
        # No more than wait now: a camera that is faster than we look must keep nobody waiting for an answer or the end.
        for _ in range(self._capture.waiting):
            if (frame := self._capture.take()) is None:
                break
            frame = self._watch(frame)
            if self._presence is None:
                self._look_at(frame)
                continue
            self.seen = self._clock()
            part = self._presence.see(frame)
            if part is not None:
                return Shot(part, "presence")
        return self._serve()

    def _tick(self) -> None:
        """At an interval, ask. Who is late is not asked twice."""
        if not isinstance(self._config, IntervalTrigger) or (now := self._clock()) < self._due:
            return
        if not any(asked.trigger == "interval" for asked in tuple(self._asked)):  # which others append to
            self._asked.append(_Asked(now, now + self._config.timeout_s, "interval"))
        self._due += self._config.every_s
        if self._due <= now:
            self._due = now + self._config.every_s

    def _look_at(self, frame: Frame) -> None:
        if frame.pixels is not None:
            self._newest = frame
        else:
            self._trouble = frame.trouble

    def _serve(self) -> Shot | None:
        """The first that was asked for, where its picture is there or too late."""
        if not self._asked:
            return None
        first, newest = self._asked[0], self._newest
        if newest is not None and newest.taken >= first.since:
            self._asked.popleft()
            return first.shot(newest)
        in_time = self._clock() < first.deadline
        if in_time and not self._capture.ended:
            return None
        self._asked.popleft()
        if in_time and first.asker is None:  # a replay is over, and nobody waits
            return None
        return self._without_picture(first, self._why_none(first))

    def _why_none(self, asked: _Asked) -> str:
        waited = f"no picture within {asked.deadline - asked.since:g} s"
        if self._capture.lost_since is not None:
            return f"{waited}: the camera is lost"
        return f"{waited}: {self._trouble}" if self._trouble else waited

    def _without_picture(self, asked: _Asked, why: str) -> Shot:
        waited_ms = (self._clock() - asked.since) * 1000
        frame = Frame(None, time.time_ns(), 0, waited_ms, trouble=why, taken=asked.since)
        return asked.shot(frame)

    def _pause_s(self) -> float:
        if isinstance(self._config, IntervalTrigger):
            return min(TICK_S, max(0.0, self._due - self._clock()) if not self._asked else TICK_S)
        return TICK_S
