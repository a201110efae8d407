"""The camera: does it give frames, how fast, and are they pictures of the line?"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from edge_runtime.cameras import Frame, SourceEnded, open_camera
from edge_runtime.checks.finding import Finding, fail, ok, warn
from edge_runtime.inspector import BLANK
from edge_runtime.station import Station
from edge_runtime.triggers.presence import Presence
from edge_runtime.verdict import Reason, Verdict

FRAMES = 10
"""Enough to tell a rate, and to let exposure settle."""
PATIENCE_S = 10.0
"""Longer than most lines pause between two parts."""
GRAB_S = 0.25

Judge = Callable[[Frame], Verdict]


def look_at_camera(station: Station, judge: Judge | None, presence: Presence | None) -> Iterator[Finding]:
    """Opens it, takes some frames, and has the last one judged as the line would. Raises CameraError.

    `judge`: None where no bundle can. `presence`: what looks for parts in its frames; None where nothing does.
    """
    begin = time.monotonic()
    with closing(open_camera(station.camera)) as camera:
        opened_s = time.monotonic() - begin
        frames: list[Frame] = []
        give_up = time.monotonic() + PATIENCE_S
        try:
            while len(frames) < FRAMES and time.monotonic() < give_up:
                if (frame := camera.grab(GRAB_S)) is not None:
                    frames.append(frame)
        except SourceEnded:
            pass  # a short replay; what it gave is enough
    if not frames:
        why = f"opened in {opened_s:.1f} s, and gave no frame in {PATIENCE_S:.0f} s"
        yield warn("camera", why, "right where the machine triggers it and stands still; else check trigger and cable")
        return
    pictures = [frame for frame in frames if frame.pixels is not None]
    if not pictures:
        yield fail("camera", f"gave {len(frames)} frames and no picture: {frames[-1].trouble}", "check the camera")
        return
    yield ok("camera", f"opened in {opened_s:.1f} s; {len(frames)} frames{_rate(frames)}, {_size(pictures[-1])}")
    if len(pictures) < len(frames):
        bad = next(frame for frame in frames if frame.pixels is None)
        yield warn("camera", f"{len(frames) - len(pictures)} of {len(frames)} frames have no picture: {bad.trouble}")
    if presence is not None and (pixels := pictures[-1].pixels) is not None:
        unfit = presence.unfit(pixels)
        yield ok("trigger", "parts can be looked for in its pictures") if unfit is None else fail("trigger", unfit)
    if judge is not None:
        yield from _judged(judge, pictures[-1])


def _rate(frames: list[Frame]) -> str:
    took_s = frames[-1].taken - frames[0].taken
    return f", {(len(frames) - 1) / took_s:.1f} a second" if took_s > 0 else ""


def _size(frame: Frame) -> str:
    height, width, channels = frame.pixels.shape if frame.pixels is not None else (0, 0, 0)
    return f"{width} x {height} pixels, {'colour' if channels == 3 else 'grey'}"


def _judged(judge: Judge, frame: Frame) -> Iterator[Finding]:
    """What the line's own inspector says of a frame. NG is fine: there may be no part, or a bad one."""
    verdict = judge(frame)
    for region in verdict.regions:
        what = f"{region.name}: {region.verdict}/{region.reason} in a picture of now"
        if region.detail == BLANK:
            yield warn("picture", f"{what}: {region.detail}", "right where no part is there and its place is even")
        elif region.reason in (Reason.BAD_IMAGE, Reason.FAULT):
            yield fail("picture", f"{what}: {region.detail}", "aim, focus and light the camera, or correct the region")
        elif region.unusual:
            how = f"{region.name}: unlike all that {region.expected} was learnt from: {', '.join(region.unusual)}"
            yield warn("picture", how, "right where no part is there; else check light, focus and aim")
        else:
            yield ok("picture", what)
