"""Follow one alert in Prometheus and report each change of its state."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from ticketcap_local.drills.target import CannotDrill, Target

_POLL_SECONDS: Final = 1.0
_RESOLVE_SECONDS: Final = 900.0
"""Limit of the wait for a finished drill's alert to resolve; the slowest rule needs less."""

Say = Callable[[str], None]


class AlertWatch:
    """Reports when ``alert`` becomes pending, fires and resolves."""

    def __init__(self, target: Target, alert: str, say: Say) -> None:
        part = target.parts().get("prometheus")
        if part is None:
            raise CannotDrill("--watch needs Prometheus: start the stack with 'ticketcap up --monitoring'")
        # Its own client: the alert resolves after the target is undone and closed.
        self._client = httpx.AsyncClient(base_url=part.address.removesuffix("/alerts"), trust_env=False)
        self._alert = alert
        self._say = say
        self._state = "inactive"
        self._began = time.monotonic()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Report every change while the code inside runs."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def _follow(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_POLL_SECONDS)

    async def until_resolved(self) -> None:
        """Report every change until the alert is inactive, for at most fifteen minutes."""
        deadline = time.monotonic() + _RESOLVE_SECONDS
        await self._look()
        while self._state != "inactive" and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            await self._look()

    async def _look(self) -> None:
        try:
            response = await self._client.get("/api/v1/alerts")
        except httpx.TransportError:
            return  # the next look sees the change
        state = _state_of(response.json(), self._alert)
        if state != self._state:
            self._state = state
            self._say(f"{time.monotonic() - self._began:6.0f} s  {self._alert} is {state}")


def _state_of(body: Any, alert: str) -> str:
    """Return the most serious state of the alert's instances: inactive, pending or firing."""
    states = {one["state"] for one in body["data"]["alerts"] if one["labels"].get("alertname") == alert}
    return "firing" if "firing" in states else "pending" if states else "inactive"
