"""`[camera]` of a station file: one table for each kind of camera."""

from typing import Annotated, Literal

from pydantic import Field

from edge_runtime.table import LocalPath, Table

Rate = Annotated[float, Field(gt=0, le=1000, description="pictures a second, above 0 and at most 1000")]


class FolderCamera(Table):
    """Replays the pictures of a folder, by name."""

    kind: Literal["folder"]
    path: LocalPath = Field(description='a folder of pictures, as path = "pictures"')
    rate_hz: Rate
    repeat: bool = Field(default=False, description="true (start over at the end) or false (end the run)")


class VideoCamera(Table):
    """Replays a video file. Without `rate_hz` at the rate that the file states."""

    kind: Literal["video"]
    path: LocalPath = Field(description='a video file, as path = "line.mp4"')
    rate_hz: Rate | None = None
    repeat: bool = Field(default=False, description="true (start over at the end) or false (end the run)")


CameraConfig = Annotated[FolderCamera | VideoCamera, Field(discriminator="kind")]
