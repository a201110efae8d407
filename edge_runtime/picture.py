"""From a picture to a view: the one way in which training and the line prepare what the model sees.

A picture is uint8 [H, W, C], C is 1 (grey) or 3 (BGR, OpenCV's order). A view is a picture at the model's size.

Rules, which the bundle relies on:

* 16-bit values become 8-bit by dividing by 257 and rounding, so that 65535 becomes 255 whatever is in the picture.
* An alpha channel is dropped: industrial pictures carry none on purpose, and what lies below it is what was seen.
* Colour becomes grey with OpenCV's weights (0.299 R + 0.587 G + 0.114 B); grey becomes colour by repeating it.
* Size changes by area averaging when shrinking and bilinear interpolation when growing. Brightness is not touched:
  a rule that depends on the picture would let training and the line drift apart.
"""

import base64
import zlib
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from pydantic import BaseModel, ConfigDict, Field

from edge_runtime.errors import PictureError, remedy
from edge_runtime.file_names import as_text

Image = npt.NDArray[np.uint8]
"""uint8 [H, W, C], C is 1 or 3 (BGR)."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

FLAT = 8
"""Grey levels. A view whose brightest and darkest pixels are this close shows nothing: no light, or burnt out."""

LARGEST = 4096
"""Pixels of a view's longer side, at most."""

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

# A damaged file is our one clear line, not OpenCV's and ours.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class ViewSpec(BaseModel):
    """Size of a view in pixels, and whether it is grey (1 channel) or colour (3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: Annotated[int, Field(ge=16, le=LARGEST)]
    width: Annotated[int, Field(ge=16, le=LARGEST)]
    channels: Annotated[int, Field(ge=1, le=3)]

    def view(self, picture: Image) -> Image:
        """`picture` (uint8 [H, W, 1 or 3]) as the model wants it: uint8 [height, width, channels], contiguous."""
        pixels: npt.NDArray[Any] = picture
        if pixels.shape[2] == 3 and self.channels == 1:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[..., None]
        elif pixels.shape[2] == 1 and self.channels == 3:
            pixels = np.repeat(pixels, 3, axis=2)
        if pixels.shape[:2] != (self.height, self.width):
            shrinks = pixels.shape[0] >= self.height and pixels.shape[1] >= self.width
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            pixels = cv2.resize(pixels, (self.width, self.height), interpolation=how)
        return np.ascontiguousarray(pixels.reshape(self.height, self.width, self.channels), dtype=np.uint8)


def read_picture(path: Path) -> Image:
    """Decode the file `path`: uint8 [H, W, 1 or 3].

    Raises PictureError where the file is missing, is cut short, is no picture, or has a pixel type that no rule covers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        how = remedy(error, "name a picture file")
        raise PictureError(path, f"cannot be read ({error.strerror}); {how}").due_to(error) from error
    if not data:
        raise PictureError(path, "is empty; copy it again from where it was taken")
    if data.startswith(_JPEG):
        return _read_jpeg(path, data)
    if data.startswith(_PNG) and data.rfind(b"IEND") < data.rfind(b"IDAT"):  # before libpng says so in its own words
        raise PictureError(path, "is cut short; copy it again from where it was taken")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        kinds = ", ".join(sorted(SUFFIXES))
        raise PictureError(path, f"is no picture that can be decoded, or is damaged; expected one of {kinds}")
    return as_picture(pixels, path)


def _read_jpeg(path: Path, data: bytes) -> Image:
    """As `decode_jpeg`, for a file. Raises PictureError."""
    try:
        return decode_jpeg(data)
    except ValueError as error:
        why = f"is a damaged JPEG ({error}); copy it again from where it was taken"
        raise PictureError(path, why) from error


def decode_jpeg(data: bytes) -> Image:
    """Decode a JPEG: uint8 [H, W, 1 or 3].

    Raises ValueError where anything in it is torn: OpenCV fills the rest with grey, silently. A JPEG has no checksum: a
    flipped bit that leaves it well-formed shows only in the picture.
    """
    space = simplejpeg.decode_jpeg_header(data)[2]
    return np.ascontiguousarray(simplejpeg.decode_jpeg(data, "GRAY" if space == "Gray" else "BGR", strict=True))


def printable(text: str) -> str:
    """A text that JSON, UTF-8 and a terminal's line can hold; what cannot be shown is escaped."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def shown_name(name: Path | str) -> str:
    """A file's name, as `printable` has texts."""
    return printable(as_text(name))


def as_picture(pixels: npt.NDArray[np.generic], source: Path | str) -> Image:
    """Any 8- or 16-bit grey, BGR or BGRA array as a picture, by this module's rules. `source` names it in an error."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
        raise PictureError(
            source, f"has {pixels.shape[2]} channels of {pixels.dtype}; expected 8 or 16 bits, grey, colour or RGBA"
        )
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def view_of_png(text: str) -> Image:
    """The view in `text`, a PNG in base64, as bundles hold them: uint8 [H, W, C].

    Raises ValueError where it is none, is damaged, or is larger than any view, which is known before it is decoded: a
    kilobyte can hold a gigabyte of one colour.
    """
    data = base64.b64decode(text, validate=True)
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not data.startswith(_PNG_HEAD) or not 1 <= min(width, height) <= max(width, height) <= LARGEST:
        raise ValueError(f"is no PNG of a view of at most {LARGEST} pixels a side")
    _check_png(data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype != np.uint8:
        raise ValueError("is a damaged PNG, or one of other than 8 bits")
    return np.asarray(pixels.reshape(*pixels.shape[:2], -1))


def _check_png(data: bytes) -> None:
    """Raise ValueError where a part of the PNG `data` is missing or is not what its CRC says; libpng would print it."""
    begin, kind = 8, b""
    while kind != b"IEND":
        end = begin + 8 + int.from_bytes(data[begin : begin + 4])
        kind = data[begin + 4 : begin + 8]
        if not kind or zlib.crc32(data[begin + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError("is a damaged PNG")
        begin = end + 4


def is_blank(view: Image) -> bool:
    """Whether `view` shows nothing at all (see `FLAT`), so that no judgement of it can be trusted."""
    return int(view.max()) - int(view.min()) < FLAT


def pictures_in(folder: Path) -> list[Path]:
    """The picture files directly in `folder`, by name. Hidden files are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and (path.is_file() or path.is_symlink())
    )
