"""As many verdicts as parts, whatever the parts, the light and the camera do."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.picture import Image
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.presence import Presence
from tests.triggers import HEIGHT, WIDTH, Rectangle, frames, judged, numbers, picture

seeds = st.integers(0, 2**32 - 1)
noises = st.floats(0, 8)
drifts = st.floats(-0.3, 0.3)
"""By how much the light changes in all."""
levels = st.sampled_from([30, 45, 160, 190, 230])
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def queues(draw: st.DrawFn) -> list[tuple[float, float, float, int]]:
    """Parts on a belt, the first ahead: gap before it, length, height in pixels, and grey level."""
    part = st.tuples(st.floats(40, 300), st.floats(25, 70), st.floats(25, 90), levels)
    return draw(st.lists(part, min_size=0, max_size=6))


@few
@given(queues(), st.floats(2, 22), noises, drifts, st.sets(st.integers(0, 600)), seeds)
def test_each_part_that_passes_is_answered_once(
    parts: list[tuple[float, float, float, int]], step: float, noise: float, drift: float, lost: set[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    starts, behind = [], 0.0
    for gap, length, _, _ in parts:
        behind -= gap + length
        starts.append(behind)
    count = round((WIDTH - behind) / step) + 10
    seen: list[Image | None] = []
    for i in range(count):
        # Single frames are lost, never two in a row: who moves 20 pixels a frame is seen some times at least.
        if i in lost and i - 1 not in lost and i > 0:
            seen.append(None)
            continue
        here: list[Rectangle] = [
            (start + step * i, 90 - height / 2, length, height, level)
            for start, (_, length, height, level) in zip(starts, parts, strict=True)
        ]
        seen.append(picture(here, 1 + drift * i / count, noise, rng))
    passing = Presence(PresenceTrigger(kind="presence", when="passing"))
    assert len(numbers(judged(passing, frames(seen)))) == len(parts)


@st.composite
def placed(draw: st.DrawFn) -> Rectangle:
    """A part somewhere within the zone."""
    width, height = draw(st.floats(25, 120)), draw(st.floats(25, 100))
    x, y = draw(st.floats(10, WIDTH - width - 10)), draw(st.floats(10, HEIGHT - height - 10))
    return x, y, width, height, draw(levels)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("presence") / "empty.png"
    cv2.imwrite(str(path), picture())
    return path


@few
@given(st.lists(st.tuples(placed(), st.booleans(), st.integers(0, 20)), max_size=5), noises, drifts, seeds)
def test_each_part_that_is_put_down_is_answered_once(
    empty: Path, parts: list[tuple[Rectangle, bool, int]], noise: float, drift: float, seed: int
) -> None:
    """Each is lowered by a hand, may be touched at its edge, lies for a while, and is lifted out by a hand."""
    rng = np.random.default_rng(seed)
    scenes: list[list[Rectangle]] = [[] for _ in range(5)]
    for (x, y, width, height, level), touched, longer in parts:
        tops = np.linspace(-height - 20, y, 8).tolist()
        carried: list[list[Rectangle]] = [
            [(x, top, width, height, level), (x, -10, width, top + 15, 60)] for top in tops
        ]
        lies: list[Rectangle] = [(x, y, width, height, level)]
        scenes += carried + [lies] * (12 + longer)
        if touched:
            scenes += [[*lies, (x, 0, width / 2, reach, 60)] for reach in [0.3 * y, y, y + 5, y, 0.3 * y]]
            scenes += [lies] * 12
        scenes += carried[::-1] + [[]] * longer
    seen = [picture(scene, 1 + drift * i / len(scenes), noise, rng) for i, scene in enumerate(scenes)]
    still = Presence(PresenceTrigger(kind="presence", when="still", empty=empty))
    assert len(numbers(judged(still, frames(seen)))) == len(parts)


@few
@given(st.floats(0, 12), drifts, st.floats(0, 0.1), st.sampled_from(["still", "passing"]), seeds)
def test_noise_flicker_and_drift_are_no_parts(
    empty: Path, noise: float, drift: float, flicker: float, when: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    lights = (1 + drift * np.arange(200) / 200) * rng.uniform(1 - flicker, 1 + flicker, 200)
    presence = Presence(PresenceTrigger.model_validate({"kind": "presence", "when": when, "empty": empty}))
    assert judged(presence, frames(picture((), light, noise, rng) for light in lights)) == []
