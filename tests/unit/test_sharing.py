"""A shared engine: each is answered what it asked, what waits runs as one batch, and one bad view fails alone."""

import gc
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle import Bundle, load_bundle
from edge_runtime.engine import PLAIN, Arrays
from edge_runtime.sharing import MOST, Pool, SharedEngine
from tests.integration.parts import wait_until
from tests.unit.conftest import write_readable_bundle


class Gate:
    """An engine that doubles what it is given, keeps the sizes of its batches, and runs when it is let."""

    setting, version = PLAIN, "0"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Semaphore(0)

    def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        self.batches.append(len(feeds["label"]))
        assert self.go.acquire(timeout=30)
        if (feeds["label"] < 0).any():
            raise ValueError("a bad view")
        return dict.fromkeys(outputs, feeds["label"] * 2)


def ask(engine: SharedEngine, label: int, *, views: int = 1) -> list[int]:
    feeds: Arrays = {"image": np.zeros((1, 2, 2, 1), np.uint8), "label": np.full(views, label, np.int64)}
    return [int(value) for value in engine.run(["score"], feeds)["score"]]


def waiting(engine: SharedEngine, count: int) -> None:
    wait_until(lambda: len(engine._waiting) == count, f"{count} calls wait")


def test_one_who_asks_alone_waits_for_nobody() -> None:
    gate = Gate()
    gate.go.release()
    assert ask(SharedEngine(gate), 3) == [6]
    assert gate.batches == [1]


def test_who_comes_while_the_engine_runs_is_answered_with_the_others_in_one_batch() -> None:
    gate = Gate()
    engine = SharedEngine(gate)
    with ThreadPoolExecutor(8) as stations:
        first = stations.submit(ask, engine, 1)
        wait_until(lambda: gate.batches == [1], "the first one runs")
        others = [stations.submit(ask, engine, label) for label in range(2, 7)]
        waiting(engine, 5)
        gate.go.release(2)
        assert first.result(30) == [2]
        assert [other.result(30) for other in others] == [[4], [6], [8], [10], [12]]
    assert gate.batches == [1, 5]


def test_a_batch_has_a_bound() -> None:
    gate = Gate()
    engine = SharedEngine(gate)
    with ThreadPoolExecutor(MOST + 8) as stations:
        first = stations.submit(ask, engine, 1)
        wait_until(lambda: gate.batches == [1], "the first one runs")
        others = [stations.submit(ask, engine, label) for label in range(MOST + 3)]
        waiting(engine, MOST + 3)
        gate.go.release(3)
        assert first.result(30) == [2]
        assert [other.result(30) for other in others] == [[2 * label] for label in range(MOST + 3)]
    assert gate.batches == [1, MOST, 3]


def test_a_view_under_several_labels_runs_alone_and_in_its_turn() -> None:
    gate = Gate()
    engine = SharedEngine(gate)
    with ThreadPoolExecutor(8) as stations:
        calls = [stations.submit(ask, engine, 1)]
        wait_until(lambda: gate.batches == [1], "the first one runs")
        for count, views in enumerate((1, 4, 1), start=1):
            calls.append(stations.submit(ask, engine, 5, views=views))
            waiting(engine, count)
        gate.go.release(3)
        assert [len(call.result(30)) for call in calls] == [1, 1, 4, 1]
    assert gate.batches == [1, 2, 4]


def test_one_bad_view_fails_no_other() -> None:
    gate = Gate()
    engine = SharedEngine(gate)
    with ThreadPoolExecutor(8) as stations:
        first = stations.submit(ask, engine, 1)
        wait_until(lambda: gate.batches == [1], "the first one runs")
        good, bad = stations.submit(ask, engine, 2), stations.submit(ask, engine, -1)
        waiting(engine, 2)
        gate.go.release(4)
        assert first.result(30) == [2]
        assert good.result(30) == [4]
        with pytest.raises(ValueError, match="a bad view"):
            bad.result(30)
        gate.go.release()
        assert ask(engine, 8) == [16], "it goes on"


def test_stations_that_share_a_bundle_get_the_verdicts_of_one_that_does_not(bundle_path: Path) -> None:
    alone, pool = load_bundle(bundle_path), Pool()
    shared = [pool.share(load_bundle(bundle_path)) for _ in range(4)]
    assert len({id(bundle.engine) for bundle in shared}) == 1
    rng = np.random.default_rng(5)
    spec = alone.info.view
    views = rng.integers(0, 256, (40, spec.height, spec.width, spec.channels), np.uint8)

    def judge(bundle: Bundle) -> list[tuple[float, float]]:
        return [(found.defect_score, found.mismatch_score) for found in (bundle.inspect(view, 1) for view in views)]

    with ThreadPoolExecutor(4) as stations:
        for scores in stations.map(judge, shared):
            np.testing.assert_allclose(scores, judge(alone), atol=1e-4)


def test_an_engine_that_nobody_uses_any_more_is_let_go(bundle_path: Path) -> None:
    pool = Pool()
    bundle = pool.share(load_bundle(bundle_path))
    assert pool.share(bundle) is bundle
    assert len(pool._engines) == 1
    del bundle
    gc.collect()
    assert len(pool._engines) == 0


def test_a_shared_engine_that_has_failed_for_good_is_not_given_to_who_starts_anew(tmp_path: Path) -> None:
    path, pool = write_readable_bundle(tmp_path / "part.onnx"), Pool()
    idle = pool.share(load_bundle(path))  # asks for nothing, and so keeps it
    assert isinstance(idle.engine, SharedEngine)

    class Lost:
        setting, version = PLAIN, "0"

        def run(self, _outputs: Sequence[str], _feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
            raise RuntimeError("an illegal memory access was encountered")

    idle.engine._engine = Lost()
    anew = pool.share(load_bundle(path))
    assert anew.engine is not idle.engine
    assert pool.share(load_bundle(path)).engine is anew.engine, "the next ones share the new one"
