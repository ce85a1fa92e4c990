"""Servers that share an address share the secret of their cookies: ours knows those of NSD, Knot and BIND (RFC 9018)."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.query
import pytest

from core.settings import Dns, Settings, Zone
from dnsserver.cookies import Cookies
from tests.wire.conftest import Serve
from tests.wire.helpers import option
from tests.wire.peers import COOKIE_SECRET, PROGRAMS, primaries

pytestmark = pytest.mark.live
COOKIE = 10
MINE = bytes(range(8))


def cookie_from(port: int, shown: bytes) -> bytes:
    asked = dns.message.make_query("z.test", "SOA", use_edns=0, options=[option(COOKIE, shown)])
    answer = dns.query.udp(asked, "127.0.0.1", port=port, timeout=20)
    [found] = [each.to_wire() or b"" for each in answer.options if each.otype == COOKIE]
    return found


def test_cookies_of_others_are_good_here_and_ours_there(serve: Serve, tmp_path: Path) -> None:
    zone, secrets = tmp_path / "zone", tmp_path / "secrets"
    zone.write_text("$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n")
    secrets.write_text(f"{COOKIE_SECRET}\n")
    config = Dns(listen=("127.0.0.1:0",), cookie_secrets=str(secrets))
    server = serve(Settings(dns=config, zone=(Zone(name="z.test.", file=str(zone)),)))
    with primaries(tmp_path, {"z.test.": zone}) as peers:
        assert len(peers) == len(PROGRAMS)
        for peer in peers:
            theirs = cookie_from(peer.port, MINE)
            assert cookie_from(server.addresses[0][1], theirs) == theirs, f"{peer.name}: kept, for it is good and fresh"
            judge = Cookies([bytes.fromhex(COOKIE_SECRET)])
            assert judge.answer(cookie_from(peer.port, theirs), bytes((127, 0, 0, 1)))[1], peer.name
