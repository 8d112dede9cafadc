"""Forward TCP connections that can fall silent or lead to another port."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from ticketcap_testing.stack import free_port

_CHUNK: Final = 65_536
_HOST: Final = "127.0.0.1"

Result = TypeVar("Result")


class SilentProxy:
    """A proxy to a loopback port, in a thread of its own.

    A silent connection stays open and forwards nothing, not even its end, as behind a firewall that
    dropped the connection from its table.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._swallows = False
        self._thread = threading.Thread(target=self._run, name="silent-proxy", daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def led(self, url: str) -> str:
        """Return ``url`` of the target with the proxy's port."""
        return url.replace(f"{_HOST}:{self._target}", f"{_HOST}:{self.port}")

    def silence(self, *, only_answers: bool = False) -> int:
        """Silence every open connection, or only its answers; new connections work.

        Return the number of open connections.
        """

        def silence() -> int:
            for connection in self._connections:
                connection.silent |= {"answers"} if only_answers else {"answers", "requests"}
            return len(self._connections)

        return self._do(silence)

    def swallow(self) -> None:
        """Silence every open connection and every later one: the target seems to accept them and never answers."""

        def swallow() -> None:
            self._swallows = True
            for connection in self._connections:
                connection.silent |= {"answers", "requests"}

        self._do(swallow)

    def carry(self) -> None:
        """Forward the bytes of later connections again."""

        def carry() -> None:
            self._swallows = False

        self._do(carry)

    def lead_to(self, target: int) -> None:
        """Lead new connections to another port; open connections stay."""

        def lead() -> None:
            self._target = target

        self._do(lead)

    def _do(self, what: Callable[[], Result]) -> Result:
        async def do() -> Result:
            return what()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, _HOST, self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onwards = await asyncio.open_connection(_HOST, self._target)
        except OSError:
            writer.close()
            return
        connection = _Connection((reader, writer), onwards)
        if self._swallows:
            connection.silent |= {"answers", "requests"}
        self._connections.add(connection)
        # The proxy cancels this handler when it ends; asyncio logs a cancelled handler as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await connection.carry()
        self._connections.discard(connection)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """The client's and the target's end of one connection."""

    def __init__(self, near: Ends, far: Ends) -> None:
        self._near = near
        self._far = far
        self.silent: set[str] = set()

    async def carry(self) -> None:
        """Forward both directions until both have ended."""
        await asyncio.gather(
            self._one_way("requests", self._near[0], self._far[1]),
            self._one_way("answers", self._far[0], self._near[1]),
        )

    async def _one_way(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                if way not in self.silent:
                    writer.write(chunk)
                    await writer.drain()
        except OSError:
            pass
        if way in self.silent:
            # A silent connection stays open until the proxy ends.
            await asyncio.Event().wait()
        writer.close()

    def close(self) -> None:
        """Close both ends at once."""
        for _, writer in (self._near, self._far):
            writer.transport.abort()
