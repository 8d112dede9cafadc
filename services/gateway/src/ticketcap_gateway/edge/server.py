"""Listen, serve an application, and drain."""

import asyncio
import contextlib
import math
import resource
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from ticketcap_chassis.lifecycle import background

from ticketcap_gateway.edge.connection import ConnectionLimits, EdgeConfig, EdgeProtocol

_BACKLOG = 2048
# Files besides connections: refused ones whose client has not read yet, channels to the services, telemetry, log.
_OTHER_FILES = 384
_SWEEP_SECONDS = 0.5
_DATE_SECONDS = 1.0
_LAST_ANSWERS_SECONDS = 1.0


def listen(address: str) -> socket.socket:
    """Return a socket that listens on ``address`` (host:port; port 0 takes any); OSError when it can't."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(f"can't listen on {address} ({error.strerror}); set LISTEN_ADDRESS to a free one") from error
    # Connections inherit it: an answer's head and body are two writes, and the second must not wait for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def affordable(connections: int) -> int:
    """Raise the process's limit of open files, and return how many of ``connections`` fit into it.

    A listener without free files can neither accept nor refuse a connection.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return connections
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return max(1, min(connections, most - _OTHER_FILES))


class HttpServer:
    """Serves ``app``. ``drain_seconds`` bounds the requests in progress after stop()."""

    def __init__(
        self, app: ASGIApp, *, limits: ConnectionLimits, keep_alive_seconds: int, drain_seconds: float
    ) -> None:
        self._server = _Server(
            EdgeConfig(
                app,
                limits=limits,
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                # Every error is logged where it is answered, with its trace.
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=keep_alive_seconds,
                timeout_graceful_shutdown=math.ceil(drain_seconds),
                # A request must not inherit the context of the previous one on its connection.
                reset_contextvars=True,
            )
        )

    async def serve(self, listener: socket.socket) -> None:
        """Serve until stop() and its drain have ended. Cancelling skips the drain."""
        async with background(self._sweep(), self.stop, name="sweep"):
            await self._server.serve(sockets=[listener])
            if self._server.server_state.tasks:
                # uvicorn has cancelled these at the end of its drain; the boundary still writes their 503.
                await asyncio.wait(self._server.server_state.tasks, timeout=_LAST_ANSWERS_SECONDS)

    def stop(self) -> None:
        """Stop accepting; requests in progress finish."""
        self._server.stop()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, EdgeProtocol):
                    connection.sweep(now)


class _Server(uvicorn.Server):
    def __init__(self, config: EdgeConfig) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End main_loop."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Wait for stop(), and renew the Date header every second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_SECONDS):
                    await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: main has its own."""
        yield
