"""Tokens, certificates and how often one may ask: what is decided before a request is looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.control import access, listener
from core.control.roles import Role
from core.errors import ConfigError
from tests.live.certificates import TOKENS, made


def test_every_token_is_compared_and_in_constant_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    admitted = access.read(made(tmp_path).control)
    assert admitted
    for given in (*(f"Bearer {token}" for token in TOKENS.values()), "Bearer wrong", ""):
        compared.clear()
        admitted.tokens.caller(given)
        assert len(compared) == len(TOKENS)
        assert {len(part) for pair in compared for part in pair} == {32}


def test_a_token_alone_is_an_admins(tmp_path: Path) -> None:
    files = made(tmp_path)
    files.tokens.write_text("0123456789abcdef\n")
    admitted = access.read(files.control)
    assert admitted
    caller = admitted.tokens.caller("bearer 0123456789abcdef")
    assert caller
    assert caller.role is Role.ADMIN


def test_what_is_wrong_with_the_files_is_one_line_without_what_stands_in_them(tmp_path: Path) -> None:
    files = made(tmp_path)
    good = files.tokens.read_text()
    for text, problem in [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        ("short\n", ":1: a token has 16 characters or more"),
        (
            good + "root its-root secret-0123456789abcdef\n",
            ":5: write ROLE NAME TOKEN, where ROLE is read, operate, admin",
        ),
        (good + "read a/b secret-0123456789abcdef\n", ":5: write ROLE"),
        (good + "read secret-0123456789abcdef\n", ":5: write ROLE"),
        (good + f"read again {TOKENS['admin']}\n", ":5: this token stands twice"),
        (good + "read name secret-0123456789abcdeü\n", ":5: a token has"),
    ]:
        files.tokens.write_text(text)
        with pytest.raises(ConfigError, match=re.escape(problem)) as refused:
            access.read(files.control)
        assert "secret" not in str(refused.value)
        assert str(refused.value).count("\n") == 0
    files.tokens.write_text(good)
    (tmp_path / "other").mkdir()
    files.key = made(tmp_path / "other").key
    with pytest.raises(ConfigError, match="key values mismatch"):
        access.read(files.control)
    files.key = tmp_path / "none"
    with pytest.raises(ConfigError, match="No such file"):
        access.read(files.control)


def test_what_is_refused_is_not_held_against_anyone() -> None:
    pace = listener.Pace()
    assert [pace.wait("192.0.2.1", "", 0.0) for _ in range(100)] == [0.0] * 100
    for _ in range(10_000):
        assert 0 < pace.wait("192.0.2.1", "", 0.0) <= 0.05
    assert pace.wait("192.0.2.1", "", 0.051) == 0
    for number in range(10_000):
        pace.wait(f"10.0.{number // 256}.{number % 256}", "", 1.0)
    assert len(pace._paid_until) <= 4096


@pytest.mark.parametrize(
    ("address", "client"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64")],
)
def test_one_ipv6_network_is_one_client(address: str, client: str) -> None:
    assert listener.network(address) == client
