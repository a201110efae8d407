"""What an inspector makes of frames and scores, with a real session over a bundle whose scores can be read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.cameras import Frame
from edge_runtime.framing import Framing
from edge_runtime.gate import Source
from edge_runtime.inspector import FORGOTTEN, Inspector
from edge_runtime.picture import Image
from edge_runtime.quality import Usual
from edge_runtime.regions import Region
from edge_runtime.verdict import Box, Call, Reason, Thresholds, Verdict
from tests.marked import LEFT, RIGHT, mark_tables, marked_frame, moved

View = Callable[..., Image]
LIMITS = Thresholds(defect=0.5, mismatch=0.5)


def frame(pixels: Image | None, trouble: str | None = None) -> Frame:
    return Frame(pixels, 1_700_000_000_123_456_789, sequence=1, grab_ms=1.0, name="p.png", trouble=trouble)


def judge(
    bundle: Bundle, pixels: Image | None, *, label: str = "A12", box: Box | None = None, trouble: str | None = None
) -> Verdict:
    inspector = Inspector(bundle, Framing({"J4": Region(expected=label, box=box)}), LIMITS, "s", "l", "c")
    return inspector.inspect(frame(pixels, trouble), {"J4": label}, "camera").verdict


@pytest.mark.parametrize(
    ("scores", "call", "reason", "found"),
    [
        ((20, 20, 180, 180), Call.OK, Reason.MATCH, None),
        ((180, 20, 180, 180), Call.NG, Reason.DEFECT, None),
        ((180, 180, 20, 180), Call.NG, Reason.WRONG_PART, "B7"),
        ((180, 180, 180, 180), Call.NG, Reason.WRONG_PART, "unknown"),
        ((255, 20, 180, 180), Call.NG, Reason.UNSURE, None),
        ((20, 255, 180, 180), Call.NG, Reason.UNSURE, None),
        ((100, 20, 180, 180), Call.NG, Reason.DEFECT, None),
    ],
)
def test_scores_become_a_call_with_its_reason(
    readable_bundle: Bundle, readable_view: View, scores: tuple[int, ...], call: Call, reason: Reason, found: str | None
) -> None:
    (region,) = judge(readable_bundle, readable_view(*scores)).regions
    assert (region.verdict, region.reason, region.found) == (call, reason, found)


def test_the_part_that_was_found_has_its_score(readable_bundle: Bundle, readable_view: View) -> None:
    (region,) = judge(readable_bundle, readable_view(180, 180, 20, 180)).regions
    assert region.found_score == pytest.approx(1 - 0.1)
    (region,) = judge(readable_bundle, readable_view(180, 180, 180, 180)).regions
    assert region.found == "unknown"
    assert region.found_score == pytest.approx(1 - 0.9)
    (region,) = judge(readable_bundle, readable_view(20, 20, 180, 180)).regions
    assert region.found_score is None


def test_a_score_that_is_no_probability_is_left_out(readable_bundle: Bundle, readable_view: View) -> None:
    (region,) = judge(readable_bundle, readable_view(255, 20, 180, 180)).regions
    assert region.defect_score is None
    assert region.mismatch_score == pytest.approx(0.1)


def test_the_peak_is_told_in_pixels_of_the_frame(readable_bundle: Bundle, readable_view: View) -> None:
    pixels = np.zeros((100, 200, 1), np.uint8)
    pixels[40:72, 120:152] = np.kron(readable_view(20, 20, 180, 180)[..., 0], np.ones((2, 2), np.uint8))[..., None]
    (region,) = judge(readable_bundle, pixels, box=(120, 40, 32, 32)).regions
    assert region.box == (120, 40, 32, 32)
    assert region.peak == (120 + 5 * 2 + 1, 40 + 9 * 2 + 1)


@pytest.mark.parametrize(
    ("light", "contrast", "blur", "unusual"),
    [
        (100, 20, 1.0, ()),
        (90, 20, 1.0, ("darker",)),
        (110, 20, 1.0, ("brighter",)),
        (100, 10, 1.0, ("lower_contrast", "blurrier")),
        (100, 30, 1.0, ("higher_contrast", "sharper")),
        (100, 20, 2.0, ("blurrier",)),
        (100, 20, 0.5, ("sharper",)),
        (90, 30, 2.0, ("darker", "higher_contrast", "blurrier")),
    ],
)
def test_a_view_unlike_those_learnt_from_says_how(
    light: float, contrast: float, blur: float, unusual: tuple[str, ...]
) -> None:
    def view(light: float, contrast: float, blur: float) -> Image:
        grey = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(64, 64)), (0, 0), blur)
        return np.asarray(np.clip(light + contrast * grey / grey.std(), 0, 255), np.uint8)[..., None]

    usual = Usual.of(view(100, 20, 1.0)[None])
    assert usual.beyond(view(light, contrast, blur)) == unusual
    assert usual.holds(view(light, contrast, blur)) == (not unusual)


def test_an_unusual_view_is_never_ok_and_its_verdict_and_the_log_say_how(
    readable_bundle: Bundle, readable_view: View, caplog: pytest.LogCaptureFixture
) -> None:
    dark = Usual(low=(-1, -1, -1), high=(20, 1e6, 1e6))
    strict = replace(readable_bundle, info=readable_bundle.info.model_copy(update={"usual": (dark,) * 3}))
    (region,) = judge(strict, readable_view(20, 20, 180, 180)).regions
    assert (region.verdict, region.reason, region.unusual) == (Call.NG, Reason.UNSURE, ("brighter",))
    assert "region J4: NG/unsure: unlike the views A12 was learnt from: brighter" in caplog.text
    (region,) = judge(strict, readable_view(180, 20, 180, 180)).regions
    assert (region.reason, region.unusual) == (Reason.DEFECT, ("brighter",))
    assert b"unusual" not in judge(readable_bundle, readable_view(20, 20, 180, 180)).to_json()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_that_shows_nothing_is_never_ok(readable_bundle: Bundle, value: int) -> None:
    (region,) = judge(readable_bundle, np.full((16, 16, 1), value, np.uint8)).regions
    assert (region.verdict, region.reason) == (Call.ERROR, Reason.BAD_IMAGE)


def test_a_frame_without_pixels_is_never_ok(readable_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    verdict = judge(readable_bundle, None, trouble="p.png: is cut short")
    assert verdict.verdict is Call.ERROR
    assert verdict.regions[0].reason is Reason.BAD_IMAGE
    assert verdict.regions[0].box == (0, 0, 0, 0)
    assert "is cut short" in caplog.text


@pytest.mark.parametrize("box", [(1, 0, 16, 16), (0, 1, 16, 16), (500, 500, 4, 4)])
def test_a_box_that_leaves_the_frame_is_never_ok_and_says_why(
    readable_bundle: Bundle, readable_view: View, caplog: pytest.LogCaptureFixture, box: Box
) -> None:
    (region,) = judge(readable_bundle, readable_view(20, 20, 180, 180), box=box).regions
    assert (region.verdict, region.reason) == (Call.ERROR, Reason.BAD_IMAGE)
    assert "is 16 x 16 pixels, but the region's box is" in caplog.text


def test_a_fault_in_one_region_is_its_verdict_and_the_others_are_judged(
    readable_bundle: Bundle, readable_view: View, caplog: pytest.LogCaptureFixture
) -> None:
    regions = {"J4": Region(expected="A12"), "J5": Region(expected="A12")}
    inspector = Inspector(readable_bundle, Framing(regions), LIMITS)
    verdict = inspector.inspect(
        frame(readable_view(20, 20, 180, 180)), {"J4": "no such", "J5": "A12"}, "camera"
    ).verdict
    assert [region.reason for region in verdict.regions] == [Reason.FAULT, Reason.MATCH]
    assert verdict.verdict is Call.ERROR
    assert "does not know the label 'no such'" in caplog.text


def test_a_verdict_says_who_what_when_and_by_which_limits(readable_bundle: Bundle, readable_view: View) -> None:
    verdict = judge(readable_bundle, readable_view(20, 20, 180, 180))
    assert (verdict.site, verdict.line, verdict.station, verdict.picture) == ("s", "l", "c", "p.png")
    assert b'"captured_at":"2023-11-14T22:13:20.123456Z"' in verdict.to_json()
    assert verdict.bundle == readable_bundle.ref
    assert verdict.thresholds == LIMITS
    assert verdict.latency_ms.total >= verdict.latency_ms.grab + verdict.latency_ms.inspect - 0.01
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_what_was_wrong_with_the_picture_stands_in_the_verdict(readable_bundle: Bundle, readable_view: View) -> None:
    (region,) = judge(readable_bundle, None, trouble="p.png: is cut short").regions
    assert region.detail == "p.png: is cut short"
    (region,) = judge(readable_bundle, readable_view(20, 20, 180, 180), box=(1, 0, 16, 16)).regions
    assert region.detail is not None
    assert region.detail.startswith("the frame is 16 x 16 pixels, but the region's box is [1, 0, 16, 16]")
    (region,) = judge(readable_bundle, readable_view(20, 20, 180, 180), label="no such").regions
    assert region.detail is not None
    assert "does not know the label 'no such'" in region.detail
    assert judge(readable_bundle, readable_view(20, 20, 180, 180)).regions[0].detail is None


def test_what_goes_on_is_logged_once_and_again_when_it_changes(
    readable_bundle: Bundle, readable_view: View, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    inspector = Inspector(readable_bundle, Framing({"J4": Region(expected="A12", box=(0, 0, 16, 16))}), LIMITS)
    small, good = np.full((8, 8, 1), 100, np.uint8), readable_view(20, 20, 180, 180)
    black = np.zeros((16, 16, 1), np.uint8)
    for pixels in (good, small, small, small[:7], black, black, good, good, small):
        inspector.inspect(frame(pixels), {"J4": "A12"}, "camera")
    told = [record.getMessage().removeprefix("region J4: ").partition(",")[0] for record in caplog.records]
    assert told == [
        "ERROR/bad_image: the frame is 8 x 8 pixels",
        "ERROR/bad_image: dark: nothing is brighter than grey level 0; check light",
        "is judged again",
        "ERROR/bad_image: the frame is 8 x 8 pixels",
    ]


def test_a_fault_that_goes_on_has_one_traceback(
    readable_bundle: Bundle, readable_view: View, caplog: pytest.LogCaptureFixture
) -> None:
    inspector = Inspector(readable_bundle, Framing({"J4": Region(expected="A12")}), LIMITS)
    for _ in range(3):
        inspector.inspect(frame(readable_view(20, 20, 180, 180)), {"J4": "no such"}, "camera")
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_each_region_that_was_judged_shows_what_was_seen(readable_bundle: Bundle, readable_view: View) -> None:
    regions = {"J4": Region(expected="A12"), "J5": Region(expected="A12", box=(0, 0, 17, 17))}
    inspector = Inspector(readable_bundle, Framing(regions), LIMITS)
    view = readable_view(180, 20, 180, 180)
    inspection = inspector.inspect(frame(view), {"J4": "A12", "J5": "A12"}, "camera")
    assert [region.verdict for region in inspection.verdict.regions] == [Call.NG, Call.ERROR]
    assert set(inspection.looks) == {"J4"}
    look = inspection.looks["J4"]
    assert np.array_equal(look.view, view)
    assert np.array_equal(look.reconstruction, view)
    assert np.array_equal(look.difference, view[..., 0].astype(np.float32))


def seen_from_the_side(view: Image) -> tuple[Image, tuple[tuple[float, float], ...]]:
    """A frame that shows the view in perspective, and its corners there."""
    large = cv2.resize(view, (160, 160), interpolation=cv2.INTER_NEAREST)
    corners = ((50, 30), (260, 50), (240, 210), (70, 190))
    whole = np.array([[0, 0], [160, 0], [160, 160], [0, 160]], np.float32)
    matrix = cv2.getPerspectiveTransform(whole, np.array(corners, np.float32))
    shown = cv2.warpPerspective(large, matrix, (300, 240), borderMode=cv2.BORDER_CONSTANT, borderValue=60)
    return np.asarray(shown, np.uint8)[..., None], corners


def test_a_part_seen_from_the_side_is_judged_upright_and_its_peak_told_in_the_frame(
    readable_bundle: Bundle, readable_view: View
) -> None:
    pixels, corners = seen_from_the_side(readable_view(20, 20, 180, 180))
    region = Region.model_validate({"expected": "A12", "corners": corners})
    inspector = Inspector(readable_bundle, Framing({"J4": region}), LIMITS)
    (found,) = inspector.inspect(frame(pixels), {"J4": "A12"}, "camera").verdict.regions
    assert found.defect_score == pytest.approx(0.1, abs=0.03)
    assert (found.verdict, found.box, found.corners) == (Call.OK, (50, 30, 210, 180), corners)
    assert found.peak is not None
    assert pixels[found.peak[1], found.peak[0], 0] > 240


def test_without_its_mark_no_region_is_ok(readable_bundle: Bundle, tmp_path: Path) -> None:
    regions = {name: Region(expected="A12", box=(250, 180, 150, 120)) for name in ("J4", "J5")}
    framing = Framing(regions, mark_tables(tmp_path, LEFT, RIGHT))
    inspector = Inspector(readable_bundle, framing, LIMITS)
    labels = {"J4": "A12", "J5": "A12"}
    turned = inspector.inspect(frame(moved(marked_frame(), 5, 3, 2)), labels, "camera").verdict
    assert [region.corners is not None for region in turned.regions] == [True, True]
    assert all(region.reason is not Reason.BAD_IMAGE for region in turned.regions)
    hidden = marked_frame()
    hidden[300:] = hidden[180:360]
    for region in inspector.inspect(frame(hidden), labels, "camera").verdict.regions:
        assert (region.verdict, region.reason) == (Call.ERROR, Reason.BAD_IMAGE)
        assert region.detail is not None
        assert region.detail.startswith("mark 'right': not found")


def test_a_fault_in_the_search_for_marks_is_a_verdict_too(
    readable_bundle: Bundle, readable_view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    framing = Framing({"J4": Region(expected="A12")})
    monkeypatch.setattr(Framing, "look", lambda *_: 1 / 0)
    inspector = Inspector(readable_bundle, framing, LIMITS)
    (region,) = inspector.inspect(frame(readable_view(20, 20, 180, 180)), {"J4": "A12"}, "camera").verdict.regions
    assert (region.verdict, region.reason) == (Call.ERROR, Reason.FAULT)


def test_a_picture_of_which_nobody_knows_what_was_expected_is_not_judged(
    readable_bundle: Bundle, readable_view: View
) -> None:
    inspector = Inspector(readable_bundle, Framing({"J4": Region(expected="A12")}), LIMITS)
    for pixels, why in ((readable_view(20, 20, 180, 180), FORGOTTEN), (None, "the camera is lost")):
        trouble = None if pixels is not None else why
        (region,) = inspector.inspect(frame(pixels, trouble), None, "presence").verdict.regions
        assert (region.verdict, region.reason, region.expected) == (Call.ERROR, Reason.BAD_IMAGE, "unknown")
        assert region.detail == why


@pytest.mark.parametrize("way", ["dark", "burnt out", "blurred", "torn below", "torn at", "frozen", "160 x 120 pixels"])
def test_a_good_part_in_a_picture_that_is_broken_is_never_ok(
    readable_bundle: Bundle, readable_view: View, way: str
) -> None:
    def exposed(seed: int) -> Image:
        pixels = np.random.default_rng(seed).integers(20, 230, (240, 320, 1), np.uint8)
        pixels[10:26, 10:26] = readable_view(20, 20, 180, 180)
        return pixels

    framing = Framing({"J4": Region(expected="A12", box=(10, 10, 16, 16))}, source=Source.SENSOR)
    inspector = Inspector(readable_bundle, framing, LIMITS)
    before, now = exposed(0), exposed(1)
    half = cv2.GaussianBlur(np.kron(now[:1, :2], np.ones((240, 160, 1), np.uint8)), (0, 0), 60)
    broken = {
        "dark": np.where(now == 255, 255, now // 20).astype(np.uint8),
        "burnt out": np.full_like(now, 255),
        "blurred": np.asarray(half, np.uint8)[..., None],
        "torn below": np.concatenate([now[:120], np.full_like(now[120:], 128)]),
        "torn at": np.concatenate([now[:120], before[120:]]),
        "frozen": before,
        "160 x 120 pixels": now[:120, :160],
    }[way]
    calls = []
    for seed in (3, 4):  # with the next they say how large the camera's frames are
        assert inspector.inspect(frame(exposed(seed)), {"J4": "A12"}, "camera").verdict.verdict is Call.OK
    for pixels in (before, broken, broken.copy(), broken.copy(), exposed(2)):
        verdict = inspector.inspect(frame(pixels), {"J4": "A12"}, "camera").verdict
        calls.append(verdict.verdict)
        if verdict.verdict is Call.ERROR:
            assert verdict.regions[0].reason is Reason.BAD_IMAGE
            assert (verdict.regions[0].detail or "").startswith((way, "frozen"))
    first = [Call.OK, Call.ERROR] if way != "frozen" else [Call.OK, Call.OK]  # some drivers send a picture twice
    assert calls == [*first, calls[2], Call.ERROR, Call.OK]
    assert calls[2] is Call.ERROR or way == "torn at"
