"""Alignment: what lies loosely comes back to its place, and what is not the part stays as it is."""

import base64
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_runtime.alignment import Alignment, Reference, _Move
from edge_runtime.bundle import Bundle, BundleInfo, load_bundle
from edge_runtime.cameras import Frame
from edge_runtime.errors import BundleError
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector, _peak
from edge_runtime.picture import Image, ViewSpec
from edge_runtime.regions import Region, cut
from tests.loose import PLAY_SHIFT, PLAY_TURN, SIDE, loose_views, pattern, shown
from tests.unit.test_bundle import changed

IDENTITY = np.eye(2, 3)
CENTRE = np.array([(SIDE - 1) / 2, (SIDE - 1) / 2, 1.0])


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def channels(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def table(channels: int) -> Image:
    return pattern(3, channels)


@pytest.fixture(scope="module")
def reference(table: Image) -> Reference:
    return Reference.of(loose_views(table, 16, seed=1))


def likeness(view: Image, reference: Reference) -> float:
    return float(np.corrcoef(view.mean(axis=2).ravel(), reference.picture.mean(axis=2).ravel())[0, 1])


@pytest.mark.parametrize(
    ("x", "y", "turn"), [(0, 0, 0), (6, 0, 0), (-6, 6, 0), (0, 0, 4), (0, 0, -4), (5, -6, 4), (-6, -5.5, -3)]
)
def test_a_shifted_and_turned_part_comes_back_to_within_a_pixel(
    reference: Reference, table: Image, x: float, y: float, turn: float
) -> None:
    rng = np.random.default_rng(0)
    _, lies = reference.align(shown(table, 0, 0, 0, rng))
    view = shown(table, x, y, turn, rng)
    aligned, origin = reference.align(view)
    assert aligned.shape == view.shape
    assert aligned.dtype == np.uint8
    assert likeness(aligned, reference) > likeness(view, reference)
    # `lies`: where the reference lies when the part is not moved; the jig's move on top of it must be what was found.
    sin, cos = math.sin(math.radians(-turn)), math.cos(math.radians(-turn))
    for corner in ((8, 8, 1), (40, 8, 1), (8, 40, 1), (40, 40, 1)):
        unmoved = lies @ corner - CENTRE[:2]
        expected = np.array([[cos, -sin], [sin, cos]]) @ unmoved + CENTRE[:2] + (x, y)
        assert np.hypot(*(origin @ corner - expected)) < 1


def test_what_was_learnt_reaches_as_far_as_the_jig_has_play(reference: Reference) -> None:
    assert PLAY_SHIFT <= reference.shift <= 2.5 * PLAY_SHIFT
    assert PLAY_TURN <= reference.turn <= 2.5 * PLAY_TURN
    assert 0.5 < reference.likeness < 0.95


def test_a_defect_does_not_keep_a_part_from_its_place(reference: Reference, table: Image) -> None:
    view = shown(table, 4, -3, 2, np.random.default_rng(0))
    view[20:26, 20:26] = 255
    assert not np.array_equal(reference.align(view)[1], IDENTITY)


@pytest.mark.parametrize("brightness", [0, 90, 255])
@pytest.mark.parametrize("noise", [0, 3])
def test_a_blank_view_stays_as_it_is(reference: Reference, channels: int, brightness: int, noise: int) -> None:
    rng = np.random.default_rng(0)
    view = np.clip(brightness + rng.normal(0, noise, (SIDE, SIDE, channels)), 0, 255).astype(np.uint8)
    aligned, origin = reference.align(view)
    np.testing.assert_array_equal(aligned, view)
    np.testing.assert_array_equal(origin, IDENTITY)


def test_noise_stays_as_it_is(reference: Reference, channels: int) -> None:
    for seed in range(10):
        view = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, channels), np.uint8)
        aligned, origin = reference.align(view)
        np.testing.assert_array_equal(aligned, view)
        np.testing.assert_array_equal(origin, IDENTITY)


