"""Keeps every byte that a service sends: to a collector, and to Sentry."""

import gzip
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Recorder:
    """Listens on a port of its own while the code inside runs, and answers 200 to whatever is posted."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        """Paths, and what was posted there, unpacked; then its headers."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder.bodies.append((self.path, _unpacked(body, self.headers.get("Content-Encoding", ""))))
                recorder.bodies.append((self.path, bytes(str(self.headers), "utf-8")))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def sent_to(self, path: str) -> bytes:
        """Return everything that was sent to addresses with ``path`` in them."""
        return b"\n".join(body for given, body in self.bodies if path in given)


def _unpacked(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case _:
            return body
