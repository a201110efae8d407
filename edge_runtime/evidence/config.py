"""`[evidence]` of a station file: which pictures are kept, and how much of the disk they may take."""

from typing import Annotated

from pydantic import Field

from edge_runtime.table import Count, Extent, Table


class EvidenceLimits(Table):
    """What is kept. `max_bytes` 0: nothing is. `max_age_days` None: however old it is."""

    ok_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="a share from 0 to 1 of the OK verdicts whose picture is kept, too"
    )
    max_bytes: Count = Field(
        default=2_000_000_000, description="how many bytes the pictures may take, as 2_000_000_000; 0: none is kept"
    )
    max_age_days: Extent | None = Field(default=None, description="days after which a picture is deleted, 1 or more")
    min_free_bytes: Count = Field(
        default=500_000_000,
        description="bytes that must stay free on the disk, as 500_000_000; with less, no picture is kept",
    )
