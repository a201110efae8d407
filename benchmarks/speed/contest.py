"""Calls that take turns, and what is told of them."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], object]
Row = dict[str, Any]

FEWEST = 10
"""Turns, however long they take."""
SETTLE_S = 0.01
"""A call is repeated for so long before it counts: the threads of the one before it spin for a moment."""


def compare(what: str, calls: dict[str, Call], seconds: float) -> list[Row]:
    """One row a call: median and p99 in milliseconds, and the median ratio to the first, turn by turn.

    A call that fails at its first try has a row that says why, and takes no turns.
    """
    refused: dict[str, str] = {}
    took: dict[str, list[float]] = {}
    for name, call in calls.items():
        try:
            for _ in range(3):  # engines allocate, and functions compile, when they are first called
                call()
            took[name] = []
        except Exception as error:  # noqa: BLE001  # of whatever kind: an engine that cannot is a result, too
            refused[name] = " ".join(str(error).split())[:160]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(took.values()))) < FEWEST:
        for name, times in took.items():
            times.append(_turn(calls[name]))
    first = np.array(next(iter(took.values())))
    return [
        {"compared": what, "what": name, "refused": refused[name]}
        if name in refused
        else {
            "compared": what,
            "what": name,
            "median_ms": float(np.median(took[name])),
            "p99_ms": float(np.quantile(took[name], 0.99)),
            "ratio": float(np.median(np.array(took[name]) / first)),
            "calls": len(took[name]),
        }
        for name in calls
    ]


def _turn(call: Call) -> float:
    """Milliseconds of one call, once it has the machine to itself."""
    settled = time.perf_counter() + SETTLE_S
    while True:
        began = time.perf_counter()
        call()
        ended = time.perf_counter()
        if ended > settled or ended - began > SETTLE_S:
            return (ended - began) * 1000


def line(row: Row) -> str:
    """A row for people."""
    start = f"{row['compared']:20} {row['what']:44} "
    if "refused" in row:
        return start + f"cannot: {row['refused']}"
    if "value" in row:
        return start + f"{row['value']:.3g} {row['unit']}"
    figures = f"median {row['median_ms']:8.2f} ms   p99 {row['p99_ms']:8.2f} ms   ratio {row['ratio']:6.2f}"
    return start + figures
