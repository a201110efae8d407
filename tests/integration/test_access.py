"""The station and `watch` at a real Mosquitto that does not let everybody in."""

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until

DAY = timedelta(days=1)


class Authority:
    """A plant's own certificate authority: `ca.pem`, and for each name `<name>.pem` and `<name>.key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plant")])
        self.ca = self._write(
            "ca.pem", self._signed(self._name, self._key, [x509.BasicConstraints(ca=True, path_length=0)])
        )

    def issue(self, name: str, valid: timedelta = DAY, at: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for `name`, who is `at` an address, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(at))])
        certificate = self._write(f"{name}.pem", self._signed(subject, key, [place], valid))
        path = self.folder / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, path

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        says: list[x509.ExtensionType],
        valid: timedelta = DAY,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + valid)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension in says:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        (self.folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return self.folder / name


@pytest.fixture
def plant(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "plant")


@pytest.fixture
def guarded(tmp_path: Path, plant: Authority) -> Iterator[Mosquitto]:
    """A broker that speaks TLS only, with those who have a certificate of the plant's."""
    certificate, key = plant.issue("broker")
    (tmp_path / "broker").mkdir()
    config = f"cafile {plant.ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
    broker = Mosquitto(tmp_path / "broker", config=f"{config}use_identity_as_username true\nallow_anonymous false\n")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that wants a name and a password."""
    (tmp_path / "broker").mkdir()
    passwords = tmp_path / "broker" / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "cam-2", "geheim ü"], check=True)
    broker = Mosquitto(tmp_path / "broker", config=f"allow_anonymous false\npassword_file {passwords}\n")
    broker.start()
    yield broker
    broker.stop()


def line_at(broker: Mosquitto, tmp_path: Path, bundle: Path, access: str) -> Line:
    (tmp_path / "line").mkdir()
    line = Line(tmp_path / "line", broker.port, bundle, access=access)
    line.draw(5)
    return line


def watched(broker: Mosquitto, *options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "edge_runtime", "watch", "--port", str(broker.port), "--json", "--count", "5"]
    return subprocess.Popen([*command, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_verdicts_go_over_tls_to_a_broker_that_wants_a_certificate(
    guarded: Mosquitto, plant: Authority, tmp_path: Path, bundle_path: Path
) -> None:
    certificate, key = plant.issue("cam-2")
    reader = plant.issue("reader")

    def enter(client: mqtt.Client) -> None:
        client.tls_set(str(plant.ca), str(reader[0]), str(reader[1]))

    subscriber = Subscriber(guarded.port, enter=enter)
    watching = watched(guarded, "--tls", "--ca", plant.ca, "--certificate", reader[0], "--key", reader[1])
    wait_until(lambda: (guarded.folder / "mosquitto.log").read_text().count("SUBACK") > 1, "both have subscribed")
    access = f'tls = true\nca = "{plant.ca}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    line = line_at(guarded, tmp_path, bundle_path, access)
    assert line.start().wait(60) == 0, line.log()
    wait_until(lambda: len(subscriber.verdicts()) == 5, "five verdicts come")
    assert subscriber.states()[-1] == "stopped"
    said, complained = watching.communicate(timeout=60)
    assert watching.returncode == 0, complained
    assert [json.loads(verdict)["seq"] for verdict in said.splitlines()] == [1, 2, 3, 4, 5]
    subscriber.close()


@pytest.mark.parametrize("wrong", ["another's certificate authority", "no TLS", "another's name", "expired"])
def test_a_broker_that_is_not_the_plants_gets_no_verdict_and_they_wait(
    wrong: str, plant: Authority, tmp_path: Path, bundle_path: Path
) -> None:
    valid, at = -DAY if wrong == "expired" else DAY, "10.0.0.5" if wrong == "another's name" else "127.0.0.1"
    certificate, key = plant.issue("broker", valid, at)
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker", config=f"certfile {certificate}\nkeyfile {key}\nallow_anonymous true\n")
    broker.start()
    other = Authority(tmp_path / "other")
    ca = other.ca if wrong == "another's certificate authority" else plant.ca
    line = line_at(broker, tmp_path, bundle_path, "" if wrong == "no TLS" else f'tls = true\nca = "{ca}"\n')
    try:
        daemon = line.start()
        assert daemon.wait(60) == 75
    finally:
        broker.stop()
    assert "5 wait in" in line.log()
    assert "Traceback" not in line.log()
    if wrong != "no TLS":
        assert "certificate verify failed" in line.log()


def test_a_name_and_a_password_let_in_and_wrong_ones_do_not(
    named: Mosquitto, tmp_path: Path, bundle_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("geheim ü\n")
    password.chmod(0o600)

    def enter(client: mqtt.Client) -> None:
        client.username_pw_set("cam-2", "geheim ü")

    subscriber = Subscriber(named.port, enter=enter)
    line = line_at(named, tmp_path, bundle_path, f'user = "cam-2"\npassword_file = "{password}"\n')
    assert line.start().wait(60) == 0, line.log()
    wait_until(lambda: len(subscriber.verdicts()) == 5, "five verdicts come")
    password.write_text("guessed\n")
    assert line.start().wait(60) == 75
    assert "refuses the station (Not authorized)" in line.log()
    assert len(subscriber.verdicts()) == 5
    watching = watched(named, "--user", "cam-2", "--password-file", password)
    _, complained = watching.communicate(timeout=60)
    assert watching.returncode == 2
    assert "refuses (Not authorized)" in complained
    subscriber.close()
