"""`kenpin-edge tune`: which engine runs a bundle fastest on this machine, and as right as any."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge_runtime.bundle import OUTPUTS, Bundle, load_bundle
from edge_runtime.changeover import first_bundle
from edge_runtime.console import for_machines
from edge_runtime.disk import try_writing, write_whole
from edge_runtime.engine import PLAIN, PROVIDERS, Arrays, Engine, Setting, one_line, openvino_devices, start
from edge_runtime.errors import EngineError, TuneError, UsageError
from edge_runtime.station import Station
from edge_runtime.store import Store
from edge_runtime.tuning import Machine, Row, Tuning, tune_path

log = logging.getLogger(__name__)

FEWEST_ROUNDS = 10
"""However slow the engines: fewer rounds are no measurement."""
RUNS = 5
"""Runs of an engine that count, each time it is its turn."""
SETTLE_S = 0.005
"""Runs before those do not count for so long: caches are the engine's own again, and the threads of the one whose turn
it was before, which may go on spinning for a moment, have gone to sleep."""
WORTH = 1.03
"""A plainer setting is preferred to one that is faster by less than this factor: it may be faster tomorrow."""


def tune(target: Path, seconds: float, trusted_keys: Sequence[Path] = (), *, as_json: bool) -> None:
    """Try all engines on `target`, a bundle or the station file of one, print what came out, and keep it beside it.

    `seconds`: how long to measure, once all are loaded. `trusted_keys`: of a bundle, as `load_bundle` has them. Raises
    what that or `first_bundle` raises where there is no bundle to run, UsageError where keys are named beside a
    station's own, and TuneError where the file cannot be written: before anything is measured, if that can be told.
    """
    if target.suffix == ".toml":
        if trusted_keys:
            raise UsageError(f"--trust is for a bundle's file; whom {target} trusts stands in it, as trusted_keys")
        station = Station.read(target)
        bundle, _ = first_bundle(station, Store(station.data, station.trusted_keys))
    else:
        bundle = load_bundle(target, trusted_keys)
    path = tune_path(bundle.path)
    with _explained(path):
        try_writing(path)
    rows = measured(bundle, settings(Machine.here().cores), seconds)
    tuning = Tuning(
        bundle=bundle.sha256,
        machine=Machine.here(),
        measured_at=datetime.now(UTC).replace(microsecond=0),
        choice=choice(rows),
        rows=tuple(sorted(rows, key=lambda row: row.median_ms or float("inf"))),
    )
    sys.stdout.write(for_machines(tuning.to_json().decode()) if as_json else _table(tuning))
    with _explained(path):
        write_whole(path, tuning.to_json())
    log.info("%s is written; it counts from the next start on", path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        how = "move away what lies there, or run it as a user who may"
        raise TuneError(path, f"cannot be written ({error.strerror}), so nothing has changed; {how}") from error


def settings(cores: int) -> list[Setting]:
    """All that may run here on so many cores, the plainest first; whether it can, `measured` finds out."""
    threads = [None, *sorted({2**power for power in range(cores.bit_length())} | {cores})]
    found = [Setting(threads=count, level=level) for level in ("all", "extended", "basic") for count in threads]
    built_in = onnxruntime.get_available_providers()
    found += [Setting(provider=name) for name in ("CUDA", "TensorRT") if PROVIDERS[name][0] in built_in]
    try:
        devices = openvino_devices()
    except EngineError:
        devices = ["CPU"]  # which then is refused for the same reason, and named
        threads = [None]
    for device in devices:
        counts = threads if device == "CPU" else [None]
        found += [Setting(name="openvino", provider=device, threads=count, level=None) for count in counts]
    return found


def measured(bundle: Bundle, tried: Sequence[Setting], seconds: float) -> list[Row]:
    """One row for each setting tried, in their order: its times, or why it must not run this bundle.

    All are loaded, then take turns: what else the machine does meanwhile hits all alike.
    """
    log.info("%s: trying %d settings, for about %.0f s once they are loaded", bundle.path, len(tried), seconds)
    refused: dict[Setting, str] = {}
    engines: dict[Setting, Engine] = {}
    with Progress(
        TextColumn("{task.description:48}"), BarColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task("", total=len(tried))
        data = bundle.content()
        for setting in tried:
            progress.update(task, description=f"loading {setting}")
            try:
                engines[setting] = bundle.engine if setting == PLAIN else bundle.on(start(data, setting)).engine
            except EngineError as error:
                refused[setting] = error.why
            progress.advance(task)

        progress.reset(task, total=1, description="measuring")
        golden = bundle.info.golden[0]
        feeds: Arrays = {"image": golden.view(bundle.info.view)[None], "label": np.array([golden.label], np.int64)}
        times: dict[Setting, list[float]] = {setting: [] for setting in engines}
        begin, rounds = time.monotonic(), 0
        while (done := min((time.monotonic() - begin) / seconds, rounds / FEWEST_ROUNDS)) < 1:
            progress.update(task, completed=done)
            for setting in [setting for setting in times if setting not in refused]:
                try:
                    times[setting] += _turn(engines[setting], feeds)
                except EngineError as error:
                    refused[setting] = error.why
            rounds += 1
        progress.update(task, completed=1)
    return [
        Row(setting=setting, refused=refused[setting]) if setting in refused else _row(setting, times[setting])
        for setting in tried
    ]


def choice(rows: Sequence[Row]) -> Setting:
    """The fastest of `rows`, which stand the plainest first; a plainer one where it is hardly slower."""
    fastest = min(row.median_ms for row in rows if row.median_ms is not None)
    return next(row.setting for row in rows if row.median_ms is not None and row.median_ms <= WORTH * fastest)


def _turn(engine: Engine, feeds: Arrays) -> list[float]:
    """Seconds that each of RUNS runs took. Raises EngineError where one fails."""
    taken = []
    settled = time.perf_counter() + SETTLE_S
    try:
        engine.run(list(OUTPUTS), feeds)
        while time.perf_counter() < settled:
            engine.run(list(OUTPUTS), feeds)
        for _ in range(RUNS):
            begin = time.perf_counter()
            engine.run(list(OUTPUTS), feeds)
            taken.append(time.perf_counter() - begin)
    except Exception as error:  # the engine's own types
        raise EngineError(str(engine.setting), f"fails now and then ({one_line(error)})") from error
    return taken


def _row(setting: Setting, times: Sequence[float]) -> Row:
    median, p99 = np.percentile(times, (50, 99)) * 1000
    return Row(setting=setting, median_ms=round(float(median), 4), p99_ms=round(float(p99), 4))


def _table(tuning: Tuning) -> str:
    """The rows for people, and what comes of them."""
    lines = [str(tuning.machine), "MEDIAN ms     P99 ms  ENGINE"]
    for row in tuning.rows:
        if row.refused is None:
            lines.append(f"{row.median_ms:9.3f}  {row.p99_ms:9.3f}  {row.setting}")
        else:
            lines.append(f"  refused             {row.setting}: {row.refused}")
    if tuning.choice == PLAIN:
        return "\n".join([*lines, f"chosen is {PLAIN}, which runs without a tune file, too", ""])
    median = {row.setting: row.median_ms or 0.0 for row in tuning.rows}
    gain = f"{median[PLAIN] / median[tuning.choice]:.2f} times as fast as {PLAIN}"
    return "\n".join([*lines, f"chosen is {tuning.choice}, {gain}", ""])
