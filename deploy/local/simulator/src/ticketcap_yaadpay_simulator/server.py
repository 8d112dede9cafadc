"""Run uvicorn with a handle on each request's connection.

A fault can then close a connection without a reply.
"""

import signal
import socket
import struct
from asyncio import Transport
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ticketcap_yaadpay_simulator.striking import Pauses

_EXTENSION: Final = "ticketcap.connection"
_MAX_CONNECTIONS: Final = 512
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class _Protocol(HttpToolsProtocol):
    """Puts the connection where the application finds it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[_EXTENSION] = self.transport


class Server(uvicorn.Server):
    """Ends sleeping requests as soon as it is asked to stop."""

    def __init__(self, app: ASGIApp, pauses: Pauses, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        self._pauses = pauses

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - its shape
        """Take SIGTERM or SIGINT; both end it well, so neither is raised again afterwards, as uvicorn would."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.stop()

    def stop(self) -> None:
        """Let what is under way end, at most a second."""
        self.should_exit = True
        self._pauses.stop()

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"


def drop(scope: Scope, *, reset: bool) -> None:
    """Close a request's connection without an answer; ``reset`` tells the peer so at once."""
    transport: Transport = scope["extensions"][_EXTENSION]
    if reset and (connection := transport.get_extra_info("socket")):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    else:
        transport.close()
