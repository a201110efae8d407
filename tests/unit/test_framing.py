"""What a frame gives its regions, over several frames of a live camera."""

import numpy as np
import pytest

from edge_runtime.cameras import Frame
from edge_runtime.framing import Framing, Unfit
from edge_runtime.gate import Source
from edge_runtime.picture import Image
from edge_runtime.regions import Cut, Region

REGIONS = {"J4": Region(expected="A", box=(10, 20, 30, 40)), "J5": Region(expected="A")}


def exposed(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 200, (120, 160, 1), np.uint8)


def frame(pixels: Image | None, trouble: str | None = None) -> Frame:
    return Frame(pixels, 0, 1, 0.0, trouble=trouble)


def why(framing: Framing, frame: Frame) -> set[str | None]:
    """Why the regions of a frame are not judged; None for those that are."""
    return {seen.why if isinstance(seen, Unfit) else None for seen in framing.look(frame).values()}


def test_each_region_of_a_good_frame_has_its_picture() -> None:
    seen = Framing(REGIONS, source=Source.SENSOR).look(frame(exposed(0)))
    assert [piece.box for piece in seen.values()] == [(10, 20, 30, 40), (0, 0, 160, 120)]
    assert all(isinstance(piece, Cut) for piece in seen.values())


def test_a_frame_that_is_frozen_is_so_for_all_of_its_regions_with_their_boxes() -> None:
    framing = Framing(REGIONS, source=Source.SENSOR)
    assert [why(framing, frame(exposed(0))) for _ in range(2)] == [{None}, {None}]
    seen = framing.look(frame(exposed(0)))
    assert [piece.box for piece in seen.values()] == [(10, 20, 30, 40), (0, 0, 160, 120)]
    assert why(framing, frame(exposed(0))) == {"frozen: the camera has given the same picture 4 times; start it again"}


def test_one_frame_that_several_triggers_share_is_not_frozen() -> None:
    framing = Framing(REGIONS, source=Source.SENSOR)
    shared = framing.watch(frame(exposed(0)))
    assert [why(framing, shared) for _ in range(5)] == [{None}] * 5
    assert why(framing, frame(exposed(1))) == {None}


def test_a_frame_that_never_came_says_so_and_the_next_is_looked_at() -> None:
    framing = Framing(REGIONS, source=Source.SENSOR)
    assert why(framing, frame(None, "no picture within 2 s")) == {"no picture within 2 s"}
    assert why(framing, frame(None)) == {"the camera gave no picture"}
    assert why(framing, frame(exposed(0))) == {None}


@pytest.mark.parametrize("source", Source)
def test_a_region_that_is_burnt_out_is_refused_and_the_others_are_judged(source: Source) -> None:
    pixels = exposed(0)
    pixels[20:60, 10:40] = 255
    seen = Framing(REGIONS, source=source).look(frame(pixels))
    assert isinstance(seen["J4"], Unfit)
    assert seen["J4"].why.startswith("burnt out: 100.0% of the picture")
    assert isinstance(seen["J5"], Cut)


def test_a_stream_that_froze_before_anybody_asked_is_not_judged() -> None:
    framing = Framing(REGIONS, source=Source.SENSOR)
    last = frame(exposed(0))
    for _ in range(3):
        last = framing.watch(frame(exposed(0)))
    assert why(framing, last) == {"frozen: the camera has given the same picture 3 times; start it again"}


def test_a_frame_that_is_judged_after_later_ones_were_seen_is_as_it_was_when_it_came() -> None:
    framing = Framing(REGIONS, source=Source.SENSOR)
    older, newer, _ = (framing.watch(frame(exposed(seed))) for seed in range(3))
    assert why(framing, older) == {None}
    assert why(framing, newer) == {None}
