"""Answer 200 on the ports in PORTS, for an upstream image."""

import http.server
import os
import sys
import threading


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every path and method that the exercise uses."""

    def answer(self) -> None:
        """Answer 200."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Log the request line."""
        sys.stderr.write(f"{self.command} {self.path}\n")
        sys.stderr.flush()


for port in os.environ["PORTS"].split():
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Page)  # noqa: S104 - inside a container
    threading.Thread(target=server.serve_forever).start()
