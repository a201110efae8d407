"""From the bytes of an industrial camera to a picture, by the name of its pixel format.

Names are those of the GenICam Pixel Format Naming Convention (PFNC), and the older ones of GigE Vision and Basler that
end in `Packed`. Values of 10, 12 and 14 bits become 16-bit by shifting them to the top, so that full scale is full
scale whatever the sensor's depth; from there on `picture.as_picture` has the rule.
"""

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.picture import Image, as_picture

Values = npt.NDArray[Any]

# OpenCV's older names (BayerBG for RGGB) tell the second row; these tell the first, as GenICam does.
_DEMOSAIC = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
}
_COLOURS = {
    "RGB8": (3, cv2.COLOR_RGB2BGR),
    "RGB8Packed": (3, cv2.COLOR_RGB2BGR),
    "BGR8": (3, None),
    "BGR8Packed": (3, None),
    "YUV422_8": (2, cv2.COLOR_YUV2BGR_YUY2),
    "YUV422_YUYV_Packed": (2, cv2.COLOR_YUV2BGR_YUY2),
    "YUV422_8_UYVY": (2, cv2.COLOR_YUV2BGR_UYVY),
    "YUV422Packed": (2, cv2.COLOR_YUV2BGR_UYVY),
}
_ONE_VALUE = re.compile(r"(?:Mono|Bayer(?P<pattern>RG|GR|GB|BG))(?P<bits>8|10|12|14|16)(?P<packing>p|Packed)?")

READABLE = "Mono and Bayer of 8 to 16 bits, packed or not, RGB8, BGR8 and YUV422"
"""In words, for who must choose another."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One of the formats that can be read.

    `bits` of a value; `packing`: "" where each value has whole bytes, "p" where values follow one another bit by bit
    (PFNC), "Packed" where two values share three bytes (GigE Vision). `pattern`: a Bayer filter's first row; "": grey.
    """

    name: str
    bits: int = 8
    packing: str = ""
    pattern: str = ""

    @classmethod
    def named(cls, name: str) -> "PixelFormat | None":
        """The format of that name; None where it cannot be read."""
        if name in _COLOURS:
            return cls(name)
        found = _ONE_VALUE.fullmatch(name)
        if not found:
            return None
        bits, packing = int(found["bits"]), found["packing"] or ""
        if packing and bits not in ((10, 12, 14) if packing == "p" else (10, 12)):
            return None
        return cls(name, bits, packing, found["pattern"] or "")

    def size(self, width: int, height: int) -> int:
        """How many bytes a picture of `width` × `height` pixels has."""
        values = width * height
        if self.name in _COLOURS:
            return values * _COLOURS[self.name][0]
        if self.packing:
            return -(-values * (12 if self.packing == "Packed" else self.bits) // 8)
        return values * (1 if self.bits == 8 else 2)

    def picture(self, data: npt.NDArray[np.uint8], width: int, height: int) -> Image:
        """`data`, uint8 of at least `size` bytes and without padding, as uint8 [height, width, 1 or 3 (BGR)].

        The result is memory of its own. Raises ValueError where there are fewer bytes.
        """
        size = self.size(width, height)
        if data.size < size:
            raise ValueError(f"has {data.size} bytes; {width} x {height} pixels of {self.name} are {size}")
        data = data[:size]
        if self.name in _COLOURS:
            channels, code = _COLOURS[self.name]
            pixels = data.reshape(height, width, channels)
            return np.asarray(pixels.copy() if code is None else cv2.cvtColor(pixels, code), dtype=np.uint8)
        values = self._values(data, width * height).reshape(height, width)
        if self.pattern:
            return as_picture(cv2.cvtColor(values, _DEMOSAIC[self.pattern]), self.name)
        picture = as_picture(values, self.name)
        return picture.copy() if np.may_share_memory(picture, data) else picture

    def _values(self, data: npt.NDArray[np.uint8], count: int) -> Values:
        """All `count` values: uint8 as they are, deeper ones uint16 from 0 to full scale."""
        if self.packing == "p":
            values = _bit_by_bit(data, count, self.bits)
        elif self.packing == "Packed":
            values = _two_in_three(data, count, self.bits)
        elif self.bits == 8:
            return data
        else:
            values = data.view("<u2")
        return to_full_scale(values, self.bits)


def to_full_scale(values: Values, bits: int) -> Values:
    """uint16 values of `bits` bits at the top of 16: the one place where a sensor's depth becomes full scale."""
    return values if bits == 16 else values << (16 - bits)


def _bit_by_bit(data: npt.NDArray[np.uint8], count: int, bits: int) -> Values:
    """PFNC's `p`: the lowest bits come first, and a value begins in the byte in which the one before ended."""
    values_a_group, bytes_a_group = {10: (4, 5), 12: (2, 3), 14: (4, 7)}[bits]
    groups = -(-count // values_a_group)
    whole = np.zeros(groups * bytes_a_group, np.uint8)
    whole[: data.size] = data
    group = whole.reshape(groups, bytes_a_group).astype(np.uint16)
    values = np.empty((groups, values_a_group), np.uint16)
    for index in range(values_a_group):
        first, shift = divmod(index * bits, 8)
        value = group[:, first].astype(np.uint32)
        for more in range(1, -(-(shift + bits) // 8)):
            value |= group[:, first + more].astype(np.uint32) << (8 * more)
        values[:, index] = (value >> shift) & ((1 << bits) - 1)
    return values.reshape(-1)[:count]


def _two_in_three(data: npt.NDArray[np.uint8], count: int, bits: int) -> Values:
    """GigE Vision's `Packed`: the high 8 bits of two values around one byte with the low bits of both."""
    groups = -(-count // 2)
    whole = np.zeros(groups * 3, np.uint8)
    whole[: data.size] = data
    group = whole.reshape(groups, 3).astype(np.uint16)
    low = bits - 8
    mask = (1 << low) - 1
    values = np.empty((groups, 2), np.uint16)
    values[:, 0] = (group[:, 0] << low) | (group[:, 1] & mask)
    values[:, 1] = (group[:, 2] << low) | ((group[:, 1] >> 4) & mask)
    return values.reshape(-1)[:count]
