"""What is logged of a region's trouble."""

import pytest

from edge_runtime.news import KINDS, LINES, News

DARK = "ERROR/bad_image: dark: nothing is brighter than grey level 5"


class Region:
    """J4, seen at 20 Hz by a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.news = News(lambda: self.now)

    def see(self, trouble: str | None) -> None:
        self.now += 0.05
        if trouble is None:
            self.news.good("J4")
        else:
            self.news.tell("J4", trouble)

    def flicker(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.see(DARK)
            self.see(None)

    def rest(self, seconds: float, trouble: str | None) -> None:
        for _ in range(round(seconds * 20)):
            self.see(trouble)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO")
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().removeprefix("region J4: ") for record in told.records]


def test_a_region_that_flickers_does_not_fill_the_log_and_its_first_line_is_not_lost(
    told: pytest.LogCaptureFixture,
) -> None:
    region = Region()
    region.flicker(2.4)
    assert lines(told) == [DARK, "is judged again"] * 2


@pytest.mark.parametrize(("trouble", "so"), [(None, "is judged"), (DARK, DARK)])
def test_when_it_settles_one_line_says_how_many_changes_were_not_logged_and_how_it_is(
    told: pytest.LogCaptureFixture, trouble: str | None, so: str
) -> None:
    region = Region()
    region.flicker(2.4)
    region.rest(30, trouble)
    changes = 2 * 24 + (trouble is not None)
    assert len(lines(told)) == LINES + 1
    assert lines(told)[-1] == f"flickered: {changes - LINES} changes in 2 s were not logged; now: {so}"


def test_while_it_flickers_one_line_a_minute_says_so(told: pytest.LogCaptureFixture) -> None:
    region = Region()
    region.flicker(185)
    assert len(told.records) == LINES + 3
    assert all("flickers: 1" in line and "changes in 60 s were not logged" in line for line in lines(told)[LINES:])


def test_every_change_is_logged_or_counted(told: pytest.LogCaptureFixture) -> None:
    region = Region()
    region.flicker(100)
    region.rest(11, None)
    counted = [int(line.split(": ")[1].split()[0]) for line in lines(told)[LINES:]]
    assert sum(counted) + LINES == 2000


def test_trouble_after_it_has_settled_is_logged_at_once(told: pytest.LogCaptureFixture) -> None:
    region = Region()
    region.flicker(2.4)
    region.rest(11, None)
    before = len(told.records)
    region.see(DARK)
    assert lines(told)[before:] == [DARK]


def test_trouble_of_another_kind_is_logged_amid_the_flicker(told: pytest.LogCaptureFixture) -> None:
    region = Region()
    region.flicker(2.4)
    region.see("ERROR/fault: the engine is gone")
    assert lines(told)[-1] == "ERROR/fault: the engine is gone"


def test_kinds_without_number_do_not_fill_the_log(told: pytest.LogCaptureFixture) -> None:
    region = Region()
    for n in range(200):
        region.see("ERROR/fault: " + "x" * n)
    assert len(told.records) == KINDS


def test_a_region_that_is_well_is_not_spoken_of(told: pytest.LogCaptureFixture) -> None:
    Region().rest(100, None)
    assert told.records == []
