"""`kenpin-edge`: the command line of the line side.

Each command is imported when it is asked for: the time from a cold start to the first verdict counts.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.console import Parser, guarded, version

EXAMPLES = """examples:
  kenpin-edge run station.toml
      inspect as station.toml says (docs/station.md), until the replay ends or SIGTERM comes
  kenpin-edge score part.onnx good.png bad.png --label A12
      print one JSON verdict a line
  kenpin-edge watch --host 10.0.0.5 --save verdicts.jsonl
      show verdicts as they come, and keep them

exit status: 0 done (whatever the verdicts), 2 a mistake or a fault that one line on stderr explains, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; `argv` without the program's name, None for the process' own."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    return guarded("kenpin-edge", "edge", lambda: _command(arguments))


def _command(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "run":
            from edge_runtime.daemon import run

            run(arguments.station)
        case "score":
            from edge_runtime.score import score

            score(arguments.bundle, arguments.images, arguments.label, arguments.trust)
        case "watch":
            from edge_runtime.watch import Wishes, watch

            watch(
                Wishes(
                    host=arguments.host,
                    port=arguments.port,
                    prefix=arguments.prefix,
                    save=arguments.save,
                    count=arguments.count,
                    as_json=arguments.json,
                )
            )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="kenpin-edge",
        description="Inspect parts on a production line with one ONNX bundle, and publish verdicts over MQTT 5.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version(), help="tell kenpin's version, and end")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{run,score,watch}")

    run = commands.add_parser(
        "run",
        help="inspect what a station's camera sees",
        description="Inspect what a station's camera sees: each frame gives one verdict, kept on disk before it is "
        "sent. Ends with the replay, or cleanly on SIGTERM or Ctrl-C. The broker may be away: verdicts wait on disk.",
        epilog="example: kenpin-edge run station.toml",
    )
    run.add_argument("station", type=Path, metavar="STATION.toml", help="the station file, see docs/station.md")

    score = commands.add_parser(
        "score",
        help="judge picture files",
        description="Judge picture files and print one JSON verdict a line (docs/format.md). All or nothing: if one "
        "picture cannot be decoded, it is named and nothing is printed.",
        epilog="example: kenpin-edge score part.onnx good.png bad.png --label A12 | jq .verdict",
    )
    score.add_argument("bundle", type=Path, metavar="FILE.onnx", help="a bundle written by kenpin-export")
    score.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG, JPEG, BMP or TIFF; seen whole")
    score.add_argument("--label", required=True, metavar="L", help="the part label that is expected in each")
    score.add_argument(
        "--trust",
        type=Path,
        action="append",
        default=[],
        metavar="KEY.pub",
        help="judge only with a bundle that this key signed (kenpin-export sign); again for each other key that may",
    )

    watch = commands.add_parser(
        "watch",
        help="show verdicts as they come",
        description="Show the verdicts of all stations as they come, one line a region. Reconnects by itself.",
        epilog="example: kenpin-edge watch --host 10.0.0.5 --count 100 --save verdicts.jsonl",
    )
    watch.add_argument("--host", default="127.0.0.1", help="the broker (default: %(default)s)")
    watch.add_argument("--port", type=_port, default=1883, help="its port (default: %(default)s)")
    watch.add_argument("--prefix", type=_prefix, default="kenpin", help="how topics begin (default: %(default)s)")
    watch.add_argument("--save", type=Path, metavar="FILE", help="append each verdict's JSON to FILE, one a line")
    watch.add_argument("--count", type=_count, default=0, metavar="N", help="end after N verdicts (default: go on)")
    watch.add_argument("--json", action="store_true", help="print each verdict's JSON instead of the table")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of verdicts; expected 1 or more")
    return int(text)


def _prefix(text: str) -> str:
    if not text or any(character in text for character in "+#"):
        raise argparse.ArgumentTypeError(f'{text!r} is no topic prefix; expected levels as kenpin, without "+" or "#"')
    return text
