"""A station to be measured: a bundle of 128 x 128 pixels that has learnt nothing, its pictures and its file."""

import json
import time
from pathlib import Path

import numpy as np

from benchmarks.speed.graphs import bundle_of, untrained
from edge_runtime.bundle import Bundle
from edge_runtime.cameras import Frame

RESULTS = Path(__file__).parents[1] / "results"
SIDE, PARTS = 128, 4
BOX = (200, 100, SIDE, SIDE)


def bundle_file(folder: Path) -> Path:
    """Write the bundle into `folder`."""
    decision, _ = untrained(SIDE, PARTS)
    made = bundle_of(decision, PARTS)
    path = folder / "part.onnx"
    path.write_bytes(made.content())
    return path


def frames(bundle: Bundle) -> list[Frame]:
    """A part that is expected, each time with other noise: naming a wrong part would take two verdicts more."""
    x, y, w, h = BOX
    rng = np.random.default_rng(3)
    part = bundle.info.golden[0].view(bundle.info.view).astype(np.int16)
    made = []
    for number in range(8):
        pixels = rng.integers(40, 200, (480, 640, 1), np.uint8)
        pixels[y : y + h, x : x + w] = np.clip(part + rng.integers(-2, 3, part.shape), 0, 255)
        made.append(Frame(pixels, time.time_ns(), number, 0.0))
    return made


def station(folder: Path, bundle: Bundle, port: int, rate_hz: float) -> Path:
    """Write the file of a station that replays `pictures` for ever, to a broker at `port` of this machine."""
    path = folder / "station.toml"
    path.write_text(
        f'site = "a"\nline = "b"\nstation = "c"\nbundle = "{bundle.path}"\ndata = "state"\n'
        f'[camera]\nkind = "folder"\npath = "pictures"\nrate_hz = {rate_hz}\nrepeat = true\n'
        f'[region.J4]\nexpected = "0"\nbox = {list(BOX)}\n'
        f"[thresholds]\ndefect = 1.0\nmismatch = 1.0\n"  # what has learnt nothing shall not call all of it NG
        f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
    )
    return path


def last_seq(data: Path) -> int:
    """The last number in the newest file of the ledger; 0 where there is none yet."""
    files = sorted((data / "ledger").glob("*.jsonl")) if (data / "ledger").is_dir() else []
    if not files or not (lines := files[-1].read_bytes().splitlines()):
        return 0
    return int(json.loads(lines[-1])["seq"])
