"""Whatever is killed: no verdict is lost, altered or reordered, none is OK on doubt, and who asks is answered once."""

import random
from collections.abc import Callable

import pytest

from tests.faults import scenarios
from tests.faults.plant import Plant

Scenario = Callable[[Plant, int, random.Random], None]


@pytest.mark.parametrize(
    ("scenario", "times"),
    [
        (scenarios.daemon_killed, 6),
        (scenarios.broker_killed, 4),
        (scenarios.both_killed, 2),
        (scenarios.broker_frozen, 2),
        (scenarios.outbox_corrupted, 2),
    ],
)
def test_nothing_is_lost_reordered_or_unanswered(plant: Plant, scenario: Scenario, times: int) -> None:
    scenario(plant, times, random.Random(7))  # noqa: S311  # no secret
    tally = plant.end()
    assert not tally.wrong, f"{tally}\n{plant.line.log()}"
    assert tally.asked_again <= 3 * times, f"{tally}"
    assert tally.requests > 0
    assert tally.verdicts > tally.requests
