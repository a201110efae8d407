"""`kenpin-train`: from a data set to a run folder."""

import argparse
import itertools
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.console import Parser, begin, guarded, version
from edge_runtime.errors import RunError
from train.draft import draft_of

if TYPE_CHECKING:
    from train.fit import Settings
    from train.run import Run
    from train.tiles import Tiles
    from train.views import DataSet

DESCRIPTION = """\
Train on a data set and write a run folder: weights, figures, the files used, and report.html.

DATASET is a folder with one folder per part label,
    <label>/train/good      good views, at least 8; from 20, or 27 where there are no test views, without a warning
    <label>/train/defect    defective views, if there are any; few help (or one folder per defect type)
    <label>/test/good       views for the report, never learnt from; left out, a quarter of the others is held out
    <label>/test/defect
with PNG, JPEG, BMP or TIFF pictures, grey or colour, of any size; or a built-in one:
    shapes                  four synthetic parts, to try kenpin without a camera
    elpv                    solar cells, mono and poly (needs the package elpv-dataset: kenpin[demo])

`kenpin-train curve DATASET --out CURVE` tells how many pictures are enough; see kenpin-train curve --help. (A data set
folder named curve is ./curve.)
"""
EXAMPLES = """\
examples:
  kenpin-train shapes --out run
  kenpin-train pictures --out run --size 128 --max-false-alarm 0.5%
  kenpin-train curve pictures --out curve
then:
  kenpin-export run --out part.onnx

exit status: 0 trained, 2 a mistake in what was asked (one line says which), 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    p = Parser(
        "kenpin-train", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--version", action="version", version=version(), help="tell kenpin's version, and end")
    p.add_argument("dataset", metavar="DATASET", help="folder, or the name of a built-in data set")
    p.add_argument("--out", metavar="RUN", type=Path, required=True, help="run folder to write; must not exist yet")
    p.add_argument("--overwrite", action="store_true", help="replace an older run folder at RUN")
    add_settings(p)
    return p


def add_settings(p: argparse.ArgumentParser) -> None:
    """The arguments of every training, whatever becomes of it."""
    p.add_argument(
        "--size",
        type=whole(16, 4096),
        help="longer side of a view in pixels, 16 to 512 a tile (the pictures' own, at most 128 a tile)",
    )
    p.add_argument(
        "--tiles",
        type=_tiles,
        default=(1, 1),
        metavar="ROWSxCOLUMNS",
        help="cut each view into so many tiles, as 2x3 and at most 64 in all, and judge each: for small defects in a "
        "large region (1x1)",
    )
    p.add_argument(
        "--epochs",
        type=whole(1, 100_000),
        default=40,
        help="epochs at most; ends earlier when it no longer gains (%(default)s)",
    )
    p.add_argument(
        "--seed",
        type=whole(0, 2**31 - 1),
        default=0,
        help="the same seed, data and machine give the same run (%(default)s)",
    )
    stated = p.add_mutually_exclusive_group()
    stated.add_argument(
        "--max-false-alarm",
        type=_share,
        default=0.02,
        metavar="SHARE",
        help="share of good parts that may be called NG, as 0.02 or 2%%; sets the thresholds (2%%)",
    )
    stated.add_argument(
        "--max-escape",
        type=_share,
        metavar="SHARE",
        help="instead: share of defects, and of wrong parts, that may be called OK, as 0.001 or 0.1%%",
    )
    p.add_argument(
        "--align",
        action="store_true",
        help="first move each view onto its part's reference, by shift and turn, here and on the line: for parts that "
        "lie loosely in their jig",
    )


def settings_of(arguments: argparse.Namespace) -> "Settings":
    """What `add_settings` asked for."""
    from train.fit import Settings

    return Settings(
        seed=arguments.seed,
        epochs=arguments.epochs,
        max_false_alarm=arguments.max_false_alarm,
        max_escape=arguments.max_escape,
        align=arguments.align,
        tiles=tiles_of(arguments),
    )


def tiles_of(arguments: argparse.Namespace) -> "Tiles":
    """How `--tiles` cuts a view."""
    from train.tiles import Tiles

    return Tiles(*arguments.tiles)


def main(argv: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it clears up as on Ctrl-C
    begin()
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["curve"]:
        from train.curve.command import main as curve

        return curve(argv[1:])
    arguments = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greeting is no news to the engineer
    return guarded("kenpin-train", "train", lambda: train(arguments))


def train(arguments: argparse.Namespace) -> int:
    """Train, judge the held-out views, and put the run folder in its place only when all of it is written."""
    from train import datasets

    out: Path = arguments.out
    older_run = (out / "run.json").is_file()
    if out.exists() and not (arguments.overwrite and older_run):
        remedy = "name another, or add --overwrite to replace it" if older_run else "it is no run folder; name another"
        raise RunError(out, f"exists; {remedy}")
    if not out.absolute().parent.is_dir():
        raise RunError(out, "its parent folder does not exist; make it first")
    datasets.check(arguments.dataset)
    try:  # now, since a folder that cannot be written should not cost a training
        with draft_of(out):
            pass
    except OSError as error:
        raise RunError(out, f"cannot be written ({error.strerror}); name another") from error
    return _train(arguments)


def _train(arguments: argparse.Namespace) -> int:
    """Train and judge, write all of it into a draft, and give that its name."""
    out: Path = arguments.out
    print("loading TensorFlow …", file=sys.stderr)
    # Only now: they take seconds to import, and neither --help nor a mistyped path should wait for them.
    from train import baselines, datasets, run
    from train.exam import examine
    from train.fit import fit
    from train.judged import metrics
    from train.progress import Bars
    from train.promise import escape_warning
    from train.report import write_report

    settings = settings_of(arguments)
    began = time.monotonic()
    with Bars() as bars:
        data = datasets.load(
            arguments.dataset,
            size=arguments.size,
            seed=settings.seed,
            report=bars.counter("reading pictures"),
            tiles=settings.tiles,
        )
        for line in _what(data):
            bars.say(line)
        fitted = fit(data, settings, [bars.epochs(settings.epochs)])
        for remark in fitted.remarks:
            bars.say(f"note: {remark}")
        bars.say("judging the held-out views …")
        judged = examine(fitted, data, settings.seed)
        bars.say("comparing with simpler methods …")
        compared = baselines.compare(data, judged, settings.seed, fitted.alignment)
    figures = metrics(judged, fitted.thresholds)
    warning = escape_warning(fitted.promise, figures)
    described = run.describe(data, fitted, settings, datetime.now(UTC).isoformat(timespec="seconds"))
    with draft_of(out) as draft:
        run.save(draft, described, data, fitted, judged, figures | {"baselines": baselines.figures(compared)})
        write_report(
            draft / "report.html",
            title=data.name,
            labels=data.labels,
            judged=judged,
            history=fitted.history,
            thresholds=fitted.thresholds,
            facts=_facts(described, data, time.monotonic() - began),
            compared=compared,
            notes=fitted.remarks,
            warning=warning,
        )
        draft.chmod(0o755)  # a temporary folder is its owner's alone
        out = _put(draft, out, arguments.overwrite)
    for line in _found(figures):
        print(line)
    for words, rate in _promised(described):
        print(f"{words}: {rate}")
    print(f"trained in {time.monotonic() - began:.0f} s; read {out / 'report.html'}", flush=True)
    if warning:  # last, since nobody may miss it
        print(f"note: {warning}", file=sys.stderr)
    return 0


def _put(draft: Path, out: Path, overwrite: bool) -> Path:
    """Give `draft` its name: `out`, or one beside it where something came there meanwhile, that nothing be lost."""
    if not out.exists():
        return draft.rename(out)
    if overwrite and (out / "run.json").is_file():
        with draft_of(out) as aside:  # the older run goes only when the new one has its name
            out.rename(aside / "older")
            return draft.rename(out)
    names = (out.with_name(f"{out.name}-{number}") for number in itertools.count(2))
    return draft.rename(next(name for name in names if not name.exists()))


def _what(data: "DataSet") -> list[str]:
    """What was read, and what of it the engineer should know."""
    counts = f"{data.train.good.sum()} good and {data.train.defective.sum()} defective views to learn from"
    return [
        f"{data.name}: {len(data.labels)} labels of {data.spec.width}×{data.spec.height}×{data.spec.channels} pixels",
        f"{counts}, {len(data.test)} held out",
        *(f"note: {remark}" for remark in data.remarks),
    ]


def _found(figures: dict[str, float | int]) -> list[str]:
    """The held-out figures in words."""
    lines = []
    for key, words in (
        ("false_alarm", "good views called NG (false alarms)"),
        ("defect_escape", "defective views called OK (escapes)"),
        ("wrong_part_escape", "wrong parts called OK (escapes)"),
    ):
        if f"{key}_rate" in figures:
            low, high = figures[f"{key}_low"], figures[f"{key}_high"]
            lines.append(f"{words:38} {figures[f'{key}_rate']:6.1%}   (95 % interval {low:.1%} to {high:.1%})")
    return lines


def _facts(run: "Run", data: "DataSet", seconds: float) -> list[tuple[str, str]]:
    """Rows for the end of the report."""
    return [
        ("data set", f"{run.provenance.data}, digest {run.provenance.data_digest[:16]}"),
        ("learnt from", f"{data.train.good.sum()} good and {data.train.defective.sum()} defective views"),
        ("view", f"{run.view.width}×{run.view.height} pixels, {'grey' if run.view.channels == 1 else 'colour'}"),
        ("aligned", _aligned(run)),
        ("seconds", f"{seconds:.0f} in all: drawing {run.seconds['cvae']:.0f}, judging {run.seconds['heads']:.0f}"),
        ("created", run.provenance.created),
        *_promised(run),
        ("tiles", f"{run.tiles.rows} x {run.tiles.columns}"),
        *((key.replace("_", " "), str(value)) for key, value in run.settings.items() if value is not None),
        *run.provenance.packages.items(),
        ("commit", run.provenance.commit or "not from a checkout"),
        *(("note", remark) for remark in run.remarks),
    ]


def _promised(run: "Run") -> list[tuple[str, str]]:
    """What the views that set the thresholds say of views to come."""
    promise = run.promise
    kind = "defects" if promise.real else "made-up defects"
    rates = (
        ("thresholds stop good views", promise.false_alarm),
        (f"the defect threshold lets pass {kind}", promise.defect_escape),
        ("the mismatch threshold lets pass, as some other part, good views", promise.wrong_part_escape),
    )
    return [
        (words, f"{rate.count} of {rate.total}, so {rate.low:.2%} to {rate.high:.2%} of those to come (95 % sure)")
        for words, rate in rates
        if rate is not None
    ]


def _aligned(run: "Run") -> str:
    """How far views may be moved onto their part's reference, in words."""
    if run.alignment is None:
        return "no, views are judged as they lie"
    return "; ".join(
        f"{label} by up to {reference.shift:.1f} pixels and {reference.turn:.1f}°"
        for label, reference in zip(run.labels, run.alignment.references, strict=True)
    )


def whole(low: int, high: int) -> Callable[[str], int]:
    """What reads an argument that is a whole number from `low` to `high`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return read


def _tiles(text: str) -> tuple[int, int]:
    from train.tiles import MOST  # only where tiles are asked for: --help should not wait for NumPy

    found = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not ROWSxCOLUMNS, such as 2x3")
    rows, columns = int(found[1]), int(found[2])
    if rows * columns > MOST:
        raise argparse.ArgumentTypeError(f"{text!r} are {rows * columns} tiles; name at most {MOST} in all, as 2x3")
    return rows, columns


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and below 0.5, such as 0.02 or 2%")
    return value


if __name__ == "__main__":
    sys.exit(main())
