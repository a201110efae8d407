"""kenpin on the line: camera → view → engine → verdict → outbox → broker.

This package is all that a line PC installs. It imports neither `train` nor `export`, and they import from it what both
sides must agree on: how a picture becomes a view (`picture`), what a bundle says of itself (`bundle`), and what a
verdict is (`verdict`).
"""

import os

# ONNX Runtime keeps an identity of this machine in the home folder, for reports to its maker: not on a line. It looks
# for this while it is imported, so it stands before all of our modules.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# FFmpeg, in OpenCV, prints its own line beside ours where a stream does not open: quiet (AV_LOG_QUIET) unless somebody
# asks for it. OpenCV looks for this when it opens the first stream.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
