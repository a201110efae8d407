"""What is wrong with a region, said once.

At 20 pictures a second the same line each time would fill a disk, and hide the others; so would a region that flickers.
"""

import logging
import re
import time
from dataclasses import dataclass, field

from edge_runtime.cameras import Clock

log = logging.getLogger(__name__)

LINES = 4
"""Of a region that changes all the time: two times that trouble begins and is over. Then changes are counted."""
SETTLED_S = 10.0
"""Seconds without a change, after which a region does not flicker any more."""
SAY_S = 60.0
"""Seconds from one line to the next about a region that goes on flickering."""
KINDS = 20
"""Troubles of a flickering region that have a line of their own; words made of a picture could be without number."""


@dataclass(slots=True)
class _Region:
    """What was said of a region. `trouble`: without its figures; None: it can be judged. Times are the clock's."""

    trouble: str | None = None
    words: str = ""
    changed: float = 0.0
    lines: int = 0
    kinds: set[str | None] = field(default_factory=set)
    unsaid: int = 0
    unsaid_since: float = 0.0


class News:
    """Logs a region's trouble when it begins, when it becomes another, and when it is over.

    Trouble that differs in its figures only is the same. Of a region that flickers the first `LINES` changes are
    logged, and each kind of trouble once; the others are counted, and their number is logged once a minute, and with
    the first picture after it has settled. `clock`: seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._regions: dict[str, _Region] = {}

    def tell(self, region: str, trouble: str, fault: Exception | None = None) -> None:
        """`region` cannot be called OK, and why; `fault`: with this exception's traceback."""
        said = self._regions.setdefault(region, _Region())
        if not self._is_worth_a_line(region, said, re.sub(r"[\d.]+", "#", trouble), trouble):
            return
        if fault is None:
            log.warning("region %s: %s", region, trouble)
        else:
            log.error("region %s: %s", region, trouble, exc_info=fault)

    def good(self, region: str) -> None:
        """`region` can be judged."""
        said = self._regions.get(region)
        if said is not None and self._is_worth_a_line(region, said, None, "is judged"):
            log.info("region %s: is judged again", region)

    def _is_worth_a_line(self, region: str, said: _Region, trouble: str | None, words: str) -> bool:
        """Take in what is so now; before, say how many changes were not logged, where that is due."""
        now = self._clock()
        settled = now - said.changed >= SETTLED_S
        if said.unsaid and (settled or now - said.unsaid_since >= SAY_S):
            _say_unsaid(region, said, now, settled=settled)
        if settled:
            said.lines, said.kinds = 0, set()
        said.words = words
        if trouble == said.trouble:
            return False
        said.trouble, said.changed = trouble, now
        is_new = trouble not in said.kinds and len(said.kinds) < KINDS
        if is_new:
            said.kinds.add(trouble)
        if is_new or said.lines < LINES:
            said.lines += 1
            return True
        if not said.unsaid:
            said.unsaid_since = now
        said.unsaid += 1
        return False


def _say_unsaid(region: str, said: _Region, now: float, *, settled: bool) -> None:
    """In one line, with how it is now."""
    verb, until = ("flickered", said.changed) if settled else ("flickers", now)
    for_s = until - said.unsaid_since
    told = "region %s: %s: %d changes in %.0f s were not logged; now: %s"
    log.warning(told, region, verb, said.unsaid, for_s, said.words)
    said.unsaid = 0
