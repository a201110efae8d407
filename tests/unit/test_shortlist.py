"""Which labels are worth asking, at a glance."""

import numpy as np
import pytest

from train.shortlist import FEWEST, Shortlist
from train.views import Views

LABELS = 12


def parts(each: int, seed: int, noise: float) -> Views:
    """Views, uint8 [N, 32, 24, 1], of parts that differ in where they are bright; light and contrast vary."""
    rng, looks = np.random.default_rng(seed), np.random.default_rng(0).uniform(40, 200, (LABELS, 32, 24, 1))
    label = np.repeat(np.arange(LABELS), each)
    gain, offset = rng.uniform(0.5, 1, (len(label), 1, 1, 1)), rng.uniform(0, 40, (len(label), 1, 1, 1))
    images = np.clip(looks[label] * gain + offset + rng.normal(0, noise, (len(label), 32, 24, 1)), 0, 255)
    names = tuple(map(str, range(len(label))))
    return Views(images.astype(np.uint8), label, np.zeros(len(label), np.bool_), names, names)


@pytest.mark.parametrize("noise", [5.0, 60.0])
def test_a_part_is_on_its_own_shortlist_and_where_parts_are_hard_to_tell_it_is_longer(noise: float) -> None:
    shortlist, fresh = Shortlist.fit(parts(20, 1, noise), LABELS, 0), parts(20, 2, noise)
    named = np.asarray(shortlist(fresh.images))
    assert named.shape == (len(fresh), shortlist.length)
    assert (named == fresh.label[:, None]).any(axis=1).mean() >= 0.99
    assert (named[:, 0] == fresh.label).mean() > 0.5, "the likeliest comes first"


def test_it_is_as_long_as_it_must_be() -> None:
    easy, hard = (Shortlist.fit(parts(20, 1, noise), LABELS, 0).length for noise in (5.0, 400.0))
    assert easy == FEWEST
    assert easy < hard <= LABELS


def test_of_few_labels_all_are_asked() -> None:
    views = parts(5, 1, 5.0)
    shortlist = Shortlist.fit(views[views.label < 2], 2, 0)
    assert sorted(np.asarray(shortlist(views.images[:1]))[0].tolist()) == [0, 1]
