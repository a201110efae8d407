"""What a check has found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """OK; worth knowing; or the line cannot work so."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `check`: of what; `remedy`: what to do about it, where the text does not say so itself."""

    check: str
    level: Level
    text: str
    remedy: str | None = None

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.level:4}  {self.check:11}  {self.text}{remedy}"

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        told = {"check": self.check, "level": self.level.value, "text": self.text}
        return told | ({"remedy": self.remedy} if self.remedy else {})


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def warn(check: str, text: str, remedy: str | None = None) -> Finding:
    """The line works, and somebody should look at this."""
    return Finding(check, Level.WARN, text, remedy)


def fail(check: str, text: str, remedy: str | None = None) -> Finding:
    """The line does not work."""
    return Finding(check, Level.FAIL, text, remedy)
