"""Zone files with something odd in each: what follows a sound head, by name. Read by test_zone_checkers."""

from __future__ import annotations

HEAD = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n"
DIGEST = "00" * 32

TAILS = {
    "sound": "",
    "CNAME beside data": "x A 192.0.2.1\nx CNAME ns1",
    "data beside CNAME": "x CNAME ns1\nx A 192.0.2.1",
    "two CNAMEs": "x CNAME ns1\nx CNAME ns2",
    "a CNAME twice": "x CNAME ns1\nX CNAME NS1",
    "CNAME at the apex": "@ CNAME x.test.",
    "two DNAMEs": "d DNAME a.test.\nd DNAME b.test.",
    "a DNAME twice": "d DNAME a.test.\nd DNAME a.test.",
    "DNAME beside CNAME": "d DNAME a.test.\nd CNAME b.test.",
    "DNAME beside TXT": "d DNAME a.test.\nd TXT t",
    "DNAME beside NS": "d DNAME a.test.\nd NS ns.x.test.",
    "DNAME at the apex": "@ DNAME b.test.",
    "data below a DNAME": "d DNAME a.test.\nx.d A 192.0.2.1",
    "DNAME at a wildcard": "*.w DNAME b.test.",
    "NS at a wildcard": "*.w NS ns.x.test.",
    "a wildcard inside": "x.*.w A 192.0.2.1",
    "outside": "www.other.test. A 192.0.2.1",
    "the parent's": "test. A 192.0.2.1",
    "outside by origin": "$ORIGIN other.test.\ny A 192.0.2.1",
    "a second SOA": "@ SOA ns2 hostmaster 2 7200 900 86400 60",
    "SOA below the apex": "x SOA ns1 hostmaster 1 7200 900 86400 60",
    "TTL without a unit": "x 5x A 192.0.2.1",
    "negative TTL": "x -5 A 192.0.2.1",
    "TTL in units": "x 1h30m A 192.0.2.1",
    "bad $TTL": "$TTL abc",
    "octet over 255": "x A 192.0.2.256",
    "three octets": "x A 192.0.2",
    "two addresses": "x A 192.0.2.1 192.0.2.2",
    "bad AAAA": "x AAAA 2001:db8::g",
    "mapped AAAA": "x AAAA ::ffff:192.0.2.1",
    "MX without preference": "@ MX mail",
    "MX preference over 65535": "@ MX 70000 mail",
    "SRV too short": "_s SRV 0 0 mail",
    "CAA flag over 255": '@ CAA 256 issue "x"',
    "HTTPS without a value": "@ HTTPS 1 . alpn",
    "HTTPS key twice": "@ HTTPS 1 . port=1 port=2",
    "SVCB mandatory": "x SVCB 1 a mandatory=port port=1",
    "SVCB mandatory missing": "x SVCB 1 a mandatory=port",
    "no such type": "x FOO 1",
    "type 0": "x TYPE0 \\# 0",
    "unknown data too short": "x TYPE65280 \\# 3 0102",
    "unknown data not hexadecimal": "x TYPE65280 \\# 2 01zz",
    "unknown data without mark": "x TYPE65280 0102",
    "known type in unknown form": "x A \\# 4 c0000201",
    "known type in bad unknown form": "x A \\# 3 c00002",
    "type AXFR": "x AXFR \\# 0",
    "type ANY": "x ANY \\# 0",
    "class CH": "x CH A 192.0.2.1",
    "class after TTL": "x 5 IN A 192.0.2.1",
    "class before TTL": "x IN 5 A 192.0.2.1",
    "label of 63": f"{'a' * 63} A 192.0.2.1",
    "label of 64": f"{'a' * 64} A 192.0.2.1",
    "name too long": f"{'.'.join(['a' * 60] * 4)} A 192.0.2.1",
    "empty label": "a..b A 192.0.2.1",
    "leading dot": ".a A 192.0.2.1",
    "label of 64 in data": f"x CNAME {'a' * 64}",
    "text of 255": f'x TXT "{"a" * 255}"',
    "text of 256": f'x TXT "{"a" * 256}"',
    "no text": "x TXT",
    "text not closed": 'x TXT "abc',
    "text without quotes": "x TXT abc def",
    "escape over 255": 'x TXT "\\300"',
    "parenthesis not closed": 'x TXT ( "a"\n "b"',
    "parenthesis not opened": 'x TXT "a" )',
    "over several lines": 'x TXT ( "a" ; one\n "b" )',
    "NS is an alias": "@ NS al\nal CNAME ns1",
    "NS without address": "@ NS gone",
    "cut without glue": "sub NS ns.sub",
    "data at a cut": "sub NS ns.x.test.\nsub TXT occluded",
    "data below a cut": "sub NS ns.x.test.\nx.sub TXT occluded\ny.sub CNAME ns1",
    "cut below a cut": "sub NS ns.x.test.\nx.sub NS ns.x.test.",
    "DS without NS": f"x DS 1 13 2 {DIGEST}",
    "DS too short": "x NS ns1\nx DS 1 13 2 00",
    "TTLs differ": "x 5 A 192.0.2.1\nx 6 A 192.0.2.2",
    "a record twice": "x A 192.0.2.1\nx A 192.0.2.1",
    "include": "$INCLUDE included",
    "include of nothing": "$INCLUDE nothing",
    "include of an error": "$INCLUDE wrong",
    "generate": "$GENERATE 1-3 h$ A 192.0.2.$",
    "generate backwards": "$GENERATE 5-1 h$ A 192.0.2.$",
    "generate too far": "$GENERATE 250-260 h$ A 192.0.2.$",
    "relative origin": "$ORIGIN sub\nx A 192.0.2.1",
    "no such directive": "$FOO bar",
    "owner alone": "x",
    "owner and TTL alone": "x 5",
    "owner by white space": "x A 192.0.2.1\n  A 192.0.2.2",
    "comments": "; nothing\n   ; more\n\n",
    "LOC out of range": "x LOC 91 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m",
    "many types": f"""\
x HINFO "a" "b"
x LOC 51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m
x SSHFP 4 2 {DIGEST}
_443._tcp TLSA 3 1 1 {DIGEST}
_x URI 10 1 "https://a.test/"
x NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
x OPENPGPKEY AAAA
x APL 1:192.0.2.0/24
x EUI48 00-00-5e-00-53-2a
x RP admin.a. txt.a.""",
}

FILES = {
    "included": "a A 192.0.2.1\nb A 192.0.2.2\n",
    "wrong": "a A 192.0.2.1\nb A 192.0.2.x\n",
}
"""What stands beside the zone, to be included."""
