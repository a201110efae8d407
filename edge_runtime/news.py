"""What is wrong with a region, said once.

At 20 pictures a second the same line each time would fill a disk, and hide the others.
"""

import logging
import re

log = logging.getLogger(__name__)


class News:
    """Logs a region's trouble when it begins, when it becomes another, and when it is over.

    Trouble that differs in its figures only is the same.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def tell(self, region: str, trouble: str, fault: Exception | None = None) -> None:
        """`region` cannot be called OK, and why; `fault`: with this exception's traceback."""
        kind = re.sub(r"[\d.]+", "#", trouble)
        if self._told.get(region) == kind:
            return
        self._told[region] = kind
        if fault is None:
            log.warning("region %s: %s", region, trouble)
        else:
            log.error("region %s: %s", region, trouble, exc_info=fault)

    def good(self, region: str) -> None:
        """`region` can be judged."""
        if self._told.pop(region, None) is not None:
            log.info("region %s: is judged again", region)
