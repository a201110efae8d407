import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import PictureError
from edge_runtime.picture import ViewSpec, is_blank, printable, read_picture

GREY = ViewSpec(height=32, width=32, channels=1)
COLOUR = ViewSpec(height=32, width=32, channels=3)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_read_as_it_was_written(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = noise(40, 50, channels)
    cv2.imwrite(str(tmp_path / f"x{suffix}"), pixels)
    assert np.array_equal(read_picture(tmp_path / f"x{suffix}"), pixels)


def test_sixteen_bits_become_eight_by_dividing_by_257(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "x.png"), values)
    assert read_picture(tmp_path / "x.png")[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_alpha_is_dropped(tmp_path: Path) -> None:
    pixels = noise(20, 20, 4)
    cv2.imwrite(str(tmp_path / "x.png"), pixels)
    assert np.array_equal(read_picture(tmp_path / "x.png"), pixels[..., :3])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_truncated_picture_is_named_and_never_half_read(
    tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    cv2.imwrite(str(whole), noise(64, 64, 3))
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(PictureError, match=f"cut{suffix}"):
        read_picture(cut)
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"x\.png: is no picture"):
        read_picture(tmp_path / "x.png")


def test_an_empty_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    with pytest.raises(PictureError, match="is empty"):
        read_picture(tmp_path / "x.png")
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "y.png")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.tiff"), np.ones((20, 20), np.float32))
    with pytest.raises(PictureError, match="float32"):
        read_picture(tmp_path / "x.tiff")


def test_a_view_has_the_models_size_and_channels() -> None:
    assert GREY.view(noise(100, 80, 3)).shape == (32, 32, 1)
    assert COLOUR.view(noise(10, 8, 1)).shape == (32, 32, 3)


def test_a_picture_of_the_right_size_is_a_view_already() -> None:
    picture = noise(32, 32, 3)
    assert np.array_equal(COLOUR.view(picture), picture)


def test_shrinking_averages_every_pixel() -> None:
    assert abs(float(GREY.view(noise(320, 320, 1)).mean()) - float(noise(320, 320, 1).mean())) < 1


def test_a_view_that_shows_nothing_is_blank() -> None:
    assert is_blank(np.full((32, 32, 1), 3, np.uint8))
    assert is_blank(np.full((32, 32, 1), 255, np.uint8))
    assert not is_blank(noise(32, 32, 1))


@pytest.mark.parametrize("mend", ["end mark", "another picture", "noise"])
def test_a_torn_jpeg_is_refused_whatever_its_last_bytes_say(tmp_path: Path, mend: str) -> None:
    smooth = cv2.GaussianBlur(noise(200, 200, 3), (0, 0), 3)
    whole = cv2.imencode(".jpg", smooth)[1].tobytes()
    half = len(whole) // 2
    torn = {
        "end mark": whole[:half] + b"\xff\xd9",
        "another picture": whole[:half] + whole,
        "noise": whole[:half] + noise(400).tobytes() + whole[half + 400 :],
    }
    (tmp_path / "x.jpg").write_bytes(torn[mend])
    with pytest.raises(PictureError, match="damaged JPEG"):
        read_picture(tmp_path / "x.jpg")


def test_a_pictures_kind_is_read_from_its_bytes_and_not_its_name(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), noise(40, 40, 3))
    renamed = (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert np.array_equal(read_picture(renamed), noise(40, 40, 3))


def test_a_name_that_is_no_text_is_escaped() -> None:
    assert printable("Stück.png") == "Stück.png"
    assert printable(os.fsdecode(b"24\xff.png")) == "24\\xff.png"
    assert printable("a\nb") == "a\\nb"
