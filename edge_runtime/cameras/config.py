"""`[camera]` of a station file: one table for each kind of camera. `docs/cameras.md` is this module in words."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from edge_runtime.table import Count, Extent, LocalPath, Table

Rate = Annotated[float, Field(gt=0, le=1000, description="pictures a second, above 0 and at most 1000")]
Delay = Annotated[float, Field(ge=0, le=60, description="seconds from 0 to 60 by which pictures come late")]
Silence = Annotated[
    float,
    Field(ge=0.1, le=600, description="seconds from 0.1 to 600 without a picture until the camera counts as lost"),
]
Exposure = Annotated[float, Field(gt=0, le=60e6, description="microseconds, as exposure_us = 5000")]
Gain = Annotated[float, Field(description="a number in the camera's own unit, often dB, as gain = 6.0")]


def _of_presence(value: object, info: ValidationInfo) -> object:
    """What tells a part from the background is needed where the part's presence cuts, and means nothing elsewhere."""
    if (value is not None) != (info.data.get("cut") == "presence"):
        raise PydanticCustomError(
            "presence", 'belongs to cut = "presence": there it must be, elsewhere it counts nothing'
        )
    return value


class Lines(Table):
    """`[camera.lines]`: blocks of lines become one picture a part. See `edge_runtime/cameras/linescan.py`."""

    lines: int = Field(ge=16, le=65536, description="the picture's height in lines, from 16 to 65536")
    cut: Literal["trigger", "presence"] = Field(description='"trigger" or "presence"')
    background: Annotated[Literal["dark", "bright"] | None, AfterValidator(_of_presence)] = Field(
        default=None, validate_default=True, description='"dark" or "bright": what the camera sees without a part'
    )
    threshold: Annotated[int | None, Field(ge=1, le=255), AfterValidator(_of_presence)] = Field(
        default=None, validate_default=True, description="a grey level from 1 to 255 between background and part"
    )
    gap: Annotated[int | None, Field(ge=1, le=65536), AfterValidator(_of_presence)] = Field(
        default=None, validate_default=True, description="how many background lines in a row end a part"
    )


class FolderCamera(Table):
    """Replays the pictures of a folder, by name. Without `rate_hz` at the pace of the files' times."""

    kind: Literal["folder"]
    path: LocalPath = Field(description='a folder of pictures, as path = "pictures"')
    rate_hz: Rate | None = None
    repeat: bool = Field(default=False, description="true (start over at the end) or false (end the run)")


class VideoCamera(Table):
    """Replays a video file. Without `rate_hz` at the rate that the file states."""

    kind: Literal["video"]
    path: LocalPath = Field(description='a video file, as path = "line.mp4"')
    rate_hz: Rate | None = None
    repeat: bool = Field(default=False, description="true (start over at the end) or false (end the run)")


def _stream(value: str) -> str:
    """Only what FFmpeg opens as a stream, and nothing that would make it open a file."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("rtsp", "rtsps", "http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not value.isprintable() or " " in value:
        raise PydanticCustomError("url", "cannot be the address of a stream")
    return value


class StreamCamera(Table):
    """A network camera that sends a stream: RTSP, or MJPEG and others over HTTP."""

    kind: Literal["stream"]
    url: Annotated[str, AfterValidator(_stream)] = Field(
        description='an address, as url = "rtsp://10.0.0.7/stream1" or "http://10.0.0.7/mjpeg"'
    )
    timeout_s: Silence = 5.0
    delay_s: Delay = 0.5
    lines: Lines | None = Field(default=None, description="a table [camera.lines] with lines and cut")


class V4l2Camera(Table):
    """A camera that Linux knows as a video device: USB, CSI, or a frame grabber."""

    kind: Literal["v4l2"]
    device: str = Field(
        pattern="^/dev/.+", description='a device below /dev, as device = "/dev/v4l/by-id/usb-..." or "/dev/video0"'
    )
    width: Extent | None = Field(default=None, description="whole pixels; belongs to height")
    height: Extent | None = Field(default=None, description="whole pixels; belongs to width")
    rate_hz: Rate | None = None
    pixel_format: Annotated[str, Field(pattern="^[ -~]{4}$")] | None = Field(
        default=None, description='four characters, as pixel_format = "MJPG", "YUYV" or "GREY"'
    )
    exposure_us: Exposure | None = None
    gain: Gain | None = None
    timeout_s: Silence = 5.0
    delay_s: Delay = 0.1
    lines: Lines | None = Field(default=None, description="a table [camera.lines] with lines and cut")


Roi = Annotated[tuple[Count, Count, Extent, Extent], Field(strict=False)]


class Genicam(Table):
    """What cameras that speak GenICam are told; None leaves a setting as the camera has it.

    `trigger`: the camera's own name of what triggers it; None: it runs freely. `timeout_s`: of a picture that must
    come, so it does not count for a camera that waits for a hardware trigger.
    """

    exposure_us: Exposure | None = None
    gain: Gain | None = None
    pixel_format: str | None = Field(default=None, min_length=1, description='as pixel_format = "Mono8"')
    roi: Roi | None = Field(default=None, description="[x, y, width, height] in whole pixels of the sensor")
    rate_hz: Rate | None = None
    trigger: str | None = Field(default=None, min_length=1, description='as trigger = "Line1" or "Software"')
    timeout_s: Silence = 5.0
    lines: Lines | None = Field(default=None, description="a table [camera.lines] with lines and cut")


class AravisCamera(Genicam):
    """GigE Vision or USB3 Vision, through Aravis. `id`: as `kenpin-edge cameras` lists it; None: the only one here."""

    kind: Literal["aravis"]
    id: str | None = Field(default=None, min_length=1, description="a camera's id, address or serial number")


class PylonCamera(Genicam):
    """A Basler camera, through the maker's pylon. `serial`: None: the only one here."""

    kind: Literal["pylon"]
    serial: str | None = Field(default=None, min_length=1, description='as serial = "40012345"')


CameraConfig = Annotated[
    FolderCamera | VideoCamera | StreamCamera | V4l2Camera | AravisCamera | PylonCamera, Field(discriminator="kind")
]
