"""The options of `kenpin-edge`'s commands, and what each of them may be."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.console import Parser, version
from edge_runtime.file_names import as_text

if TYPE_CHECKING:
    from edge_runtime.chain import Head

EXAMPLES = """examples:
  kenpin-edge run station.toml
      inspect as station.toml says (docs/station.md), until the replay ends or SIGTERM comes
  kenpin-edge check station.toml
      before the shift: are camera, bundle, broker, disk and clock as they must be?
  kenpin-edge bundle install station.toml part-8.onnx && kenpin-edge bundle use station.toml part 8
      change a running station to another bundle, without losing a frame (docs/bundles.md)
  kenpin-edge score part.onnx good.png bad.png --label A12
      print one JSON verdict a line
  kenpin-edge cameras
      list the cameras that answer here, as a station file names them (docs/cameras.md)
  kenpin-edge grab station.toml --out frame.png
      take one picture from a station's camera
  kenpin-edge regions station.toml frame.png --out overlay.png
      draw where the regions and marks of a station are on a picture of its camera
  kenpin-edge collect station.toml --label A12 --out dataset --good --every 2 --count 60
      take training views of a part from a station's camera (docs/collect.md)
  kenpin-edge tune part.onnx
      measure which engine runs the bundle fastest here; run and score use it from then on (docs/tune.md)
  kenpin-edge watch --host 10.0.0.5 --save verdicts.jsonl
      show verdicts as they come, and keep them
  kenpin-edge audit station.toml
      prove that no verdict was altered, removed or inserted (docs/ledger.md)

