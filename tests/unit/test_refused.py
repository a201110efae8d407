"""Parts are looked for, and the gate refuses the pictures: whoever waits for verdicts hears of it, not too often."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_runtime.cameras import Frame
from edge_runtime.framing import Framing
from edge_runtime.gate import Source
from edge_runtime.messages import State
from edge_runtime.picture import Image
from edge_runtime.pulse import FRESH_S, Pulse
from edge_runtime.regions import Region
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.presence import Presence
from edge_runtime.triggers.refused import AGAIN_S, MOTION_S, Refused
from tests.triggers import RATE_HZ, WIDTH, frames, picture

RNG = np.random.default_rng(7)
STEP = 10


def belt(parts: int) -> list[Image]:
    """So many parts, one after the other, each exposure with its own noise."""
    places = [x for _ in range(parts) for x in range(-60, WIDTH + 20, STEP)]
    return [picture([(x, 70, 40, 40, 200)], noise=4.0, rng=RNG) for x in places]


def frozen(pictures: list[Image]) -> list[Image]:
    return [pictures[0]] * len(pictures)


def dark(pictures: list[Image]) -> list[Image]:
    return [RNG.integers(0, 4, each.shape, np.uint8) for each in pictures]


def watched(pictures: Iterable[Image]) -> list[Frame]:
    """As the gate finds them."""
    framing = Framing({"J4": Region(expected="A")}, source=Source.SENSOR)
    return [framing.watch(frame) for frame in frames(pictures)]


def shots(seen: Iterable[Frame]) -> list[Frame]:
    """What is answered while these frames come, in their order."""
    presence, due = Presence(PresenceTrigger(kind="presence", when="passing")), []
    for frame in seen:
        part = presence.see(frame)
        while part is not None:
            due.append(part)
            part = presence.due()
    return due


def refused(trouble: str | None, at: float) -> Frame:
    return Frame(np.zeros((4, 4, 1), np.uint8), 0, 0, 0.0, None, trouble, at, watched=True)


def answered(troubles: Iterable[str | None]) -> list[float]:
    """When whoever waits hears of them: frames RATE_HZ a second, each with what is wrong with it."""
    rule, told = Refused(), []
    for number, trouble in enumerate(troubles):
        now = number / RATE_HZ
        told += [now for _ in rule.see(refused(trouble, now))]
    return told


@pytest.mark.parametrize("spoiled", [frozen, dark])
def test_parts_that_pass_before_a_camera_that_shows_nothing_of_them_are_one_error_and_later_ones_are_judged(
    spoiled: Callable[[list[Image]], list[Image]],
) -> None:
    before, lost, after = belt(3), spoiled(belt(20)), belt(3)
    due = shots(watched([*before, *lost, *after]))
    assert [shot.pixels is None for shot in due] == [False] * 3 + [True] + [False] * 3
    assert str(due[3].trouble).startswith("frozen:" if spoiled is frozen else "dark:")
    assert due[3].sequence <= len(before) + 3, "it is answered at once"


def test_a_dark_picture_at_the_start_is_not_learnt_as_the_empty_zone() -> None:
    due = shots(watched([*dark(belt(1)), *belt(3)]))
    assert [shot.pixels is None for shot in due] == [True] + [False] * 3


def test_a_part_that_is_blurred_as_it_moves_is_one_error_and_nothing_more_is_told() -> None:
    moving = [Frame(f.pixels, 0, f.sequence, 0.0, None, "blurred: no edge", f.taken) for f in frames(belt(1))]
    (shot,) = shots(moving)
    assert (shot.pixels is not None, shot.trouble) == (True, "blurred: no edge"), "as it was found, so it is an ERROR"
    assert answered([*["blurred"] * int(RATE_HZ * MOTION_S), None] * 20) == []


def test_a_lens_that_stays_blurred_is_told_once() -> None:
    assert answered(["blurred"] * 1000) == [MOTION_S]


def test_a_camera_that_gives_nothing_else_is_told_once() -> None:
    assert answered(["dark"] * 10_000) == [0.0]


def test_a_camera_that_flickers_is_told_now_and_then_as_long_as_it_does() -> None:
    told = answered(["torn", None] * int(RATE_HZ * 30))
    assert told[0] == 0.0
    assert [b - a for a, b in pairwise(told)] == pytest.approx([AGAIN_S] * 5, abs=2 / RATE_HZ)


def test_what_was_refused_soon_after_an_answer_is_told_later_and_not_forgotten() -> None:
    torn_once = ["torn", *[None] * 50]
    told = answered([*torn_once, *["dark"] * 100, *[None] * 1000])
    assert told == [0.0, AGAIN_S]
    presence = Presence(PresenceTrigger(kind="presence", when="passing"))
    assert presence.see(refused("torn", 0.0)) is not None
    assert presence.see(refused(None, 1.0)) is None
    assert presence.see(refused("dark", 2.0)) is None
    assert [shot.trouble for shot in presence.rest()] == ["dark"], "also where the station ends"


def pulse() -> tuple[Pulse, Any]:
    time: Any = SimpleNamespace(now=100.0)
    capture: Any = SimpleNamespace(lost_since=None)
    return Pulse(capture, lambda: float(time.now)), time


def test_a_station_whose_pictures_are_all_refused_is_blind_and_sees_with_the_first_good_one() -> None:
    heart, time = pulse()
    heart.beat()
    states = []
    for _ in range(30):
        time.now += 1.0
        heart.refuse()
        states.append(heart.state())
    assert states[:9] == [State.INSPECTING] * 9
    assert set(states[11:]) == {State.BLIND}
    heart.sees()
    assert heart.state() is State.IDLE, "it could judge, and nobody asks"
    heart.beat()
    assert heart.state() is State.INSPECTING


def test_one_bad_picture_of_a_slow_line_makes_nobody_blind_and_a_line_that_stands_still_is_idle() -> None:
    heart, time = pulse()
    heart.refuse()
    for _ in range(20):
        time.now += 1.0
        assert heart.state() is State.IDLE
    heart.refuse()
    time.now += FRESH_S
    assert heart.state() is State.IDLE