def test_another_part_stays_as_it_is(reference: Reference, channels: int) -> None:
    for seed in range(20, 26):
        for view in loose_views(pattern(seed, channels), 4, seed):
            np.testing.assert_array_equal(reference.align(view)[1], IDENTITY)


@pytest.mark.parametrize(("x", "y", "turn"), [(16, 0, 0), (0, -17, 0), (0, 0, 25)])
def test_a_part_that_lies_farther_off_than_any_good_one_stays_there(
    reference: Reference, table: Image, x: float, y: float, turn: float
) -> None:
    view = shown(table, x, y, turn, np.random.default_rng(0))
    aligned, origin = reference.align(view)
    np.testing.assert_array_equal(aligned, view)
    np.testing.assert_array_equal(origin, IDENTITY)


def test_a_move_of_which_the_model_allows_less_is_not_made(reference: Reference, table: Image) -> None:
    view = shown(table, 5, 5, 3, np.random.default_rng(0))
    assert not np.array_equal(reference.align(view)[1], IDENTITY)
    for less in ({"shift": 1.0}, {"turn": 0.5}, {"likeness": 0.999}):
        np.testing.assert_array_equal(reference.model_copy(update=less).align(view)[1], IDENTITY)


def test_a_move_that_makes_the_view_less_like_the_reference_is_not_made(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the climb claims: here, that the reference itself lies two pixels off."""
    monkeypatch.setattr(Reference, "_climb", lambda *_: _Move(2, 0, 0))
    lenient = reference.model_copy(update={"likeness": -1.0})
    np.testing.assert_array_equal(lenient.align(reference.picture)[1], IDENTITY)


def test_the_same_views_give_the_same_reference_and_the_same_moves(table: Image) -> None:
    views = loose_views(table, 8, seed=5)
    one, other = Reference.of(views), Reference.of(views.copy())
    assert one == other
    for view in views:
        (aligned, origin), (again, origin_again) = one.align(view), other.align(view)
        np.testing.assert_array_equal(aligned, again)
        np.testing.assert_array_equal(origin, origin_again)


def test_views_that_show_nothing_give_a_reference_that_moves_nothing() -> None:
    flat = Reference.of(np.full((4, SIDE, SIDE, 1), 128, np.uint8))
    view = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 1), np.uint8)
    np.testing.assert_array_equal(flat.align(view)[1], IDENTITY)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 100), (200, 90)])
def test_views_of_any_size_are_aligned(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (1 + height // 8, 1 + width // 8, 1), np.uint8)
    table = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]
    views = np.stack([np.roll(table, step, axis=1) for step in (0, 0, 1, 2, 2)])
    aligned, origin = Reference.of(views).align(views[-1])
    assert aligned.shape == (height, width, 1)
    assert origin[0, 2] == pytest.approx(1, abs=0.5), "the middle of what was seen is the reference's place"


def test_each_label_has_its_own_reference_and_all_survive_json() -> None:
    tables = pattern(3), pattern(4)
    views = np.concatenate([loose_views(part, 8, seed) for seed, part in enumerate(tables)])
    alignment = Alignment.of(views, np.repeat(np.array([0, 1], np.int64), 8), 2)
    view = shown(tables[1], 4, 4, 2, np.random.default_rng(0))
    assert not np.array_equal(alignment.align(view, 1)[1], IDENTITY)
    np.testing.assert_array_equal(alignment.align(view, 0)[1], IDENTITY)
    assert Alignment.model_validate_json(alignment.model_dump_json()) == alignment
    assert alignment.fits(ViewSpec(height=SIDE, width=SIDE, channels=1), 2)
    assert not alignment.fits(ViewSpec(height=SIDE, width=SIDE, channels=3), 2)
    assert not alignment.fits(ViewSpec(height=SIDE, width=SIDE, channels=1), 3)


@pytest.mark.parametrize("image", ["", "AAAA", "not base64!", base64.b64encode(b"no picture").decode()])
def test_a_reference_that_is_no_picture_is_refused(image: str) -> None:
    with pytest.raises(ValidationError, match="image"):
        Reference(image=image, shift=1, turn=1, likeness=0.5)


def test_the_displaced_reference_is_one_that_is_brought_back(reference: Reference) -> None:
    displaced = reference.displaced()
    aligned, origin = reference.align(displaced)
    assert not np.array_equal(origin, IDENTITY)
    assert likeness(aligned, reference) > likeness(displaced, reference)


def test_what_comes_from_beyond_the_view_has_its_peak_at_the_border() -> None:
    difference = np.zeros((10, 20), np.float32)
    difference[4, 6] = 1
    beyond = np.array([[1.0, 0.0, 30.0], [0.0, 1.0, -20.0]])
    region = Region(expected="A12", box=(100, 50, 40, 20))
    assert _peak(difference, beyond, cut(np.zeros((100, 200, 1), np.uint8), "J4", region)) == (100 + 39, 50 + 1)


@pytest.fixture
def aligning_bundle(readable_bundle: Bundle) -> Bundle:
    """A bundle with a difference that is the view it sees, and one reference for all labels: spots on a slope."""
    y, x = np.mgrid[:16, :16]
    picture = (60 + 4 * x + 3 * y).astype(np.uint8)[..., None]
    picture[4:7, 9:12], picture[10:12, 4:6], picture[11, 11] = 10, 200, 250
    png = base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()
    reference = Reference(image=png, shift=4, turn=5, likeness=0.7)
    alignment = Alignment(references=(reference,) * len(readable_bundle.info.labels))
    return replace(readable_bundle, info=readable_bundle.info.model_copy(update={"alignment": alignment}))


def test_the_peak_is_where_the_frame_shows_it(aligning_bundle: Bundle) -> None:
    assert aligning_bundle.info.alignment is not None
    view = aligning_bundle.info.alignment.references[0].picture
    shifted = np.asarray(cv2.copyMakeBorder(view, 2, 0, 0, 2, cv2.BORDER_REPLICATE), np.uint8)[:16, 2:, None]
    limits = aligning_bundle.info.thresholds
    inspector = Inspector(aligning_bundle, Framing({"J4": Region(expected="A12", box=(40, 30, 16, 16))}), limits)
    pixels = np.zeros((60, 60, 1), np.uint8)
    pixels[30:46, 40:56] = shifted
    (region,) = inspector.inspect(Frame(pixels, 0, 1, 0.0), {"J4": "A12"}, "camera").verdict.regions
    seen = aligning_bundle.inspect(shifted, 0).reconstruction
    np.testing.assert_allclose(seen[4:12, 4:12].astype(int), view[4:12, 4:12].astype(int), atol=6)
    assert region.peak == (40 + 11 - 2, 30 + 11 + 2)


def test_a_bundle_keeps_its_alignment_and_one_without_has_no_word_of_it(
    aligning_bundle: Bundle, readable_bundle: Bundle
) -> None:
    for bundle in (aligning_bundle, readable_bundle):
        assert BundleInfo.from_properties(bundle.path, bundle.info.to_properties()) == bundle.info
    assert "kenpin.alignment" in aligning_bundle.info.to_properties()
    assert "kenpin.alignment" not in readable_bundle.info.to_properties()


@pytest.mark.parametrize(
    "damaged", ["", "{", "{}", '{"references": []}', '{"references": [{"image": "AAAA", "shift": 1}]}']
)
def test_a_damaged_alignment_is_refused(readable_bundle: Bundle, tmp_path: Path, damaged: str) -> None:
    with pytest.raises(BundleError, match=r"kenpin\.alignment"):
        load_bundle(changed(readable_bundle.path, tmp_path / "x.onnx", alignment=damaged))
