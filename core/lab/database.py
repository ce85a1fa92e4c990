"""A stand-in for a Redis server: speaks its protocol (RESP2 and RESP3), keeps its values in a SQLite file.

Run as a script by :mod:`core.lab.process`, with the standard library only: ``database.py FILE``. Prints its port,
serves on 127.0.0.1, and ends when its input closes. Knows what a probe and a curious person send; all else is an error.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from typing import TypeAlias

Value: TypeAlias = "bytes | int | list[Value] | dict[Value, Value] | Error | Status | None"
LIMIT = 1 << 20
"""Octets of one command, and of what is read ahead."""


class Error(Exception):
    """An error reply."""


class Status(str):
    """A simple string reply."""

    __slots__ = ()


OK = Status("OK")


def encode(value: Value, protocol: int) -> bytes:
    """RESP of a value (redis.io, "Redis serialization protocol specification")."""
    if isinstance(value, (Status, Error)):
        return f"{'+' if isinstance(value, Status) else '-'}{value}\r\n".encode()
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, dict):
        parts = b"".join(encode(k, protocol) + encode(v, protocol) for k, v in value.items())
        return (b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % (2 * len(value))) + parts
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(encode(item, protocol) for item in value)
    return b"_\r\n" if protocol == 3 else b"$-1\r\n"


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """One command: an array of bulk strings, or a plain line. Raises ValueError on anything else, EOFError at the end."""
    line = (await reader.readuntil(b"\r\n"))[:-2]
    if not line.startswith(b"*"):
        return line.split()
    count = int(line[1:])
    if not 0 <= count <= 1024:
        raise ValueError("too many arguments")
    words = []
    for _ in range(count):
        head = await reader.readuntil(b"\r\n")
        size = int(head[1:-2])
        if head[:1] != b"$" or not 0 <= size <= LIMIT:
            raise ValueError("no bulk string")
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


class Store:
    """The values, in SQLite, and the server's own settings."""

    def __init__(self, file: str) -> None:
        self._sqlite = sqlite3.connect(file, isolation_level=None)
        self._sqlite.execute("PRAGMA journal_mode=WAL")
        self._sqlite.execute(
            "CREATE TABLE IF NOT EXISTS value (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
        )
        self.clients = 0
        self.max_clients = 100

    def get(self, key: bytes) -> bytes | None:
        row = self._sqlite.execute("SELECT value FROM value WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set(self, key: bytes, value: bytes) -> Value:
        self._sqlite.execute("INSERT OR REPLACE INTO value VALUES (?, ?)", (key, value))
        return OK

    def delete(self, *keys: bytes) -> Value:
        return sum(self._sqlite.execute("DELETE FROM value WHERE key = ?", (key,)).rowcount for key in keys)

    def info(self, *sections: bytes) -> bytes:
        text = {
            b"server": "# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\nserver_name:pointsman-lab\r\n",
            b"clients": f"# Clients\r\nconnected_clients:{self.clients}\r\nmaxclients:{self.max_clients}\r\n",
        }
        wanted = {section.lower() for section in sections}
        everything = not wanted or wanted & {b"all", b"default", b"everything"}
        return "\r\n".join(part for name, part in text.items() if everything or name in wanted).encode()


class Session:
    """One client's connection."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.protocol = 2
        self.over = False
        self._commands: dict[bytes, Callable[..., Value]] = {
            b"PING": lambda text=None: Status("PONG") if text is None else text,
            b"ECHO": lambda text: text,
            b"INFO": store.info,
            b"GET": store.get,
            b"SET": store.set,
            b"DEL": store.delete,
            b"HELLO": self._hello,
            b"CONFIG": self._config,
            b"CLIENT": self._client,
            b"AUTH": self._auth,
            b"SELECT": self._select,
            b"QUIT": self._quit,
        }

    def run(self, words: list[bytes]) -> Value:
        command = self._commands.get(words[0].upper())
        if command is None:
            return Error(f"ERR unknown command '{words[0][:64].decode(errors='replace')}'")
        try:
            return command(*words[1:])
        except Error as error:
            return error
        except TypeError:
            return Error(f"ERR wrong number of arguments for '{words[0].decode().lower()}' command")

    def _hello(self, version: bytes = b"2", *_: bytes) -> Value:
        if version not in (b"2", b"3"):
            raise Error("NOPROTO unsupported protocol version")
        self.protocol = int(version)
        return {
            b"server": b"redis",
            b"version": b"7.0.0",
            b"proto": self.protocol,
            b"mode": b"standalone",
            b"role": b"master",
            b"modules": [],
        }

    def _config(self, verb: bytes, name: bytes, value: bytes | None = None) -> Value:
        if name.lower() != b"maxclients":
            return {}
        if verb.upper() == b"SET":
            if value is None or not value.isdigit() or value == b"0":
                raise Error("ERR CONFIG SET failed - argument must be a positive number")
            self._store.max_clients = int(value)
            return OK
        return {b"maxclients": str(self._store.max_clients).encode()}

    def _client(self, verb: bytes, *_: bytes) -> Value:
        if verb.upper() not in (b"SETINFO", b"SETNAME"):
            raise Error("ERR unknown subcommand")
        return OK

    def _auth(self, *_: bytes) -> Value:
        raise Error("ERR AUTH <password> called without any password configured for the default user.")

    def _select(self, index: bytes) -> Value:
        if index != b"0":
            raise Error("ERR DB index is out of range")
        return OK

    def _quit(self) -> Value:
        self.over = True
        return OK


async def serve(store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if store.clients >= store.max_clients:
        writer.write(b"-ERR max number of clients reached\r\n")
        writer.close()
        return
    store.clients += 1
    session = Session(store)
    try:
        while not session.over:
            words = await read_command(reader)
            if words:
                writer.write(encode(session.run(words), session.protocol))
                await writer.drain()
    except (ValueError, asyncio.LimitOverrunError):
        writer.write(b"-ERR Protocol error\r\n")
    except (OSError, EOFError):
        pass
    finally:
        store.clients -= 1
        writer.close()


async def main(file: str) -> None:
    store = Store(file)
    ended = asyncio.Event()
    server = await asyncio.start_server(lambda r, w: serve(store, r, w), "127.0.0.1", 0, limit=LIMIT)
    asyncio.get_running_loop().add_reader(0, ended.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
