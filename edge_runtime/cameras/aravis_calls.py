"""The functions of Aravis 0.8, GObject and GLib that this program calls, with what they take and return.

Aravis is reached through its C interface with ctypes, and not through GObject introspection: PyGObject of the
distribution fits the distribution's Python only, and building another needs headers on the line PC
(docs/decisions/0009-cameras.md). Only what is declared here is called.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

from edge_runtime.errors import CameraError, CameraLost

MISSING = "needs Aravis 0.8; install it with: sudo apt-get install libaravis-0.8-0"

_REFUSED = {0, 1, 7, 8, 9, 12, 13, 14, 15, 16}
"""ArvDeviceError: a feature that is not there or of another kind, a value, an address, a register that takes none.

Everything else of that kind is a camera that does not answer, or not to us: another program controls it.
"""

_GErrorPointer = POINTER(c_void_p)
LostCallback = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


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
    "g_signal_connect_data": (ctypes.c_ulong, [c_void_p, c_char_p, LostCallback, c_void_p, c_void_p, c_int]),
    "g_signal_handler_disconnect": (None, [c_void_p, ctypes.c_ulong]),
    "g_error_free": (None, [c_void_p]),
    "g_free": (None, [c_void_p]),
}


@cache
def aravis() -> ctypes.CDLL:
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
def gobject() -> ctypes.CDLL:
    """GObject and GLib, on which Aravis is built: each of their functions is found in either."""
    library = ctypes.CDLL("libgobject-2.0.so.0")
    for name, (returns, takes) in _GOBJECT.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returns, takes
    return library


def checked(camera: str, name: str, *arguments: Any) -> Any:
    """Call what tells its errors. Raises CameraLost where the camera does not answer, else CameraError."""
    library = aravis()
    error = c_void_p()
    result = getattr(library, name)(*arguments, byref(error))
    if not error.value:
        return result
    told = ctypes.cast(error, POINTER(_GError)).contents
    why = (told.message or b"no reason given").decode("utf-8", "replace")
    lost = told.domain == library.arv_device_error_quark() and told.code not in _REFUSED
    gobject().g_error_free(error)
    raise (CameraLost if lost else CameraError)(camera, why)
