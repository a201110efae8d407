"""How a client gets into a broker: over TLS, as somebody."""

import hashlib
import ssl
import stat
from pathlib import Path

import paho.mqtt.client as mqtt

from edge_runtime.errors import KeyFileError, remedy
from edge_runtime.station import Mqtt

LONGEST = 65535
"""Bytes of a password: MQTT has two for their number."""

PAIR = "name a certificate and its own key, both in PEM, the key without a passphrase"


def client_id(topic: str) -> str:
    """A client's name that no other has who takes another topic. A digest: every broker takes it for a name."""
    return f"kenpin-{hashlib.sha256(topic.encode()).hexdigest()[:16]}"


def secure(client: mqtt.Client, wanted: Mqtt) -> None:
    """Let `client`, before it connects, use TLS and say who it is, as `wanted`; left as it is where nothing is.

    The broker's certificate must be of its host's name and signed by `ca`, or by whom the system trusts; TLS 1.2 at
    least. Raises KeyFileError where a file cannot be used.
    """
    if wanted.user is not None:
        client.username_pw_set(wanted.user, None if wanted.password_file is None else _password(wanted.password_file))
    if wanted.tls:
        client.tls_set_context(_context(wanted))


def _context(wanted: Mqtt) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=wanted.ca)
    except OSError as error:  # ssl's errors are OSErrors, too
        raise KeyFileError(
            wanted.ca or "the system's certificates",
            f"is no file of certificates in PEM ({_why(error)}); name the CA's",
        ) from error
    for path in (wanted.certificate, wanted.key):
        if path is not None and not path.is_file():
            raise KeyFileError(path, f"is no file; {PAIR}")
    if wanted.certificate is not None:
        try:
            context.load_cert_chain(wanted.certificate, wanted.key, password="")  # "": no prompt on a headless line
        except OSError as error:
            raise KeyFileError(
                wanted.certificate, f"cannot be used with {wanted.key} ({_why(error)}); {PAIR}"
            ) from error
    return context


def _password(path: Path) -> str:
    """The one line of a file that not everybody can read."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
            raise KeyFileError(path, f"can be read by everybody; chmod o-r {path}")
        with path.open("rb") as file:
            data = file.read(LONGEST + 2)
        password = data.decode().rstrip("\r\n")
    except OSError as error:
        how = remedy(error, "name a file that holds the password")
        raise KeyFileError(path, f"cannot be read ({error.strerror}); {how}").due_to(error) from error
    except UnicodeDecodeError as error:
        raise KeyFileError(path, "holds no text; write the password into it, in UTF-8") from error
    if not password or "\n" in password or len(password.encode()) > LONGEST:
        raise KeyFileError(path, f"must hold the password, of one line and at most {LONGEST} bytes, and nothing else")
    return password


def _why(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
