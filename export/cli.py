"""`kenpin-export`: from a run folder to one ONNX file."""

import argparse
import os
import sys
from pathlib import Path

from edge_runtime.console import Parser, begin, guarded
from edge_runtime.console import version as own_version
from edge_runtime.errors import BundleError, RunError
from edge_runtime.file_names import as_text
from export.signing_command import COMMANDS
from export.signing_command import main as signing
from train.draft import draft_of

DESCRIPTION = """\
Write a run folder as one ONNX file, the bundle: the whole decision, from a view and the expected label to scores.

Before the file gets its name it must agree, within 0.001 on every score, with what Keras and scikit-learn said of the
held-out views, and reproduce its golden vectors under ONNX Runtime as the line will. One that does not is not written.
Beside it goes its bill, FILE.cdx.json: what trained it, as CycloneDX.

With --precision float16 (for GPUs) or int8 (for processors with instructions for it, such as VNNI) what draws computes
in fewer bits. Single scores then differ, so it is written only if it calls every golden vector as trained and, on the
held-out views, loses at most 0.002 AUROC and differs in at most 2 % of the verdicts; else the command says by how much
it missed. Time both with kenpin-edge tune.

`kenpin-export keygen`, `sign` and `verify` make keys, sign a bundle, and check its signature; see the --help of each.
(A run folder of one of these names is ./keygen.)
"""
EXAMPLES = """\
examples:
  kenpin-export run --out part.onnx
  kenpin-export run --out harness-7.onnx --name harness --version 7
  kenpin-export run --out part.onnx --key plant.key
  kenpin-export run --out part-int8.onnx --precision int8
then:
  kenpin-edge score part.onnx picture.png --label A12

exit status: 0 written, 2 a mistake in what was asked or a bundle that does not agree (one line says which)
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    p = Parser(
        "kenpin-export", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("run", metavar="RUN", type=Path, help="run folder written by kenpin-train")
    p.add_argument(
        "--out", metavar="FILE.onnx", type=_bundle, required=True, help="bundle to write; an older one is replaced"
    )
    p.add_argument("--name", type=_name, help="name of the bundle in every verdict (the data set's name)")
    p.add_argument(
        "--version",
        type=_name,
        help="version of the bundle in every verdict (1; of a narrower one 1-float16 or 1-int8); alone, it tells "
        "kenpin's and ends",
    )
    p.add_argument(
        "--precision", choices=("float32", "float16", "int8"), default="float32", help="of what draws (%(default)s)"
    )
    p.add_argument(
        "--key", type=Path, metavar="NAME.key", help="sign it at once with this key, see kenpin-export keygen --help"
    )
    return p


def main(argv: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    begin()
    argv = sys.argv[1:] if argv is None else argv
    if argv == ["--version"]:  # only alone: beside a RUN its value was forgotten, which must not end as if exported
        print(own_version())
        return 0
    if argv[:1] and argv[0] in COMMANDS:
        return signing(argv)
    arguments = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever trained it: the converter reads TensorFlow's graphs
    return guarded("kenpin-export", "train", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> int:
    """Export, and say how well it agrees."""
    _check(arguments.run, arguments.out)  # before TensorFlow and the conversion, which a mistyped path should not cost
    key = None
    if arguments.key is not None:
        from export.signing import read_private

        key = read_private(arguments.key)
    print("loading TensorFlow …", file=sys.stderr)
    from export.bundle import export  # only now: --help should not wait seconds for it
    from train.promise import escape_warning
    from train.run import read

    print("converting, and checking on the held-out views …", file=sys.stderr)
    precision = arguments.precision
    version = arguments.version or ("1" if precision == "float32" else f"1-{precision}")
    promise = read(arguments.run).promise
    bundle, gap = export(
        arguments.run, arguments.out, name=arguments.name, version=version, key=key, precision=precision
    )
    size = arguments.out.stat().st_size / 1e6
    print(
        f"{arguments.out}: {bundle.info.name} {bundle.info.version}, {len(bundle.info.labels)} labels, {size:.1f} MB, "
        f"scores within {gap:.1e} of what was trained, {'signed' if key else 'not signed'}, "
        f"sha256 {bundle.sha256[:16]}"
    )
    if (variant := bundle.info.variant) is not None:
        change = "".join(f"AUROC of {name} changed by {-loss:+.4f}, " for name, loss in variant.auroc_lost.items())
        change = change or "AUROC cannot be told of these views, "
        print(f"in {precision}: {change}{variant.verdicts_changed} of {variant.of} verdicts on held-out views differ")
    if warning := escape_warning(promise, bundle.info.metrics):  # last, since nobody may miss it
        sys.stdout.flush()
        print(f"note: {warning}", file=sys.stderr)
    return 0


def _check(run_folder: Path, out: Path) -> None:
    """Refuse what is no run folder, and a place where no bundle can be written."""
    if not run_folder.is_dir():
        raise RunError(run_folder, "is no folder; name a run folder written by kenpin-train")
    if not (run_folder / "run.json").is_file():
        raise RunError(run_folder, "has no run.json; name a run folder written by kenpin-train")
    if out.is_dir():
        raise BundleError(out, "is a folder; name a file, as part.onnx")
    if not out.absolute().parent.is_dir():
        raise BundleError(out, "cannot be written, there is no such folder; name a file in a folder that exists")
    try:
        with draft_of(out):
            pass
    except OSError as error:
        raise BundleError(out, f"cannot be written ({error.strerror}); name a file in another folder") from error


def _bundle(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".onnx":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .onnx; name a file, as part.onnx")
    return path


def _name(text: str) -> str:
    text = as_text(text)
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name; expected at least one character, and no line breaks")
    return text


if __name__ == "__main__":
    sys.exit(main())
