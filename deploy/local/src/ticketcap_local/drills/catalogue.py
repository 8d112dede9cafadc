"""List all drills: one for each alert."""

from collections.abc import Awaitable, Callable
from typing import Final

from ticketcap_local.drills import yaadpay
from ticketcap_local.drills.database import PAYMENT, expose_table, hold_lock, miscount, silence_seat_announcements
from ticketcap_local.drills.drill import FOR_FIVE_MINUTES, FOR_TEN_MINUTES, FOR_TWO_MINUTES, Drill
from ticketcap_local.drills.event import open_event, open_paid_event
from ticketcap_local.drills.processes import kill, pause, stutter
from ticketcap_local.drills.repeat import repeat
from ticketcap_local.drills.stuck_return import leave_return_unverified
from ticketcap_local.drills.target import Target
from ticketcap_local.drills.telemetry import fill_collector, revoke_receiver

_DRILLS: Final[list[Drill]] = []
_EVENTS_TABLE: Final = "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"
_EVENT_ROW: Final = "SELECT FROM events WHERE id = %s FOR UPDATE"
_LEASES_TABLE: Final = "LOCK TABLE job_leases IN ACCESS EXCLUSIVE MODE"
_ONE_HOUR: Final = 3600.0

Begin = Callable[[Target], Awaitable[None]]


def drills() -> dict[str, Drill]:
    """Return all drills by name, in alphabetical order."""
    return {drill.name: drill for drill in sorted(_DRILLS, key=lambda drill: drill.name)}


def _drill(name: str, breaks: str, seconds: float = FOR_FIVE_MINUTES) -> Callable[[Begin], Begin]:
    def add(begin: Begin) -> Begin:
        _DRILLS.append(Drill(name, breaks, begin, seconds))
        return begin

    return add


# Requests


@_drill("high-error-rate", "YaadPay signs no page: the gateway answers 503 to every family that wants to pay.")
async def _high_error_rate(target: Target) -> None:
    event = await open_paid_event(target)
    await yaadpay.fault(target, "SIGN", "http_500")
    repeat(target, event.open_payment, callers=2, pause=0.5)


@_drill("api-latency-high", "YaadPay takes 2.8 seconds to sign a page, and every family that wants to pay waits.")
async def _api_latency_high(target: Target) -> None:
    event = await open_paid_event(target)
    await yaadpay.fault(target, "SIGN", "slow", seconds=2.8)
    repeat(target, event.open_payment, callers=6, pause=0.1, spread=3)


@_drill("event-loop-lag", "The registration service runs half of the time and stops for the other half.")
async def _event_loop_lag(target: Target) -> None:
    event = await open_event(target)
    await stutter(target, "registration", stops=0.45, runs=0.45)
    repeat(target, event.read)


# Registrations


@_drill("event-capacity-reached", "Sixty families rush at an event with forty spots.", FOR_TWO_MINUTES)
async def _event_capacity_reached(target: Target) -> None:
    event = await open_event(target, capacity=40)
    await event.rush(parents=60)


@_drill("registration-error-budget-burn", "The registration service hangs and answers no request.", FOR_TWO_MINUTES)
async def _registration_error_budget_burn(target: Target) -> None:
    event = await open_event(target)
    await pause(target, "registration")
    repeat(target, event.register, callers=8, pause=0.5, spread=4)


@_drill("registration-latency-budget-burn", "Locks on an event's row delay its registrations.", FOR_TWO_MINUTES)
async def _registration_latency_budget_burn(target: Target) -> None:
    event = await open_event(target)
    await hold_lock(target, _EVENT_ROW, seconds=2.0, free=0.1, event=event)
    repeat(target, event.register, callers=4, pause=0.2)


@_drill("capacity-drift", "The counter of an event is one confirmed spot too high.", FOR_TWO_MINUTES)
async def _capacity_drift(target: Target) -> None:
    await miscount(target, await open_event(target))


@_drill("seat-announcements-stale", "The session for seat announcements ends and can't reconnect.")
async def _seat_announcements_stale(target: Target) -> None:
    await silence_seat_announcements(target)


# The database


@_drill("database-connection-errors", "PostgreSQL is killed every minute; the stack restarts it.", FOR_TWO_MINUTES)
async def _database_connection_errors(target: Target) -> None:
    await kill(target, "postgres")


