"""A contact sheet of what presence detection would have judged, for whoever sets it up."""

import textwrap
from collections.abc import Iterable

import cv2
import numpy as np

from edge_runtime.cameras import Frame
from edge_runtime.lettering import BACK, BOLD, shortened, write
from edge_runtime.picture import Image
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.presence import Presence

TILE = 320
"""Pixels of a tile's width."""
ACROSS = 4
MOST = 200
"""Tiles at most: who sees so many has seen what is wrong."""
ZONE, PART, WORDS = (255, 160, 0), (0, 0, 255), (0, 220, 255)
"""Colours, BGR."""
LETTERS = 44
"""That fit into a tile's width."""
LETTER, LINE_HEIGHT, GAP = 12, 16, 6
"""Pixels of a letter, from one line of words to the next, and around them."""


def sheet(config: PresenceTrigger, frames: Iterable[Frame]) -> tuple[Image, int]:
    """Each frame that would be judged, with the zone and an outline of what is in it; and how many those are.

    A part without a verdict is a dark tile that says why. The picture is uint8 [H, W, 3]. Raises as `Presence` does.
    """
    presence = Presence(config)
    tiles: list[Image] = []
    count = 0
    for frame in frames:
        due = presence.see(frame)
        while due is not None:
            count += 1
            tiles += [_tile(due, presence, config)] if count <= MOST else []
            due = presence.due()
    for due in presence.rest():
        count += 1
        tiles += [_tile(due, presence, config)] if count <= MOST else []
    if not tiles:
        return np.zeros((TILE // 2, TILE, 3), np.uint8), 0
    height = max(tile.shape[0] for tile in tiles)
    blank = np.zeros((height, TILE, 3), np.uint8)
    tiles = [np.vstack([tile, blank[tile.shape[0] :]]) for tile in tiles]
    tiles += [blank] * (-len(tiles) % ACROSS)
    rows = [np.hstack(tiles[i : i + ACROSS]) for i in range(0, len(tiles), ACROSS)]
    return np.vstack(rows), count


def _tile(frame: Frame, presence: Presence, config: PresenceTrigger) -> Image:
    """One tile, `TILE` wide: what is to be read above the picture, which so hides none of it and is read on any."""
    words = [_name(frame)]
    if frame.pixels is None:
        tile = np.full((TILE // 4, TILE, 3), 40, np.uint8)
        words += textwrap.wrap(frame.trouble or "", LETTERS)
    else:
        height, width, channels = frame.pixels.shape
        drawn = cv2.cvtColor(frame.pixels, cv2.COLOR_GRAY2BGR) if channels == 1 else frame.pixels.copy()
        x, y, zone_width, zone_height = config.zone or (0, 0, width, height)
        line = max(1, width // TILE)
        there = presence.differs(frame.pixels)
        if there is not None:
            outlines, _ = cv2.findContours(there, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            scale = np.array([zone_width / there.shape[1], zone_height / there.shape[0]])
            placed = [(outline * scale + (x, y)).astype(np.int32) for outline in outlines]
            cv2.drawContours(drawn, placed, -1, PART, line)
        cv2.rectangle(drawn, (x, y), (x + zone_width - 1, y + zone_height - 1), ZONE, line)
        size = TILE, max(1, round(TILE * height / width))
        tile = np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)
    head = np.full((LINE_HEIGHT * len(words) + GAP, TILE, 3), BACK, np.uint8)
    for i, word in enumerate(words):
        write(head, shortened(word, LETTER, TILE - 2 * GAP), GAP, LINE_HEIGHT * (i + 1), LETTER, WORDS, BOLD)
    return np.vstack([head, tile])


def _name(frame: Frame) -> str:
    """Of a long one the end, which tells pictures apart."""
    name = frame.name or f"#{frame.sequence}"
    return name if len(name) <= LETTERS else "…" + name[1 - LETTERS :]
