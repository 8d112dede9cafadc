"""Faults of YaadPay: its simulator answers slowly, wrongly or not at all."""

from collections.abc import Mapping
from typing import Any, Final

from ticketcap_local.drills.families import Opened, OwnEvent, come_back, pay
from ticketcap_local.drills.ground import Ground, Refused
from ticketcap_local.drills.repeated import until

ALWAYS: Final = 1_000_000
DECLINED_AT_THE_CHARGE: Final = "5253360000008004"
"""Approved on the page, refused when it is to be charged."""
_PART_AGOROT: Final = 990


class YaadPayFault:
    """One fault of the simulator, as its control plane takes it, until the drill ends."""

    def __init__(self, action: str, kind: str, **more: Any) -> None:
        self._fault: Mapping[str, Any] = {"action": action, "kind": kind, "times": ALWAYS, **more}

    async def begin(self, ground: Ground) -> None:
        """Queue it."""
        await ground.simulator("POST", "faults", self._fault)

    async def end(self, ground: Ground) -> None:
        """Clear the queue."""
        await clear(ground)


async def clear(ground: Ground) -> None:
    """Let the simulator do everything right."""
    await ground.simulator("DELETE", "faults")


class Paying:
    """Families that pay at an event of the drill's own. What each does is a work for Repeated."""

    def __init__(self, event: OwnEvent) -> None:
        self._event = event

    async def wholly(self, ground: Ground) -> None:
        """Pay, and come back."""
        await come_back(ground, await pay(ground, await self._event.open_payment(ground)))

    async def with_a_refused_card(self, ground: Ground) -> None:
        """Pay with a card that YaadPay refuses when it is to be charged."""
        opened = await self._event.open_payment(ground)
        await come_back(ground, await pay(ground, opened, card=DECLINED_AT_THE_CHARGE))

    async def with_a_lost_answer(self, ground: Ground) -> None:
        """Pay, and let the answer to the charge be lost once: asked again, YaadPay says that it was made."""
        back = await pay(ground, await self._event.open_payment(ground))
        await ground.simulator("POST", "faults", {"action": "commitTrans", "kind": "reset_after", "times": 1})
        await come_back(ground, back)


class ForgedReturns:
    """Somebody paid 49.90 and comes back as if it had been 1.90, again and again."""

    def __init__(self, event: OwnEvent) -> None:
        self._event = event
        self._genuine = ""

    async def begin(self, ground: Ground) -> None:
        """Pay, and keep the genuine return."""
        ground.part("yaadpay")
        self._genuine = await pay(ground, await self._event.open_payment(ground))

    async def forge(self, ground: Ground) -> None:
        """Come back with another amount."""
        await come_back(ground, self._genuine.replace("Amount=49.9", "Amount=1.9"))

    async def end(self, ground: Ground) -> None:
        """Come back as YaadPay sent us: the payment is good after all."""
        if self._genuine:
            await come_back(ground, self._genuine)


class LostRefund:
    """A refund whose answer was lost: money may have gone back, and only a person can find out."""

    def __init__(self, event: OwnEvent) -> None:
        self._event = event
        self._opened: Opened | None = None

    async def begin(self, ground: Ground) -> None:
        """Pay, and give a part back while YaadPay does as asked and its answer is lost."""
        self._opened = opened = await self._event.open_payment(ground)
        await come_back(ground, await pay(ground, opened))
        await ground.simulator("POST", "faults", {"action": "zikoyAPI", "kind": "reset_after", "times": 1})
        path = f"/api/v1/payments/{opened.payment_id}/refunds"
        await ground.gateway("POST", path, {"amount_agorot": _PART_AGOROT}, headers=ground.owner())
        await until(self._is_escalated_on(ground), f"nobody is asked about payment {opened.payment_id}")

    async def end(self, ground: Ground) -> None:
        """Look it up in YaadPay's book, and say what is found, as a person would."""
        await clear(ground)
        for waiting in await self._waiting(ground):
            found = await ground.simulator("GET", f"transactions?order={waiting['order']}")
            refunds = [item["id"] for item in found["items"] if item["kind"] == "refund"]
            if not refunds:
                raise Refused(f"YaadPay's book has no refund of order {waiting['order']}")
            path = f"/api/v1/escalations/{waiting['kind']}/{waiting['id']}/resolve"
            body = {"moved": True, "yaadpay_id": str(refunds[0])}
            await ground.gateway("POST", path, body, headers=ground.token("SUPER_ADMIN"))
        await until(self._is_settled_on(ground), "the refund of the drill is not settled")

    def _is_escalated_on(self, ground: Ground) -> Any:
        async def ask() -> bool:
            return bool(await self._waiting(ground))

        return ask

    def _is_settled_on(self, ground: Ground) -> Any:
        async def ask() -> bool:
            return not await self._waiting(ground)

        return ask

    async def _waiting(self, ground: Ground) -> list[dict[str, Any]]:
        if self._opened is None:
            return []
        headers = ground.token("SUPER_ADMIN")
        answer = await ground.gateway("GET", "/api/v1/escalations?limit=200", headers=headers)
        items: list[dict[str, Any]] = (answer.body or {}).get("items", [])
        return [item for item in items if item.get("payment_id") == self._opened.payment_id]
