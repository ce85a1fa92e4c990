"""Connection limits, and passwords that are never shown (spec S9)."""

from __future__ import annotations

import pytest

from core.probes.database.judging import judge, mask
from core.probes.database.mysql import arguments
from core.probes.rounds import NoAnswer
from core.settings import Database


def database(limit: int | str) -> Database:
    return Database(name="db", kind="redis", dsn="redis://x", max_connections=limit)


@pytest.mark.parametrize(
    ("limit", "used", "available", "healthy", "said"),
    [
        (80, 80, 100, True, "80 of 100 connections, limit 80"),
        (80, 81, 100, False, "81 of 100 connections, over the limit of 80"),
        ("90%", 90, 100, True, "90 of 100 connections, limit 90"),
        ("90%", 91, 100, False, "91 of 100 connections, over the limit of 90"),
        ("90%", 9, None, True, "answers; 9 connections, the server's limit is not known"),
        (8, 9, None, False, "9 connections, over the limit of 8"),
    ],
)
def test_a_number_over_the_limit_is_a_fail(
    limit: int | str, used: int, available: int | None, healthy: bool, said: str
) -> None:
    answer = judge(database(limit), used, available)
    assert (answer.healthy, answer.said) == (healthy, said)


@pytest.mark.parametrize("dsn", ["postgresql://tb:p%40ss%2Fw@db/x", "redis://:p%40ss%2Fw@db"])
@pytest.mark.parametrize("text", ["{dsn} failed", "password p@ss/w is wrong", "p%40ss%2Fw", "other://u:secret@h"])
def test_a_password_is_masked_in_each_spelling(dsn: str, text: str) -> None:
    shown = mask(text.format(dsn=dsn), dsn)
    assert "***" in shown
    assert not any(secret in shown for secret in ("p@ss", "p%40ss", "secret"))


def test_a_mysql_url_is_taken_apart() -> None:
    assert arguments("mysql://tb:p%40ss@db:3307/shop?unix_socket=/run/my.sock") == {
        "host": "db",
        "port": 3307,
        "user": "tb",
        "password": "p@ss",
        "db": "shop",
        "unix_socket": "/run/my.sock",
    }
    assert arguments("mariadb://tb@[::1]/")["host"] == "::1"


@pytest.mark.parametrize("dsn", ["postgresql://x", "db.example", "mysql://h:notaport/", "mysql://[bad/"])
def test_what_is_no_mysql_url_is_silence_that_says_so(dsn: str) -> None:
    with pytest.raises(NoAnswer, match="not a mysql:// URL"):
        arguments(dsn)
