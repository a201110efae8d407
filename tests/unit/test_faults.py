"""When an engine is given up: not for one bad part, and not for a dark picture."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from edge_runtime.faults import FEWEST, LASTING_S, Faults
from edge_runtime.verdict import BundleRef, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict, worst

CALLS = {Reason.MATCH: Call.OK, Reason.UNSURE: Call.NG}


def verdict(reasons: Iterable[Reason]) -> Verdict:
    regions = tuple(
        RegionVerdict(
            name=f"J{number}",
            expected="A12",
            verdict=CALLS.get(reason, Call.ERROR),
            reason=reason,
            detail="CUDA failure 700",
            box=(0, 0, 1, 1),
        )
        for number, reason in enumerate(reasons)
    )
    return Verdict(
        id="id",
        site="plant-a",
        line="L3",
        station="cam-2",
        seq=0,
        captured_at=datetime.now(UTC),
        trigger="camera",
        verdict=worst([region.verdict for region in regions]),
        bundle=BundleRef(name="part", version="1", sha256="0" * 64),
        thresholds=Thresholds(defect=0.5),
        regions=regions,
        latency_ms=Latency(grab=0, inspect=0, total=0),
        prev="",
    )


FAULT, BAD, GOOD, HALF = [Reason.FAULT] * 2, [Reason.BAD_IMAGE] * 2, [Reason.MATCH] * 2, [Reason.FAULT, Reason.UNSURE]


def after(shots: Iterable[list[Reason]], every_s: float = LASTING_S / 4) -> str | None:
    """What is said of the engine after these shots."""
    now = 100.0
    faults = Faults(lambda: now)
    for reasons in shots:
        faults.count(verdict(reasons))
        now += every_s
    now -= every_s
    return faults.lasting


def test_an_engine_that_fails_at_everything_for_long_is_given_up_with_its_own_words() -> None:
    assert after([GOOD, *[FAULT] * 5]) == "has failed at all of 5 shots for 10 s: CUDA failure 700"


@pytest.mark.parametrize(
    ("shots", "every_s"),
    [
        ([FAULT] * 4, LASTING_S / 4),  # not for long
        ([FAULT] * (FEWEST - 1), 3600.0),  # too few
        ([*[FAULT] * 20, GOOD], 1.0),
        ([FAULT, HALF] * 20, 1.0),  # it judges something
        ([BAD] * 100, 1.0),  # it was not asked
    ],
)
def test_an_engine_that_judges_something_or_failed_at_little_is_not(shots: list[list[Reason]], every_s: float) -> None:
    assert after(shots, every_s) is None


def test_pictures_that_cannot_be_judged_in_between_say_nothing_of_the_engine() -> None:
    assert after([FAULT, BAD, BAD] * 3, LASTING_S / 6) is not None
