"""All drills: one for each alert, and what each is made of."""

from ticketcap_local.drills.database import PAYMENT, CounterTamperedWith, DeafListener, Locked, Unprotected
from ticketcap_local.drills.drill import FOR_TEN_MINUTES, FOR_TWO_MINUTES, Drill
from ticketcap_local.drills.families import PRICE_AGOROT, OwnEvent
from ticketcap_local.drills.processes import Killed, Paused, Stuttering
from ticketcap_local.drills.repeated import Repeated
from ticketcap_local.drills.rush import Flooded
from ticketcap_local.drills.stuck_return import StuckReturn
from ticketcap_local.drills.telemetry import FullCollector, RevokedAddress
from ticketcap_local.drills.yaadpay import ForgedReturns, LostRefund, Paying, YaadPayFault


def drills() -> dict[str, Drill]:
    """Return all of them anew, by name, in order."""
    made = [
        *_of_requests(),
        *_of_registrations(),
        *_of_the_database(),
        *_of_payments(),
        *_of_yaadpay(),
        *_of_watchers(),
    ]
    return {drill.name: drill for drill in sorted(made, key=lambda drill: drill.name)}


def _paid() -> OwnEvent:
    return OwnEvent(price_agorot=PRICE_AGOROT)


def _of_requests() -> list[Drill]:
    opening, waiting, stuttering = _paid(), _paid(), OwnEvent()
    return [
        Drill(
            "high-error-rate",
            "YaadPay signs no page, so nobody can come to pay: the gateway answers 503.",
            [opening, YaadPayFault("SIGN", "http_500"), Repeated(opening.come_to_pay, callers=2, pause=0.5)],
        ),
        Drill(
            "api-latency-high",
            "YaadPay takes 2.8 seconds to sign a page, and whoever wants to pay waits for that.",
            [
                waiting,
                YaadPayFault("SIGN", "slow", seconds=2.8),
                Repeated(waiting.come_to_pay, callers=6, pause=0.1, spread=3),
            ],
        ),
        Drill(
            "event-loop-lag",
            "The registration service gets the processor for half of the time: it stands still again and again.",
            [stuttering, Stuttering("registration", stands=0.45, runs=0.45), Repeated(stuttering.see)],
        ),
    ]


def _of_registrations() -> list[Drill]:
    full, failing, slow = OwnEvent(capacity=40), OwnEvent(), OwnEvent()
    row = "SELECT FROM events WHERE id = %s FOR UPDATE"
    return [
        Drill(
            "event-capacity-reached",
            "Sixty families rush at an event with forty places.",
            [full, Flooded(full, parents=60)],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "registration-error-budget-burn",
            "The registration service hangs: it holds its connections and answers nobody.",
            [failing, Paused("registration"), Repeated(failing.come_to_register, callers=8, pause=0.5, spread=4)],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "registration-latency-budget-burn",
            "Something holds an event's row locked for two seconds at a time, and whoever registers there waits.",
            [slow, Locked(row, held=2.0, free=0.1, event=slow), Repeated(slow.come_to_register, callers=4, pause=0.2)],
            FOR_TWO_MINUTES,
        ),
    ]


def _of_the_database() -> list[Drill]:
    slow, exhausted, tampered = OwnEvent(), OwnEvent(), OwnEvent()
    table = "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"
    return [
        Drill(
            "capacity-drift",
            "The counter of an event says one confirmed spot more than there are.",
            [tampered, CounterTamperedWith(tampered)],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "database-connection-errors",
            "PostgreSQL is killed, and again every minute; the stack starts it again each time.",
            [Killed("postgres")],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "database-pool-exhausted",
            "Something holds the whole table of events locked for eight seconds at a time: those who read one take up "
            "every connection.",
            [exhausted, Locked(table, held=8.0, free=0.3), Repeated(exhausted.see, callers=32, pause=0.1)],
        ),
        Drill(
            "database-slow",
            "Something holds the whole table of events locked for a second at a time.",
            [slow, Locked(table, held=1.2, free=0.1), Repeated(slow.see, callers=6, pause=0.1)],
        ),
        Drill(
            "seat-announcements-stale",
            "The connection on which seats are announced is ended, and the database takes no new one.",
            [DeafListener()],
        ),
        Drill(
            "tenant-isolation-violation",
            "Row-level security of one table is off, so that every school could see all its rows.",
            [Unprotected()],
            FOR_TWO_MINUTES,
        ),
    ]


