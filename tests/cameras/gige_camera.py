"""A GigE Vision camera on 127.0.0.1: Aravis' own, which speaks the real protocol. gige_camera.py SERIAL [LOST].

A process of its own, so that killing it is pulling its cable. `LOST`: the share of packets that never leave it.
"""

import ctypes
import sys
import threading

aravis = ctypes.CDLL("libaravis-0.8.so.0")
gobject = ctypes.CDLL("libgobject-2.0.so.0")
aravis.arv_gv_fake_camera_new.restype = ctypes.c_void_p
aravis.arv_gv_fake_camera_is_running.argtypes = [ctypes.c_void_p]
camera = aravis.arv_gv_fake_camera_new(b"127.0.0.1", sys.argv[1].encode())
if not aravis.arv_gv_fake_camera_is_running(camera):
    sys.exit("the port of GigE Vision is taken")
if len(sys.argv) > 2:
    set_property = gobject.g_object_set
    set_property.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    set_property(camera, b"gvsp-lost-ratio", ctypes.c_double(float(sys.argv[2])), None)
print("ready", flush=True)
threading.Event().wait()
