"""What GenICam cameras are told at opening, whoever's library carries it, and what of their answers is checked.

A camera that clamps a value would inspect otherwise than the file says, so each setting is read back.
"""

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from edge_runtime.cameras import Frame
from edge_runtime.cameras.config import Genicam
from edge_runtime.cameras.pixels import READABLE, PixelFormat
from edge_runtime.errors import CameraError, CameraLost

log = logging.getLogger(__name__)

SENDING_S = 0.05
"""Reading out and sending: five megapixels take so long over one gigabit a second."""
SOFTWARE = "Software"
"""The trigger source that this program fires."""

# A newer name, then older ones (GigE Vision cameras before SFNC 2).
_EXPOSURE = ("ExposureTime", "ExposureTimeAbs", "ExposureTimeRaw")
_GAIN = ("Gain", "GainRaw")
_RATE = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")
_RESULTING = ("ResultingFrameRate", "ResultingFrameRateAbs", "BslResultingAcquisitionFrameRate")
_FRAME_TRIGGERS = ("FrameStart", "AcquisitionStart", "FrameBurstStart")
"""What may begin a picture. The lines of a line-scan camera (LineStart) are left as they are: they are an encoder's."""

WRAP = 0xFFFF
"""GigE Vision counts blocks from 1 to this, and then from 1 again (0 means something else there)."""


class Features(Protocol):
    """A camera's features by their GenICam names. All raise CameraError where the camera refuses, or is lost."""

    def has(self, name: str) -> bool:
        """Whether the camera has a feature of that name, now."""

    def limits(self, name: str) -> tuple[float, float]:
        """The least and the greatest value of a number, as things stand."""

    def number(self, name: str) -> float:
        """A number's value."""

    def set_number(self, name: str, value: float) -> None:
        """Set a number."""

    def choices(self, name: str) -> list[str]:
        """The values that an enumeration may take now."""

    def choice(self, name: str) -> str:
        """An enumeration's value."""

    def set_choice(self, name: str, value: str) -> None:
        """Set an enumeration."""

    def set_flag(self, name: str, *, value: bool) -> None:
        """Set a boolean."""


def configure(features: Features, config: Genicam, camera: str) -> PixelFormat:
    """Make the settings of `config`; what it leaves out stays as the camera has it, but for the trigger.

    Returns the pixel format in which pictures will come. Raises CameraError where the camera, called `camera`, cannot
    be set so: which setting, and what it takes.
    """
    wanted = _Wanted(features, camera)
    if features.has("AcquisitionMode"):
        features.set_choice("AcquisitionMode", "Continuous")
    if config.pixel_format is not None:
        wanted.choice("pixel_format", "PixelFormat", config.pixel_format)
    pixel_format = _readable(features, camera)
    if config.roi is not None:
        _configure_roi(features, wanted, config.roi)
    _configure_trigger(features, wanted, config.trigger)
    if config.exposure_us is not None:
        wanted.off("ExposureAuto")
        wanted.number("exposure_us", _EXPOSURE, config.exposure_us)
    if config.gain is not None:
        wanted.off("GainAuto")
        wanted.number("gain", _GAIN, config.gain)
    if config.rate_hz is not None:
        if features.has("AcquisitionFrameRateEnable"):
            features.set_flag("AcquisitionFrameRateEnable", value=True)
        wanted.number("rate_hz", _RATE, config.rate_hz)
        wanted.reach("rate_hz", _RESULTING, config.rate_hz)
    return pixel_format


def delay_s(features: Features) -> float:
    """How long after its exposure began a picture has arrived, at most: `Camera.delay_s`, in seconds.

    The exposure, where the camera tells it in microseconds, and reading out and sending the picture.
    """
    name = next((name for name in _EXPOSURE[:2] if features.has(name)), None)
    return (features.number(name) / 1e6 if name else 0.0) + SENDING_S


def _readable(features: Features, camera: str) -> PixelFormat:
    name = features.choice("PixelFormat")
    found = PixelFormat.named(name)
    if found is None:
        possible = ", ".join(each for each in features.choices("PixelFormat") if PixelFormat.named(each)) or "none"
        why = (
            f"pixel_format = {name} cannot be read (only {READABLE}); set pixel_format under [camera] to one that this "
            f"camera has: {possible}"
        )
        raise CameraError(camera, why)
    return found


def _configure_roi(features: Features, wanted: "_Wanted", roi: tuple[int, int, int, int]) -> None:
    x, y, width, height = roi
    for offset in ("OffsetX", "OffsetY"):
        if features.has(offset):  # first away with them: they bound width and height
            features.set_number(offset, features.limits(offset)[0])
    for name, value in (("Width", width), ("Height", height), ("OffsetX", x), ("OffsetY", y)):
        wanted.number(f"roi = {list(roi)}", (name,), value, exact=True)


