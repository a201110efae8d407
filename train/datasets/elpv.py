"""`elpv`: solar cells seen by their own electroluminescence, 300 × 300, with human judgements of each.

The pictures come with the package `elpv-dataset` (Buerhop-Lutz et al., 2018; CC BY-NC-SA 4.0), which the extra
`kenpin[demo]` installs; none is copied. Part labels are `mono` and `poly`, the kind of silicon. A cell is good where
the judges' probability of a defect is 0 and defective from 2/3; what they doubted (1/3) is left out.
"""

import importlib.util
from pathlib import Path

from edge_runtime.errors import DataSetError
from edge_runtime.picture import ViewSpec, read_picture
from train.views import Collected, DataSet, Report, hold_out

SIDE = 64
LABELS = ("mono", "poly")
DEFECTIVE_FROM = 0.6
"""Between the judges' 1/3 and 2/3, which the file writes as rounded decimals."""
TEST_SHARE = 0.25


def root() -> Path:
    """Where the installed package keeps its pictures. Raises DataSetError where it is not installed."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise DataSetError("elpv", "its package is not installed; run: pip install 'kenpin[demo]'")
    return Path(found.origin).parent / "data"


def load(*, size: int | None, seed: int, report: Report) -> DataSet:
    """Good and clearly defective cells, a quarter of each held out for the test by `seed`."""
    spec = ViewSpec(height=size or SIDE, width=size or SIDE, channels=1)
    place = root()
    rows = [line.split() for line in (place / "labels.csv").read_text().splitlines() if line.strip()]
    clear = [row for row in rows if float(row[1]) == 0 or float(row[1]) >= DEFECTIVE_FROM]
    collected = Collected()
    for done, (name, probability, kind) in enumerate(clear):
        path = place / name
        view = spec.view(read_picture(path))
        collected.add(view, LABELS.index(kind), float(probability) > 0, name, path.read_bytes())
        report(done + 1, len(clear))
    train, test = hold_out(collected.views(spec), TEST_SHARE, seed)
    return DataSet("elpv", LABELS, spec, train, test)
