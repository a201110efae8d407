"""Whether anything is lost, again and again: `python -m benchmarks.line.faults`, the long version of `tests/faults`.

A station gives some thirty verdicts a second and a robot asks for more, while the daemon, the broker and the network
are killed, frozen and cut, and the outbox is overwritten. All that is counted as wrong must be 0.
"""

import argparse
import dataclasses
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.line.daemon import RESULTS
from export import cli as export_cli
from tests.faults import scenarios
from tests.faults.plant import Plant, folder
from tests.faults.world import FAR, Network
from tests.integration.parts import Line, Mosquitto
from train import cli as train_cli

Scenario = Callable[[Plant, int, random.Random], None]
TIMES: dict[str, tuple[Scenario, int]] = {
    "daemon killed": (scenarios.daemon_killed, 200),
    "broker killed": (scenarios.broker_killed, 50),
    "both killed": (scenarios.both_killed, 10),
    "broker frozen": (scenarios.broker_frozen, 10),
    "outbox corrupted": (scenarios.outbox_corrupted, 10),
}
CUT, CUTS = "network cut", 20


def main() -> int:
    """The command. Returns 1 where anything was wrong."""
    p = argparse.ArgumentParser("python -m benchmarks.line.faults", description=__doc__)
    p.add_argument("--share", type=float, default=1.0, help="of the whole number of faults (%(default)s)")
    p.add_argument("--only", choices=[*TIMES, CUT], action="append", help="again for each; default: all")
    p.add_argument("--seed", type=int, default=7, help="(%(default)s)")
    arguments = p.parse_args()
    began, rows = datetime.now(UTC), list[dict[str, object]]()
    with tempfile.TemporaryDirectory() as work:
        bundle = _bundle(Path(work))
        wanted = arguments.only or [*TIMES, CUT]
        for name, (scenario, times) in TIMES.items():
            if name not in wanted:
                continue
            rows.append(
                _row(name, Path(work) / name, bundle, scenario, max(1, round(times * arguments.share)), arguments.seed)
            )
        if CUT in wanted:
            rows.append(_cut(Path(work) / "cut", bundle, max(1, round(CUTS * arguments.share)), arguments.seed))
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    path = RESULTS / f"faults-{began:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps({"asked": vars(arguments), "machine": machine, "rows": rows}, indent=1) + "\n")
    return int(any(row["wrong"] for row in rows))


def _row(name: str, place: Path, bundle: Path, scenario: Scenario, times: int, seed: int) -> dict[str, object]:
    broker = Mosquitto(folder(place / "broker"), keeps=True)
    broker.start()
    plant = Plant(Line(folder(place / "line"), broker.port, bundle), broker)
    return _tally(name, plant, lambda rng: scenario(plant, times, rng), times, seed)


def _cut(place: Path, bundle: Path, times: int, seed: int) -> dict[str, object]:
    network = Network()
    broker = Mosquitto(folder(place / "broker"), address=FAR, keeps=True, prefix=network.there)
    broker.start()
    plant = Plant(Line(folder(place / "line"), broker.port, bundle, broker=FAR), broker, FAR)

    def cut(rng: random.Random) -> None:
        for _ in range(times):
            plant.between(0.5, 2.0, rng)
            network.cut()
            plant.between(0.5, 5.0, rng)
            network.mend()

    try:
        return _tally(CUT, plant, cut, times, seed)
    finally:
        network.remove()


def _tally(
    name: str, plant: Plant, happen: Callable[[random.Random], None], times: int, seed: int
) -> dict[str, object]:
    try:
        plant.begin()
        happen(random.Random(seed))  # noqa: S311  # no secret
        tally = plant.end()
    finally:
        plant.line.end()
        plant.broker.stop()
    row = {"fault": name, "times": times, "wrong": tally.wrong, **dataclasses.asdict(tally)}
    print(json.dumps(row), flush=True)
    return row


def _bundle(place: Path) -> Path:
    """A bundle of `shapes`, trained and exported by the real commands."""
    run, out = str(place / "run"), place / "shapes.onnx"
    if train_cli.main(["shapes", "--out", run, "--epochs", "10"]) or export_cli.main([run, "--out", str(out)]):
        raise SystemExit("no bundle")
    return out


if __name__ == "__main__":
    sys.exit(main())
