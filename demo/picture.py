"""The README's picture: what a trained model draws, and the difference it finds. `python -m demo.picture RUN OUT.png`

Made of `shapes`, because the solar cells' licence does not let their pictures into the repository.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from train.datasets import shapes
from train.run import load

LOUD = 8.0
"""Tolerances that are drawn brightest."""


def main(run_folder: Path, out: Path) -> None:
    """Draw a good part, a defective one and a wrong one: view, drawing and difference."""
    run, decision, _, _ = load(run_folder)
    test = shapes.load(size=None, seed=run.provenance.seed, report=lambda _done, _total: None).test
    expected = run.labels.index("hollow-circle")
    own = test.label == expected
    asked = [
        ("a good hollow circle", np.flatnonzero(own & test.good)),
        ("with a defect", np.flatnonzero(own & test.defective)),
        (
            "a good part, but a solid circle",
            np.flatnonzero((test.label == run.labels.index("solid-circle")) & test.good),
        ),
    ]
    figure = Figure(figsize=(10.5, 1.9), layout="constrained")
    for column, (title, rows) in zip(figure.subfigures(1, len(asked), squeeze=False)[0], asked, strict=True):
        says = decision.judge(test.images[rows], np.full(len(rows), expected))
        pick = np.argsort(says["defect_score"])[len(rows) // 2]  # neither the best case nor the worst
        scores = f"defect {says['defect_score'][pick]:.2f}, other part {says['mismatch_score'][pick]:.2f}"
        column.suptitle(f"{title}\n{scores}", fontsize=10)
        pictures = (("view", test.images[rows[pick]]), ("drawn", says["reconstruction"][pick]))
        axes = column.subplots(1, 3)
        for axis, (name, picture) in zip(axes, pictures, strict=False):
            axis.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=255)
            axis.set_title(name, fontsize=9)
        axes[2].imshow(says["difference"][pick], cmap="inferno", vmin=0, vmax=LOUD)
        axes[2].set_title("difference", fontsize=9)
        for axis in axes:
            axis.set_axis_off()
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
