"""Create the demo school and its events over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from ticketcap_local.tokens import make_token

SCHOOL: Final = "herzl"
EVENT: Final = "spring-match"
PAID_EVENT: Final = "spring-trip"
_CREATED: Final = 201
_CONFLICT: Final = 409


class SeedError(Exception):
    """The gateway refused the demo school; the message holds its response."""


async def seed(gateway_url: str, jwt_secret: str) -> None:
    """Create the school and its events; leave existing ones unchanged. Raises SeedError."""
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    free = {"slug": EVENT, "title": "משחק האביב", "starts_at": starts_at.isoformat(), "capacity": 100}
    paid = {**free, "slug": PAID_EVENT, "title": "טיול האביב", "capacity": 40, "price_agorot": 4990}
    token = make_token(jwt_secret, role="SUPER_ADMIN", school=None, hours=1)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway_url, headers=headers, timeout=10, trust_env=False) as client:
        try:
            await _create(client, "/api/v1/schools", {"slug": SCHOOL, "name": "בית ספר הרצל", "synthetic": True})
            for event in (free, paid):
                await _create(client, f"/api/v1/schools/{SCHOOL}/events", event)
        except httpx.TransportError as error:
            raise SeedError(f"the demo school can't be created at {gateway_url}: {error!r}") from error


async def _create(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    response = await client.post(path, json=body)
    if response.status_code not in {_CREATED, _CONFLICT}:  # a conflict: an earlier run created it
        raise SeedError(f"the demo school can't be created: POST {path}: {response.status_code} {response.text}")
