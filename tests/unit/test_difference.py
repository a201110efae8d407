import cv2
import numpy as np
import pytest

from train import difference
from train.difference import CAUSES, GREY_LEVEL, Tolerances, _Moments, compare, explain

ALL = np.ones(200, np.bool_)
"""Every view is one that the CVAE was not fitted on."""


def parts(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Good views whose left half jitters and whose right half is quiet, and drawings that are their mean."""
    rng = np.random.default_rng(seed)
    view = np.full((count, 32, 32, 1), 0.5, np.float32)
    view[:, :, :16] += rng.normal(0, 0.2, (count, 32, 16, 1)).astype(np.float32)
    view[:, :, 16:] += rng.normal(0, 0.005, (count, 32, 16, 1)).astype(np.float32)
    return view, np.full_like(view, 0.5), np.zeros(count, np.int64)


def spot(column: int) -> np.ndarray:
    view, _, _ = parts(1, seed=9)
    view[0, 15:17, column : column + 2] += 0.3
    return view


def test_the_same_spot_is_loud_where_the_part_is_quiet_and_quiet_where_it_jitters() -> None:
    tolerances, _ = Tolerances.fit(*parts(40), 1, ALL[:40])
    drawn, label = np.full((1, 32, 32, 1), 0.5, np.float32), np.zeros(1, np.int64)
    quiet, _ = tolerances.difference(spot(24), drawn, label)
    jittery, _ = tolerances.difference(spot(6), drawn, label)
    assert float(np.asarray(quiet)[0, 16, 24, 0]) > 4 * float(np.asarray(jittery)[0, 16, 6, 0])
    assert np.unravel_index(np.argmax(np.asarray(quiet)[0]), (32, 32))[1] in (23, 24, 25)


def test_a_view_is_measured_against_the_other_views_only() -> None:
    """Few views measured against themselves look better than any view to come; left out, they look like those."""
    _, own = Tolerances.fit(*parts(8), 1, ALL[:8])
    fresh_view, fresh_drawn, fresh_label = parts(200, seed=1)
    tolerances, _ = Tolerances.fit(*parts(8), 1, ALL[:8])
    _, fresh = tolerances.difference(fresh_view, fresh_drawn, fresh_label)
    assert abs(own[:, 0].mean() - np.asarray(fresh)[:, 0].mean()) < 1.0


def test_leaving_one_out_in_closed_form_is_leaving_it_out() -> None:
    view, drawn, label = parts(6)
    others, _ = Tolerances.fit(view[1:], drawn[1:], label[1:], 1, ALL[:5])
    by_hand = np.asarray(others.deviations(compare(view[:1], drawn[:1])[0], label[:1]))[0, : others.pixels[0]]
    residuals = np.asarray(compare(view, drawn)[0][0])
    left_out = _Moments.of(residuals).tolerated(residuals)
    np.testing.assert_allclose(left_out[0].ravel(), by_hand, rtol=1e-3, atol=1e-3)


def test_features_of_the_views_that_set_them_vary_as_much_as_those_of_views_to_come() -> None:
    """A view that enters the mean and spread of its own features lies nearer to the middle than any view to come."""
    own, fresh = [], []
    for seed in range(8):
        tolerances, features = Tolerances.fit(*parts(6, seed=seed), 1, ALL[:6])
        own.append(features)
        fresh.append(np.asarray(tolerances.difference(*parts(50, seed=100 + seed))[1]))
    assert np.concatenate(own).std() > 0.95 * np.concatenate(fresh).std()


def test_views_taken_some_at_a_time_have_the_same_tolerances(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, own = Tolerances.fit(*parts(40), 1, ALL[:40])
    monkeypatch.setattr(difference, "PIXELS", 7 * 32 * 32)
    pieces, own_by_pieces = Tolerances.fit(*parts(40), 1, ALL[:40])
    np.testing.assert_allclose(own_by_pieces, own, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(pieces.spread[0], whole.spread[0], rtol=1e-4)
    np.testing.assert_allclose(pieces.mean[0], whole.mean[0], atol=1e-6)


def test_each_label_has_its_own_tolerance() -> None:
    view, drawn, label = parts(40)
    mirrored = np.concatenate([view, view[:, :, ::-1]])
    both = np.concatenate([label, label + 1])
    tolerances, _ = Tolerances.fit(mirrored, np.concatenate([drawn, drawn]), both, 2, ALL[:80])
    as_first, _ = tolerances.difference(spot(24), drawn[:1], np.array([0]))
    as_second, _ = tolerances.difference(spot(24), drawn[:1], np.array([1]))
    assert float(np.asarray(as_first)[0, 16, 24, 0]) > 4 * float(np.asarray(as_second)[0, 16, 24, 0])


def test_views_that_the_cvae_has_seen_say_where_a_part_jitters_but_not_how_loud_a_good_view_is() -> None:
    view, drawn, label = parts(40)
    unseen = np.arange(40) >= 30
    view[~unseen] = 0.5 + (view[~unseen] - 0.5) / 4  # drawn better than any view to come
    _, own = Tolerances.fit(view, drawn, label, 1, unseen)
    assert abs(float(own[unseen, 0].mean())) < 0.3, "an unseen good view is no louder than unseen good views are"


def test_features_grow_with_the_difference_without_bound() -> None:
    tolerances, _ = Tolerances.fit(*parts(40), 1, ALL[:40])
    drawn, label = np.full((1, 32, 32, 1), 0.5, np.float32), np.zeros(1, np.int64)
    energies = []
    for step in (0.01, 0.1, 1.0, 10.0):
        view = drawn.copy()
        view[0, 8:12, 20:24] += step
        _, features = tolerances.difference(view, drawn, label)
        energies.append(float(np.asarray(features)[0, 0]))
    assert energies == sorted(energies)
    assert energies[-1] > energies[0] + 1


def texture(channels: int = 1) -> np.ndarray:
    """A part with soft edges everywhere, float32 [1, 48, 48, C] in 0..1."""
    rng = np.random.default_rng(0)
    rough = rng.uniform(0.2, 0.8, (48, 48, channels)).astype(np.float32)
    return cv2.GaussianBlur(rough, (0, 0), 3).reshape(1, 48, 48, channels)


def explained(view: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, ...]:
    """What `explain` says of views and drawings, float32 [N, H, W, C], the rest in their shape."""
    left, *said = explain(np.stack([view - drawn, drawn], axis=1).transpose(0, 1, 4, 2, 3))
    count, height, width, channels = drawn.shape
    rest = np.asarray(left).reshape(count, channels, height, width).transpose(0, 2, 3, 1)
    return rest, *(np.asarray(each) for each in said)


def moved(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    where = np.array([[1, 0, across], [0, 1, down]], np.float32)
    out = cv2.warpAffine(picture[0], where, (48, 48), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.float32).reshape(picture.shape)


@pytest.mark.parametrize("channels", [1, 3])
def test_light_and_a_small_misplacement_are_explained_and_a_defect_is_not(channels: int) -> None:
    drawn = texture(channels)
    slope = np.linspace(-0.05, 0.05, 48, dtype=np.float32).reshape(1, 1, 48, 1)
    good = 0.9 * moved(drawn, 0.5, -0.3) + 0.04 + slope
    left, *_ = explained(good, drawn)
    assert (left**2).mean() < 0.02 * ((good - drawn) ** 2).mean()
    bad = good.copy()
    bad[0, 20:23, 30:33] += 0.2
    left, *_ = explained(bad, drawn)
    assert np.unravel_index(np.abs(left[0]).max(axis=2).argmax(), (48, 48))[0] in (20, 21, 22)
    assert left[0, 20:23, 30:33].mean() > 0.17


def test_what_was_explained_is_told_by_cause() -> None:
    drawn = texture()
    _, amount, _ = explained(moved(drawn, 0.5, 0), drawn)
    found = dict(zip(CAUSES, amount[0], strict=True))
    assert max(found, key=lambda cause: abs(found[cause])) == "moved across"
    _, amount, _ = explained(drawn + np.float32(0.1), drawn)
    found = dict(zip(CAUSES, amount[0], strict=True))
    assert found["offset"] == pytest.approx(0.1, abs=GREY_LEVEL)


def test_a_part_in_another_brightness_is_not_explained_away_unheard() -> None:
    """Where all good views are lit alike, one that is not must be loud in the features, if not in the map."""
    tolerances, own = Tolerances.fit(*parts(40), 1, ALL[:40])
    view, drawn, label = parts(1, seed=9)
    _, features = tolerances.difference(view + 0.2, drawn, label)
    offset = own.shape[1] - len(CAUSES) + CAUSES.index("offset")
    assert float(np.asarray(features)[0, offset]) > own[:, offset].max() + 1


def test_another_colour_of_the_same_brightness_stays_in_the_difference() -> None:
    drawn = texture(3)
    red = drawn + np.array([-0.1, 0.0, 0.1], np.float32)
    left, *_ = explained(red, drawn)
    assert np.abs(left).mean() > 0.05


def test_a_flat_drawing_is_explained_without_a_number_that_is_none() -> None:
    flat = np.full((1, 16, 16, 1), 0.5, np.float32)
    for view, drawn in ((texture()[:, :16, :16], flat), (flat, flat)):
        for number in explained(view, drawn):
            assert np.isfinite(number).all()


def test_a_flat_view_is_not_like_a_drawing_with_contrast() -> None:
    """A lens cap, or a burnt-out tile: its own contrast is nothing, not the noise of a difference of large sums."""
    drawn = np.concatenate([cv2.resize(texture()[0], (side, side))[None, :48, :48, None] for side in range(48, 148)])
    for level in (0.0, 0.5, 1.0):
        view = np.full_like(drawn, level)
        view[::2, 7, 9] += np.float32(GREY_LEVEL)
        _, likeness = compare(view, drawn)
        np.testing.assert_allclose(np.asarray(likeness)[:, 1], 1 + GREY_LEVEL, atol=0.2)


def unlit(picture: np.ndarray) -> np.ndarray:
    """A picture, float32 [1, 48, 48, C], less the slopes of light that fit it best."""
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    light = np.stack([each.repeat(picture.shape[3]) for each in (np.ones(48 * 48), x.ravel(), y.ravel())], axis=1)
    found, *_ = np.linalg.lstsq(light, picture.ravel(), rcond=None)
    return np.asarray(picture.ravel() - light @ found)


@pytest.mark.parametrize("channels", [1, 3])
def test_likeness_is_squared_error_and_correlation_of_what_no_light_explains(channels: int) -> None:
    drawn = texture(channels)
    slope = np.linspace(-0.05, 0.05, 48, dtype=np.float32).reshape(1, 1, 48, 1)
    view = 0.8 * moved(drawn, 2, 1) + 0.1 + slope
    _, likeness = compare(view, drawn)
    error, unlike = np.asarray(likeness)[0]
    assert error == pytest.approx((unlit(view - drawn) ** 2).mean() + GREY_LEVEL**2, rel=1e-4)
    assert unlike == pytest.approx(1 + GREY_LEVEL - np.corrcoef(unlit(view), unlit(drawn))[0, 1], rel=1e-2)


@pytest.mark.parametrize(("height", "width"), [(128, 100), (97, 111)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_map_of_a_large_view_shows_a_spot_where_it_is(height: int, width: int, channels: int) -> None:
    """Compared at half its size; wherever a small spot lies, it is as loud."""
    rng = np.random.default_rng(0)
    drawn = np.full((30, height, width, channels), 0.5, np.float32)
    good = drawn + rng.normal(0, 0.02, drawn.shape).astype(np.float32)
    tolerances, _ = Tolerances.fit(good, drawn, np.zeros(30, np.int64), 1, ALL[:30])
    peaks = []
    for y, x in ((30, 40), (31, 40), (30, 41), (31, 41), (0, 0), (height - 1, width - 1)):
        view = drawn[:1].copy()
        view[0, y, x] += 0.3
        shown = np.asarray(tolerances.difference(view, drawn[:1], np.zeros(1, np.int64))[0])
        assert shown.shape == (1, height, width, 1)
        hottest = np.unravel_index(shown.argmax(), shown.shape)
        assert abs(hottest[1] - y) <= 1
        assert abs(hottest[2] - x) <= 1
        peaks.append(shown.max())
    assert max(peaks[:4]) < 2 * min(peaks[:4])
