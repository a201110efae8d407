"""A camera that Aravis has opened: its features, its stream; and which cameras there are."""

import ctypes
import logging
import threading
from ctypes import POINTER, byref, c_double, c_int, c_int64, c_size_t, c_uint, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.aravis_calls import LostCallback, aravis, checked, gobject
from edge_runtime.errors import CameraError, CameraLost

log = logging.getLogger(__name__)

BUFFERS = 8
"""That the stream fills in turn. Where all wait to be grabbed the next pictures are lost, and the count shows it."""

SUCCESS = 0
_TROUBLE = {
    2: "came in part, and then no more of it",
    3: "lacks packets that were lost on the network",
    4: "came with packets in a wrong order",
    5: "is larger than the camera announced",
    7: "was broken off",
    8: "is of a kind that Aravis cannot read",
}
"""ArvBufferStatus in words."""

_NO_PACKET_SOCKET = 1
"""ArvGvStreamOption. As root Aravis would read from the network card itself, below the firewall and the routes: another
way than the one that the service, which is not root, goes."""

_MOST_ROOM = Path("/proc/sys/net/core/rmem_max")


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that answers here."""

    id: str
    vendor: str
    model: str
    address: str


def found() -> list[Found]:
    """The cameras that answer now. Takes about a second, in which they may."""
    library = aravis()
    library.arv_update_device_list()
    texts = [
        [(getattr(library, f"arv_get_device_{what}")(index) or b"").decode("utf-8", "replace") for what in _TOLD]
        for index in range(library.arv_get_n_devices())
    ]
    return [Found(*each) for each in texts]


_TOLD = ("id", "vendor", "model", "address")


class Device:
    """A camera under this program's control: its features (`genicam.Features`), its stream.

    `lost` is set, by Aravis' own thread, when the camera no longer answers or no longer to us.
    """

    def __init__(self, name: str) -> None:
        """Open the camera that `name` (id, address, serial number) is one of. Raises CameraLost, CameraError."""
        self._name, self._library, self._gobject = name, aravis(), gobject()
        self.lost = threading.Event()
        self._stream = c_void_p()
        try:
            self._camera = c_void_p(checked(name, "arv_camera_new", name.encode()))
        except CameraLost as error:
            if "not found" not in error.why:
                raise
            remedy = "plug the camera in, or set id under [camera] to one of `kenpin-edge cameras`"
            raise CameraLost(name, f"{error.why}; {remedy}") from error
        self._device = c_void_p(self._library.arv_camera_get_device(self._camera))
        self._callback = LostCallback(lambda _device, _data: self.lost.set())  # held: else Python frees it
        self._signal = self._gobject.g_signal_connect_data(self._device, b"control-lost", self._callback, None, None, 0)

    def _call(self, name: str, *arguments: Any) -> Any:
        return checked(self._name, name, self._device, *arguments)

    def has(self, name: str) -> bool:
        """Whether the camera has that feature, now."""
        return bool(self._call("arv_device_is_feature_available", name.encode()))

    def limits(self, name: str) -> tuple[float, float]:
        """Least and greatest value of a number."""
        try:
            low, high = c_double(), c_double()
            self._call("arv_device_get_float_feature_bounds", name.encode(), byref(low), byref(high))
        except CameraLost:
            raise
        except CameraError:  # a whole number
            least, most = c_int64(), c_int64()
            self._call("arv_device_get_integer_feature_bounds", name.encode(), byref(least), byref(most))
            return least.value, most.value
        return low.value, high.value

    def number(self, name: str) -> float:
        """A number's value."""
        try:
            return float(self._call("arv_device_get_float_feature_value", name.encode()))
        except CameraLost:
            raise
        except CameraError:
            return int(self._call("arv_device_get_integer_feature_value", name.encode()))

    def set_number(self, name: str, value: float) -> None:
        """Set a number; one that must be whole is rounded."""
        try:
            self._call("arv_device_get_float_feature_value", name.encode())
        except CameraLost:
            raise
        except CameraError:
            self._call("arv_device_set_integer_feature_value", name.encode(), round(value))
        else:
            self._call("arv_device_set_float_feature_value", name.encode(), float(value))

    def choices(self, name: str) -> list[str]:
        """What an enumeration may be now."""
        count = c_uint()
        values = self._call(
            "arv_device_dup_available_enumeration_feature_values_as_strings", name.encode(), byref(count)
        )
        texts = [values[index].decode() for index in range(count.value)]
        self._gobject.g_free(values)  # the texts are the camera's own
        return texts

    def choice(self, name: str) -> str:
        """What an enumeration is."""
        return str(self._call("arv_device_get_string_feature_value", name.encode()).decode())

    def set_choice(self, name: str, value: str) -> None:
        """Set an enumeration."""
        self._call("arv_device_set_string_feature_value", name.encode(), value.encode())

    def set_flag(self, name: str, *, value: bool) -> None:
        """Set a boolean."""
        self._call("arv_device_set_boolean_feature_value", name.encode(), int(value))

    def execute(self, name: str) -> None:
        """Execute a command."""
        self._call("arv_device_execute_command", name.encode())

    def start(self) -> None:
        """Begin to stream into `BUFFERS` buffers."""
        payload = checked(self._name, "arv_camera_get_payload", self._camera)
        over_network = bool(self._library.arv_camera_is_gv_device(self._camera))
        if over_network:
            self._library.arv_camera_gv_set_stream_options(self._camera, _NO_PACKET_SOCKET)
        self._stream = c_void_p(checked(self._name, "arv_camera_create_stream", self._camera, None, None))
        if over_network:
            self._make_room(payload)
        for _ in range(BUFFERS):
            self._library.arv_stream_push_buffer(self._stream, self._library.arv_buffer_new_allocate(payload))
        checked(self._name, "arv_camera_start_acquisition", self._camera)

    def _make_room(self, payload: int) -> None:
        """Ask the system for room for two pictures that come as one burst; say so where it does not give that much."""
        size = 2 * payload
        self._gobject.g_object_set(self._stream, b"socket-buffer-size", c_int(size), None)
        most = int(_MOST_ROOM.read_text()) if _MOST_ROOM.is_file() else size
        if most < size:
            log.warning(
                "%s: the system holds %d bytes of its pictures, of which two have %d, so packets may be lost; run: "
                "sudo sysctl -w net.core.rmem_max=%d (docs/cameras.md)",
                *(self._name, most, size, size),
            )

    def pop(self, timeout_s: float) -> "Shot | None":
        """The oldest picture that waits, copied out of its buffer, which is filled anew; None where none comes."""
        wait_us = int(timeout_s * 1e6)
        pop = self._library.arv_stream_timeout_pop_buffer
        buffer = pop(self._stream, wait_us) if wait_us > 0 else self._library.arv_stream_try_pop_buffer(self._stream)
        if not buffer:
            return None
        try:
            return self._shot(buffer)
        finally:
            self._library.arv_stream_push_buffer(self._stream, buffer)

    def _shot(self, buffer: int) -> "Shot":
        library = self._library
        number, at_ns = library.arv_buffer_get_frame_id(buffer), library.arv_buffer_get_system_timestamp(buffer)
        status = library.arv_buffer_get_status(buffer)
        if status != SUCCESS:
            return Shot(number, at_ns, trouble=_TROUBLE.get(status, f"has Aravis' status {status}"))
        size, pad_x, pad_y = c_size_t(), c_int(), c_int()
        address = library.arv_buffer_get_data(buffer, byref(size))
        library.arv_buffer_get_image_padding(buffer, byref(pad_x), byref(pad_y))
        if pad_x.value:
            return Shot(number, at_ns, trouble=f"has {pad_x.value} bytes of padding at the end of each line")
        data = np.ctypeslib.as_array(ctypes.cast(address, POINTER(ctypes.c_uint8)), (size.value,)).copy()
        width, height = library.arv_buffer_get_image_width(buffer), library.arv_buffer_get_image_height(buffer)
        return Shot(number, at_ns, data, width, height)

    def close(self) -> None:
        """Stop, and let go of the camera. Where it does not answer any more, that takes Aravis some seconds."""
        if not self._camera.value:
            return
        try:
            if self._stream.value and not self.lost.is_set():
                checked(self._name, "arv_camera_stop_acquisition", self._camera)
        except CameraError:
            self.lost.set()
        self._gobject.g_signal_handler_disconnect(self._device, self._signal)
        for owned in (self._stream, self._camera):
            if owned.value:
                self._gobject.g_object_unref(owned)
                owned.value = None


@dataclass(frozen=True, slots=True)
class Shot:
    """What was in a buffer. `number`: the camera's count. `at_ns`: when its first packet came. `trouble`: of no use."""

    number: int
    at_ns: int
    data: npt.NDArray[np.uint8] | None = None
    width: int = 0
    height: int = 0
    trouble: str = ""