exit status: 0 done (whatever the verdicts), 1 audit or check found something or regions cannot all be judged, 2 a
mistake or a fault that one line on stderr explains, 130 interrupted; of run instead of 2: 75 where a new start may help
(disk, broker), 78 where a person must mend something first
"""


def parser() -> argparse.ArgumentParser:
    """What `kenpin-edge` takes."""
    top = Parser(
        prog="kenpin-edge",
        description="Inspect parts on a production line with one ONNX bundle, and publish verdicts over MQTT 5.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=version(), help="tell kenpin's version, and end")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="inspect what a station's camera sees",
        description="Inspect what a station's camera sees: each frame gives one verdict, kept on disk before it is "
        "sent. Ends with the replay, or cleanly on SIGTERM or Ctrl-C. The broker may be away: verdicts wait on disk. "
        "SIGHUP reads the station file again (docs/operations.md).",
        epilog="example: kenpin-edge run station.toml; exit status: 0 ended, 75 try again, 78 mend something first",
    )
    run.add_argument(
        "stations",
        type=Path,
        nargs="+",
        metavar="STATION.toml",
        help="the station file, see docs/station.md; of several cameras on one PC, one file each",
    )
    run.add_argument(
        "--log", choices=("human", "json"), default="human", help="log lines, or a JSON object a line (default: human)"
    )

    check = commands.add_parser(
        "check",
        help="tell before the shift whether all is as it must be",
        description="Look at station file, bundle, camera, broker, disk, clock and outbox: a line each, with what to "
        "do where something is wrong. A daemon that runs is not disturbed; its camera is then not opened.",
        epilog="example: sudo -u kenpin kenpin-edge check station.toml; exit status: 0 nothing fails, 1 something does",
    )
    check.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")
    check.add_argument("--json", action="store_true", help="print one JSON object a line")

    _add_bundle(commands)
    _add_cameras(commands)

    score = commands.add_parser(
        "score",
        help="judge picture files",
        description="Judge picture files and print one JSON verdict a line (docs/format.md). All or nothing: if one "
        "picture cannot be decoded, it is named and nothing is printed.",
        epilog="example: kenpin-edge score part.onnx good.png bad.png --label A12 | jq .verdict",
    )
    score.add_argument("bundle", type=Path, metavar="FILE.onnx", help="a bundle written by kenpin-export")
    score.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG, JPEG, BMP or TIFF; seen whole")
    score.add_argument(
        "--label", type=as_text, required=True, metavar="L", help="the part label that is expected in each"
    )
    _trust(score)

    presence = commands.add_parser(
        "presence",
        help="show which frames of its camera a station would judge, one a part",
        description='Look at the pictures of a station with kind = "presence" under [trigger], until its replay ends '
        "or Ctrl-C, and draw a contact sheet of the frames it would judge, with the zone and what it takes for a part. "
        "Prints how many. Nothing is judged or published (docs/triggers.md).",
        epilog="example: kenpin-edge presence station.toml --out sheet.png",
    )
    presence.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")
    presence.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the picture to write")

    _add_aim(commands)
    _add_collect(commands)

    tune = commands.add_parser(
        "tune",
        help="measure which engine runs a bundle fastest here, and use that from then on",
        description="Run a bundle on all that this machine has: ONNX Runtime and OpenVINO (if installed), processors, "
        "numbers of threads, levels of graph optimisation. What does not reproduce the golden vectors is refused and "
        "named. Prints a table, the fastest first, and writes FILE.onnx.tune.json beside the bundle: run and score "
        "use the fastest from their next start on (docs/tune.md). Measure while the line stands still.",
        epilog="example: kenpin-edge tune part.onnx --json | jq .choice",
    )
    tune.add_argument(
        "target",
        type=Path,
        metavar="FILE.onnx|STATION.toml",
        help="a bundle written by kenpin-export; or a station file, for the bundle in use there",
    )
    tune.add_argument(
        "--seconds",
        type=_seconds,
        default=20.0,
        metavar="S",
        help="how long to measure, once all is loaded; at least 10 rounds (default: %(default)g)",
    )
    _trust(tune)
    tune.add_argument("--json", action="store_true", help="print what is written to the file instead of the table")

    watch = commands.add_parser(
        "watch",
        help="show verdicts as they come",
        description="Show the verdicts of all stations as they come, one line a region. Reconnects by itself.",
        epilog="example: kenpin-edge watch --host 10.0.0.5 --count 100 --save verdicts.jsonl",
    )
    watch.add_argument("--host", default="127.0.0.1", help="the broker (default: %(default)s)")
    watch.add_argument("--port", type=_port, help="its port (default: 1883, with --tls 8883)")
    watch.add_argument("--tls", action="store_true", help="reach it over TLS")
    watch.add_argument(
        "--ca", metavar="FILE", help="who signed its certificate, in PEM (default: as the system trusts)"
    )
    watch.add_argument("--certificate", metavar="FILE", help="a certificate of your own, in PEM, where it asks for one")
    watch.add_argument("--key", metavar="FILE", help="the key of that")
    watch.add_argument("--user", type=as_text, help="a name that it knows")
    watch.add_argument("--password-file", metavar="FILE", help="holds the password of that, and nothing else")
    watch.add_argument("--mqtt-version", dest="version", choices=("5", "3.1.1"), help="what is spoken (default: 5)")
    watch.add_argument("--prefix", type=_prefix, default="kenpin", help="how topics begin (default: %(default)s)")
    watch.add_argument("--save", type=Path, metavar="FILE", help="append each verdict's JSON to FILE, one a line")
    watch.add_argument("--count", type=_count, default=0, metavar="N", help="end after N verdicts (default: go on)")
    watch.add_argument("--json", action="store_true", help="print each verdict's JSON instead of the table")

    _add_audit(commands)
    return top


def _add_audit(commands: "argparse._SubParsersAction[Parser]") -> None:
    audit = commands.add_parser(
        "audit",
        help="prove that no verdict was altered, removed or inserted",
        description="Follow the chain of hashes through a station's verdicts, or through logs of them, and name the "
        "first that was altered, removed or inserted. A running station is not disturbed. What a chain proves, and "
        "what only a head proves that you noted before: docs/ledger.md. Exit status 0: whole; 1: it is not; 2: a "
        "mistake in the question.",
        epilog="example: kenpin-edge audit station.toml --head 10482:9f2c...",
    )
    audit.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="STATION.toml|FILE.jsonl",
        help="a station file; or copies of ledger segments, or what watch --save wrote, of several stations at will",
    )
    audit.add_argument("--first", type=_count, metavar="SEQ", help="from this verdict on, which must be there")
    audit.add_argument("--last", type=_count, metavar="SEQ", help="up to this verdict, which must be there")
    audit.add_argument("--head", type=_head, metavar="SEQ:HASH", help="a head noted before; it must still be there")
    audit.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def _trust(command: argparse.ArgumentParser) -> None:
    """The keys that must have signed a bundle that is named as a file."""
    command.add_argument(
        "--trust",
        type=Path,
        action="append",
        default=[],
        metavar="KEY.pub",
        help="run only a bundle that this key signed (kenpin-export sign); again for each other key that may",
    )


def _add_aim(commands: "argparse._SubParsersAction[Parser]") -> None:
    """What an engineer without a screen aims by."""
    regions = commands.add_parser(
        "regions",
        help="draw a station's regions and marks onto a picture",
        description="Draw a station's regions, and its marks where they are found, onto a picture of its camera; and "
        "print where they are, or what is wrong with the picture. A dot is at each part's own top left.",
        epilog="example: kenpin-edge regions station.toml frame.png --out overlay.png; exit status: 0 all regions can "
        "be judged, 1 one cannot, or a mark is not found",
    )
    regions.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")
    regions.add_argument("picture", type=Path, metavar="PICTURE", help="a picture that its camera took")
    regions.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="where to draw it")
    mark = commands.add_parser(
        "mark",
        help="cut a mark from a picture, by which a loose jig is found",
        description="Cut a mark from a picture of the station's camera, if it is one that can be found again: it has "
        "edges in both directions, nothing near looks like it, and it is no noise, which the next picture would not "
        "show. Prints the table that the station file needs.",
        epilog="example: kenpin-edge mark frame.png left.png --box 120 80 48 48 >> station.toml",
    )
    mark.add_argument("picture", type=Path, metavar="PICTURE", help="a picture that the camera took")
    mark.add_argument("out", type=Path, metavar="MARK.png", help="where to keep the mark; its name is the mark's")
    mark.add_argument(
        "--box", type=_pixels, nargs=4, required=True, metavar=("X", "Y", "W", "H"), help="where it is, in pixels"
    )
    mark.add_argument(
        "--search",
        type=_pixels,
        default=40,
        metavar="N",
        help="pixels that it may move each way (default: %(default)s)",
    )


def _add_cameras(commands: "argparse._SubParsersAction[Parser]") -> None:
    cameras = commands.add_parser(
        "cameras",
        help="list the cameras that answer here",
        description="List the cameras that answer here through V4L2, Aravis (GigE Vision, USB3 Vision) and pylon "
        "(Basler), one a line, with what to write under [camera] of the station file (docs/cameras.md).",
        epilog="example: kenpin-edge cameras --json | jq -r .value",
    )
    cameras.add_argument("--json", action="store_true", help="print one JSON object a line")

    grab = commands.add_parser(
        "grab",
        help="take one picture from a station's camera",
        description="Take one picture from a station's camera, with its settings, and write it as regions see it: to "
        "aim, to set exposure, to measure boxes. A real camera is opened by one process only: stop the daemon first. "
        "With a replay (folder, video) the daemon may run.",
        epilog="example: kenpin-edge grab station.toml --out picture.png",
    )
    grab.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")
    grab.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the picture to write")
    grab.add_argument(
        "--seconds",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="how long to wait for it, or for its trigger (default: %(default)g)",
    )


def _add_collect(commands: "argparse._SubParsersAction[Parser]") -> None:
    collect = commands.add_parser(
        "collect",
        help="take labelled training views from a station's camera",
        description="Take labelled training views from a station's camera: one region, cut as an inspection cuts it, "
        "at the camera's resolution. What an inspection would refuse is not kept. One view for each trigger of the "
        "station (with presence: for each part), or with --every one each S seconds; until N, the end of a replay, or "
        "Ctrl-C. Files are never overwritten (docs/collect.md). Stop the daemon meanwhile.",
        epilog="example: kenpin-edge collect station.toml --label A12 --out dataset --good --every 2 --count 60",
    )
    collect.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")
    collect.add_argument("--label", type=_folder_name, required=True, metavar="L", help="which part is seen")
    collect.add_argument(
        "--out", type=Path, required=True, metavar="DATASET", help="the data set: views go to DATASET/L/train/good"
    )
    kind = collect.add_mutually_exclusive_group(required=True)
    kind.add_argument("--good", action="store_true", help="the parts are good")
    kind.add_argument(
        "--defect",
        type=_defect,
        nargs="?",
        const="defect",
        metavar="NAME",
        help="the parts have a defect; NAME: of this kind, in a folder of its own",
    )
    collect.add_argument("--test", action="store_true", help="for the test, DATASET/L/test, and not to learn from")
    collect.add_argument("--region", type=as_text, metavar="R", help="which region; needed where there are several")
    collect.add_argument("--count", type=_count, default=0, metavar="N", help="end after N views (default: go on)")
    collect.add_argument("--every", type=_pause, metavar="S", help="a view each S seconds, whatever triggers there are")
    collect.add_argument(
        "--from-evidence",
        nargs="+",
        metavar="ID",
        help="instead of the camera's: the pictures that the station kept for these verdicts, by id or evidence",
    )


def _add_bundle(commands: "argparse._SubParsersAction[Parser]") -> None:
    bundle = commands.add_parser(
        "bundle",
        help="keep bundles side by side, and change from one to another",
        description="Keep bundles side by side in the station's data folder, and say which one inspects. A running "
        "station changes over within about a second, once the new bundle has proven itself; if it does not, the old "
        "one stays, and the log and an event say why (docs/bundles.md).",
        epilog="example: kenpin-edge bundle use station.toml part 8",
    )
    actions = bundle.add_subparsers(dest="action", required=True, metavar="{install,list,use,rollback,remove}")

    def add(name: str, what: str, description: str, example: str) -> Parser:
        action = actions.add_parser(name, help=what, description=description, epilog=f"example: {example}")
        action.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")
        return action

    def add_wanted(action: Parser) -> None:
        action.add_argument("wanted", type=as_text, metavar="NAME", help="its name, or at least 4 digits of its sha256")
        action.add_argument(
            "version", type=as_text, nargs="?", metavar="VERSION", help="its version; left out after a sha256"
        )

    install = add(
        "install",
        "copy a bundle into the station's store",
        "Copy a bundle, and FILE.onnx.sig where it is there, into the station's store, once it has proven itself and "
        "fits the station. Prints its name, version and sha256. The bundle in use stays in use.",
        "kenpin-edge bundle install station.toml part-8.onnx",
    )
    install.add_argument("file", type=Path, metavar="FILE.onnx", help="a bundle written by kenpin-export")
    shown = add(
        "list",
        "show what is installed, which is in use and which was before",
        "Show what is installed: name, version, sha256, when; which is in use, and which a rollback goes back to.",
        "kenpin-edge bundle list station.toml --json | jq 'select(.in_use)'",
    )
    shown.add_argument("--json", action="store_true", help="print one JSON object a line instead of the table")
    add_wanted(
        add(
            "use",
            "inspect with an installed bundle from now on",
            "Inspect with an installed bundle from now on, and after a restart. A running station changes over within "
            "about a second; without one it counts at the next start.",
            "kenpin-edge bundle use station.toml part 8",
        )
    )
    add(
        "rollback",
        "inspect with the bundle used before",
        "Inspect with the bundle that was used before the present one; once more goes back to the present one.",
        "kenpin-edge bundle rollback station.toml",
    )
    add_wanted(
        add(
            "remove",
            "delete an installed bundle",
            "Delete an installed bundle that is neither in use nor the one that a rollback goes back to.",
            "kenpin-edge bundle remove station.toml part 6",
        )
    )


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 1 to 65535")
    return int(text)


def _pixels(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels; expected 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on; expected 1 or more")
    return int(text)


def _head(text: str) -> "Head":
    from edge_runtime.chain import Head

    seq, _, digest = text.partition(":")
    if not seq.isdigit() or not re.fullmatch("[0-9a-f]{64}", digest):
        raise argparse.ArgumentTypeError(f"{text!r} is no head; expected SEQ:HASH as audit prints it")
    return Head(int(seq), digest)


def _folder_name(text: str) -> str:
    if not text or text.startswith(".") or any(letter in "/\\" or not letter.isprintable() for letter in text):
        raise argparse.ArgumentTypeError(f'{text!r} is no name of a folder; no "/" or "\\", and no "." in front')
    return text


def _defect(text: str) -> str:
    if text.lower() == "good":
        raise argparse.ArgumentTypeError(f"{text!r} is no kind of defect")
    return _folder_name(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected seconds, above 0 and at most 3600")
    return seconds


def _pause(text: str) -> float:
    seconds = _seconds(text)
    if seconds < 0.01:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected 0.01 seconds or more")
    return seconds


def _prefix(text: str) -> str:
    text = as_text(text)
    if not text or any(character in text for character in "+#"):
        raise argparse.ArgumentTypeError(f'{text!r} is no topic prefix; expected levels as kenpin, without "+" or "#"')
    return text
