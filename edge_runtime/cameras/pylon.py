"""A Basler camera, through the maker's pylon (`pip install 'kenpin[pylon]'`)."""

import time
from typing import Any

import numpy as np

from edge_runtime.cameras import Clock, Frame
from edge_runtime.cameras.config import PylonCamera
from edge_runtime.cameras.genicam import SOFTWARE, Count, configure, delay_s, missing
from edge_runtime.errors import CameraError, CameraLost

MISSING = "needs the maker's library; install it with: pip install 'kenpin[pylon]'"

BUFFERS = 8
"""That pylon fills in turn. Where all wait to be grabbed the next pictures are lost, and the count shows it."""


def library() -> tuple[Any, Any]:
    """The modules `pypylon.pylon` and `pypylon.genicam`, untyped. Raises CameraError where they are not installed."""
    try:
        from pypylon import genicam, pylon
    except ImportError as error:
        raise CameraError("pylon", MISSING) from error
    return pylon, genicam


class Pylon:
    """Pictures of one Basler camera. `sequence` is the camera's own count; `captured_ns`, when its picture arrived.

    With trigger = "Software", each `grab` fires one exposure, unless one is still awaited.
    """

    live = True

    def __init__(self, config: PylonCamera, clock: Clock = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._pylon, genicam = library()
        self._name = f"Basler {config.serial or ''}".strip()
        self._errors = genicam.GenericException
        self._camera: Any = None
        try:
            self._camera = self._open()
            features = _Features(self._camera.GetNodeMap(), genicam, self._name)
            self._format = configure(features, config, self._name)
            self.delay_s = delay_s(features)
            self._camera.MaxNumBuffer.Value = BUFFERS
            self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne, self._pylon.GrabLoop_ProvidedByUser)
        except self._errors as error:
            self.close()
            raise CameraLost(self._name, _first_sentence(error)) from error
        except CameraError:
            self.close()
            raise
        self._count = Count()
        self._awaited_since: float | None = None if config.trigger is not None else clock()
        self._none_at = clock()  # when there was last no picture that waited

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture; None where none comes in time. Raises CameraLost."""
        try:
            if self._config.trigger == SOFTWARE and self._awaited_since is None:
                self._fire()
                self._awaited_since = self._clock()
            result = self._retrieve(0)
            if result is not None:  # it has waited for us, and may have come as soon as there was none
                taken = self._none_at
            else:
                self._none_at = self._clock()
                result = self._retrieve(timeout_s)
                taken = self._clock()
            if result is None:
                return self._none(self._clock())
            try:
                return self._frame(result, taken)
            finally:
                result.Release()
        except self._errors as error:
            raise CameraLost(self._name, _first_sentence(error)) from error

    def close(self) -> None:
        """Let go of the camera."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        try:
            camera.StopGrabbing()
            camera.Close()
        except self._errors:
            camera.DestroyDevice()  # it is away already
        else:
            camera.DetachDevice()

    def _open(self) -> Any:
        """The camera, opened. Raises CameraLost where it is not there or another program has it."""
        factory = self._pylon.TlFactory.GetInstance()
        serials = {each.GetSerialNumber(): each for each in factory.EnumerateDevices()}
        wanted = self._config.serial
        if wanted is not None and wanted not in serials:
            here = f"here are: {', '.join(sorted(serials))}" if serials else "none is here"
            raise CameraLost(self._name, f"does not answer ({here}); is it on, and serial under [camera] right?")
        if not serials:
            raise CameraLost(
                self._name, "no camera answers; is one on, and this PC's network or USB port the right one?"
            )
        if wanted is None and len(serials) > 1:
            raise CameraError(
                self._name, f"several answer; set serial under [camera] to one of: {', '.join(sorted(serials))}"
            )
        chosen = wanted or next(iter(serials))
        self._name = f"Basler {chosen}"
        camera = self._pylon.InstantCamera(factory.CreateDevice(serials[chosen]))
        camera.Open()
        return camera

    def _retrieve(self, timeout_s: float) -> Any:
        """The next result, or None. Raises CameraLost where the camera was taken away."""
        if self._camera is None:
            raise CameraLost(self._name, "is closed")
        result = self._camera.RetrieveResult(int(timeout_s * 1000), self._pylon.TimeoutHandling_Return)
        if self._camera.IsCameraDeviceRemoved():
            raise CameraLost(self._name, "no longer answers; is it without power, or its cable out?")
        return result if result is not None and result.IsValid() else None

    def _frame(self, result: Any, taken: float) -> Frame:
        now = self._clock()
        begin = now if self._config.trigger != SOFTWARE or self._awaited_since is None else self._awaited_since
        self._awaited_since = now if self._config.trigger is None else None
        sequence, captured_ns = self._count.next(int(result.BlockID)), time.time_ns()
        pixels, trouble = None, None
        if not result.GrabSucceeded():
            trouble = f"{self._name}: {result.ErrorDescription or 'the picture is damaged'}"
        elif result.PaddingX:
            trouble = f"{self._name}: the picture has {result.PaddingX} bytes of padding at the end of each line"
        else:
            data = np.frombuffer(result.GetBuffer(), np.uint8)
            try:
                pixels = self._format.picture(data, int(result.Width), int(result.Height))
            except ValueError as error:
                trouble = f"{self._name}: the picture {error}"
        return Frame(pixels, captured_ns, sequence, (self._clock() - begin) * 1000, None, trouble, taken)

    def _fire(self) -> None:
        """Trigger by software. What still waits is an answer to nothing any more."""
        while (late := self._retrieve(0)) is not None:
            late.Release()
        self._none_at = self._clock()
        self._camera.TriggerSoftware.Execute()

    def _none(self, now: float) -> Frame | None:
        """What it means that there is no picture. Raises CameraLost."""
        if self._awaited_since is None or now - self._awaited_since <= self._config.timeout_s:
            return None
        frame = missing(self._name, now - self._awaited_since, self._count, triggered=self._config.trigger is not None)
        self._awaited_since = None
        return frame


class _Features:
    """`genicam.Features` of a pylon camera."""

    def __init__(self, nodes: Any, genicam: Any, name: str) -> None:
        self._nodes, self._genicam, self._name = nodes, genicam, name

    def has(self, name: str) -> bool:
        node = self._nodes.GetNode(name)
        return node is not None and bool(self._genicam.IsAvailable(node))

    def limits(self, name: str) -> tuple[float, float]:
        node = self._nodes.GetNode(name)
        return float(node.GetMin()), float(node.GetMax())

    def number(self, name: str) -> float:
        return float(self._nodes.GetNode(name).GetValue())

    def set_number(self, name: str, value: float) -> None:
        node = self._nodes.GetNode(name)
        whole = node.GetNode().GetPrincipalInterfaceType() == self._genicam.intfIInteger
        self._set(node, round(value) if whole else float(value))

    def choices(self, name: str) -> list[str]:
        return [str(each) for each in self._nodes.GetNode(name).GetSymbolics()]

    def choice(self, name: str) -> str:
        return str(self._nodes.GetNode(name).ToString())

    def set_choice(self, name: str, value: str) -> None:
        self._set(self._nodes.GetNode(name), value)

    def set_flag(self, name: str, *, value: bool) -> None:
        self._set(self._nodes.GetNode(name), value)

    def _set(self, node: Any, value: object) -> None:
        try:
            node.SetValue(value)
        except self._genicam.GenericException as error:
            raise CameraError(self._name, _first_sentence(error)) from error


def _first_sentence(error: Exception) -> str:
    """What pylon says, without where in its own source it says so."""
    return str(error).partition(" : ")[0].strip() or type(error).__name__
