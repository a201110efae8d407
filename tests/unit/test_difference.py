import numpy as np

from train.difference import Tolerances, pyramid


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
    tolerances, _ = Tolerances.fit(*parts(40), 1)
    drawn, label = np.full((1, 32, 32, 1), 0.5, np.float32), np.zeros(1, np.int64)
    quiet, _ = tolerances.difference(spot(24), drawn, label)
    jittery, _ = tolerances.difference(spot(6), drawn, label)
    assert float(np.asarray(quiet)[0, 16, 24]) > 4 * float(np.asarray(jittery)[0, 16, 6])
    assert np.unravel_index(np.argmax(np.asarray(quiet)[0]), (32, 32))[1] in (23, 24, 25)


def test_a_view_is_measured_against_the_other_views_only() -> None:
    """Few views measured against themselves look better than any view to come; left out, they look like those."""
    _, own = Tolerances.fit(*parts(8), 1)
    fresh_view, fresh_drawn, fresh_label = parts(200, seed=1)
    tolerances, _ = Tolerances.fit(*parts(8), 1)
    _, fresh = tolerances.difference(fresh_view, fresh_drawn, fresh_label)
    assert abs(own[:, 0].mean() - np.asarray(fresh)[:, 0].mean()) < 1.0


def test_leaving_one_out_in_closed_form_is_leaving_it_out() -> None:
    view, drawn, label = parts(6)
    others, _ = Tolerances.fit(view[1:], drawn[1:], label[1:], 1)
    (by_hand,) = np.asarray(others.deviations(view[:1], drawn[:1], label[:1])[0])
    from train.difference import _fit_level

    _, _, deviations = _fit_level(np.asarray(pyramid(view - drawn)[0]), label, 1)
    np.testing.assert_allclose(deviations[0], by_hand, rtol=1e-3, atol=1e-3)


def test_each_label_has_its_own_tolerance() -> None:
    view, drawn, label = parts(40)
    mirrored = np.concatenate([view, view[:, :, ::-1]])
    both = np.concatenate([label, label + 1])
    tolerances, _ = Tolerances.fit(mirrored, np.concatenate([drawn, drawn]), both, 2)
    as_first, _ = tolerances.difference(spot(24), drawn[:1], np.array([0]))
    as_second, _ = tolerances.difference(spot(24), drawn[:1], np.array([1]))
    assert float(np.asarray(as_first)[0, 16, 24]) > 4 * float(np.asarray(as_second)[0, 16, 24])


def test_features_grow_with_the_difference_without_bound() -> None:
    tolerances, _ = Tolerances.fit(*parts(40), 1)
    drawn, label = np.full((1, 32, 32, 1), 0.5, np.float32), np.zeros(1, np.int64)
    energies = []
    for step in (0.01, 0.1, 1.0, 10.0):
        _, features = tolerances.difference(drawn + step, drawn, label)
        energies.append(float(np.asarray(features)[0, 0]))
    assert energies == sorted(energies)
    assert energies[-1] > energies[0] + 1
