"""The names of kenpin's MQTT topics, for both who publishes and who subscribes."""

import hashlib


def client_id(topic: str) -> str:
    """A client's name that no other has who takes another topic. A digest: every broker takes it for a name."""
    return f"kenpin-{hashlib.sha256(topic.encode()).hexdigest()[:16]}"


def topic_of(prefix: str, site: str, line: str, station: str, leaf: str) -> str:
    """`<prefix>/<site>/<line>/<station>/<leaf>`; `leaf` is `verdict`, `status` or `cmd/<name>`."""
    return f"{prefix}/{site}/{line}/{station}/{leaf}"
