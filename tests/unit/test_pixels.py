"""From a camera's bytes to a picture: full scale is full scale, and colours are where the filter has them."""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.cameras.pixels import PixelFormat, to_full_scale
from edge_runtime.picture import Image

WIDTH, HEIGHT = 6, 4


def read(name: str, data: npt.NDArray[np.generic], width: int = WIDTH, height: int = HEIGHT) -> Image:
    pixel_format = PixelFormat.named(name)
    assert pixel_format is not None, name
    return pixel_format.picture(np.frombuffer(data.tobytes(), np.uint8), width, height)


def pack(values: npt.NDArray[np.uint16], bits: int) -> npt.NDArray[np.uint8]:
    """PFNC's packing, written as its text says it: bit by bit, the lowest first, from the lowest bit of each byte."""
    stream = [(int(value) >> bit) & 1 for value in values.reshape(-1) for bit in range(bits)]
    return np.packbits(np.array(stream, np.uint8), bitorder="little")


def pack_two_in_three(values: npt.NDArray[np.uint16], bits: int) -> npt.NDArray[np.uint8]:
    low = bits - 8
    mask = (1 << low) - 1
    flat = [int(value) for value in values.reshape(-1)]
    data = [
        byte
        for first, second in zip(flat[::2], flat[1::2], strict=True)
        for byte in (first >> low, (first & mask) | (second & mask) << 4, second >> low)
    ]
    return np.array(data, np.uint8)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_the_deepest_value_of_any_sensor_is_white_and_zero_is_black(bits: int) -> None:
    values = np.zeros((HEIGHT, WIDTH), "<u2")
    values[:, 3:] = (1 << bits) - 1
    picture = read(f"Mono{bits}", values)
    assert picture.shape == (HEIGHT, WIDTH, 1)
    assert (picture[:, :3] == 0).all()
    assert (picture[:, 3:] == 255).all()


def test_half_of_the_range_is_half_of_the_range_at_any_depth() -> None:
    halves = {
        bits: read(f"Mono{bits}", np.full((HEIGHT, WIDTH), 1 << (bits - 1), "<u2"))[0, 0, 0] for bits in (10, 12, 16)
    }
    assert set(halves.values()) == {128}
    assert read("Mono8", np.full((HEIGHT, WIDTH), 128, np.uint8))[0, 0, 0] == 128


def test_full_scale_does_not_depend_on_what_is_in_the_picture() -> None:
    dark = to_full_scale(np.array([0, 1, 2], np.uint16), 12)
    assert dark.tolist() == [0, 16, 32]


@pytest.mark.parametrize(
    ("name", "bits", "packed"),
    [
        ("Mono10p", 10, pack),
        ("Mono12p", 12, pack),
        ("Mono14p", 14, pack),
        ("Mono10Packed", 10, pack_two_in_three),
        ("Mono12Packed", 12, pack_two_in_three),
    ],
)
def test_packed_values_are_the_same_as_unpacked_ones(
    name: str, bits: int, packed: Callable[[npt.NDArray[np.uint16], int], npt.NDArray[np.uint8]]
) -> None:
    values = np.random.default_rng(1).integers(0, 1 << bits, (HEIGHT, WIDTH)).astype("<u2")
    assert np.array_equal(read(name, packed(values, bits)), read(f"Mono{bits}", values))


def test_packed_values_that_end_in_the_middle_of_a_group_are_read() -> None:
    values = np.arange(9, dtype="<u2").reshape(3, 3) * 100
    assert np.array_equal(read("Mono10p", pack(values, 10), 3, 3), read("Mono10", values, 3, 3))


@pytest.mark.parametrize(
    ("pattern", "red", "blue"),
    [("RG", (0, 0), (1, 1)), ("BG", (1, 1), (0, 0)), ("GR", (0, 1), (1, 0)), ("GB", (1, 0), (0, 1))],
)
@pytest.mark.parametrize("depth", ["8", "12", "12p", "16"])
def test_what_lies_under_red_filters_is_red_and_not_blue(
    pattern: str, red: tuple[int, int], blue: tuple[int, int], depth: str
) -> None:
    bits = int(depth.rstrip("p"))
    for filtered, channel in ((red, 2), (blue, 0)):
        values = np.zeros((12, 12), "<u2")
        values[filtered[0] :: 2, filtered[1] :: 2] = (1 << bits) - 1
        data: npt.NDArray[np.generic] = values.astype(np.uint8) if bits == 8 else values
        picture = read(f"Bayer{pattern}{depth}", pack(values, bits) if depth.endswith("p") else data, 12, 12)
        inside = picture[4:8, 4:8].reshape(-1, 3)
        assert (inside[:, channel] == 255).all()
        assert (inside[:, 2 - channel] == 0).all()


def test_colours_come_as_blue_green_red() -> None:
    rgb = np.tile(np.array([10, 20, 30], np.uint8), (HEIGHT, WIDTH, 1))
    assert read("RGB8", rgb)[0, 0].tolist() == [30, 20, 10]
    assert read("BGR8", rgb)[0, 0].tolist() == [10, 20, 30]
    grey = np.tile(np.array([200, 128], np.uint8), (HEIGHT, WIDTH, 1))
    assert np.ptp(read("YUV422_8", grey)[0, 0].astype(int)) == 0
    assert np.array_equal(read("YUV422_8", grey), read("YUV422_8_UYVY", grey[..., ::-1]))


@pytest.mark.parametrize("name", ["Mono8", "BGR8", "Mono12", "BayerRG8"])
def test_a_picture_outlives_the_buffer_that_it_came_in(name: str) -> None:
    pixel_format = PixelFormat.named(name)
    assert pixel_format is not None
    buffer = np.full(pixel_format.size(WIDTH, HEIGHT), 7, np.uint8)
    picture = pixel_format.picture(buffer, WIDTH, HEIGHT)
    before = picture.copy()
    buffer[:] = 0
    assert np.array_equal(picture, before)


def test_too_few_bytes_are_no_picture() -> None:
    said = re.escape("has 23 bytes; 6 x 4 pixels of Mono8 are 24")
    with pytest.raises(ValueError, match=said):
        read("Mono8", np.zeros(23, np.uint8))


@pytest.mark.parametrize("name", ["Mono1p", "Mono8p", "Mono14Packed", "BayerXX8", "BGRA8", "Coord3D_C16", "", "mono8"])
def test_a_format_that_cannot_be_read_is_not_guessed(name: str) -> None:
    assert PixelFormat.named(name) is None
