"""Parts seen from the side, in a jig that moves, asked of a bundle that learnt them from above."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle import load_bundle
from edge_runtime.cameras import Frame
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector
from edge_runtime.picture import Image
from edge_runtime.regions import Region
from edge_runtime.verdict import Call, Reason
from tests.marked import LEFT, RIGHT, mark_tables, marked_frame, moved
from train.datasets import shapes

CORNERS = ((230, 130), (420, 150), (400, 330), (250, 300))
LARGE = 4 * shapes.SIDE


def seen_from_the_side(view: Image) -> Image:
    """A frame with two marks, in which the view lies in perspective."""
    frame = marked_frame()
    whole = np.array([[0, 0], [LARGE, 0], [LARGE, LARGE], [0, LARGE]], np.float32)
    matrix = cv2.getPerspectiveTransform(whole, np.array(CORNERS, np.float32))
    large = cv2.resize(view, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC)
    size = frame.shape[1::-1]
    shown = cv2.warpPerspective(large, matrix, size)[..., None]
    where = cv2.warpPerspective(np.full_like(large, 255), matrix, size)[..., None] == 255
    return np.where(where, shown, frame).astype(np.uint8)


@pytest.fixture
def inspector(bundle_path: Path, tmp_path: Path) -> Inspector:
    bundle = load_bundle(bundle_path)
    region = Region.model_validate({"expected": "solid-circle", "corners": CORNERS})
    framing = Framing({"J4": region}, mark_tables(tmp_path, LEFT, RIGHT))
    return Inspector(bundle, framing, bundle.info.thresholds)


def test_parts_seen_from_the_side_are_told_apart_wherever_the_jig_has_moved_to(inspector: Inspector) -> None:
    rng = np.random.default_rng(5)
    calls: dict[str, Counter[Call]] = {label: Counter() for label in shapes.LABELS}
    for label in shapes.LABELS:
        for _ in range(15):
            x, y, turn = rng.uniform((-15, -15, -2), (15, 15, 2))
            pixels = moved(seen_from_the_side(shapes.draw(label, rng)), x, y, turn)
            verdict = inspector.inspect(Frame(pixels, 0, 1, 0.0), {"J4": "solid-circle"}, "test").verdict
            calls[label][verdict.verdict] += 1
            assert verdict.regions[0].reason is not Reason.BAD_IMAGE, verdict.regions[0].detail
    assert calls.pop("solid-circle")[Call.OK] >= 10
    assert sum(counted[Call.OK] for counted in calls.values()) == 0


def test_a_good_part_whose_marks_are_covered_is_never_ok(inspector: Inspector) -> None:
    pixels = seen_from_the_side(shapes.draw("solid-circle", np.random.default_rng(5)))
    pixels[LEFT[1] : LEFT[1] + 48, LEFT[0] : LEFT[0] + 48] = 90
    (region,) = inspector.inspect(Frame(pixels, 0, 1, 0.0), {"J4": "solid-circle"}, "test").verdict.regions
    assert (region.verdict, region.reason) == (Call.ERROR, Reason.BAD_IMAGE)
