"""An engine that fails for good, as a GPU after an illegal access: each shot has its ERROR, and all is started anew."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from edge_runtime import faults
from edge_runtime.bundle import Bundle
from edge_runtime.engine import Arrays, Engine
from edge_runtime.errors import TRY_AGAIN, EngineError
from edge_runtime.life import inspect
from edge_runtime.notify import ServiceManager
from edge_runtime.service import Service
from edge_runtime.station import Station
from tests.integration.parts import Mosquitto, Subscriber, wait_until
from tests.integration.quick import J5, of, quick_line


class Lost:
    """An engine that fails at whatever it is asked, once it is `lost`."""

    def __init__(self, engine: Engine, lost: threading.Event) -> None:
        self.setting, self.version = engine.setting, engine.version
        self._engine, self._lost = engine, lost

    def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        if self._lost.is_set():
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        return self._engine.run(outputs, feeds)


def test_an_engine_that_fails_for_good_ends_the_station_to_be_started_anew_and_each_shot_has_its_verdict(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "LASTING_S", 0.5)
    path = quick_line(tmp_path / "line", broker.port, trigger=J5).write()
    lost, stop, ended = threading.Event(), threading.Event(), list[Exception]()

    def share(bundle: Bundle) -> Bundle:
        return replace(bundle, engine=Lost(bundle.engine, lost))

    def live() -> None:
        with Service(ServiceManager(), 1, stop, threading.Event()) as service:
            try:
                inspect(path, Station.read(path), stop, share, service)
            except EngineError as error:
                ended.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        wait_until(lambda: len(of(subscriber, "verdict")) > 3, "it inspects")
        lost.set()
        wait_until(lambda: ended, "it ends by itself")
    finally:
        stop.set()
        thread.join(30)
    (error,) = ended
    assert isinstance(error, EngineError)
    assert error.service_status == TRY_AGAIN
    assert "CUDA failure 700" in str(error)
    wait_until(lambda: subscriber.states()[-1] == "offline", "whoever looks sees that it is gone")
    verdicts = of(subscriber, "verdict")
    reasons = ["".join({region["reason"] for region in verdict["regions"]}) for verdict in verdicts]
    failed = reasons.index("fault")
    assert set(reasons[failed:]) == {"fault"}
    assert len(reasons) - failed >= faults.FEWEST
    assert [verdict["seq"] for verdict in verdicts] == list(range(1, len(verdicts) + 1))