def _configure_trigger(features: Features, wanted: "_Wanted", source: str | None) -> None:
    """Let `source` trigger each picture, None: nothing does. What else could hold pictures back is switched off."""
    if not features.has("TriggerMode"):
        if source is not None:
            raise CameraError(wanted.camera, f"trigger = {source}: this camera has no trigger; remove it from [camera]")
        return
    selectors = features.choices("TriggerSelector") if features.has("TriggerSelector") else []
    for each in (name for name in reversed(_FRAME_TRIGGERS) if name in selectors):  # FrameStart last: it stays selected
        features.set_choice("TriggerSelector", each)
        features.set_choice("TriggerMode", "Off")
    if not selectors:
        features.set_choice("TriggerMode", "Off")
    if source is not None:
        wanted.choice("trigger", "TriggerSource", source)
        features.set_choice("TriggerMode", "On")


class _Wanted:
    """Makes settings, and says in the file's words what a camera does not make of them."""

    def __init__(self, features: Features, camera: str) -> None:
        self._features, self.camera = features, camera

    def choice(self, setting: str, name: str, value: str) -> None:
        choices = self._features.choices(name)
        if value not in choices:
            possible = ", ".join(choices)
            why = f'{setting} = "{value}" is none of this camera\'s; set it under [camera] to one of: {possible}'
            raise CameraError(self.camera, why)
        self._features.set_choice(name, value)

    def number(self, setting: str, names: Iterable[str], value: float, *, exact: bool = False) -> None:
        """Set the first of `names` that there is, and read it back: equal, or within a hundredth unless `exact`."""
        name = next((name for name in names if self._features.has(name)), None)
        if name is None:
            raise CameraError(self.camera, f"{setting}: this camera has no such setting; remove it from [camera]")
        low, high = self._features.limits(name)
        shown = setting if exact else f"{setting} = {value:g}"
        takes = f"{name} takes {low:g} to {high:g}"
        if not low <= value <= high:
            raise CameraError(self.camera, f"{shown} is not possible: {takes}; correct it under [camera]")
        try:
            self._features.set_number(name, value)
        except CameraError as error:
            if type(error) is not CameraError:
                raise
            why = f"{shown} is refused: {takes}, in steps of its own ({error.why}); correct it under [camera]"
            raise CameraError(self.camera, why) from error
        got = self._features.number(name)
        if got != value and (exact or abs(got - value) > max(0.01 * abs(value), 1e-9)):
            why = f"{shown} became {got:g} in the camera: {takes}, in steps of its own; correct it under [camera]"
            raise CameraError(self.camera, why)

    def reach(self, setting: str, names: Iterable[str], value: float) -> None:
        """Raise CameraError where the camera itself says, under one of `names`, that it will not come to `value`."""
        name = next((name for name in names if self._features.has(name)), None)
        if name is None or self._features.number(name) >= 0.99 * value:
            return
        why = (
            f"{setting} = {value:g} cannot be reached: with this exposure, size and pixel format {name} is "
            f"{self._features.number(name):g}; correct it under [camera]"
        )
        raise CameraError(self.camera, why)

    def off(self, name: str) -> None:
        """Switch an automatic control off, where there is one."""
        if self._features.has(name):
            self._features.set_choice(name, "Off")


class Count:
    """A camera's count of its pictures as one that only grows, past the places where 16 bits start over.

    There, a step over half of these is none of pictures that were lost: one came late, or the camera counts anew. It is
    said, the first of a row of such.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._sequence = 0
        self._odd = False

    def next(self, number: int) -> int:
        """The sequence of the picture that the camera counts as `number`."""
        if self._last is None:
            step = 1
        elif number > self._last:
            step = number - self._last
        else:
            step = number + WRAP - self._last if self._last <= WRAP else 0  # longer counts do not start over
        odd = step < 1 or (step > WRAP // 2 and number <= WRAP)
        if odd and not self._odd:
            log.warning("the camera's count went from %s to %d: none is taken for lost", self._last, number)
        self._last, self._odd = number, odd
        self._sequence += 1 if odd else step
        return self._sequence

    def skipped(self) -> int:
        """The sequence of a picture that never came; the camera has not counted it."""
        self._sequence += 1
        return self._sequence


def missing(camera: str, waited_s: float, count: Count, *, triggered: bool) -> Frame:
    """In the place of a picture that did not come after a trigger. Raises CameraLost where nothing triggers."""
    silent = f"gave no picture for {waited_s:.1f} s"
    if not triggered:
        raise CameraLost(camera, silent)
    return Frame(None, time.time_ns(), count.skipped(), waited_s * 1000, None, f"{camera}: {silent} after a trigger")
