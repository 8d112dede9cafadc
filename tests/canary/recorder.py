"""Record every byte that services send to collectors and Sentry."""

import gzip
import zlib

from ticketcap_testing.http_server import HttpStandIn, StandInHandler


class Recorder(HttpStandIn):
    """Listen on a port of its own while the code inside runs, and answer 200 to every POST."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        """Paths, and what was posted there, unpacked; then its headers."""
        recorder = self

        class Handler(StandInHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                recorder.bodies.append((self.path, _unpacked(self.body(), self.headers.get("Content-Encoding", ""))))
                recorder.bodies.append((self.path, bytes(str(self.headers), "utf-8")))
                self.answer()

        super().__init__(Handler)

    def sent_to(self, path: str) -> bytes:
        """Return everything that was sent to addresses with ``path`` in them."""
        return b"\n".join(body for address, body in self.bodies if path in address)


def _unpacked(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case _:
            return body
