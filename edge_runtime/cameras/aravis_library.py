"""Aravis 0.8 as this program calls it: a camera, its features, its stream.

Aravis is reached through its C interface with ctypes, and not through GObject introspection: PyGObject of the
distribution fits the distribution's Python only, and building another needs headers on the line PC
(docs/decisions/0009-cameras.md). Only what is declared here is called.
"""

import ctypes
import logging
import threading
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import CameraError, CameraLost

log = logging.getLogger(__name__)

MISSING = "needs Aravis 0.8; install it with: sudo apt-get install libaravis-0.8-0"

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

_REFUSED = {0, 1, 7, 8, 9, 12, 13, 14, 15, 16}
"""ArvDeviceError: a feature that is not there or of another kind, a value, an address, a register that takes none.

Everything else of that kind is a camera that does not answer, or not to us: another program controls it.
"""

_GErrorPointer = POINTER(c_void_p)
_Lost = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class _GError(ctypes.Structure):
    _fields_ = [("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p)]


# Name → what it returns, what it takes. A trailing GError** is where it tells what went wrong.
_ARAVIS: dict[str, tuple[Any, list[Any]]] = {
    "arv_update_device_list": (None, []),
    "arv_get_n_devices": (c_uint, []),
    "arv_get_device_id": (c_char_p, [c_uint]),
    "arv_get_device_vendor": (c_char_p, [c_uint]),
    "arv_get_device_model": (c_char_p, [c_uint]),
    "arv_get_device_address": (c_char_p, [c_uint]),
    "arv_device_error_quark": (ctypes.c_uint32, []),
    "arv_camera_new": (c_void_p, [c_char_p, _GErrorPointer]),
    "arv_camera_get_device": (c_void_p, [c_void_p]),
    "arv_camera_get_payload": (c_uint, [c_void_p, _GErrorPointer]),
    "arv_camera_is_gv_device": (c_int, [c_void_p]),
    "arv_camera_gv_set_stream_options": (None, [c_void_p, c_int]),
    "arv_camera_create_stream": (c_void_p, [c_void_p, c_void_p, c_void_p, _GErrorPointer]),
    "arv_camera_start_acquisition": (None, [c_void_p, _GErrorPointer]),
    "arv_camera_stop_acquisition": (None, [c_void_p, _GErrorPointer]),
    "arv_device_is_feature_available": (c_int, [c_void_p, c_char_p, _GErrorPointer]),
    "arv_device_get_float_feature_bounds": (
        None,
        [c_void_p, c_char_p, POINTER(c_double), POINTER(c_double), _GErrorPointer],
    ),
    "arv_device_get_float_feature_value": (c_double, [c_void_p, c_char_p, _GErrorPointer]),
    "arv_device_set_float_feature_value": (None, [c_void_p, c_char_p, c_double, _GErrorPointer]),
    "arv_device_get_integer_feature_bounds": (
        None,
        [c_void_p, c_char_p, POINTER(c_int64), POINTER(c_int64), _GErrorPointer],
    ),
    "arv_device_get_integer_feature_value": (c_int64, [c_void_p, c_char_p, _GErrorPointer]),
    "arv_device_set_integer_feature_value": (None, [c_void_p, c_char_p, c_int64, _GErrorPointer]),
    "arv_device_dup_available_enumeration_feature_values_as_strings": (
        POINTER(c_char_p),
        [c_void_p, c_char_p, POINTER(c_uint), _GErrorPointer],
    ),
    "arv_device_get_string_feature_value": (c_char_p, [c_void_p, c_char_p, _GErrorPointer]),
    "arv_device_set_string_feature_value": (None, [c_void_p, c_char_p, c_char_p, _GErrorPointer]),
    "arv_device_set_boolean_feature_value": (None, [c_void_p, c_char_p, c_int, _GErrorPointer]),
    "arv_device_execute_command": (None, [c_void_p, c_char_p, _GErrorPointer]),
    "arv_stream_push_buffer": (None, [c_void_p, c_void_p]),
    "arv_stream_try_pop_buffer": (c_void_p, [c_void_p]),
    "arv_stream_timeout_pop_buffer": (c_void_p, [c_void_p, c_uint64]),
    "arv_buffer_new_allocate": (c_void_p, [c_size_t]),
    "arv_buffer_get_status": (c_int, [c_void_p]),
    "arv_buffer_get_data": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "arv_buffer_get_image_width": (c_int, [c_void_p]),
    "arv_buffer_get_image_height": (c_int, [c_void_p]),
    "arv_buffer_get_image_padding": (None, [c_void_p, POINTER(c_int), POINTER(c_int)]),
    "arv_buffer_get_frame_id": (c_uint64, [c_void_p]),
    "arv_buffer_get_system_timestamp": (c_uint64, [c_void_p]),
}
_GOBJECT: dict[str, tuple[Any, list[Any]]] = {
    "g_object_unref": (None, [c_void_p]),
    "g_object_set": (None, [c_void_p, c_char_p]),  # and a value for it, and None
    "g_signal_connect_data": (ctypes.c_ulong, [c_void_p, c_char_p, _Lost, c_void_p, c_void_p, c_int]),
    "g_signal_handler_disconnect": (None, [c_void_p, ctypes.c_ulong]),
    "g_error_free": (None, [c_void_p]),
    "g_free": (None, [c_void_p]),
}


@cache
def _library() -> ctypes.CDLL:
    """Aravis, with what it takes and returns declared. Raises CameraError where it is not installed."""
    try:
        library = ctypes.CDLL("libaravis-0.8.so.0")
    except OSError as error:
        raise CameraError("aravis", MISSING) from error
    for name, (returns, takes) in _ARAVIS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returns, takes
    return library


@cache
def _gobject() -> ctypes.CDLL:
    """GObject and GLib, on which Aravis is built: each of their functions is found in either."""
    library = ctypes.CDLL("libgobject-2.0.so.0")
    for name, (returns, takes) in _GOBJECT.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returns, takes
    return library


def _checked(camera: str, name: str, *arguments: Any) -> Any:
    """Call what tells its errors. Raises CameraLost where the camera does not answer, else CameraError."""
    library = _library()
    error = c_void_p()
    result = getattr(library, name)(*arguments, byref(error))
    if not error.value:
        return result
    told = ctypes.cast(error, POINTER(_GError)).contents
    why = (told.message or b"no reason given").decode("utf-8", "replace")
    lost = told.domain == library.arv_device_error_quark() and told.code not in _REFUSED
    _gobject().g_error_free(error)
    raise (CameraLost if lost else CameraError)(camera, why)


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that answers here."""

    id: str
    vendor: str
    model: str
    address: str


def found() -> list[Found]:
    """The cameras that answer now. Takes about a second, in which they may."""
    library = _library()
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
        self._name, self._library, self._gobject = name, _library(), _gobject()
        self.lost = threading.Event()
        self._stream = c_void_p()
        self._camera = c_void_p(_checked(name, "arv_camera_new", name.encode()))
        self._device = c_void_p(self._library.arv_camera_get_device(self._camera))
        self._callback = _Lost(lambda _device, _data: self.lost.set())  # held, or it would be freed under Aravis' feet
        self._signal = self._gobject.g_signal_connect_data(self._device, b"control-lost", self._callback, None, None, 0)

    def _call(self, name: str, *arguments: Any) -> Any:
        return _checked(self._name, name, self._device, *arguments)

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
        payload = _checked(self._name, "arv_camera_get_payload", self._camera)
        over_network = bool(self._library.arv_camera_is_gv_device(self._camera))
        if over_network:
            self._library.arv_camera_gv_set_stream_options(self._camera, _NO_PACKET_SOCKET)
        self._stream = c_void_p(_checked(self._name, "arv_camera_create_stream", self._camera, None, None))
        if over_network:
            self._make_room(payload)
        for _ in range(BUFFERS):
            self._library.arv_stream_push_buffer(self._stream, self._library.arv_buffer_new_allocate(payload))
        _checked(self._name, "arv_camera_start_acquisition", self._camera)

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
                _checked(self._name, "arv_camera_stop_acquisition", self._camera)
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
