"""`kenpin-edge score`: what a bundle says of picture files."""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.bundle import load_bundle
from edge_runtime.cameras import Frame
from edge_runtime.console import for_machines
from edge_runtime.errors import KenpinError, PictureError, UsageError
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector
from edge_runtime.picture import read_picture, shown_name
from edge_runtime.regions import Region
from edge_runtime.tuning import tuned

log = logging.getLogger(__name__)

WHOLE = "-"
"""The one region: the whole picture."""


def score(file: Path, images: list[Path], label: str, trusted_keys: Sequence[Path] = ()) -> None:
    """Print one JSON verdict a line for each image, when the part `label` is expected in it.

    It is judged on the engine that a tune file chose; where that does not hold here, one line says so.

    All or nothing: every image is decoded before the first is judged. Raises BundleError for the file or the label,
    KeyFileError for one of `trusted_keys` (as `load_bundle`), and UsageError, one line for each image that cannot be
    used; then nothing was printed.
    """
    bundle = load_bundle(file, trusted_keys)
    bundle.label_index(label)
    _check(images)
    try:
        bundle = tuned(bundle)
    except KenpinError as error:
        log.warning("judging with %s: %s", bundle.engine.setting, error)
    inspector = Inspector(bundle, Framing({WHOLE: Region(expected=label)}), bundle.info.thresholds)
    for number, image in enumerate(images, start=1):
        captured_ns, begin = time.time_ns(), time.perf_counter()
        pixels = read_picture(image)
        frame = Frame(pixels, captured_ns, number, (time.perf_counter() - begin) * 1000, shown_name(image))
        verdict = inspector.inspect(frame, {WHOLE: label}, "score").verdict.model_copy(update={"seq": number})
        sys.stdout.write(for_machines(verdict.to_json().decode()) + "\n")


def _check(images: list[Path]) -> None:
    mistakes = []
    for image in images:
        try:
            read_picture(image)
        except PictureError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UsageError("\n".join(mistakes))
