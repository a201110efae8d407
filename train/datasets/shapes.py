"""`shapes`: four synthetic parts, solid or hollow, circle or rectangle, for trying kenpin without a camera.

Position, size and angle vary as in a loose jig; light and noise a little. Some views carry a defect: a bite out of the
edge, a scratch, or a speck of dirt. Everything follows from the seed.
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.picture import Image, ViewSpec
from train.views import Collected, DataSet, Report

LABELS = ("hollow-circle", "hollow-rectangle", "solid-circle", "solid-rectangle")
SIDE = 27
COUNTS = {("train", False): 240, ("train", True): 24, ("test", False): 60, ("test", True): 24}
"""Views of each label, by use and by whether they are defective."""
FINE = 8
"""Each pixel is drawn 8 × 8 and averaged, so that edges fall between pixels as a camera's do."""


def load(*, size: int | None, seed: int, report: Report, good: int | None = None) -> DataSet:
    """The data set, the same for the same seed. `good`: good training views a label, where not as in `COUNTS`."""
    spec = ViewSpec(height=size or SIDE, width=size or SIDE, channels=1)
    rng = np.random.default_rng(seed)
    collected = {"train": Collected(), "test": Collected()}
    for done, ((use, defective), usual) in enumerate(COUNTS.items()):
        count = good if good is not None and (use, defective) == ("train", False) else usual
        for label, name in enumerate(LABELS):
            for number in range(count):
                view = spec.view(draw(name, rng, defective=defective))
                source = f"{name}/{use}/{'defect' if defective else 'good'}/{number:04d}"
                collected[use].add(view, label, defective, source, view.tobytes())
        report(done + 1, len(COUNTS))
    return DataSet("shapes", LABELS, spec, collected["train"].views(spec), collected["test"].views(spec))


def draw(label: str, rng: np.random.Generator, *, defective: bool = False) -> Image:
    """One view of the part `label`: uint8 [27, 27, 1]."""
    side = SIDE * FINE
    canvas = np.zeros((side, side), np.uint8)
    centre = side / 2 + rng.uniform(-3, 3, 2) * FINE
    half = rng.uniform(6.5, 9.0) * FINE
    angle = rng.uniform(-20, 20)
    line = -1 if label.startswith("solid") else int(2.2 * FINE)
    if label.endswith("circle"):
        cv2.circle(canvas, _point(centre), int(half), 255, line, cv2.LINE_AA)
    else:
        corners = cv2.boxPoints((tuple(centre), (2 * half, 1.3 * half), angle))
        cv2.polylines(canvas, [corners.astype(np.int32)], True, 255, max(line, 1), cv2.LINE_AA)
        if line < 0:
            cv2.fillConvexPoly(canvas, corners.astype(np.int32), 255, cv2.LINE_AA)
    if defective:
        _spoil(canvas, centre, half, rng)
    view = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    lit = 20 + view * rng.uniform(0.7, 0.85) + rng.normal(0, 4, view.shape)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)[..., None]


def _spoil(canvas: Image, centre: npt.NDArray[np.float64], half: float, rng: np.random.Generator) -> None:
    """Draw one defect onto `canvas`, in place."""
    outward = rng.normal(size=2)
    outward /= np.linalg.norm(outward)
    kind = rng.integers(3)
    if kind == 0:  # a bite out of the edge
        edge = np.argwhere(cv2.morphologyEx(canvas, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 127)
        y, x = edge[rng.integers(len(edge))]
        cv2.circle(canvas, (int(x), int(y)), int(rng.uniform(1.8, 2.6) * FINE), 0, -1)
    elif kind == 1:  # a scratch right through
        across = np.array([-outward[1], outward[0]])
        start, end = centre - 1.1 * half * outward, centre + 1.1 * half * outward
        offset = across * rng.uniform(-0.3, 0.3) * half
        cv2.line(canvas, _point(start + offset), _point(end + offset), 0, int(1.3 * FINE), cv2.LINE_AA)
    else:  # a speck of dirt beside the part
        speck = np.clip(centre + outward * half * 1.35, 2 * FINE, (SIDE - 2) * FINE)
        cv2.circle(canvas, _point(speck), int(rng.uniform(1.2, 1.8) * FINE), 255, -1)


def _point(xy: npt.NDArray[np.float64]) -> tuple[int, int]:
    return int(xy[0]), int(xy[1])
