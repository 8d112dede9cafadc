"""Serve HTTP in a thread, with answers that the test decides."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from ticketcap_testing.stack import free_port


class StandInHandler(BaseHTTPRequestHandler):
    """Serve one connection and log nothing; subclasses implement ``serve``."""

    def serve(self) -> None:
        """Answer one request of any method."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer GET."""
        self.serve()

    def do_POST(self) -> None:
        """Answer POST."""
        self.serve()

    def do_PUT(self) -> None:
        """Answer PUT."""
        self.serve()

    def body(self) -> bytes:
        """Return the body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int = 200, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - named by the base class
        """Log nothing."""


class HttpStandIn:
    """Listens on a free loopback port between ``__enter__`` and ``close``."""

    def __init__(self, handler: type[StandInHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse connections from now on; a second call is a no-op."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
