"""Act as families at a drill's event: register, pay, come back."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from ticketcap_local import traffic
from ticketcap_local.drills.target import Target, UnexpectedResponse, success
from ticketcap_local.seed import SCHOOL

_PRICE_AGOROT: Final = 4990
_HOLD_SECONDS: Final = 600
_EVENTS: Final = f"/api/v1/schools/{SCHOOL}/events"
_CONCURRENCY: Final = 16


@dataclass(frozen=True, slots=True)
class OpenPayment:
    """A payment with an open page, and the header that acts for its holder."""

    payment_id: str
    page_url: str
    token: dict[str, str]


@dataclass(frozen=True, slots=True)
class DrillEvent:
    """An event of the demo school that only the drill uses."""

    target: Target
    slug: str
    id: str

    @property
    def path(self) -> str:
        """Its path at the gateway."""
        return f"{_EVENTS}/{self.slug}"

    async def close(self) -> None:
        """Close it; its holds expire by themselves."""
        success(await self.target.gateway("PATCH", self.path, {"status": "CLOSED"}, headers=self.target.owner()))

    async def read(self) -> None:
        """Read it, as a parent's browser does."""
        await self.target.gateway("GET", self.path)

    async def register(self) -> dict[str, Any]:
        """Register a family with one spot and return the registration."""
        body = {"name": "דנה כהן", "phone": f"054-{secrets.randbelow(8_000_000) + 2_000_000}", "spots": 1}
        registration: dict[str, Any] = success(await self.target.gateway("POST", f"{self.path}/registrations", body))
        return registration

    async def rush(self, parents: int) -> None:
        """Register ``parents`` families, 16 at a time."""
        url = self.target.part("gateway").address
        result = await traffic.rush(url=url, school=SCHOOL, event=self.slug, parents=parents, concurrency=_CONCURRENCY)
        if not result.statuses:
            raise UnexpectedResponse(f"every registration was refused: {dict(result.refusals)}")

    async def open_payment(self) -> OpenPayment:
        """Register a family and open YaadPay's page for it."""
        registration = await self.register()
        token = {"X-Manage-Token": registration["manage_token"]}
        path = f"/api/v1/registrations/{registration['id']}/payments"
        payment = success(await self.target.gateway("POST", path, headers=token))
        return OpenPayment(payment["payment_id"], payment["redirect_url"], token)


async def open_event(target: Target, *, capacity: int = 5000, price_agorot: int = 0) -> DrillEvent:
    """Create an event that the drill closes at its end."""
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    slug = f"drill-{secrets.token_hex(4)}"
    fields = {"slug": slug, "title": "תרגיל", "starts_at": starts_at.isoformat(), "capacity": capacity}
    if price_agorot:
        fields |= {"price_agorot": price_agorot, "hold_seconds": _HOLD_SECONDS}
    created = success(await target.gateway("POST", _EVENTS, fields, headers=target.owner()))
    event = DrillEvent(target, slug, created["id"])
    target.undo(event.close)
    return event


async def open_paid_event(target: Target) -> DrillEvent:
    """Create an event at 49.90 ILS."""
    return await open_event(target, price_agorot=_PRICE_AGOROT)


async def pay(target: Target, payment: OpenPayment, *, card: str | None = None) -> str:
    """Submit YaadPay's page and return the URL to which it redirects the browser."""
    body = {"page_url": payment.page_url} | ({"card": card} if card else {})
    outcome = await target.simulator("POST", "customer", body)
    if not outcome["redirects"]:
        raise UnexpectedResponse(f"YaadPay did not redirect for payment {payment.payment_id}: {outcome['status']}")
    return str(outcome["redirects"][0])


async def come_back(target: Target, url: str) -> None:
    """Open the return URL, as the browser does after YaadPay's redirect."""
    parts = urlsplit(url)
    await target.gateway("GET", f"{parts.path}?{parts.query}", headers={"Accept": "application/json"})


async def payment_state(target: Target, payment: OpenPayment) -> str:
    """Return the state of a payment."""
    response = await target.gateway("GET", f"/api/v1/payments/{payment.payment_id}", headers=payment.token)
    return str(success(response)["state"])
