"""What a node needs that lets pointsman run the commands of its checks and nothing else. Pure; for ``pointsman node-command``.

A forced command (sshd(8), AUTHORIZED_KEYS) takes the place of the shell, so there is no watch script: the node is polled.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from core.probes.check import Check

SCRIPT = "/usr/local/libexec/pointsman-node"
_SBIN = frozenset({"nft", "iptables", "iptables-save", "ip6tables-save"})


def script(checks: Sequence[Check]) -> Iterator[str]:
    """A POSIX sh script that runs a command which is asked for word for word, and refuses any other with exit code 126."""
    yield "#!/bin/sh"
    yield "# What pointsman may ask of this node, word for word, and nothing else."
    yield 'export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'
    yield 'case "$SSH_ORIGINAL_COMMAND" in'
    for command in commands(checks):
        yield f"{shlex.quote(command)})"
        yield f"    {command}"
        yield "    ;;"
    yield "*)"
    yield "    echo 'not one of the commands that pointsman may run here' >&2"
    yield "    exit 126"
    yield "    ;;"
    yield "esac"


def authorized_key(public_key: str) -> str:
    """The line of ``authorized_keys``: no terminal, no forwarding, no command but the script."""
    return f'restrict,command="{SCRIPT}" {public_key}'


def sudoers(user: str, checks: Sequence[Check], sudo: str) -> Iterator[str]:
    """One line for each command that is run through ``sudo``, the prefix of the settings; paths are those of Debian."""
    for command in commands(checks) if sudo else ():
        if command.startswith(sudo):
            tool, *arguments = shlex.split(command.removeprefix(sudo))
            path = tool if tool.startswith("/") else f"/usr/{'sbin' if tool in _SBIN else 'bin'}/{tool}"
            # Without arguments a line would allow any: "" is none (sudoers(5)).
            yield f"{user} ALL=(root) NOPASSWD: {' '.join([path, *map(_escaped, arguments)] if arguments else [path, chr(34) * 2])}"


def commands(checks: Sequence[Check]) -> tuple[str, ...]:
    """Each once, in the order of the checks."""
    return tuple(dict.fromkeys(check.command for check in checks))


def _escaped(argument: str) -> str:
    """What sudoers reads as itself (sudoers(5), "Other special characters and reserved words", and no wildcard)."""
    return "".join(f"\\{char}" if char in " ,:=\\*?[]!\"'#" else char for char in argument)
