"""A small HTTP router in a process of its own: ``python http_router.py [CERTIFICATE KEY]``; prints its port.

/connection answers 200 plus the number of connections made so far, /lost too, but never over the first two; /host answers 200 when
Host is svc1.net, else 421. /last answers once; from then on nobody can connect, and who has is not answered.
/odd answers over the first connection once somebody was told nonsense over another.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

made = 0
listening: list[asyncio.Server] = []
told_nonsense = asyncio.Event()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global made  # noqa: PLW0603 - one number of one process
    made += 1
    number = made
    while head := await reader.readuntil(b"\r\n\r\n"):
        path = head.split(b" ", 2)[1].decode()
        if path == "/drop":
            break
        if path == "/mute" or (path == "/lost" and number <= 2):
            await asyncio.sleep(3600)
        if path == "/last":
            if not listening:
                await asyncio.sleep(3600)
            listening.pop().close()
        status, body, extra = 200, b"well\n", b""
        if path in ("/connection", "/lost"):
            status = 200 + number
        elif path == "/host":
            status = 200 if b"\r\nHost: svc1.net\r\n" in head else 421
        elif path.startswith("/status/"):
            status, extra = int(path.rsplit("/", 1)[1]), b"Location: http://192.0.2.1/\r\n"
        elif path == "/long":
            body = b"x" * 5_000_000
        elif path in ("/idle", "/close"):
            extra = b"Connection: close\r\n" if path == "/close" else b""
        if path == "/odd" and number == 1:
            await told_nonsense.wait()
        if path == "/garbage" or (path == "/odd" and number > 1):
            told_nonsense.set()
            writer.write(b"\x1b[31mSSH-2.0-nonsense\r\n\r\n")
        elif path == "/chunked":
            writer.write(
                b"HTTP/1.1 %d OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwell\n\r\n0\r\n\r\n" % (200 + number)
            )
        else:
            writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), extra) + body)
        if path == "/idle":
            await asyncio.sleep(0.3)
        if path in ("/idle", "/close", "/after"):
            break
    writer.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await serve(reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


async def main() -> None:
    context = None
    if len(sys.argv) == 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=context)
    listening.append(server)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
