"""What happens at a station and is no verdict: an event, for people, logs and alarms."""

from typing import Protocol


class Tell(Protocol):
    """How an event becomes known."""

    def __call__(self, kind: str, **facts: object) -> None:
        """Publish an event of this kind with its facts, and the status again. For any thread; does not wait."""
