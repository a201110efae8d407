"""The gate stops no line that is well: not one real picture is refused."""

from pathlib import Path

import cv2
import pytest

from edge_runtime.gate import Gate, GateLimits, Source
from edge_runtime.picture import as_picture, read_picture

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_pictures = pytest.mark.skipif(not DATA.exists(), reason=f"needs the real pictures in {DATA}")


@needs_pictures
@pytest.mark.parametrize("source", [Source.REPLAY, Source.STREAM])
@pytest.mark.parametrize("name", ["bottle-detection.mp4", "bolt-multi-size-detection.gif"])
def test_no_frame_of_real_footage_is_refused(name: str, source: Source) -> None:
    video, gate = cv2.VideoCapture(str(DATA / "video" / name)), Gate(GateLimits(), source)
    count, refused = 0, list[str]()
    while (grabbed := video.read())[0]:
        pixels = as_picture(grabbed[1], name)
        trouble = gate.trouble(pixels, count * 0.033) or gate.burnt_out(pixels)
        count += 1
        refused += [f"frame {count}: {trouble}"] if trouble else []
    assert count > 30
    assert refused == []


@needs_pictures
@pytest.mark.parametrize("source", Source)
def test_no_real_board_is_refused(source: Source) -> None:
    gate = Gate(GateLimits(), source)
    paths = sorted((DATA / "pcb-jig").rglob("*.png"))
    found = {path.name: gate.trouble(read_picture(path), 0) for path in paths}
    assert len(paths) == 1440
    assert {name: trouble for name, trouble in found.items() if trouble} == {}
