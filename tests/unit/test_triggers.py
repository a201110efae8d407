"""Triggers: each is answered once, in bounded time, with a picture that is no older than the question."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge_runtime.cameras import Frame
from edge_runtime.commands import Asker
from edge_runtime.errors import OutboxError, TriggerError
from edge_runtime.framing import Framing, Unfit
from edge_runtime.gate import Source
from edge_runtime.picture import Image
from edge_runtime.regions import Region
from edge_runtime.triggers import MOST_ASKED, REST_S, Shot, Triggers
from edge_runtime.triggers.config import CameraTrigger, IntervalTrigger, PresenceTrigger, RequestTrigger, TriggerConfig
from edge_runtime.triggers.presence import WAITING
from tests.triggers import HEIGHT, WIDTH, Rectangle, frames, picture

PIXELS = np.zeros((4, 4, 1), np.uint8)


class World:
    """Frames and a clock, both as a test sets them: in the place of a capture, whose thread has a time of its own."""

    def __init__(self, config: TriggerConfig, watch: Callable[[Frame], Frame] = lambda frame: frame) -> None:
        self.now = 100.0
        self.frames: list[Frame] = []
        self.lost_since: float | None = None
        self.ended = False
        self.stop = threading.Event()
        self.triggers = Triggers(config, self, threading.Event(), self.stop, watch, lambda: self.now)  # type: ignore[arg-type]
        self._shots: Iterator[Shot] = iter(self.triggers)

    @property
    def waiting(self) -> int:
        return len(self.frames)

    def take(self) -> Frame | None:
        return self.frames.pop(0) if self.frames else None

    def see(self, sequence: int, *, trouble: str | None = None) -> None:
        """A frame comes, taken now."""
        pixels = None if trouble else PIXELS
        self.frames.append(Frame(pixels, 0, sequence, 0.0, trouble=trouble, taken=self.now))

    def shot(self) -> Shot | None:
        """What is judged next, now."""
        return self.triggers._next()

    def rest(self) -> list[Shot]:
        """What is still judged once the station is told to stop."""
        self.stop.set()
        return list(self.triggers)


def by(shot: Shot | None) -> str | None:
    """The key of the request that a shot is for."""
    return shot.asker.key if shot and shot.asker else None


def test_each_frame_of_a_camera_that_triggers_is_judged() -> None:
    world = World(CameraTrigger())
    world.see(1)
    world.see(2, trouble="torn")
    assert [(shot.frame.sequence, shot.trigger) for shot in (world.shot(), world.shot()) if shot] == [
        (1, "camera"),
        (2, "camera"),
    ]
    assert world.shot() is None


def test_a_request_gets_a_picture_that_was_taken_after_it() -> None:
    world = World(RequestTrigger(kind="request"))
    world.see(1)
    assert world.shot() is None
    world.now += 0.1
    world.triggers.ask(Asker("key", "", "robot-7", None))
    assert world.shot() is None, "the picture from before the question is no answer"
    world.now += 0.1
    world.see(2)
    shot = world.shot()
    assert shot is not None
    assert (shot.frame.sequence, shot.trigger, shot.asker) == (2, "mqtt", Asker("key", "", "robot-7", None))
    assert world.shot() is None


def test_a_request_that_gets_no_picture_in_time_gets_a_shot_without_one() -> None:
    world = World(RequestTrigger(kind="request", timeout_s=2.0))
    world.triggers.ask(Asker("key", "", None, None))
    world.now += 1.9
    assert world.shot() is None
    world.now += 0.1
    shot = world.shot()
    assert shot is not None
    assert shot.frame.pixels is None
    assert shot.frame.trouble == "no picture within 2 s"
    assert shot.frame.grab_ms == pytest.approx(2000)


def test_why_there_is_no_picture_is_said() -> None:
    world = World(RequestTrigger(kind="request"))
    world.triggers.ask(Asker("a", "", None, None))
    world.see(1, trouble="is torn")
    world.now += 5
    shot = world.shot()
    assert shot is not None
    assert shot.frame.trouble == "no picture within 2 s: is torn"
    world.lost_since = world.now
    world.triggers.ask(Asker("b", "", None, None))
    world.now += 5
    shot = world.shot()
    assert shot is not None
    assert shot.frame.trouble == "no picture within 2 s: the camera is lost"


def test_requests_are_served_in_order_and_one_picture_may_serve_several() -> None:
    world = World(RequestTrigger(kind="request"))
    for key in "abc":
        world.triggers.ask(Asker(key, "", None, None))
    world.now += 0.01
    world.see(1)
    assert [by(world.shot()) for _ in range(3)] == [
        "a",
        "b",
        "c",
    ]


def test_an_interval_asks_in_time_and_not_twice_where_the_inspector_is_late() -> None:
    world = World(IntervalTrigger(kind="interval", every_s=1.0))
    judged = []
    for _ in range(40):
        world.see(1)
        if shot := world.shot():
            judged.append((world.now - 100, shot.trigger))
        world.now += 0.125
    assert judged == [(0.0, "interval"), (1.0, "interval"), (2.0, "interval"), (3.0, "interval"), (4.0, "interval")]
    world.now += 10
    world.see(2)
    assert world.shot() is not None
    world.see(3)
    assert world.shot() is None, "what was late is made up for by a burst"


def test_an_interval_takes_requests_too() -> None:
    world = World(IntervalTrigger(kind="interval", every_s=3600.0))
    world.see(1)
    assert world.shot() is not None
    world.triggers.ask(Asker("key", "", None, None))
    world.see(2)
    shot = world.shot()
    assert shot is not None
    assert shot.trigger == "mqtt"


def test_too_many_requests_are_refused_and_none_is_lost() -> None:
    world = World(RequestTrigger(kind="request"))
    for number in range(MOST_ASKED):
        world.triggers.ask(Asker(str(number), "", None, None))
    with pytest.raises(TriggerError, match="requests wait already"):
        world.triggers.ask(Asker("one more", "", None, None))
    world.see(1)
    assert [by(shot) for shot in iter(world.shot, None)] == [str(number) for number in range(MOST_ASKED)]


def test_a_camera_that_triggers_takes_no_requests() -> None:
    with pytest.raises(TriggerError, match='set kind = "request"'):
        World(CameraTrigger()).triggers.ask(Asker("key", "", None, None))


def test_who_has_asked_is_answered_by_a_station_that_stops() -> None:
    world = World(RequestTrigger(kind="request"))
    world.triggers.ask(Asker("a", "", None, None))
    world.triggers.ask(Asker("b", "", None, None))
    assert [(by(shot), shot.frame.trouble) for shot in world.rest()] == [
        ("a", "the station was told to stop"),
        ("b", "the station was told to stop"),
    ]
    assert world.triggers.count == 2


def test_frames_that_wait_when_a_station_is_told_to_stop_each_have_their_shot_and_no_later_one_has() -> None:
    world = World(CameraTrigger())
    for number in range(6):
        world.see(number, trouble="was lost on the way" if number == 3 else None)
    shots = []
    for shot in world.triggers:
        shots.append(shot)
        world.stop.set()  # while the first is judged
        world.see(100 + len(shots))
    assert [shot.frame.sequence for shot in shots] == [0, 1, 2, 3, 4, 5, 101]
    assert [shot.frame.trouble for shot in shots if shot.frame.pixels is None] == ["was lost on the way"]
    assert world.triggers.count == len(shots)


def test_where_judging_what_waits_takes_too_long_for_who_stops_the_rest_is_an_error() -> None:
    world = World(CameraTrigger())
    for number in range(4):
        world.see(number)
    world.stop.set()
    shots = []
    for shot in world.triggers:
        shots.append(shot)
        world.now += REST_S / 2
    assert [shot.frame.trouble for shot in shots] == [None, None, *["was not judged: the station was told to stop"] * 2]
    assert all((shot.frame.pixels is None) == (shot.frame.trouble is not None) for shot in shots)


def test_what_waits_has_its_shot_also_where_the_station_ends_by_itself() -> None:
    world = World(RequestTrigger(kind="request"))
    world.triggers.ask(Asker("a", "", None, None))
    world.triggers.end("the engine fails")
    (shot,) = world.triggers
    assert (by(shot), shot.frame.trouble) == ("a", "the engine fails")


@pytest.mark.parametrize("over", ["told to stop", "the replay is over"])
def test_a_tick_that_has_no_picture_when_a_station_ends_was_no_trigger_but_who_asked_is_answered(over: str) -> None:
    world = World(IntervalTrigger(kind="interval", every_s=1.0))
    assert world.shot() is None, "the clock has asked"
    world.triggers.ask(Asker("robot", "", None, None))
    world.ended = over == "the replay is over"
    if over == "told to stop":
        world.stop.set()
    shots = list(world.triggers)
    assert [(by(shot), shot.trigger) for shot in shots] == [("robot", "mqtt")]
    assert shots[0].frame.pixels is None
    assert world.triggers.count == 1


def test_a_tick_that_has_waited_its_time_is_an_error() -> None:
    world = World(IntervalTrigger(kind="interval", every_s=1.0, timeout_s=2.0))
    assert world.shot() is None
    world.now += 2.0
    shot = world.shot()
    assert shot is not None
    assert (shot.trigger, shot.frame.trouble) == ("interval", "no picture within 2 s")


class Flood(World):
    """A camera whose next frame is there before the last one was looked at."""

    def take(self) -> Frame | None:
        assert self.now < 200, "whoever asks waits for ever"
        self.now += 0.01
        self.see(0)
        return super().take()


def test_a_camera_faster_than_we_look_keeps_nobody_waiting_for_an_answer() -> None:
    world = Flood(RequestTrigger(kind="request", timeout_s=2.0))
    world.see(1)
    world.triggers.ask(Asker("key", "", None, None))
    assert by(world.shot()) == "key"


def test_what_ends_a_station_ends_it_also_while_nothing_triggers() -> None:
    world = World(RequestTrigger(kind="request"))

    def check() -> None:
        raise OutboxError("outbox.db", "cannot keep verdicts")

    world.triggers._check = check
    with pytest.raises(OutboxError, match="cannot keep verdicts"):
        next(iter(world.triggers))


def test_a_torn_picture_is_never_judged_however_long_the_belt_stood_still_meanwhile() -> None:
    rng = np.random.default_rng(7)

    def belt(x: float) -> Image:
        return picture([(x, 20, 40, 40, 200)], noise=4.0, rng=rng)

    coming = [belt(x) for x in range(-60, 140, 10)]
    torn = belt(140)  # in the middle, where it is judged
    torn[HEIGHT // 2 :] = coming[-1][HEIGHT // 2 :]
    standing, going = [belt(144) for _ in range(300)], [belt(x) for x in range(150, 330, 10)]
    framing = Framing({"J4": Region(expected="A")}, source=Source.SENSOR)
    world = World(PresenceTrigger(kind="presence", when="passing"), framing.watch)
    calls = {}
    for frame in frames([*coming, torn, *standing, *going]):
        world.frames.append(frame)
        if shot := world.shot():
            calls[shot.frame.sequence] = framing.look(shot.frame)["J4"]
    call, part = calls.values()
    assert next(iter(calls)) == len(coming), "it is answered at once"
    assert isinstance(call, Unfit), "a torn picture is compared with another than the one before it"
    assert call.why.startswith("torn at row")
    assert not isinstance(part, Unfit), "the part is judged in another picture"


def belt_full(rows: int, abreast: int) -> list[Image]:
    """A fast belt: a part alone that shows how fast, and then rows of parts side by side."""

    def row(x: float) -> list[Rectangle]:
        return [(x, 5 + 30 * lane, 30, 14, 200) for lane in range(abreast)]

    step, gap = 40, 120
    starts = [-WIDTH - gap * number for number in range(rows)]
    length = (WIDTH - starts[-1]) // step + 2
    alone = [picture([(-40 + x, 70, 40, 40, 200)]) for x in range(0, WIDTH + 80, 10)]
    return alone + [picture([part for x in starts for part in row(x + step * i)]) for i in range(length)]


def test_parts_that_pass_faster_than_they_are_judged_are_answered_each_and_hold_few_pictures() -> None:
    world = World(PresenceTrigger(kind="presence", when="passing", min_area=0.003))
    world.frames = list(frames(belt_full(rows=40, abreast=5)))
    shots: list[Shot] = []
    while world.frames:  # one waits whenever a verdict is given
        if shot := world.shot():
            shots.append(shot)
    late = world.rest()
    assert len(shots) + len(late) == 1 + 40 * 5
    assert len([shot for shot in late if shot.frame.pixels is not None]) <= WAITING
    over = {shot.frame.trouble for shot in shots + late if shot.frame.pixels is None}
    assert over == {f"a part came while {WAITING} others waited to be judged"}
    order = [shot.frame.taken for shot in shots + late]
    assert order == sorted(order)


def test_parts_side_by_side_are_judged_also_where_no_more_frames_come() -> None:
    world = World(PresenceTrigger(kind="presence", when="passing", min_area=0.003))
    shots: list[Shot] = []
    for frame in frames(belt_full(rows=1, abreast=5)[:-3]):
        world.frames.append(frame)
        shots += iter(world.shot, None)
    assert len(shots) == 1 + 5
    assert world.rest() == []
