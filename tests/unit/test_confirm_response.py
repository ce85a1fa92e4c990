"""HTTP responses read from a held connection (RFC 9112)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.probes.confirm.packets import echo_request
from core.probes.confirm.response import BODY_LIMIT, HEAD_LIMIT, ResponseReader

CRLF = b"\r\n"


def response(*lines: bytes, body: bytes = b"") -> bytes:
    return CRLF.join(lines) + CRLF * 2 + body


def read(data: bytes) -> ResponseReader:
    reader = ResponseReader()
    reader.feed(data)
    return reader


WELL = response(b"HTTP/1.1 200 OK", b"Content-Length: 2", body=b"ok")
CHUNKED = response(
    b"HTTP/1.1 503 Busy", b"Transfer-Encoding: chunked", body=b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: x\r\n\r\n"
)
NO_BODY = response(b"HTTP/1.1 204 No Content")
INTERIM = response(b"HTTP/1.1 103 Early Hints", b"Link: </x>") + WELL


@pytest.mark.parametrize(("data", "status"), [(WELL, 200), (CHUNKED, 503), (NO_BODY, 204), (INTERIM, 200)])
def test_a_response_is_complete_where_it_ends(data: bytes, status: int) -> None:
    reader = read(data)
    assert (reader.status, reader.complete, reader.reusable, reader.idle) == (status, True, True, True)
    assert not read(data[:-1]).complete


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_responses_are_read_alike_however_they_are_cut(cuts: list[int]) -> None:
    reader = ResponseReader()
    for data, status in ((CHUNKED, 503), (WELL, 200), (INTERIM, 200)):
        places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
        for begin, end in pairwise(places):
            assert not reader.complete
            reader.feed(data[begin:end])
        assert (reader.status, reader.complete, reader.idle) == (status, True, True)
        reader.next()


def test_the_status_is_known_before_the_body_has_come() -> None:
    reader = read(response(b"HTTP/1.1 200 OK", b"Content-Length: 100"))
    assert (reader.status, reader.complete) == (200, False)


@pytest.mark.parametrize(
    "head",
    [
        (b"HTTP/1.0 200 OK", b"Content-Length: 2"),
        (b"HTTP/1.1 200 OK", b"Content-Length: 2", b"Connection: close"),
        (b"HTTP/1.1 200 OK",),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip"),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked, gzip", b"Content-Length: 2"),
        (b"HTTP/1.1 200 OK", b"Content-Length: %d" % (BODY_LIMIT + 1)),
        (b"HTTP/1.1 200 OK", b"Content-Length: -1"),
    ],
)
def test_a_connection_that_cannot_be_used_again_is_told(head: tuple[bytes, ...]) -> None:
    reader = read(response(*head))
    assert reader.status == 200
    assert not reader.reusable


def test_a_chunked_body_without_end_is_not_read_for_ever() -> None:
    reader = read(response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"))
    reader.feed(b"%x\r\n" % (BODY_LIMIT + 1))
    assert not reader.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_LIMIT,
        response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=b"zz\r\n"),
        response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=b"1" * (HEAD_LIMIT + 1)),
    ],
)
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="HTTP|chunk|protocols"):
        read(data)


@given(data=st.binary(max_size=300))
def test_no_octets_do_anything_worse(data: bytes) -> None:
    for begin in (b"", b"HTTP/1.1 200 OK\r\n", WELL[:40], CHUNKED[:60]):
        try:
            read(begin + data)
        except ValueError:
            continue


@given(sequence=st.integers(0, 65535), token=st.binary(min_size=16, max_size=16))
def test_an_echo_request_sums_up_to_all_ones(sequence: int, token: bytes) -> None:
    packet = echo_request(4, sequence, token)
    total = sum(int.from_bytes(packet[i : i + 2]) for i in range(0, len(packet), 2))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    assert total == 0xFFFF
