"""An RTSP server, GStreamer's own. Debian's Python runs it, which has its bindings: rtsp_server.py PORT NAME WORD.

/jpeg sends JPEGs, /vp8 what must be decoded. It says "ready" once it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  # which versions must be said first

SOURCE = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
ENDS = {"/jpeg": "jpegenc ! rtpjpegpay", "/vp8": "vp8enc deadline=1 keyframe-max-dist=10 ! rtpvp8pay"}
RIGHTS = "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"

port, name, word = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
for path, end in ENDS.items():
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {SOURCE} ! {end} name=pay0 )")
    factory.set_shared(True)
    factory.add_role_from_structure(Gst.Structure.from_string(RIGHTS)[0])
    server.get_mount_points().add_factory(path, factory)
login = GstRtspServer.RTSPAuth()
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "user")
login.add_basic(GstRtspServer.RTSPAuth.make_basic(name, word), token)
server.set_auth(login)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
