"""`kenpin-edge`: the command line of the line side.

Each command is imported when it is asked for: the time from a cold start to the first verdict counts.
"""

import argparse
import faulthandler
import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_runtime import logs
from edge_runtime.console import begin, guarded
from edge_runtime.options import parser

if TYPE_CHECKING:
    from edge_runtime.station import Mqtt


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; `argv` without the program's name, None for the process' own."""
    begin()
    arguments = parser().parse_args(argv)
    service = arguments.command == "run"
    logs.begin(arguments.log if service else "human", os.environ)
    if service:
        faulthandler.enable(2)  # to stderr: where each thread is, when a watchdog ends us
    status = guarded("kenpin-edge", "edge", lambda: _command(arguments), say=logs.say, service=service)
    if any(thread.name == "changeover" for thread in threading.enumerate()):
        # Told to stop while a new bundle proves itself. Python would end that thread inside the engine, which aborts.
        logging.shutdown()
        os._exit(status)
    return status


def _command(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "run" | "check":
            return _station(arguments)
        case "score":
            from edge_runtime.score import score

            score(arguments.bundle, arguments.images, arguments.label, arguments.trust)
        case "bundle":
            _bundle(arguments)
        case "cameras" | "grab" | "regions" | "mark":
            return _aim(arguments)
        case "collect":
            _collect(arguments)
        case "presence":
            from edge_runtime.triggers.preview import draw

            draw(arguments.station, arguments.out)
        case "tune":
            from edge_runtime.tune import tune

            tune(arguments.target, arguments.seconds, arguments.trust, as_json=arguments.json)
        case "watch":
            from edge_runtime.watch import Wishes, watch

            wishes = Wishes(_broker(arguments), save=arguments.save, count=arguments.count, as_json=arguments.json)
            watch(wishes)
        case "audit":
            from edge_runtime.audit_files import Question, run_audit

            wanted = arguments
            return run_audit(Question(wanted.paths, wanted.first, wanted.last, wanted.head, as_json=wanted.json))
    return 0


def _station(arguments: argparse.Namespace) -> int:
    if arguments.command == "check":
        from edge_runtime.checks import check

        return check(arguments.station, as_json=arguments.json)
    from edge_runtime.daemon import run
    from edge_runtime.notify import ServiceManager

    run(arguments.stations, ServiceManager.of(os.environ, os.getpid()))
    return 0


def _broker(arguments: argparse.Namespace) -> "Mqtt":
    """The broker that the options name, by the rules of a station file's [mqtt]. Raises UsageError."""
    from pydantic import ValidationError

    from edge_runtime.errors import UsageError
    from edge_runtime.station import Mqtt
    from edge_runtime.words import in_words

    given = {name: getattr(arguments, name) for name in Mqtt.model_fields}
    try:
        return Mqtt.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        option, why = "--" + name.replace("_", "-"), in_words(first).replace("tls = true", "--tls")
        if first["type"] not in ("tls", "pair"):  # it is wrong by itself, not beside the others
            expected = (Mqtt.model_fields[name].description or "another").partition(", as ")[0]
            option, why = f"{option} {given[name]!r}:", f"{why}; expected {expected}"
        raise UsageError(f"{option} {why}") from error


def _aim(arguments: argparse.Namespace) -> int:
    """From a camera that is plugged in to regions that are where they should be."""
    match arguments.command:
        case "cameras":
            from edge_runtime.cameras.listing import show

            show(as_json=arguments.json)
        case "grab":
            from edge_runtime.cameras.snapshot import snapshot

            snapshot(arguments.station, arguments.out, arguments.seconds)
        case "regions":
            from edge_runtime.aim import show_regions

            return show_regions(arguments.station, arguments.picture, arguments.out)
        case "mark":
            from edge_runtime.aim import cut_mark

            cut_mark(arguments.picture, arguments.out, tuple(arguments.box), arguments.search)
    return 0


def _bundle(arguments: argparse.Namespace) -> None:
    from edge_runtime import install

    match arguments.action:
        case "install":
            install.install(arguments.station, arguments.file)
        case "list":
            install.show(arguments.station, as_json=arguments.json)
        case "use":
            install.use(arguments.station, arguments.wanted, arguments.version)
        case "rollback":
            install.rollback(arguments.station)
        case "remove":
            install.remove(arguments.station, arguments.wanted, arguments.version)


def _collect(arguments: argparse.Namespace) -> None:
    from edge_runtime.collect import Wishes, collect, collect_evidence

    wishes = Wishes(
        label=arguments.label,
        out=arguments.out,
        region=arguments.region,
        kind=arguments.defect or "good",
        test=arguments.test,
        count=arguments.count,
        every_s=arguments.every,
    )
    if arguments.from_evidence:
        collect_evidence(arguments.station, arguments.from_evidence, wishes)
    else:
        collect(arguments.station, wishes)
