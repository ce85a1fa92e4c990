"""The OPT of queries and replies as octets (RFC 6891): the cookie that is shown there, and one more option put in. Pure.

Called by :mod:`dnsserver.cache` and :mod:`dnsserver.guard`.
"""

from __future__ import annotations

from struct import Struct

from dnsserver import message
from dnsserver.message import HEADER, HEADER_OCTETS

OPT_HEAD = b"\0\0\x29"
BARE, WHOLE = b"\0\x0c\0\x0a\0\x08", b"\0\x1c\0\x0a\0\x18"
"""Length of the options, code and length of a cookie that is the only one, the most frequent option by far: a client's, and
one with a server's part (RFC 7873, RFC 9018)."""
ALWAYS_FITS = 512
NO_COOKIE = b""
_OPT_OCTETS = 11
_OPTION = Struct("!HH")
_LEAST_OPT = OPT_HEAD + ALWAYS_FITS.to_bytes(2) + bytes(6)
_NONE, _ONE = b"\0\0", b"\0\1"
_OPCODE = 0x78


def question_end(packet: bytes) -> int:
    """The offset behind the question of a packet whose reply has one; that behind the header where there is none."""
    at = HEADER_OCTETS
    if packet[4:6] == _NONE:
        return at
    while packet[at]:
        at += packet[at] + 1
    return at + 5


def cookie_of(packet: bytes) -> bytes:
    """The cookie of a sane query whose OPT is its last record; empty where there is none. As a rule it is the only option."""
    if packet[-14:-8] == BARE and packet[-23:-20] == OPT_HEAD:
        return packet[-8:]
    if packet[-30:-24] == WHOLE and packet[-39:-36] == OPT_HEAD:
        return packet[-24:]
    try:
        at = question_end(packet)
    except IndexError:
        return NO_COOKIE
    if packet[4:6] != b"\0\x01" or packet[at : at + 3] != OPT_HEAD:
        return NO_COOKIE
    at += _OPT_OCTETS
    if len(packet) != at + int.from_bytes(packet[at - 2 : at]):
        return NO_COOKIE
    while at + 4 <= len(packet):
        code, length = _OPTION.unpack_from(packet, at)
        if code == message.COOKIE and message.is_cookie_length(length):
            return packet[at + 4 : at + 4 + length]
        at += 4 + length
    return NO_COOKIE


def opt_at(reply: bytes) -> int:
    """Where the OPT of a reply begins, which is its last record; -1 where there is none."""
    at = len(reply) - _OPT_OCTETS
    while at >= HEADER_OCTETS:
        if reply[at : at + 3] == OPT_HEAD and at + _OPT_OCTETS + int.from_bytes(reply[at + 9 : at + 11]) == len(reply):
            return at
        at = reply.rfind(OPT_HEAD, HEADER_OCTETS, at + 2)
    return -1


def with_option(packet: bytes, reply: bytes, option: bytes, most: int) -> bytes:
    """The reply with one more option in its OPT; over the client's size it is truncated. What could not be read is answered without
    an OPT, but who asks nothing and shows a cookie wants to know the server's (RFC 7873 section 5.4)."""
    at = opt_at(reply)
    if at < 0:
        if packet[4:6] != _NONE or packet[2] & _OPCODE or packet[HEADER_OCTETS : HEADER_OCTETS + 3] != OPT_HEAD:
            return reply
        reply, at = reply[:3] + bytes((reply[3] & 0xF0, *bytes(7), 1)) + _LEAST_OPT, HEADER_OCTETS
    length = len(reply) - at - _OPT_OCTETS + len(option)
    whole = reply[: at + 9] + length.to_bytes(2) + reply[at + _OPT_OCTETS :] + option
    if len(whole) > ALWAYS_FITS and most < message.STREAM_OCTETS:
        end = question_end(packet)
        most = min(most, max(ALWAYS_FITS, int.from_bytes(packet[end + 3 : end + 5])))
    return (
        whole
        if len(whole) <= most
        else head(whole, message.TC) + packet[HEADER_OCTETS : question_end(packet)] + whole[at:]
    )


def head(reply: bytes, more: int, *, additionals: bool = True) -> bytes:
    ident, flags, questions, *_ = HEADER.unpack_from(reply)
    return HEADER.pack(ident, flags | more, questions, 0, 0, additionals)
