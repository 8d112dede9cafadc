"""Fetch traces from the sink."""

from typing import Any, Final
from urllib.parse import quote

import httpx

from ticketcap_local.errors import CommandError

_SECONDS: Final = 10.0


class NoTraces(CommandError):
    """There is no trace to show; the message says why."""


def fetch(url: str, *, limit: int, service: str, name: str, trace_id: str) -> list[dict[str, Any]]:
    """Return the sink's traces, newest first; raise NoTraces when there is none."""
    query: dict[str, str | int] = {"limit": limit, "service": service, "name": name}
    with httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False) as client:
        try:
            response = (
                client.get(f"/api/traces/{quote(trace_id, safe='')}")
                if trace_id
                else client.get("/api/traces", params=query)
            )
        except httpx.TransportError as error:
            raise NoTraces(f"no trace sink at {url}; start it with 'make run'") from error
    body = response.json()
    traces: list[dict[str, Any]] = [body] if trace_id else body["traces"]
    if not (response.is_success and traces):
        raise NoTraces(f"no trace {trace_id}" if trace_id else "no such traces yet; a span takes up to 5 s to arrive")
    return traces
