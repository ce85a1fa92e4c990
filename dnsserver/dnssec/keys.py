"""The keys that sign zones: ECDSA P-256 with SHA-256 (RFC 6605), one key for everything (a CSK).

A key is a PEM file (PKCS #8). Called where zones are loaded and by ``pointsman dnssec``. Does file I/O.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from core.errors import ConfigError
from dnsserver.wireform import Labels, labels_of, text_of, wire_name

ALGORITHM = 13
_SHA256 = 2
_FLAGS = 257  # zone key and secure entry point
_PROTOCOL = 3


@dataclass(frozen=True)
class Key:
    """One private key. Record data is in wire form."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)

    def __reduce__(self) -> tuple[Callable[[bytes], Key], tuple[bytes]]:
        """For another process of ours."""
        form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return _from_der, (self.private.private_bytes(*form),)

    @cached_property
    def dnskey(self) -> bytes:
        """Data of the DNSKEY record, and of the CDNSKEY (RFC 7344)."""
        numbers = self.private.public_key().public_numbers()
        return _FLAGS.to_bytes(2) + bytes((_PROTOCOL, ALGORITHM)) + numbers.x.to_bytes(32) + numbers.y.to_bytes(32)

    @cached_property
    def tag(self) -> int:
        """RFC 4034 appendix B."""
        total = sum(octet << 8 if not index & 1 else octet for index, octet in enumerate(self.dnskey))
        return (total + (total >> 16)) & 0xFFFF

    def ds(self, zone: Labels) -> bytes:
        """Data of the DS record at the parent, and of the CDS."""
        digest = hashlib.sha256(wire_name(zone) + self.dnskey).digest()
        return self.tag.to_bytes(2) + bytes((ALGORITHM, _SHA256)) + digest

    def ds_text(self, zone: Labels) -> str:
        """The DS record as a registrar wants it."""
        data = self.ds(zone)
        return f"{text_of(zone)} IN DS {self.tag} {ALGORITHM} {_SHA256} {data[4:].hex().upper()}"

    def sign(self, data: bytes) -> bytes:
        """The signature as RFC 6605 section 4 wants it."""
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


def generate(path: Path, zone: str) -> Key:
    """A new key in a new file of mode 0600. Raises FileExistsError and other OSErrors."""
    key = Key(ec.generate_private_key(ec.SECP256R1()))
    pem = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    head = f"# signs {text_of(labels_of(zone))}, key tag {key.tag}; keep it secret\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(head.encode() + pem)
    return key


def _from_der(der: bytes) -> Key:
    private = serialization.load_der_private_key(der, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Key(private)


def load(path: str) -> Key:
    """The key in a file. Raises ConfigError with the file and what is wrong with it."""
    try:
        private = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    except OSError as error:
        raise ConfigError(f"{path}: the DNSSEC key cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: not a private key in PEM; make one with `pointsman dnssec keygen`") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise ConfigError(f"{path}: not an ECDSA P-256 key; make one with `pointsman dnssec keygen`")
    return Key(private)
