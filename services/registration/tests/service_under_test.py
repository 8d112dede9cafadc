"""Run the registration service inside the test's process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
import jwt
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_status import rpc_status
from sqlalchemy import create_engine, text
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.errors import ServiceError
from ticketcap_chassis.rpc.status import from_rpc_error
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import InMemoryTelemetry, Telemetry
from ticketcap_registration.main import running
from ticketcap_registration.settings import Settings
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import fresh_database

PATIENT: dict[str, Any] = {"database_answer_seconds": 30.0, "database_connect_seconds": 30.0}
"""Limits that no busy machine reaches."""
IMPATIENT: dict[str, Any] = {"database_answer_seconds": 2.5, "database_connect_seconds": 2.0}
"""The limits of production, for tests of a silent database."""

SECRET = "a secret of the tests, long enough for HS256"
Metadata = tuple[tuple[str, str], ...]


def token(role: str, school: str | None = None) -> Metadata:
    """Return the metadata of a caller."""
    claims: dict[str, Any] = {"sub": "tester", "role": role, "iss": "ticketcap"}
    claims["exp"] = datetime.now(UTC) + timedelta(days=1)
    if school:
        claims["school"] = school
    return (("authorization", f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"),)


SUPER_ADMIN = token("SUPER_ADMIN")
OWNER = token("OWNER", "herzl")
SERVICE = token("SERVICE")


@contextmanager
def migrated_database(server: EmbeddedPostgres, *, spelled: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the address of a database; the migration is given what ``spelled`` makes of it."""
    with fresh_database(server) as url:
        migrate(spelled(url))
        yield url


def settings(database: str, **changes: Any) -> Settings:
    plain: dict[str, Any] = {
        "database_url": database,
        "listen_address": "127.0.0.1:0",
        "jwt_secret": SECRET,
        "manage_token_secret": "another secret of the tests, also long enough",
        "drain_seconds": 2,
        "hold_expiry_seconds": 0.1,
        **PATIENT,
    }
    return Settings(**{**plain, **changes})


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A running service and a caller of it."""

    stub: pb_grpc.RegistrationServiceStub
    channel: grpc.aio.Channel
    telemetry: InMemoryTelemetry
    database: str
    target: str

    async def school(self, slug: str = "herzl") -> None:
        await self.stub.CreateSchool(pb.CreateSchoolRequest(slug=slug, name="Herzl School"), metadata=SUPER_ADMIN)

    async def event(self, school: str = "herzl", **fields: Any) -> pb.Event:
        """Open an event; it begins in 30 days."""
        plain = {"title": "Spring match", "capacity": 10, "slug": "spring-match", "starts_at": after(days=30)}
        request = pb.CreateEventRequest(school=school, fields=pb.EventFields(**{**plain, **fields}))
        return (await self.stub.CreateEvent(request, metadata=token("OWNER", school))).event

    async def open(self, **fields: Any) -> pb.Event:
        """Open the school and an event."""
        await self.school()
        return await self.event(**fields)

    async def change(self, event: str = "spring-match", **fields: Any) -> pb.Event:
        request = pb.UpdateEventRequest(school="herzl", event=event, fields=pb.EventFields(**fields))
        return (await self.stub.UpdateEvent(request, metadata=OWNER)).event

    async def seats(self, event: str = "spring-match") -> pb.Event:
        return (await self.stub.GetEvent(pb.GetEventRequest(school="herzl", event=event))).event

    async def register(self, number: int, spots: int = 1, **fields: Any) -> pb.RegisterResponse:
        timeout = fields.pop("timeout", 10)
        return await self.stub.Register(claim(number, spots, **fields), timeout=timeout)

    async def cancel(self, response: pb.RegisterResponse, **fields: Any) -> pb.Registration:
        request = pb.CancelRegistrationRequest(id=response.id, manage_token=response.manage_token, **fields)
        return (await self.stub.CancelRegistration(request)).registration

    async def end_hold(self, response: pb.RegisterResponse) -> None:
        """Let the time of a hold be over now, and wait until it has expired: no test races against a short one."""
        engine = create_engine(driver_url(self.database))
        with engine.begin() as connection:
            over = "UPDATE registrations SET hold_expires_at = now() - interval '1 second' WHERE id = :id"
            connection.execute(text(over), {"id": response.id})
        engine.dispose()
        while (await self.get(response)).status != pb.REGISTRATION_STATUS_EXPIRED:
            await asyncio.sleep(0.05)

    async def get(self, response: pb.RegisterResponse) -> pb.Registration:
        request = pb.GetRegistrationRequest(id=response.id, manage_token=response.manage_token)
        return (await self.stub.GetRegistration(request)).registration


@asynccontextmanager
async def replica(database: str, **changes: Any) -> AsyncIterator[Replica]:
    """Run one replica of the service."""
    telemetry = Telemetry.in_memory()
    async with (
        running(settings(database, **changes), telemetry) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = pb_grpc.RegistrationServiceStub(channel)
        target = f"127.0.0.1:{port}"
        yield Replica(stub=stub, channel=channel, telemetry=telemetry, database=database, target=target)


def claim(number: int, spots: int = 1, **fields: Any) -> pb.RegisterRequest:
    plain = {
        "school": "herzl",
        "event": "spring-match",
        "name": f"אורי ב'ן-דוד {number}",
        "phone": f"050-{1_000_000 + number}",
        "spots": spots,
    }
    return pb.RegisterRequest(**{**plain, **fields})


def after(**time: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(**time))
    return moment


def refusal(error: grpc.aio.AioRpcError) -> ServiceError:
    """Return what a call was refused with; it must be a rich status."""
    assert rpc_status.from_call(error) is not None, "a plain status"  # type: ignore[arg-type]  # works for aio too
    return from_rpc_error(error)
