"""The names of kenpin's MQTT topics, for both who publishes and who subscribes."""


def topic_of(prefix: str, site: str, line: str, station: str, leaf: str) -> str:
    """`<prefix>/<site>/<line>/<station>/<leaf>`; `leaf` is `verdict`, `status` or `cmd/<name>`."""
    return f"{prefix}/{site}/{line}/{station}/{leaf}"
