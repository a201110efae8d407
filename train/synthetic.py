"""Made-up views: defects, for a part of which no (or hardly any) defective view exists yet, and what is no part at all.

Each is a patch of a good view that does not belong there: cut from elsewhere in the same view and pasted (CutPaste: Li
et al., CVPR 2021), a thin scar, or a blot. They are no substitute for real ones; they give the defect head a first idea
of what "not as drawn" looks like.
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.picture import Image


def spoil(view: Image, rng: np.random.Generator) -> Image:
    """A copy of `view`, uint8 [H, W, C], with one made-up defect."""
    spoilt = view.copy()
    height, width = view.shape[:2]
    side = min(height, width)
    kind = rng.integers(3)
    if kind == 0:  # a patch from elsewhere
        h, w = (int(rng.uniform(0.06, 0.2) * side) + 2 for _ in range(2))
        (y, x), (to_y, to_x) = ((rng.integers(height - h), rng.integers(width - w)) for _ in range(2))
        spoilt[to_y : to_y + h, to_x : to_x + w] = view[y : y + h, x : x + w]
        return spoilt
    mask = np.zeros((height, width), np.uint8)
    at = np.array([rng.uniform(0.15, 0.85) * width, rng.uniform(0.15, 0.85) * height])
    if kind == 1:  # a scar
        reach = rng.uniform(0.08, 0.3) * side * _direction(rng)
        start, end = (at - reach).astype(int), (at + reach).astype(int)
        cv2.line(mask, tuple(map(int, start)), tuple(map(int, end)), 255, max(1, side // 64), cv2.LINE_AA)
    else:  # a blot
        axes = tuple(int(rng.uniform(0.02, 0.08) * side) + 1 for _ in range(2))
        cv2.ellipse(mask, (int(at[0]), int(at[1])), axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
    step = rng.choice([-1, 1]) * rng.uniform(30, 110)
    changed = spoilt.astype(np.float32) + step * mask[..., None].astype(np.float32) / 255
    return np.asarray(np.clip(changed, 0, 255), np.uint8)


def strange(view: Image, rng: np.random.Generator) -> Image:
    """What no part looks like, made of `view`, uint8 [H, W, C]: taught as not good, so that it never is OK."""
    height, width = view.shape[:2]
    y, x = np.mgrid[:height, :width]
    match int(rng.integers(5)):
        case 0:
            return 255 - view
        case 1:
            return rng.integers(0, 256, view.shape, np.uint8)
        case 2:
            step = int(rng.integers(1, 9))
            board = ((y // step + x // step) % 2 * 255).astype(np.uint8)
        case 3:
            board = (255 * (y if rng.random() < 0.5 else x) / max(height, width)).astype(np.uint8)
        case _:  # half of it is dark
            return np.asarray(np.where((y < height // 2)[..., None], view // 8, view), np.uint8)
    return np.repeat(board[..., None], view.shape[2], axis=2)


def _direction(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])
