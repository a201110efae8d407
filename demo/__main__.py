"""The demo's story, step by step, with kenpin's own commands as a person would type them."""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from demo import line, summary
from demo.broker import HOST, broker, refuse_taken
from demo.mes import Mes
from edge_runtime.console import guarded
from edge_runtime.errors import KenpinError

EPOCHS = {"elpv": 30, "shapes": 25}
OUT = Path("demo-out")
SUBSCRIBED_WITHIN_S = 10.0
SLACK_S = 30.0
"""Beyond the pictures' own time, how long the line may take before the demo calls it stuck."""

console = Console(highlight=False)


class DemoError(KenpinError):
    """A step of the demo failed."""

    exit_status = 1


def main() -> int:
    """The command. Returns its exit status: 0, 1 where a step failed, 2 for a mistake in what was asked."""
    p = argparse.ArgumentParser("python -m demo", description="Train, export, and watch a line inspect.")
    p.add_argument("--data", choices=sorted(line.PLANS), default="elpv", help="real solar cells, or synthetic shapes")
    p.add_argument(
        "--port",
        type=int,
        choices=range(1, 65536),
        metavar="PORT",
        default=18830,
        help="port of the demo's own broker (%(default)s)",
    )
    arguments = p.parse_args()
    return guarded("demo", "demo", lambda: demo(arguments.data, arguments.port))


def demo(data: str, port: int) -> int:
    """Run the whole story."""
    began = time.monotonic()
    refuse_taken(port)
    out = OUT / data
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    run, bundle, log = out / "run", out / "part.onnx", out / "verdicts.jsonl"

    step(f"train on {data}")
    kenpin("train.cli", data, "--out", run, "--epochs", EPOCHS[data])
    step("export to one ONNX file")
    kenpin("export.cli", run, "--out", bundle, "--name", data)
    step("run the line on pictures that were not trained on")
    phases = line.lay_out(data, run, out / "pictures")
    line.write_station(out / "station.toml", phases, port)
    count = sum(len(phase.pictures) for phase in phases)
    with ExitStack() as stack:
        stack.enter_context(broker(out, port))
        mes = stack.enter_context(Mes(port))
        watching = stack.enter_context(
            started("watch", "--host", HOST, "--port", port, "--save", log, "--count", count)
        )
        wait_until(log.exists, "the subscriber did not start")
        daemon = stack.enter_context(started("run", out / "station.toml", log=out / "daemon.log"))
        for phase, after in zip(phases, [*phases[1:], None], strict=True):
            within = len(phase.pictures) / line.RATE_HZ + SLACK_S
            if not mes.wait_for(phase.pictures[-1].name, within):
                raise DemoError(f"no verdict on {phase.pictures[-1].name} in {within:.0f} s; read {out / 'daemon.log'}")
            if after is not None and after.expected != phase.expected:
                answer = mes.set_label(after.expected)
                console.print(
                    f"[bold cyan]MES → cmd/set-label {after.expected}; the station answers {answer}[/]", soft_wrap=True
                )
        watching.wait(SLACK_S)
        if daemon.wait(SLACK_S):
            raise DemoError(f"the daemon ended with {daemon.returncode}; read {out / 'daemon.log'}")

    step("what came of it")
    found = summary.outcome(log, phases)
    summary.show(found, console)
    for what, path in (
        ("report", run / "report.html"),
        ("bundle", bundle),
        ("verdicts", log),
        ("log", out / "daemon.log"),
    ):
        console.print(f"{what:19} {path}", soft_wrap=True)
    console.print(f"{'the demo took':19} {time.monotonic() - began:.0f} s")
    if not found.shows_all:
        raise DemoError("a verdict was lost, or one of OK, NG defect and NG wrong_part was never seen where it belongs")
    return 0


def step(what: str) -> None:
    """A heading."""
    console.rule(f"[bold]{what}", align="left")


def kenpin(module: str, *arguments: object) -> None:
    """Run one of kenpin's commands to its end, on this terminal."""
    if status := subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=False).returncode:
        raise DemoError(f"{module} ended with {status}")


@contextmanager
def started(*arguments: object, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`kenpin-edge` with `arguments` as a process of its own, ended with the block. `log`: where its stderr goes."""
    command = [sys.executable, "-m", "edge_runtime", *map(str, arguments)]
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("wb")) if log else None
        process = stack.enter_context(subprocess.Popen(command, stderr=errors))
        try:
            yield process
        finally:
            process.terminate()


def wait_until(ready: Callable[[], bool], otherwise: str) -> None:
    """Wait a bounded time."""
    deadline = time.monotonic() + SUBSCRIBED_WITHIN_S
    while not ready():
        if time.monotonic() > deadline:
            raise DemoError(otherwise)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
