"""`[metrics]` of a station file: where Prometheus finds the station's figures."""

from typing import Annotated

from pydantic import Field

from edge_runtime.table import Table


class MetricsConfig(Table):
    """Where to listen. Without TLS and for whoever comes, so for this machine only where nothing else is said."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="127.0.0.1", description='an address of this machine, as host = "127.0.0.1"; "0.0.0.0" is each of them'
    )
    port: int = Field(ge=1, le=65535, description="a port from 1 to 65535, as port = 9464")
