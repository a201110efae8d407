"""What happens at a station and is no verdict: an event, for people, logs and alarms."""

from collections.abc import Callable

from edge_runtime.messages import Happening

Tell = Callable[[Happening], None]
"""Publishes an event with its facts, and the status again. For any thread; does not wait."""
