"""Break YaadPay: its simulator answers slowly, wrongly or not at all."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from ticketcap_local.drills.event import DrillEvent, OpenPayment, come_back, pay
from ticketcap_local.drills.repeat import until
from ticketcap_local.drills.target import Target, UnexpectedResponse

_ALWAYS: Final = 1_000_000
_DECLINED_AT_CAPTURE: Final = "5253360000008004"
"""A card that YaadPay approves on its page and declines at the charge."""
_PART_AGOROT: Final = 990


async def fault(target: Target, action: str, kind: str, **options: Any) -> None:
    """Let the simulator answer every ``action`` with the fault ``kind``, until the drill ends."""
    target.undo(lambda: clear(target))
    await target.simulator("POST", "faults", {"action": action, "kind": kind, "times": _ALWAYS, **options})


async def clear(target: Target) -> None:
    """Remove all faults of the simulator."""
    await target.simulator("DELETE", "faults")


def paying(event: DrillEvent, *, card: str | None = None) -> Callable[[], Awaitable[None]]:
    """Return the work of one family: register, pay and come back."""

    async def work() -> None:
        await come_back(event.target, await pay(event.target, await event.open_payment(), card=card))

    return work


def paying_with_a_declined_card(event: DrillEvent) -> Callable[[], Awaitable[None]]:
    """Return the work of one family whose card YaadPay declines at the charge."""
    return paying(event, card=_DECLINED_AT_CAPTURE)


def paying_with_a_lost_response(event: DrillEvent) -> Callable[[], Awaitable[None]]:
    """Return the work of one family whose charge succeeds while YaadPay's response is lost once."""
    target = event.target

    async def work() -> None:
        url = await pay(target, await event.open_payment())
        await target.simulator("POST", "faults", {"action": "commitTrans", "kind": "reset_after", "times": 1})
        await come_back(target, url)

    return work


async def forging(event: DrillEvent) -> Callable[[], Awaitable[None]]:
    """Pay 49.90 and return the work that comes back with an altered amount of 1.90; undo comes back unaltered."""
    target = event.target
    url = await pay(target, await event.open_payment())
    target.undo(lambda: come_back(target, url))
    return lambda: come_back(target, url.replace("Amount=49.9", "Amount=1.9"))


async def lose_a_refund(event: DrillEvent) -> None:
    """Refund a part of a payment and lose YaadPay's response, so that the refund escalates."""
    target = event.target
    payment = await event.open_payment()
    await come_back(target, await pay(target, payment))

    async def is_escalated() -> bool:
        return bool(await _escalations(target, payment))

    async def resolve() -> None:
        await _resolve(target, payment)

    target.undo(resolve)
    await target.simulator("POST", "faults", {"action": "zikoyAPI", "kind": "reset_after", "times": 1})
    path = f"/api/v1/payments/{payment.payment_id}/refunds"
    await target.gateway("POST", path, {"amount_agorot": _PART_AGOROT}, headers=target.owner())
    await until(is_escalated, f"payment {payment.payment_id} is not escalated")


async def _resolve(target: Target, payment: OpenPayment) -> None:
    """Look the refund up in YaadPay's book and resolve its escalation, as a person does."""

    async def is_resolved() -> bool:
        return not await _escalations(target, payment)

    await clear(target)
    for escalation in await _escalations(target, payment):
        book = await target.simulator("GET", f"transactions?order={escalation['order']}")
        refunds = [item["id"] for item in book["items"] if item["kind"] == "refund"]
        if not refunds:
            raise UnexpectedResponse(f"YaadPay's book has no refund of order {escalation['order']}")
        path = f"/api/v1/escalations/{escalation['kind']}/{escalation['id']}/resolve"
        body = {"moved": True, "yaadpay_id": str(refunds[0])}
        await target.gateway("POST", path, body, headers=target.token("SUPER_ADMIN"))
    await until(is_resolved, "the drill's escalation is not resolved")


async def _escalations(target: Target, payment: OpenPayment) -> list[dict[str, Any]]:
    headers = target.token("SUPER_ADMIN")
    response = await target.gateway("GET", "/api/v1/escalations?limit=200", headers=headers)
    return [item for item in response.json().get("items", []) if item.get("payment_id") == payment.payment_id]
