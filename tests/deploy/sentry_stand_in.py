"""A stand-in for Sentry's API on a real socket: keeps what it is given, adds what Sentry adds, can be busy."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from ticketcap_local.testing import free_port

TOKEN: Final = "sntrys_a-token-nobody-may-see"
_PAGE: Final = 2
_ONE: Final = re.compile(r"(.+)/(\d+)")


class SentryStandIn:
    """Lists by path; every object gets an id. ``requests`` is what was asked, as ``METHOD path``."""

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.project: dict[str, Any] = {"slug": "ticketcap", "teams": [{"id": "77", "slug": "operators"}]}
        self.requests: list[str] = []
        self.busy = 0
        """So many requests are answered 429 first."""
        self.closing = 0
        """So many connections are closed without an answer first."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in._serve(self)

            def do_POST(self) -> None:
                stand_in._serve(self)

            def do_PUT(self) -> None:
                stand_in._serve(self)

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - named by the base class
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def environment(self) -> dict[str, str]:
        """What points the command here."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {
            "SENTRY_URL": url,
            "SENTRY_AUTH_TOKEN": TOKEN,
            "SENTRY_ORG": "kartis",
            "SENTRY_PROJECT": "ticketcap",
        }

    @property
    def writes(self) -> list[str]:
        """The requests that changed something."""
        return [request for request in self.requests if not request.startswith("GET")]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        path = unquote(parts.path).removeprefix("/api/0/").strip("/")
        body = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))) or "null")
        self.requests.append(f"{handler.command} {path}")
        if self.closing:
            self.closing -= 1
            handler.close_connection = True
            return
        if handler.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(handler, 401, {"detail": "Invalid token"})
        elif self.busy:
            self.busy -= 1
            self._answer(handler, 429, {"detail": "busy"}, {"Retry-After": "3"})
        elif path == "projects/kartis/ticketcap":
            self.project.update(body or {})
            self._answer(handler, 200, self.project)
        elif handler.command == "GET":
            self._get(handler, path, int(parse_qs(parts.query).get("cursor", ["0"])[0]))
        else:
            self._write(handler, path, body)

    def _get(self, handler: BaseHTTPRequestHandler, path: str, offset: int) -> None:
        if one := _ONE.fullmatch(path):
            self._answer(handler, 200, self._find(one[1], one[2]))
            return
        items = self.lists.get(path, [])
        more = "true" if len(items) > offset + _PAGE else "false"
        link = f'<http://next>; rel="next"; results="{more}"; cursor="{offset + _PAGE}"'
        shown = items[offset : offset + _PAGE]
        if path.endswith("/dashboards"):  # its list shows an extract
            shown = [{"id": item["id"], "title": item["title"]} for item in shown]
        self._answer(handler, 200, shown, {"Link": link})

    def _write(self, handler: BaseHTTPRequestHandler, path: str, body: dict[str, Any]) -> None:
        if one := _ONE.fullmatch(path):
            self._find(one[1], one[2]).update(body)
            self._answer(handler, 200, body)
            return
        items = self.lists.setdefault(path, [])
        same = [item for item in items if "version" in body and item["version"] == body["version"]]
        if same:
            same[0].update(body)
        else:
            items.insert(0, {"id": str(len(items) + 1), "dateCreated": "2030-01-01T00:00:00Z", **body})
        self._answer(handler, 208 if same else 201, body)

    def _find(self, path: str, number: str) -> dict[str, Any]:
        return next(item for item in self.lists[path] if item["id"] == number)

    def _answer(
        self, handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        content = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
