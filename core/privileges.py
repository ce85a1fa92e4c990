"""From root to a user of its own, for good (``dns.user``). Called by the composition root before anything is opened.

All that is kept is the right to bind ports below 1024, which is what a systemd unit gives with ``AmbientCapabilities=``; and
it is given up *before* the ports are bound, not after, for workers that are replaced bind theirs again, and the kernel
lets sockets share a port when they are of one user alone (socket(7), SO_REUSEPORT). Programs that are started do not inherit it.
"""

from __future__ import annotations

import ctypes
import os
import pwd

from core.errors import InvariantError, StartError

_CAP_NET_BIND_SERVICE = 10
_PR_SET_KEEPCAPS = 8
_VERSION_3 = 0x20080522  # capset(2)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(user: str) -> None:
    """Call while there is one thread: capabilities are a thread's. Raises StartError; nothing where that user runs already."""
    if not user:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise StartError(f"dns.user: there is no user {user} on this machine") from None
    if os.geteuid() == entry.pw_uid:
        return
    if os.geteuid() != 0:
        raise StartError(f"dns.user: only root can become {user}; start as root, or as {user} without it")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.initgroups(user, entry.pw_gid)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    bit = 1 << _CAP_NET_BIND_SERVICE
    if libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), (_Sets * 2)(_Sets(bit, bit, 0))) != 0:
        raise StartError(f"dns.user: cannot give up capabilities ({os.strerror(ctypes.get_errno())})")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise InvariantError("root was given up, and can be had again")
