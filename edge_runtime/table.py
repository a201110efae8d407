"""What the tables of a station file are made of: frozen, strict, and an unknown key is a mistake."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from edge_runtime.file_names import from_text


def _beside_the_file(value: object, info: ValidationInfo) -> object:
    """A path in the file is relative to the file's folder, wherever the daemon is started."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / from_text(value) if isinstance(value, str) and value else value


LocalPath = Annotated[Path, BeforeValidator(_beside_the_file)]
Count = Annotated[int, Field(ge=0)]
Extent = Annotated[int, Field(ge=1)]


class Table(BaseModel):
    """One table of a station file. The description of a field says what is expected there, as a mistake is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