@_drill("database-pool-exhausted", "Locks on the table of events keep every connection busy.")
async def _database_pool_exhausted(target: Target) -> None:
    event = await open_event(target)
    await hold_lock(target, _EVENTS_TABLE, seconds=8.0, free=0.3)
    repeat(target, event.read, callers=32, pause=0.1)


@_drill("database-slow", "A session locks the table of events for a second at a time.")
async def _database_slow(target: Target) -> None:
    event = await open_event(target)
    await hold_lock(target, _EVENTS_TABLE, seconds=1.2, free=0.1)
    repeat(target, event.read, callers=6, pause=0.1)


@_drill("tenant-isolation-violation", "Row-level security of one table is disabled.", FOR_TWO_MINUTES)
async def _tenant_isolation_violation(target: Target) -> None:
    await expose_table(target)


# Payments


@_drill("payment-failures", "Families pay with cards that YaadPay approves and then declines.", FOR_TWO_MINUTES)
async def _payment_failures(target: Target) -> None:
    repeat(target, yaadpay.paying_with_a_declined_card(await open_paid_event(target)), callers=4)


@_drill("payment-success-low", "Families open YaadPay's page and leave without paying.", FOR_TEN_MINUTES)
async def _payment_success_low(target: Target) -> None:
    event = await open_paid_event(target)
    repeat(target, event.open_payment, callers=4, pause=1.5)


@_drill("payments-escalated", "The response to a refund is lost, so its outcome is unknown.", FOR_TWO_MINUTES)
async def _payments_escalated(target: Target) -> None:
    await yaadpay.lose_a_refund(await open_paid_event(target))


@_drill("payment-returns-refused", "A customer comes back with an altered amount.", FOR_TWO_MINUTES)
async def _payment_returns_refused(target: Target) -> None:
    repeat(target, await yaadpay.forging(await open_paid_event(target)), callers=2)


@_drill("outbox-lagging", "YaadPay can't verify a return, so its delivery waits in the outbox.")
async def _outbox_lagging(target: Target) -> None:
    await leave_return_unverified(target, await open_paid_event(target))


@_drill(
    "registration-feed-stale", "A session locks the leases of payment's jobs, so that no replica reads the change feed."
)
async def _registration_feed_stale(target: Target) -> None:
    await hold_lock(target, _LEASES_TABLE, seconds=_ONE_HOUR, free=0.1, database=PAYMENT)


@_drill("payments-unsettled", "YaadPay can't verify a return; its outbox row is made two hours older.")
async def _payments_unsettled(target: Target) -> None:
    await leave_return_unverified(target, await open_paid_event(target), aged_hours=2)


@_drill("slow-payment-processing", "YaadPay takes eight seconds for each charge.", FOR_TEN_MINUTES)
async def _slow_payment_processing(target: Target) -> None:
    event = await open_paid_event(target)
    await yaadpay.fault(target, "commitTrans", "slow", seconds=8)
    repeat(target, yaadpay.paying(event), callers=8, pause=0.1, spread=8)


@_drill("yaad-pay-slow", "YaadPay takes five seconds to sign a page.")
async def _yaad_pay_slow(target: Target) -> None:
    event = await open_paid_event(target)
    await yaadpay.fault(target, "SIGN", "slow", seconds=5)
    repeat(target, event.open_payment, callers=8, pause=0.1, spread=5)


@_drill("yaad-pay-outcomes-unknown", "YaadPay charges cards and its responses are lost.", FOR_TWO_MINUTES)
async def _yaad_pay_outcomes_unknown(target: Target) -> None:
    repeat(target, yaadpay.paying_with_a_lost_response(await open_paid_event(target)), callers=2)


# Monitoring


@_drill("target-down", "The payment service hangs and answers no request.", FOR_TWO_MINUTES)
async def _target_down(target: Target) -> None:
    await pause(target, "payment")


@_drill("telemetry-collector-down", "The trace sink, which is this stack's collector, hangs.", FOR_TWO_MINUTES)
async def _telemetry_collector_down(target: Target) -> None:
    await pause(target, "traces")


@_drill("telemetry-dropped", "The trace sink refuses spans, so that the services drop them.")
@_drill("collector-export-failing", "The trace sink refuses spans, as a collector does whose memory is full.")
async def _spans_refused(target: Target) -> None:
    event = await open_event(target)
    await fill_collector(target)
    repeat(target, event.read, callers=2, pause=0.2)


@_drill("alert-delivery-failing", "Alertmanager sends alerts to a revoked address. Needs an Alertmanager.")
async def _alert_delivery_failing(target: Target) -> None:
    await revoke_receiver(target)