def _of_payments() -> list[Drill]:
    refused, left, lost, forged, lagging, old, slow = (_paid() for _ in range(7))
    forging = ForgedReturns(forged)
    return [
        Drill(
            "payment-failures",
            "Families pay with cards that are approved on the page and refused when they are to be charged.",
            [refused, Repeated(Paying(refused).with_a_refused_card, callers=4)],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "payment-success-low",
            "Families come to YaadPay's page and leave without paying.",
            [left, Repeated(left.come_to_pay, callers=4, pause=1.5)],
            FOR_TEN_MINUTES,
        ),
        Drill(
            "payments-escalated",
            "YaadPay gives money back and its answer is lost: only a person can find out whether it did.",
            [lost, LostRefund(lost)],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "payment-returns-refused",
            "Somebody who paid 49.90 comes back as if it had been 1.90, again and again.",
            [forged, forging, Repeated(forging.forge, callers=2)],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "outbox-lagging",
            "YaadPay does not say whether a return is its own, so what should follow it waits in the outbox.",
            [lagging, StuckReturn(lagging)],
        ),
        Drill(
            "registration-feed-stale",
            "Something holds payment's place in the feed of registrations locked, so that it can't read on.",
            [Locked("LOCK TABLE cursors IN ACCESS EXCLUSIVE MODE", held=3600.0, free=0.1, database=PAYMENT)],
        ),
        Drill(
            "payments-unsettled",
            "A return waits for YaadPay's word; its row in the outbox is made two hours older than it is.",
            [old, StuckReturn(old, aged_hours=2)],
        ),
        Drill(
            "slow-payment-processing",
            "YaadPay takes eight seconds for each charge.",
            [
                slow,
                YaadPayFault("commitTrans", "slow", seconds=8),
                Repeated(Paying(slow).wholly, callers=8, pause=0.1, spread=8),
            ],
            FOR_TEN_MINUTES,
        ),
    ]


def _of_yaadpay() -> list[Drill]:
    slow, unknown = _paid(), _paid()
    return [
        Drill(
            "yaad-pay-slow",
            "YaadPay takes five seconds to sign a page.",
            [slow, YaadPayFault("SIGN", "slow", seconds=5), Repeated(slow.come_to_pay, callers=8, pause=0.1, spread=5)],
        ),
        Drill(
            "yaad-pay-outcomes-unknown",
            "YaadPay charges cards and its answers are lost; asked again, it says that it did.",
            [unknown, Repeated(Paying(unknown).with_a_lost_answer, callers=2)],
            FOR_TWO_MINUTES,
        ),
    ]


def _of_watchers() -> list[Drill]:
    dropping, refusing = OwnEvent(), OwnEvent()
    return [
        Drill(
            "target-down",
            "The payment service hangs: it holds its connections and answers nobody, Prometheus neither.",
            [Paused("payment")],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "telemetry-collector-down",
            "The trace sink, which is this stack's collector, hangs.",
            [Paused("traces")],
            FOR_TWO_MINUTES,
        ),
        Drill(
            "telemetry-dropped",
            "The trace sink refuses the spans of families who look at an event, so that the services drop them.",
            [dropping, FullCollector(), Repeated(dropping.see, callers=2, pause=0.2)],
        ),
        Drill(
            "collector-export-failing",
            "The trace sink refuses spans, as a collector does whose memory is full.",
            [refusing, FullCollector(), Repeated(refusing.see, callers=2, pause=0.2)],
        ),
        Drill(
            "alert-delivery-failing",
            "An address that Alertmanager tells is revoked, and alerts go there. Needs an Alertmanager.",
            [RevokedAddress()],
        ),
    ]
