"""Serve OTLP over HTTP as a collector in trouble.

Tests and benches run it: ``python -m ticketcap_testing.troubled_collector PORT TROUBLE``; see ``TROUBLES``.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Final

SLOW_SECONDS: Final = 5.0
TROUBLES: Final[Mapping[str, str]] = {
    "none": "answers 200",
    "reset": "closes each connection with a reset",
    "hanging": "reads, and never answers",
    "slow": f"answers 200 after {SLOW_SECONDS:.0f} s",
    "500": "answers 500",
    "429": "answers 429",
}

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER's on and its seconds: closing is a reset."""


async def serve(port: int, trouble: str) -> None:
    """Listen on the loopback's ``port`` until cancelled."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await _answer(reader, writer, trouble)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", port)
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trouble: str) -> None:
    """Answer one request; raise when the connection has ended."""
    head = await reader.readuntil(b"\r\n\r\n")
    if trouble == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        raise ConnectionResetError
    await reader.readexactly(_body_length(head))
    if trouble == "hanging":
        await reader.read()
        raise ConnectionResetError
    if trouble == "slow":
        await asyncio.sleep(SLOW_SECONDS)
    status = trouble if trouble.isdecimal() else "200"
    writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()


def _body_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
