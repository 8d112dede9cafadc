"""Opens the demo school and its events, one free and one to be paid for, through the HTTP API, as any client would."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ticketcap_local.http_client import HttpConnection
from ticketcap_local.tokens import make_token

SCHOOL: Final = "herzl"
EVENT: Final = "spring-match"
PAID_EVENT: Final = "spring-trip"
_CREATED: Final = 201
_CONFLICT: Final = 409


class SeedError(Exception):
    """The gateway did not take the demo school; the message says what it answered."""


async def seed(gateway_url: str, jwt_secret: str) -> None:
    """Open the school and its events unless they are there; what is there is left as it is. Raises SeedError."""
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    free = {"slug": EVENT, "title": "משחק האביב", "starts_at": starts_at.isoformat(), "capacity": 100}
    paid = {**free, "slug": PAID_EVENT, "title": "טיול האביב", "capacity": 40, "price_agorot": 4990}
    token = make_token(jwt_secret, role="SUPER_ADMIN", school=None, hours=1)
    client = HttpConnection(gateway_url)
    try:
        await _open(client, token, "/api/v1/schools", {"slug": SCHOOL, "name": "בית ספר הרצל"})
        for event in (free, paid):
            await _open(client, token, f"/api/v1/schools/{SCHOOL}/events", event)
    except (OSError, EOFError, TimeoutError) as error:
        raise SeedError(f"the demo school could not be opened at {gateway_url}: {error!r}") from error
    finally:
        client.close()


async def _open(client: HttpConnection, token: str, path: str, body: dict[str, Any]) -> None:
    answer = await client.request("POST", path, body, headers={"Authorization": f"Bearer {token}"}, seconds=10)
    if answer.status not in {_CREATED, _CONFLICT}:  # a conflict: it is there already
        raise SeedError(f"the demo school could not be opened: POST {path} answered {answer.status} {answer.body}")
