"""A GigE Vision or USB3 Vision camera, through Aravis."""

import time

from edge_runtime.cameras import Clock, Frame, aravis_library
from edge_runtime.cameras.config import AravisCamera
from edge_runtime.cameras.genicam import SOFTWARE, Count, configure, delay_s, missing
from edge_runtime.errors import CameraError, CameraLost

GONE = "no longer answers; is it without power, or its cable out?"


class Aravis:
    """Pictures of one GenICam camera. `sequence` is the camera's own count; `captured_ns`, when its picture arrived.

    With trigger = "Software", each `grab` fires one exposure, unless one is still awaited.
    """

    live = True

    def __init__(self, config: AravisCamera, clock: Clock = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._name = config.id or _the_only_one()
        self._device = aravis_library.Device(self._name)
        try:
            self._format = configure(self._device, config, self._name)
            self.delay_s = delay_s(self._device)
            self._device.start()
        except CameraError:
            self._device.close()
            raise
        self._count = Count()
        self._awaited_since: float | None = None if config.trigger is not None else clock()

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture; None where none comes in time. Raises CameraLost."""
        if self._device.lost.is_set():
            raise CameraLost(self._name, GONE)
        if self._config.trigger == SOFTWARE and self._awaited_since is None:
            self._fire()
            self._awaited_since = self._clock()
        shot = self._device.pop(timeout_s)
        if shot is None:
            return self._none(self._clock())
        return self._frame(shot)

    def close(self) -> None:
        """Let go of the camera. May take seconds where it does not answer any more."""
        self._device.close()

    def _fire(self) -> None:
        """Trigger by software. What still waits is an answer to nothing any more."""
        while self._device.pop(0):
            pass
        try:
            self._device.execute("TriggerSoftware")
        except CameraError as error:
            raise CameraLost(self._name, f"took no software trigger ({error.why})") from error

    def _frame(self, shot: aravis_library.Shot) -> Frame:
        now, now_ns = self._clock(), time.time_ns()
        arrived_ns = min(shot.at_ns or now_ns, now_ns)
        taken = now - (now_ns - arrived_ns) / 1e9
        fired = self._awaited_since if self._config.trigger == SOFTWARE else None
        self._awaited_since = now if self._config.trigger is None else None
        pixels, trouble = None, f"{self._name}: the picture {shot.trouble}" if shot.trouble else None
        if shot.data is not None:
            try:
                pixels = self._format.picture(shot.data, shot.width, shot.height)
            except ValueError as error:
                trouble = f"{self._name}: the picture {error}"
        grab_ms = (self._clock() - (taken if fired is None else fired)) * 1000
        return Frame(pixels, arrived_ns, self._count.next(shot.number), grab_ms, None, trouble, taken)

    def _none(self, now: float) -> Frame | None:
        """What it means that there is no picture. Raises CameraLost."""
        if self._device.lost.is_set():
            raise CameraLost(self._name, GONE)
        if self._awaited_since is None or now - self._awaited_since <= self._config.timeout_s:
            return None
        frame = missing(self._name, now - self._awaited_since, self._count, triggered=self._config.trigger is not None)
        self._awaited_since = None
        return frame


def _the_only_one() -> str:
    """The id of the camera where there is one only. Raises CameraLost where none answers, CameraError where many do."""
    cameras = aravis_library.found()
    if not cameras:
        raise CameraLost("aravis", "no camera answers; is one on, and this PC's network or USB port the right one?")
    if len(cameras) > 1:
        ids = ", ".join(f'"{each.id}"' for each in cameras)
        raise CameraError("aravis", f"several cameras answer; set id under [camera] to one of: {ids}")
    return cameras[0].id
