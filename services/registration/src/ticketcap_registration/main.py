"""Wire the registration service together; no other module does."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore
from ticketcap_chassis.database.connection_string import connection_parameters
from ticketcap_chassis.database.engine import connector_of, engine_opener
from ticketcap_chassis.database.first_connection import require_direct, require_sessions
from ticketcap_chassis.database.job_leases import held_leases
from ticketcap_chassis.database.row_security import require_row_security
from ticketcap_chassis.health import DatabaseHealth, IdentityHealth
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.lifecycle import TURN_SECONDS, background, every, give_memory_back, stop_requested
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_observability import Telemetry, get_logger

from ticketcap_registration.announcements.announcer import Announcer
from ticketcap_registration.announcements.check import AnnouncementCheck
from ticketcap_registration.announcements.listener import AnnouncementListener
from ticketcap_registration.announcements.watchers import Watchers
from ticketcap_registration.domain.holder_token import HolderTokens, Purpose
from ticketcap_registration.domain.ledger import SeatRules
from ticketcap_registration.jobs.audit import Audit
from ticketcap_registration.jobs.hold_expiry import HoldExpiry
from ticketcap_registration.jobs.housekeeping import delete_aged
from ticketcap_registration.jobs.isolation import IsolationProbe
from ticketcap_registration.jobs.open_events import count_open_events
from ticketcap_registration.lanes.batch import Batches
from ticketcap_registration.lanes.lane import LaneLimits
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.lanes.seat_transaction import SeatTransactions
from ticketcap_registration.rpc.access import Access
from ticketcap_registration.rpc.claims import Claims
from ticketcap_registration.rpc.service import SERVICE, RegistrationService
from ticketcap_registration.settings import Settings
from ticketcap_registration.store import roles
from ticketcap_registration.store.changes import ChangeFeed
from ticketcap_registration.store.directory import Directory
from ticketcap_registration.store.events import Events
from ticketcap_registration.store.notifications import Notifications
from ticketcap_registration.store.registrations import Registrations
from ticketcap_registration.store.schools import Schools
from ticketcap_registration.store.watchkeeping import Watchkeeping
from ticketcap_registration.telemetry.announcements import AnnouncementTelemetry
from ticketcap_registration.telemetry.claims import ClaimTelemetry
from ticketcap_registration.telemetry.jobs import JobTelemetry
from ticketcap_registration.telemetry.lanes import LaneTelemetry

_WRITES_OF_EVENT: Final = 1
"""Writes outside of the lanes (check-ins, deletions) of one event at the same time: each holds a connection."""
_LANES_POOL: Final = f"{roles.APP}_lanes"
# Two replicas' transactions on one event follow each other within this time: no lane holds a row longer.
_LOCK_SECONDS: Final = 0.1
# Short enough that other events with locked rows get their patient turns too.
_PATIENT_LOCK_SECONDS: Final = 0.5
_HEALTH_SECONDS: Final = 0.5
_ANNOUNCEMENT_HEALTH_SECONDS: Final = 0.25
_IDENTITY_SECONDS: Final = 1.0
_LONG_TURN_SECONDS: Final = 600.0
"""How long a turn over all events, or all aged rows, may take; each of its statements is short."""
_FLUSH_SECONDS: Final = 1.0
_DAY_SECONDS: Final = 86_400
_GAUGES: Final = "gauges"
_LEASED_JOBS: Final = ("audit", _GAUGES, "hold_expiry", "housekeeping")
"""The jobs that one replica runs for all; each of the others looks at its own replica."""

_log = get_logger(__name__)


async def serve(settings: Settings, telemetry: Telemetry) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    stop = stop_requested()
    async with running(settings, telemetry, stop=stop.set) as port:
        give_memory_back()
        _log.info("service.ready", port=port, database_connections=settings.most_connections)
        await stop.wait()
        _log.info("service.draining", seconds=settings.drain_seconds)


@asynccontextmanager
async def running(
    settings: Settings, telemetry: Telemetry, *, stop: Callable[[], object] | None = None
) -> AsyncIterator[int]:
    """Run the service while the code inside runs; yield its port. ``stop`` must end the code inside."""
    async with AsyncExitStack() as stack:
        opened = engine_opener(settings, telemetry, roles.SESSION)
        engine = await stack.enter_async_context(
            opened(settings.database_url, role=roles.APP, connections=settings.database_connections)
        )
        # A pool of their own: the transactions of seats never wait behind other users of the database.
        lanes_engine = await stack.enter_async_context(
            opened(
                settings.database_url,
                role=roles.APP,
                connections=settings.lane_transactions + settings.lane_patient_transactions,
                pool_name=_LANES_POOL,
            )
        )
        jobs_engine = await stack.enter_async_context(
            opened(settings.jobs_url, role=roles.JOBS, connections=settings.database_jobs_connections)
        )
        await require_sessions(engine, variable="DATABASE_URL")
        await require_sessions(jobs_engine, variable=settings.jobs_variable)
        # A connector of its own: a server that ends the listener's connection says nothing about the pool's.
        listen_connector = settings.connector()
        await require_direct(
            listen_connector, connection_parameters(settings.listen_url), variable="DATABASE_DIRECT_URL"
        )
        await require_row_security(engine, roles.TABLES, migrate="python -m ticketcap_registration migrate")
        directory = Directory(engine, jobs_engine)
        stack.push_async_callback(directory.close)
        watchkeeping = Watchkeeping(jobs_engine)
        notifications = Notifications(jobs_engine)
        announcement_telemetry = AnnouncementTelemetry(telemetry)
        announcer = Announcer(notifications, announcement_telemetry)
        lanes = _lanes(settings, lanes_engine, LaneTelemetry(telemetry), announcer)
        hold_expiry = HoldExpiry(watchkeeping, lanes)
        stack.push_async_callback(hold_expiry.close)
        watchers = Watchers()
        listener = AnnouncementListener(
            connection_parameters(settings.listen_url),
            watchers,
            announcement_telemetry,
            listen_connector,
            check_seconds=settings.announcement_check_seconds,
            on_stale=connector_of(engine).replace_connections,
        )
        verifier = settings.verifier()
        server = GrpcServer(telemetry=telemetry, verifier=verifier, age=settings.connection_age)
        service = _service(settings, telemetry, engine, jobs_engine, directory, lanes, watchers, announcer, verifier)
        pb_grpc.add_RegistrationServiceServicer_to_server(service, server.server)

        # Before the jobs start, so after they have ended: no turn runs under a lease that was given back.
        leases = await stack.enter_async_context(
            held_leases(jobs_engine, _LEASED_JOBS, seconds=settings.job_lease_seconds, telemetry=telemetry)
        )
        job_telemetry = JobTelemetry(telemetry, shows_events=partial(leases.holds, _GAUGES))
        isolation = IsolationProbe(engine, service.events, job_telemetry)
        # Not the lanes' pool: it shares role and connector with the first, and a check would wait behind busy lanes.
        needs = {engine: roles.APP_NEEDS, jobs_engine: roles.JOBS_NEEDS}
        health = DatabaseHealth(needs, server, ["", SERVICE])
        identity = IdentityHealth(verifier, server)
        await health.check()
        await identity.check()
        check = AnnouncementCheck(notifications, listener, server, seconds=settings.announcement_check_seconds)
        await check.report()
        for name, seconds, limit, work in (
            ("health", _HEALTH_SECONDS, TURN_SECONDS, health.check),
            ("identity", _IDENTITY_SECONDS, TURN_SECONDS, identity.check),
            ("announcement_health", _ANNOUNCEMENT_HEALTH_SECONDS, TURN_SECONDS, check.report),
            # ``announce`` waits until a check is due.
            ("announcement_check", 0.0, TURN_SECONDS, check.announce),
            ("job_leases", leases.renewal_seconds, TURN_SECONDS, leases.renew),
            ("hold_expiry", settings.hold_expiry_seconds, TURN_SECONDS, hold_expiry.look),
            ("audit", settings.audit_seconds, _LONG_TURN_SECONDS, Audit(watchkeeping, job_telemetry).run),
            ("isolation", settings.audit_seconds, TURN_SECONDS, isolation.run),
            (_GAUGES, settings.gauges_seconds, TURN_SECONDS, partial(count_open_events, watchkeeping, job_telemetry)),
            ("housekeeping", settings.housekeeping_seconds, _LONG_TURN_SECONDS, _housekeeping(settings, watchkeeping)),
        ):
            turn = leases.turn(name, work) if name in _LEASED_JOBS else work
            await stack.enter_async_context(background(every(seconds, turn, name=name, limit=limit), stop, name=name))
        await stack.enter_async_context(background(listener.run(), stop, name="announcements"))
        await stack.enter_async_context(background(announcer.run(), stop, name="announcer"))
        await stack.enter_async_context(background(telemetry.watch_loop(), stop, name="loop watch"))
        port = await server.start(settings.listen_address, [SERVICE])
        try:
            yield port
        finally:
            watchers.end()
            await server.drain(settings.drain_seconds)
            await lanes.close(settings.drain_seconds)
            # The other replicas' watchers hear of the last commits here.
            await announcer.flush(_FLUSH_SECONDS)


def _lanes(settings: Settings, engine: AsyncEngine, telemetry: LaneTelemetry, announcer: Announcer) -> Lanes:
    rules = SeatRules(offer_seconds=settings.offer_seconds, waitlist_limit=settings.waitlist_limit)
    limits = LaneLimits(
        queue=settings.lane_queue,
        batch=settings.lane_batch,
        transactions=settings.lane_transactions,
        patient=settings.lane_patient_transactions,
    )
    ordinary, patient = (
        Batches(SeatTransactions(engine, rules, telemetry, announcer.announce, lock_seconds=seconds), telemetry)
        for seconds in (_LOCK_SECONDS, _PATIENT_LOCK_SECONDS)
    )
    lanes = Lanes(ordinary, limits, patient=patient)
    telemetry.observe_depths(lambda: lanes.depths)
    return lanes


def _service(
    settings: Settings,
    telemetry: Telemetry,
    engine: AsyncEngine,
    jobs_engine: AsyncEngine,
    directory: Directory,
    lanes: Lanes,
    watchers: Watchers,
    announcer: Announcer,
    verifier: TokenVerifier,
) -> RegistrationService:
    manage_tokens, pay_tokens = (_tokens(settings, purpose) for purpose in (Purpose.MANAGE, Purpose.PAY))
    # Reads have the other half of the connections to themselves: they wait for no row.
    writes = FairSemaphore(max(1, settings.database_connections // 2), per_key=_WRITES_OF_EVENT)
    claim_telemetry = ClaimTelemetry(telemetry)
    return RegistrationService(
        access=Access(verifier, directory, manage_tokens=manage_tokens, pay_tokens=pay_tokens),
        directory=directory,
        schools=Schools(engine, jobs_engine),
        events=Events(engine, writes),
        registrations=Registrations(engine, writes),
        feed=ChangeFeed(jobs_engine),
        lanes=lanes,
        claims=Claims(
            directory=directory,
            lanes=lanes,
            manage_tokens=manage_tokens,
            pay_tokens=pay_tokens,
            telemetry=claim_telemetry,
        ),
        watchers=watchers,
        announce=announcer.announce,
        reread_seconds=settings.announcement_reread_seconds,
        pay_tokens=pay_tokens,
        telemetry=claim_telemetry,
    )


def _tokens(settings: Settings, purpose: Purpose) -> HolderTokens:
    secrets = [settings.manage_token_secret, settings.manage_token_secret_old]
    return HolderTokens(purpose, tuple(secret.get_secret_value().encode() for secret in secrets if secret))


def _housekeeping(settings: Settings, watchkeeping: Watchkeeping) -> partial[Coroutine[None, None, None]]:
    return partial(
        delete_aged,
        watchkeeping,
        idempotency_seconds=settings.idempotency_days * _DAY_SECONDS,
        change_log_seconds=settings.change_log_days * _DAY_SECONDS,
    )
