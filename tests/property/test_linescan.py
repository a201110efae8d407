"""Joining lines into parts: whatever the height of the blocks, the same pictures; and nothing goes without a word."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.cameras.capture import MISSED
from edge_runtime.cameras.linescan import Cutter, Moment, Part, PresenceCutter, TriggerCutter
from edge_runtime.picture import Image

WIDTH, HEIGHT, GAP = 8, 24, 3
DARK, BRIGHT = 10, 200

Told = list[tuple[bytes | None, str | None]]

runs = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=12)
"""(part or background, for how many lines), one after the other."""
heights = st.lists(st.integers(1, 50), min_size=1, max_size=20)


def belt(pattern: list[tuple[bool, int]]) -> Image:
    """Lines as the camera over the belt sees them; each line is told from its neighbours by its last pixel."""
    present = [is_part for is_part, count in pattern for _ in range(count)]
    lines = np.full((len(present), WIDTH, 1), DARK, np.uint8)
    lines[present, 2:5] = BRIGHT
    lines[:, -1, 0] = np.arange(len(present)) % 50
    return lines


def blocks(lines: Image, sizes: list[int]) -> Iterator[Image]:
    at, turn = 0, 0
    while at < len(lines):
        size = sizes[turn % len(sizes)]
        yield lines[at : at + size]
        at, turn = at + size, turn + 1


def told(cutter: Cutter, lines: Image, sizes: list[int]) -> Told:
    parts: list[Part] = []
    for number, block in enumerate(blocks(lines, sizes)):
        parts += cutter.add(block, Moment(number, float(number)))
    assert all(part.pixels is None or part.pixels.shape == (HEIGHT, WIDTH, 1) for part in parts)
    return [(None if part.pixels is None else part.pixels.tobytes(), part.trouble) for part in parts]


def by_presence() -> PresenceCutter:
    return PresenceCutter(HEIGHT, 100, GAP, dark=True)


@given(runs, heights)
def test_parts_cut_by_presence_do_not_depend_on_the_blocks(pattern: list[tuple[bool, int]], sizes: list[int]) -> None:
    lines = belt(pattern)
    assert told(by_presence(), lines, sizes) == told(by_presence(), lines, [len(lines)])


@given(st.integers(1, 200), heights)
def test_parts_cut_by_trigger_do_not_depend_on_the_blocks(count: int, sizes: list[int]) -> None:
    lines = belt([(True, count)])
    cut = told(TriggerCutter(HEIGHT), lines, sizes)
    assert cut == [(lines[at : at + HEIGHT].tobytes(), None) for at in range(0, count - HEIGHT + 1, HEIGHT)]


@given(st.lists(st.tuples(st.integers(1, HEIGHT), st.integers(GAP, 30)), min_size=1, max_size=6), heights)
def test_each_part_that_fits_is_one_picture_with_all_of_its_lines(
    parts: list[tuple[int, int]], sizes: list[int]
) -> None:
    pattern = [(False, 5)] + [run for length, pause in parts for run in ((True, length), (False, pause))]
    lines = belt(pattern)
    cut = told(by_presence(), lines, sizes)
    assert [trouble for _, trouble in cut] == [None] * len(parts)
    begin = 5
    for (length, pause), (pixels, _) in zip(parts, cut, strict=True):
        assert pixels is not None
        assert pixels.startswith(lines[begin : begin + length].tobytes())
        begin += length + pause


@given(st.integers(HEIGHT + 1, 3 * HEIGHT), heights)
def test_a_part_that_is_too_long_is_never_a_picture_and_never_silent(length: int, sizes: list[int]) -> None:
    cut = told(by_presence(), belt([(False, 2), (True, length), (False, GAP), (True, 5), (False, GAP)]), sizes)
    *too_long, fine = cut
    assert too_long
    assert all(pixels is None and "is longer than lines = 24" in str(trouble) for pixels, trouble in too_long)
    assert fine[0] is not None


@given(st.integers(0, 9), st.integers(1, 3), st.integers(1, 12))
def test_a_lost_block_spoils_the_part_that_lacks_it_and_no_other(before: int, lost: int, height: int) -> None:
    """With bursts of HEIGHT lines, in blocks that divide it or do not."""
    total = 12 * HEIGHT // height
    lines = belt([(True, total * height)])
    cutter = TriggerCutter(HEIGHT)
    parts: list[Part] = []
    number = 0
    sent = list(blocks(lines, [height]))
    before = max(before, 1)
    while number < len(sent):
        if number == before:
            parts += cutter.lose(lost, Moment(number, 0.0))
            number += lost
            continue
        parts += cutter.add(sent[number], Moment(number, 0.0))
        number += 1
    assert len(parts) == total * height // HEIGHT
    missing = range(before * height, (before + lost) * height)
    for index, part in enumerate(parts):
        own = range(index * HEIGHT, (index + 1) * HEIGHT)
        whole = own.stop <= missing.start or own.start >= missing.stop
        assert (part.pixels is not None) == whole, (index, part.trouble)
        if part.pixels is not None:
            assert np.array_equal(part.pixels, lines[own.start : own.stop])
        else:
            assert part.trouble == "lacks lines that were lost"


@given(st.integers(1, HEIGHT - 1))
def test_lines_that_are_lost_while_a_part_passes_are_its_trouble_and_else_a_word_of_their_own(length: int) -> None:
    cutter = by_presence()
    assert cutter.add(belt([(True, length)]), Moment(1, 0.0)) == []
    assert cutter.lose(2, Moment(2, 0.0)) == []
    (part,) = cutter.add(belt([(False, GAP)]), Moment(3, 0.0))
    assert (part.pixels, part.begin, part.trouble) == (
        None,
        Moment(1, 0.0),
        "lacks 2 blocks of its lines, which were lost",
    )
    (unseen,) = cutter.lose(1, Moment(4, 0.0))
    assert "may have passed unseen" in str(unseen.trouble)


@given(st.integers(1, HEIGHT - 1), st.integers(1, 60))
def test_a_part_that_was_given_up_is_told_of_once(length: int, more: int) -> None:
    for cutter in (by_presence(), TriggerCutter(HEIGHT)):
        assert cutter.give_up("nothing was begun") == []
        cutter.add(belt([(True, length)]), Moment(1, 0.0))
        (part,) = cutter.give_up("stands still")
        assert part.trouble == "stands still"
        assert cutter.give_up("stands still") == []
    by_trigger = TriggerCutter(HEIGHT)
    by_trigger.add(belt([(True, length)]), Moment(1, 0.0))
    by_trigger.give_up("stands still")
    rest = by_trigger.add(belt([(True, HEIGHT - length + more)]), Moment(2, 0.0))
    assert len(rest) == more // HEIGHT


def test_bright_backgrounds_have_dark_parts_and_a_hot_pixel_is_no_part() -> None:
    wide = np.full((60, 400, 1), BRIGHT, np.uint8)
    wide[:, 7] = 0
    wide[20:30, 100:200] = DARK
    (part,) = PresenceCutter(HEIGHT, 100, GAP, dark=False).add(wide, Moment(1, 0.0))
    assert part.pixels is not None
    assert np.array_equal(part.pixels[:13], wide[20:33])
    assert (part.pixels[10:] == part.pixels[10]).all()


def test_a_loss_beyond_all_bounds_is_told_in_bounds_and_the_next_part_begins_where_it_should() -> None:
    cutter = TriggerCutter(HEIGHT)
    assert cutter.add(belt([(True, 1)]), Moment(0, 0.0)) == []
    lost = cutter.lose(HEIGHT * (MISSED + 5), Moment(1, 0.0))
    assert len(lost) == MISSED
    assert {part.pixels for part in lost} == {None}
    assert lost[-1].trouble == "lacks lines that were lost, and so do 5 more after it"
    rest = cutter.add(belt([(True, 2 * HEIGHT - 1)]), Moment(2, 0.0))
    assert [part.pixels is None for part in rest] == [True, False]
