"""What happens to a line, again and again: functions of a running plant, for tests and for the long benchmark."""

import random
from pathlib import Path

from tests.faults.plant import Plant
from tests.integration.parts import wait_until


def daemon_killed(plant: Plant, times: int, rng: random.Random) -> None:
    """kill -9 of the daemon, at any moment: while it starts, inspects, commits or publishes."""
    for _ in range(times):
        plant.between(0.1, 2.0, rng)
        plant.kill_the_daemon()


def broker_killed(plant: Plant, times: int, rng: random.Random) -> None:
    """kill -9 of the broker."""
    for _ in range(times):
        plant.between(0.5, 3.0, rng)
        plant.kill_the_broker()


def both_killed(plant: Plant, times: int, rng: random.Random) -> None:
    """The daemon dies while the broker is away.

    Nobody asks meanwhile: Mosquitto acknowledges a request before it has it on the disk, and if both die then, nobody
    knows of it any more.
    """
    for _ in range(times):
        plant.between(0.5, 2.0, rng)
        with plant.robot.pausing():
            plant.broker.stop()
            plant.between(0.2, 1.0, rng)
            plant.kill_the_daemon()
            plant.between(0.2, 1.0, rng)
            plant.broker.start()


def broker_frozen(plant: Plant, times: int, rng: random.Random) -> None:
    """The network takes everything and gives nothing back, long enough for keepalives to run out, or not."""
    for _ in range(times):
        plant.between(0.5, 2.0, rng)
        plant.broker.freeze()
        plant.between(0.5, 6.0, rng)
        plant.broker.thaw()


def outbox_corrupted(plant: Plant, times: int, rng: random.Random) -> None:
    """The outbox's file is overwritten in the middle, while it is in use and while nobody does."""
    for number in range(times):
        plant.between(0.5, 2.0, rng)
        damage(plant.line.folder / "state" / "outbox.db", rng)
        if number % 2:
            plant.kill_the_daemon()
        heard = len(plant.record.heard)
        wait_until(lambda heard=heard: len(plant.record.heard) > heard + 5, "inspection goes on")  # type: ignore[misc]


def damage(path: Path, rng: random.Random) -> None:
    """Overwrite some of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(20):
            file.seek(rng.randrange(size))
            file.write(rng.randbytes(64))
