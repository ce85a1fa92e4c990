"""Files of TSIG keys: what is taken, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings, Zone
from core.settings import tsig as keys
from dnsserver import transfer

KEY = "hmac-sha256:Transfers:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def test_a_key_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"\n  {KEY}\n\n")
    key = keys.read(str(path))
    assert (str(key.name), key.secret) == ("transfers.", b"0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "one line"),
        (f"{KEY}\n{KEY}", "one line"),
        ("transfers", ":1: write algorithm:name:base64"),
        ("\n\nhmac-md5:a:MDEyMzQ1Njc4OWFiY2RlZg==", ":3: the algorithm must be one of hmac-sha256"),
        ("hmac-sha256:a..b:MDEyMzQ1Njc4OWFiY2RlZg==", ":1: the name"),
        ("hmac-sha256:a:!", ":1: what follows the second colon is not base64"),
        ("hmac-sha256:a:MDEy", ":1: the secret has 3 octets"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_without_its_secret(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        keys.read(str(path))
    assert str(path) in str(caught.value)
    assert "MDEy" not in str(caught.value)


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    key_file, other = tmp_path / "key", tmp_path / "other"
    key_file.write_text(KEY)
    other.write_text(KEY.replace("MDEy", "AAAA"))
    sections = (Zone(name="a.test.", tsig=str(key_file)), Zone(name="b.test.", tsig=str(other)))
    with pytest.raises(ConfigError, match="another key of the same name"):
        transfer.accesses(Settings(zone=sections))
