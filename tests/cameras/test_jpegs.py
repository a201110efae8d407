"""JPEGs as USB cameras send them: without the tables that all share, and in a buffer that is longer."""

import cv2
import numpy as np
import pytest

from edge_runtime.picture import decode_jpeg

PICTURE = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 255, (48, 64, 3), dtype=np.uint8), (0, 0), 2)
JPEG = bytes(cv2.imencode(".jpg", PICTURE)[1].tobytes())


def without_tables(data: bytes) -> bytes:
    """`data` without its Huffman tables, which a motion JPEG need not repeat in each picture."""
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        kept += b"" if data[at + 1] == 0xC4 else data[at:end]
        at = end
    return kept + data[at:]


def test_a_jpeg_without_its_tables_is_read_as_with_them() -> None:
    bare = without_tables(JPEG)
    assert len(bare) < len(JPEG)
    assert np.array_equal(decode_jpeg(bare), decode_jpeg(JPEG))


def test_what_follows_a_jpeg_in_its_buffer_is_no_damage() -> None:
    assert np.array_equal(decode_jpeg(JPEG + bytes(500)), decode_jpeg(JPEG))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_that_is_cut_is_damage(share: float) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_jpeg(JPEG[: int(len(JPEG) * share)] + bytes(500))
