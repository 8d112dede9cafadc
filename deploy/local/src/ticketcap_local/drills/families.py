"""What families and schools do in a drill: events of its own, registrations, payments, refunds."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from ticketcap_local.drills.ground import Ground, Refused, good
from ticketcap_local.seed import SCHOOL

PRICE_AGOROT: Final = 4990
_HOLD_SECONDS: Final = 600
_EVENTS: Final = f"/api/v1/schools/{SCHOOL}/events"


@dataclass(frozen=True, slots=True)
class Opened:
    """A payment whose page is open, and what its holder may do with."""

    payment_id: str
    page_url: str
    token: dict[str, str]


@dataclass
class OwnEvent:
    """An event of the demo school that only the drill uses; it is closed again, and its holds run out."""

    capacity: int = 5000
    price_agorot: int = 0
    slug: str = field(default_factory=lambda: f"drill-{secrets.token_hex(4)}")
    id: str = ""

    @property
    def path(self) -> str:
        """Where the gateway shows it."""
        return f"{_EVENTS}/{self.slug}"

    async def begin(self, ground: Ground) -> None:
        """Open it."""
        starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        fields: dict[str, Any] = {
            "slug": self.slug,
            "title": "תרגיל",
            "starts_at": starts_at.isoformat(),
            "capacity": self.capacity,
        }
        if self.price_agorot:
            fields |= {"price_agorot": self.price_agorot, "hold_seconds": _HOLD_SECONDS}
        made = good(await ground.gateway("POST", _EVENTS, fields, headers=ground.owner()), f"POST {_EVENTS}")
        self.id = made["id"]

    async def end(self, ground: Ground) -> None:
        """Close it."""
        if self.id:
            answer = await ground.gateway("PATCH", self.path, {"status": "CLOSED"}, headers=ground.owner())
            good(answer, f"PATCH {self.path}")

    async def see(self, ground: Ground) -> None:
        """Look at it, as a parent does."""
        await ground.gateway("GET", self.path)

    async def register(self, ground: Ground) -> dict[str, Any]:
        """Register a family and return what it is told."""
        body = {"name": "דנה כהן", "phone": f"054-{secrets.randbelow(8_000_000) + 2_000_000}", "spots": 1}
        made: dict[str, Any] = good(
            await ground.gateway("POST", f"{self.path}/registrations", body), "the drill's registration"
        )
        return made

    async def open_payment(self, ground: Ground) -> Opened:
        """Register a family and let it come to YaadPay's page."""
        made = await self.register(ground)
        token = {"X-Manage-Token": made["manage_token"]}
        answer = await ground.gateway("POST", f"/api/v1/registrations/{made['id']}/payments", headers=token)
        opened = good(answer, "the opening of a payment")
        return Opened(opened["payment_id"], opened["redirect_url"], token)

    async def come_to_register(self, ground: Ground) -> None:
        """Register, whatever is told."""
        await self.register(ground)

    async def come_to_pay(self, ground: Ground) -> None:
        """Open a payment, look at YaadPay's page, and leave."""
        await self.open_payment(ground)


async def pay(ground: Ground, opened: Opened, *, card: str | None = None) -> str:
    """Fill YaadPay's page in, press its button, and return the address that the browser would come back by."""
    asked = {"page_url": opened.page_url} | ({"card": card} if card else {})
    told = await ground.simulator("POST", "customer", asked)
    if not told["redirects"]:
        raise Refused(f"YaadPay sent nobody back for payment {opened.payment_id}: {told['status']}")
    return str(told["redirects"][0])


async def come_back(ground: Ground, address: str) -> int:
    """Come back from YaadPay and return the gateway's status."""
    parts = urlsplit(address)
    answer = await ground.gateway("GET", f"{parts.path}?{parts.query}", headers={"Accept": "application/json"})
    return answer.status


async def payment_state(ground: Ground, opened: Opened) -> str:
    """Return how a payment stands."""
    answer = await ground.gateway("GET", f"/api/v1/payments/{opened.payment_id}", headers=opened.token)
    return str(good(answer, f"GET payment {opened.payment_id}")["state"])
