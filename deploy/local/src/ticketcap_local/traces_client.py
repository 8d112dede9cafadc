"""Asks the sink for traces."""

from typing import Any, Final
from urllib.parse import quote, urlencode

from ticketcap_local.http_client import HttpConnection

_SECONDS: Final = 10.0
_OK: Final = 200


class NoTraces(Exception):
    """There are none to show; the message says why."""


async def fetch(url: str, *, limit: int, service: str, name: str, trace_id: str) -> list[dict[str, Any]]:
    """Return traces as the sink tells them, newest first; raise NoTraces when there is none."""
    query = urlencode({"limit": limit, "service": service, "name": name})
    path = f"/api/traces/{quote(trace_id, safe='')}" if trace_id else f"/api/traces?{query}"
    connection = HttpConnection(url)
    try:
        answer = await connection.request("GET", path, seconds=_SECONDS)
    except (OSError, EOFError, TimeoutError) as error:
        raise NoTraces(f"no trace sink at {url}; start it with 'make run'") from error
    finally:
        connection.close()
    found: list[dict[str, Any]] = [answer.body] if trace_id else answer.body["traces"]
    if answer.status != _OK or not found:
        raise NoTraces(f"no trace {trace_id}" if trace_id else "no such traces yet; a span takes up to 5 s to arrive")
    return found
