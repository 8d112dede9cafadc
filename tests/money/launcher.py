"""Run the payment service and let the test decide each step.

Run it by ``python -m tests.money.launcher PORT``. With ``blind-refunds`` it sends a refund again whose answer was lost,
as a careless program would, and the checks of a schedule must notice it.
"""

import asyncio
import sys
from dataclasses import replace

from ticketcap_chassis.settings import load, release
from ticketcap_observability import Telemetry, configure_logging
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.domain.states import RefundState
from ticketcap_payment.main import serve
from ticketcap_payment.saga.delivery import DeliveryResult, Retry
from ticketcap_payment.saga.refunds import Refunds
from ticketcap_payment.settings import Settings
from ticketcap_payment.steps import Step
from ticketcap_payment.store import payments, refunds
from ticketcap_payment.store.transactions import school_transaction


class AskedSteps:
    """Report each step to the test and continue at its word. The test may kill the process instead."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def reached(self, step: Step) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"{step}\n".encode())
        await reader.readline()
        writer.close()


async def _blindly_again(self: Refunds, _payment: Payment, before: Refund, _after: Refund, why: str) -> DeliveryResult:
    async with school_transaction(self._saga.engine, before.school_id) as connection:
        await payments.lock_all(connection, before.school_id, before.registration_id)
        again = replace(before, state=RefundState.REQUESTED)
        await refunds.save(connection, again)
    return Retry(why)


async def main(port: int, *, blind_refunds: bool) -> None:
    settings = load(Settings)
    configure_logging("payment", release(), settings.log_level)
    telemetry = Telemetry.start("payment", release())
    if blind_refunds:
        # The sabotage that a control needs.
        setattr(Refunds, "_escalate", _blindly_again)  # noqa: B010 - a method is replaced on purpose
    try:
        await serve(settings, telemetry, steps=AskedSteps(port))
    finally:
        await telemetry.shutdown()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), blind_refunds="blind-refunds" in sys.argv))
