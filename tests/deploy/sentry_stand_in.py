"""Serve the part of Sentry's API that the commands use."""

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ticketcap_testing.http_server import HttpStandIn, StandInHandler

TOKEN: Final = "sntrys_a-token-nobody-may-see"
_PAGE: Final = 2
_ONE: Final = re.compile(r"(.+)/(\d+)")
_RELEASE: Final = re.compile(r"(.+/releases)/([^/]+)")


class SentryStandIn(HttpStandIn):
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

        class Handler(StandInHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                stand_in._serve(self)

        super().__init__(Handler)

    @property
    def environment(self) -> dict[str, str]:
        """Environment that points the command to this server."""
        return {
            "SENTRY_URL": f"http://{self.address}",
            "SENTRY_AUTH_TOKEN": TOKEN,
            "SENTRY_ORG": "kartis",
            "SENTRY_PROJECT": "ticketcap",
        }

    @property
    def writes(self) -> list[str]:
        """The requests that changed something."""
        return [request for request in self.requests if not request.startswith("GET")]

    def _serve(self, handler: StandInHandler) -> None:
        parts = urlsplit(handler.path)
        path = unquote(parts.path).removeprefix("/api/0/").strip("/")
        body = json.loads(handler.body() or "null")
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
            self._get(handler, path, dict(parse_qsl(parts.query)))
        else:
            self._write(handler, path, body)

    def _get(self, handler: StandInHandler, path: str, query: dict[str, str]) -> None:
        offset = int(query.get("cursor", "0"))
        if one := _ONE.fullmatch(path):
            self._answer(handler, 200, self._find(one[1], one[2]))
            return
        items = [
            item
            for item in self.lists.get(path, [])
            if item.get("status", "open") == query.get("status", "open")
            and item.get("version", "").startswith(query.get("query", ""))
        ]
        more = "true" if len(items) > offset + _PAGE else "false"
        link = f'<http://next>; rel="next"; results="{more}"; cursor="{offset + _PAGE}"'
        page = items[offset : offset + _PAGE]
        if path.endswith("/dashboards"):  # its list shows an extract
            page = [{"id": item["id"], "title": item["title"]} for item in page]
        self._answer(handler, 200, page, {"Link": link})

    def _write(self, handler: StandInHandler, path: str, body: dict[str, Any]) -> None:
        if one := _ONE.fullmatch(path):
            self._find(one[1], one[2]).update(body)
            self._answer(handler, 200, body)
            return
        if handler.command == "PUT" and (release := _RELEASE.fullmatch(path)):
            found = next(item for item in self.lists[release[1]] if item["version"] == release[2])
            found.update(body)
            self._answer(handler, 200, found)
            return
        if "version" in body:
            body["projects"] = [{"slug": slug} for slug in body["projects"]]
        items = self.lists.setdefault(path, [])
        same = [item for item in items if "version" in body and item["version"] == body["version"]]
        if same:
            same[0].update(body)
        else:
            items.insert(0, {"id": str(len(items) + 1), "dateCreated": "2030-01-01T00:00:00Z", **body})
        self._answer(handler, 208 if same else 201, body)

    def _find(self, path: str, number: str) -> dict[str, Any]:
        return next(item for item in self.lists[path] if item["id"] == number)

    def _answer(self, handler: StandInHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        handler.answer(status, json.dumps(body).encode(), headers)
