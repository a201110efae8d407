"""`kenpin-edge mark` takes what the next picture will show again, and not the noise of this one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.cli import main
from edge_runtime.errors import PictureError
from edge_runtime.marks import Mark, find, grey, read_template
from edge_runtime.picture import Image
from tests.marked import LEFT, SIDE, marked_frame

Scene = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, Scene], Image]
Captured = pytest.CaptureFixture[str]
X, Y = 260, 200


def rounded(scene: npt.NDArray[Any]) -> Image:
    return np.clip(np.round(scene), 0, 255).astype(np.uint8)


def white(sigma: float) -> Noise:
    return lambda rng, scene: rounded(scene + rng.normal(0, sigma, scene.shape))


def uniform(rng: np.random.Generator, scene: Scene) -> Image:
    return rounded(scene + rng.uniform(-12, 12, scene.shape))


def shot(rng: np.random.Generator, scene: Scene) -> Image:
    """Of a dim scene, with much gain."""
    return rounded(4.0 * rng.poisson(np.clip(scene, 0, 255) / 4))


def hot_pixels(rng: np.random.Generator, scene: Scene) -> Image:
    chance = rng.random(scene.shape)
    shown = scene.copy()
    shown[chance < 0.01], shown[chance > 0.99] = 255.0, 0.0
    return rounded(shown)


def bayer(rng: np.random.Generator, scene: Scene) -> Image:
    """Colour that was made of one value a pixel: neighbours share their noise."""
    return np.asarray(cv2.cvtColor(white(8)(rng, scene), cv2.COLOR_BayerRG2BGR), np.uint8)


def jpeg(rng: np.random.Generator, scene: Scene) -> Image:
    data = cv2.imencode(".jpg", white(5)(rng, scene), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def smoothed(rng: np.random.Generator, scene: Scene) -> Image:
    """By a camera that means well."""
    return rounded(np.asarray(cv2.blur(scene + rng.normal(0, 10, scene.shape), (3, 3)), np.float64))


def scaled(rng: np.random.Generator, scene: Scene) -> Image:
    """From half the size, as some network cameras do."""
    small = scene[::2, ::2] + rng.normal(0, 8, scene[::2, ::2].shape)
    return rounded(np.asarray(cv2.resize(small, scene.shape[::-1]), np.float64))


NOISES = {
    "white, faint": white(3),
    "white": white(8),
    "white, violent": white(40),
    "uniform": uniform,
    "shot": shot,
    "hot pixels": hot_pixels,
    "bayer": bayer,
    "jpeg": jpeg,
    "smoothed": smoothed,
    "scaled": scaled,
}


def even() -> Scene:
    return np.full((480, 640), 120.0)


def lit_from_one_side() -> Scene:
    return np.broadcast_to(np.linspace(80.0, 160.0, 640), (480, 640)).copy()


def bright_plate_on_black() -> Scene:
    """What surrounds the plate has no noise: it is darker than the sensor shows."""
    scene = np.full((480, 640), -50.0)
    scene[Y - 10 : Y + 70, X - 10 : X + 70] = 180.0
    return scene


def drawn(mark: Image, contrast: float, *, busy: bool = False) -> Scene:
    """A mark (uint8 [H, W], eight times too large) at X, Y on an even table, as a lens shows it."""
    scene: npt.NDArray[Any] = even()
    if busy:
        rng = np.random.default_rng(3)
        scene += cv2.resize(rng.uniform(-90, 90, (60, 80)), (640, 480), interpolation=cv2.INTER_NEAREST)
        scene[Y - 4 : Y + 52, X - 4 : X + 52] = 120.0
    small = cv2.resize(mark, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    scene[Y : Y + small.shape[0], X : X + small.shape[1]] += contrast * (small / 255.0)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 0.7), np.float64)


def blank(side: int = 48) -> Image:
    return np.zeros((8 * side, 8 * side), np.uint8)


def hole(side: int = 48) -> Image:
    return np.asarray(cv2.circle(blank(side), (4 * side, 4 * side), int(2.6 * side), 255, -1), np.uint8)


def cross() -> Image:
    return np.asarray(cv2.drawMarker(blank(), (192, 192), 255, cv2.MARKER_CROSS, 300, 40), np.uint8)


def hairlines() -> Image:
    return np.asarray(cv2.drawMarker(blank(), (192, 192), 255, cv2.MARKER_CROSS, 300, 16), np.uint8)


def corner() -> Image:
    mark = blank()
    mark[192:, 192:] = 255
    return mark


def tag() -> Image:
    cells = np.random.default_rng(5).integers(0, 2, (6, 6)).astype(np.uint8) * 255
    return np.asarray(cv2.resize(cells, (384, 384), interpolation=cv2.INTER_NEAREST), np.uint8)


def letters() -> Image:
    return np.asarray(cv2.putText(blank(), "A7", (0, 290), cv2.FONT_HERSHEY_SIMPLEX, 8.5, 255, 24), np.uint8)


MARKS = {
    "hole": drawn(hole(), -80),
    "hole, small": drawn(hole(12), -80),
    "hole, smallest": drawn(hole(8), -80),
    "hole, faint": drawn(hole(), -12),
    "cross": drawn(cross(), 100),
    "cross, faint": drawn(cross(), 20),
    "hairlines": drawn(hairlines(), 100),
    "corner of an edge": drawn(corner(), 60),
    "corner of an edge, faint": drawn(corner(), 12),
    "tag": drawn(tag(), 100),
    "tag, faint": drawn(tag(), 20),
    "letters": drawn(letters(), 100),
    "letters, faint": drawn(letters(), 20),
    "cross, in a busy scene": drawn(cross(), 60, busy=True),
}


def mark(folder: Path, picture: Image, x: int, y: int, side: int) -> int:
    cv2.imwrite(str(folder / "frame.png"), picture)
    box = map(str, (x, y, side, side))
    return main(["mark", str(folder / "frame.png"), str(folder / "m.png"), "--box", *box])


def refused_as_noise(folder: Path, capsys: Captured, picture: Image, side: int) -> bool:
    """Whether the place is refused in one line, and nothing is written."""
    status = mark(folder, picture, X, Y, side)
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines() or [""]
    told = "is no good mark" in line and (
        "the rest is noise; cut one that stands out" in line or "shows nothing" in line
    )
    return status == 2 and told and captured.out == "" and not (folder / "m.png").exists()


@pytest.mark.parametrize("scene", [even, lit_from_one_side])
@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("side", [12, 48])
def test_a_place_of_nothing_but_noise_is_no_mark(
    tmp_path: Path, capsys: Captured, name: str, scene: Callable[[], Scene], side: int
) -> None:
    picture = NOISES[name](np.random.default_rng(1), scene())
    assert refused_as_noise(tmp_path, capsys, picture, side)


@pytest.mark.parametrize("noise", [white(8), white(40), shot])
def test_noise_is_known_where_all_around_is_too_dark_to_have_any(
    tmp_path: Path, capsys: Captured, noise: Noise
) -> None:
    picture = noise(np.random.default_rng(1), bright_plate_on_black())
    assert refused_as_noise(tmp_path, capsys, picture, 48)


@pytest.mark.parametrize("name", MARKS)
def test_a_real_mark_in_mild_noise_is_taken_and_the_next_picture_shows_it(tmp_path: Path, name: str) -> None:
    side = {"hole, small": 12, "hole, smallest": 8}.get(name, 48)
    scene, rng = MARKS[name], np.random.default_rng(1)
    assert mark(tmp_path, white(2)(rng, scene), X, Y, side) == 0
    cut = Mark(template=tmp_path / "m.png", at=(X, Y), search=40)
    found = find(white(2)(rng, scene)[..., None], "m", cut, read_template(cut))
    assert (found.x, found.y) == pytest.approx((X, Y), abs=0.5)


@pytest.mark.parametrize("noise", [white(2), bayer, jpeg, shot])
def test_a_stark_mark_is_taken_in_any_noise(tmp_path: Path, noise: Noise) -> None:
    scene = marked_frame()[..., 0].astype(np.float64)
    assert mark(tmp_path, noise(np.random.default_rng(1), scene), *LEFT, SIDE) == 0


def test_a_faint_mark_that_noise_would_hide_is_refused(tmp_path: Path, capsys: Captured) -> None:
    scene, rng = drawn(hairlines(), 20), np.random.default_rng(1)
    first, then = white(5)(rng, scene), white(5)(rng, scene)
    assert mark(tmp_path, first, X, Y, 48) == 2
    assert "the rest is noise" in capsys.readouterr().err
    cut = Mark(template=tmp_path / "m.png", at=(X, Y), search=40)
    with pytest.raises(PictureError, match="not found"):
        find(then[..., None], "m", cut, grey(first[Y : Y + 48, X : X + 48, None]))
