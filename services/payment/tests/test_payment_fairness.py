"""Check that a stuck event delays no other event's deliveries."""

import asyncio
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from ticketcap_observability import Telemetry
from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.saga import deliveries as deliveries_module
from ticketcap_payment.saga.deliveries import Deliveries
from ticketcap_payment.saga.delivery import DeliveryResult, Done
from ticketcap_payment.store.outbox import Delivery, DueWork, Outbox, Topic
from ticketcap_payment.telemetry import PaymentTelemetry
from uuid_utils.compat import uuid7

SCHOOL = uuid7()


class OneEach:
    """An outbox in memory with one due row for each registration."""

    lease_seconds = 60.0

    def __init__(self, rows: Sequence[DueWork]) -> None:
        self.rows = list(rows)
        self.open = {row.registration_id for row in rows}

    async def due(self, limit: int, *, of_event: int) -> Sequence[DueWork]:
        return [row for row in self.rows if row.registration_id in self.open][:limit]

    async def lease(self, school_id: UUID, registration_id: UUID) -> Delivery | None:
        if registration_id not in self.open:
            return None
        key = PaymentKey(uuid7(), registration_id, "herzl", school_id)
        return Delivery(
            id=1, key=key, topic=Topic.CONFIRM_SEAT, subject_id=key.id, traceparent="", tries=1, waiting_seconds=0
        )

    async def done(self, delivery: Delivery) -> None:
        self.open.discard(delivery.key.registration_id)


async def test_an_event_whose_deliveries_hang_takes_its_share_and_nothing_more() -> None:
    """Far more stuck deliveries than the limit: another event's are delivered meanwhile, the stuck ones later."""
    stuck_event, released, hanging = uuid7(), asyncio.Event(), 0
    stuck = [DueWork(SCHOOL, uuid7(), stuck_event) for _ in range(3 * deliveries_module._CONCURRENT)]
    others = [DueWork(SCHOOL, uuid7(), uuid7()) for _ in range(20)]
    box = OneEach([*stuck, *others])
    of_stuck = {row.registration_id for row in stuck}

    async def confirm(delivery: Delivery) -> DeliveryResult:
        nonlocal hanging
        if delivery.key.registration_id in of_stuck:
            hanging += 1
            await released.wait()
        return Done()

    deliveries = Deliveries(cast("Outbox", box), PaymentTelemetry(Telemetry.in_memory()), {Topic.CONFIRM_SEAT: confirm})
    await deliveries.start_due()
    async with asyncio.timeout(10):
        await asyncio.gather(*(deliveries.start(row) for row in others))
    assert box.open == of_stuck
    assert hanging == deliveries_module._OF_EVENT
    released.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*(deliveries.start(row) for row in stuck))
    assert not box.open
    await deliveries.close(5)
