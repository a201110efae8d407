"""How long a station stays away from a broker."""

import random

from edge_runtime.rejoin import BRIEF_ONES, BRIEF_S, RECONNECT_S, RIVAL_S, Rejoin


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # no secret


def connect_for(rejoin: Rejoin, clock: Clock, seconds: float, *, taken_over: bool) -> tuple[float, float]:
    rejoin.connected()
    clock.now += seconds
    return rejoin.ended(taken_over=taken_over)


def test_a_plants_stations_come_back_spread_over_the_first_second() -> None:
    stations = [Rejoin(Clock(), chance(number)) for number in range(200)]
    first = [station.pauses()[0] for station in stations]
    tenths = [sum(int(10 * pause) == tenth for pause in first) for tenth in range(10, 20)]
    assert sum(tenths) == 200
    assert max(tenths) < 40, "a fifth of them come within one tenth of a second"


def test_the_pauses_are_drawn_anew_for_each_outage() -> None:
    clock = Clock()
    rejoin = Rejoin(clock, chance(7))
    pauses = {connect_for(rejoin, clock, 100, taken_over=False) for _ in range(5)}
    assert len(pauses) == 5
    assert all(RECONNECT_S[0] <= first < 2 * RECONNECT_S[0] for first, _ in pauses)


def test_after_another_client_took_over_it_stays_away_for_a_minute() -> None:
    clock = Clock()
    first, longest = connect_for(Rejoin(clock, chance(7)), clock, 1, taken_over=True)
    assert RIVAL_S <= first == longest < 2 * RIVAL_S


def test_a_row_of_brief_connections_is_a_rivals_also_where_nobody_says_so() -> None:
    clock = Clock()
    rejoin = Rejoin(clock, chance(7))
    pauses = [connect_for(rejoin, clock, BRIEF_S / 2, taken_over=False)[0] for _ in range(BRIEF_ONES)]
    assert all(pause < RIVAL_S for pause in pauses[:-1])
    assert pauses[-1] >= RIVAL_S
    assert connect_for(rejoin, clock, BRIEF_S, taken_over=False)[0] < RIVAL_S, "a long one is no rival's"


def test_a_broker_that_is_away_in_between_is_no_rival() -> None:
    clock = Clock()
    rejoin = Rejoin(clock, chance(7))
    for _ in range(2 * BRIEF_ONES):
        assert connect_for(rejoin, clock, 1, taken_over=False)[0] < RIVAL_S
        rejoin.refused()
