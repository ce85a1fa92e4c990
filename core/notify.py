"""Tells systemd how the service is (sd_notify(3)); silent where systemd is not."""

from __future__ import annotations

import os
import socket

import structlog

_log = structlog.get_logger()


def notify(state: str) -> None:
    """Send one state, as ``READY=1``, to the socket that systemd named in the environment."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError as error:  # the service goes on: DNS answers are worth more than being known to be ready
        _log.warning("not_notified", state=state, socket=os.environ["NOTIFY_SOCKET"], reason=str(error))
