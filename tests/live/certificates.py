"""Certificates and tokens for tests of the control API over TLS, made anew each time."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.settings import Control

TOKENS = {
    "read": "read-token-0123456789abcdef",
    "operate": "operate-token-0123456789abcdef",
    "admin": "admin-token-0123456789abcdef",
}


@dataclass
class Files:
    """A certificate of its own, its key, and a file with a token for each role, named ``its-ROLE``."""

    certificate: Path
    key: Path
    tokens: Path

    @property
    def control(self) -> Control:
        return Control(
            tcp="127.0.0.1:0",
            tls_certificate=str(self.certificate),
            tls_key=str(self.key),
            token_file=str(self.tokens),
        )

    def token_file(self, role: str) -> Path:
        """What a client has."""
        path = self.tokens.with_name(f"{role}.token")
        path.write_text(TOKENS[role] + "\n")
        return path


def self_signed(host: str, name: str) -> tuple[bytes, bytes]:
    """A certificate of a host's address, which may be trusted as an authority, and its key; both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def made(directory: Path, host: str = "127.0.0.1") -> Files:
    files = Files(directory / "control.crt", directory / "control.key", directory / "tokens")
    certificate, private = self_signed(host, "pointsman")
    files.certificate.write_bytes(certificate)
    files.key.touch(mode=0o600)
    files.key.write_bytes(private)
    files.tokens.touch(mode=0o600)
    files.tokens.write_text("# role name token\n" + "".join(f"{r} its-{r} {t}\n" for r, t in TOKENS.items()))
    return files
