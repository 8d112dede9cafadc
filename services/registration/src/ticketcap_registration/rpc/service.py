"""The servicer: each method lets the caller in, asks the room that answers, and translates."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import grpc.aio
from opentelemetry.trace import Tracer
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis.identity.roles import ADMINS, MANAGERS, VIEWERS
from ticketcap_observability import schema, set_school, traceparent_of
from uuid_utils.compat import uuid7

from ticketcap_registration.announcements.watchers import Watchers
from ticketcap_registration.domain.commands import (
    Cancel,
    ChangeEvent,
    Command,
    ConfirmHold,
    ExtendHold,
    ReclaimHold,
    ReleaseHold,
)
from ticketcap_registration.domain.confirmation_code import new_code, normalized
from ticketcap_registration.domain.errors import EventNotFound, RefundByHolder, RegistrationNotFound
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.holder_token import HolderTokens
from ticketcap_registration.domain.idempotency import fingerprint
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.rpc import cursor, translate
from ticketcap_registration.rpc.access import Access
from ticketcap_registration.rpc.claims import Claims
from ticketcap_registration.store.changes import ChangeLog
from ticketcap_registration.store.directory import Directory, EventKey, as_uuid
from ticketcap_registration.store.events import Events
from ticketcap_registration.store.keyed import Key
from ticketcap_registration.store.registrations import Registrations, RegistrationView
from ticketcap_registration.store.schools import School, Schools

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RegistrationService"].full_name
_PAGE: Final = 50
_EXPORTED_AT_ONCE: Final = 500
_CHANGES: Final = 200

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class RegistrationService(pb_grpc.RegistrationServiceServicer):
    """``ticketcap.registration.v1.RegistrationService``; the proto says what each method is for."""

    access: Access
    directory: Directory
    schools: Schools
    events: Events
    registrations: Registrations
    changes: ChangeLog
    lanes: Lanes
    claims: Claims
    watchers: Watchers
    pay_tokens: HolderTokens
    tracer: Tracer

    # Schools

    async def CreateSchool(self, request: pb.CreateSchoolRequest, context: Context) -> pb.CreateSchoolResponse:
        await self.access.super_admin()
        slug = translate.slug(request.slug, "slug")
        school = School(id=uuid7(), slug=slug, name=request.name, created_at=datetime.now(UTC))
        body = {"slug": slug, "name": request.name}
        made = await self.schools.add(school, _key("schools", request.idempotency_key, body))
        return pb.CreateSchoolResponse(school=translate.school(made.thing), replayed=made.replayed)

    async def GetSchoolStats(self, request: pb.GetSchoolStatsRequest, context: Context) -> pb.GetSchoolStatsResponse:
        school = await self.access.school(request.school, VIEWERS)
        return translate.stats(await self.schools.stats(school.id))

    # Events

    async def CreateEvent(self, request: pb.CreateEventRequest, context: Context) -> pb.CreateEventResponse:
        school = await self.access.school(request.school, ADMINS)
        fields = translate.event_fields(request.fields)
        event = Event.opened(
            event_id=uuid7(),
            school_id=school.id,
            spare_slug=f"event-{new_code().lower()}",
            now=datetime.now(UTC),
            fields=fields,
        )
        made = await self.events.add(event, _key(f"events:{school.id}", request.idempotency_key, fields))
        return pb.CreateEventResponse(event=translate.event(made.thing, school.slug), replayed=made.replayed)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        key = await self._public(request.school, request.event)
        return pb.GetEventResponse(event=translate.event(await self.events.get(key), key.school.slug))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        set_school(request.school)
        school = await self.directory.school(request.school)
        set_school(school.slug, school.id)
        limit = request.limit or _PAGE
        page = await self.events.open_page(school.id, cursor.read(request.cursor), limit + 1)
        more = cursor.write((page[limit - 1].starts_at, page[limit - 1].id)) if len(page) > limit else ""
        events = [translate.event(event, school.slug) for event in page[:limit]]
        return pb.ListEventsResponse(events=events, next_cursor=more)

    async def UpdateEvent(self, request: pb.UpdateEventRequest, context: Context) -> pb.UpdateEventResponse:
        key = await self.access.event(request.school, request.event, ADMINS)
        change = ChangeEvent(fields=translate.event_fields(request.fields), traceparent=traceparent_of())
        event = (await self.lanes.submit(key, change)).outcome
        assert isinstance(event, Event)  # noqa: S101 - what a ChangeEvent is answered with
        return pb.UpdateEventResponse(event=translate.event(event, key.school.slug))

    async def DeleteEvent(self, request: pb.DeleteEventRequest, context: Context) -> pb.DeleteEventResponse:
        await self.events.delete(await self.access.event(request.school, request.event, ADMINS))
        return pb.DeleteEventResponse()

    async def WatchEvent(self, request: pb.WatchEventRequest, context: Context) -> AsyncIterator[pb.WatchEventResponse]:
        key = await self._public(request.school, request.event)
        with self.watchers.watch(key.id) as watcher:
            event = await self.events.get(key)
            version = event.version
            yield pb.WatchEventResponse(seats=translate.seats(SeatAnnouncement.of(event)))
            while True:
                announcement, promoted = await watcher.next()
                if announcement is not None and announcement.deleted:
                    raise EventNotFound(request.school, request.event)
                seats = translate.seats(announcement or SeatAnnouncement.of(await self.events.get(key)))
                if seats.version > version:
                    version = seats.version
                    yield pb.WatchEventResponse(seats=seats, promoted=promoted)

    # Registrations

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        set_school(request.school)
        return await self.claims.register(request)

    async def RegisterBatch(self, request: pb.RegisterBatchRequest, context: Context) -> pb.RegisterBatchResponse:
        await self.access.service()
        return await self.claims.register_batch(request)

    async def GetRegistration(self, request: pb.GetRegistrationRequest, context: Context) -> pb.GetRegistrationResponse:
        key, _ = await self.access.registration(request.id, request.manage_token, VIEWERS)
        return pb.GetRegistrationResponse(registration=await self._shown(key, request.id))

    async def ListRegistrations(
        self, request: pb.ListRegistrationsRequest, context: Context
    ) -> pb.ListRegistrationsResponse:
        key = await self.access.event(request.school, request.event, VIEWERS)
        limit = request.limit or _PAGE
        page = await self.registrations.page(
            key,
            after=cursor.read(request.cursor),
            limit=limit + 1,
            status=translate.wanted_status(request.status),
        )
        last = page[min(limit, len(page)) - 1].registration if page else None
        more = cursor.write((last.created_at, last.id)) if last and len(page) > limit else ""
        items = [self._message(key, view) for view in page[:limit]]
        return pb.ListRegistrationsResponse(items=items, next_cursor=more)

    async def ExportRegistrations(
        self, request: pb.ExportRegistrationsRequest, context: Context
    ) -> AsyncIterator[pb.ExportRegistrationsResponse]:
        key = await self.access.event(request.school, request.event, VIEWERS)
        after: cursor.Position | None = None
        while page := await self.registrations.page(key, after=after, limit=_EXPORTED_AT_ONCE):
            items = [translate.registration(view, key.school.slug) for view in page]
            yield pb.ExportRegistrationsResponse(items=items)
            after = page[-1].registration.created_at, page[-1].registration.id

    async def CancelRegistration(
        self, request: pb.CancelRegistrationRequest, context: Context
    ) -> pb.CancelRegistrationResponse:
        key, by_holder = await self.access.registration(request.id, request.manage_token, MANAGERS)
        if by_holder and request.HasField("refund_agorot"):
            raise RefundByHolder(request.id)
        cancel = Cancel(
            registration_id=_id(request.id),
            by_holder=by_holder,
            reason=translate.reason(request.reason, "reason") if request.HasField("reason") else None,
            refund_agorot=request.refund_agorot if request.HasField("refund_agorot") else None,
            traceparent=traceparent_of(),
        )
        with self.tracer.start_as_current_span(
            schema.CANCEL,
            attributes={
                schema.EVENT_ID: str(key.id),
                schema.SCHOOL_ID: str(key.school.id),
                schema.SCHOOL_SLUG: key.school.slug,
            },
            record_exception=False,
            set_status_on_exception=False,
        ):
            await self.lanes.submit(key, cancel)
        return pb.CancelRegistrationResponse(registration=await self._shown(key, request.id))

    # Holds

    async def ConfirmHold(self, request: pb.ConfirmHoldRequest, context: Context) -> pb.ConfirmHoldResponse:
        command = ConfirmHold(registration_id=_id(request.registration_id), traceparent=traceparent_of())
        return pb.ConfirmHoldResponse(registration=await self._settled(request.registration_id, command))

    async def ReleaseHold(self, request: pb.ReleaseHoldRequest, context: Context) -> pb.ReleaseHoldResponse:
        command = ReleaseHold(
            registration_id=_id(request.registration_id), reason=request.reason or None, traceparent=traceparent_of()
        )
        return pb.ReleaseHoldResponse(registration=await self._settled(request.registration_id, command))

    async def ExtendHold(self, request: pb.ExtendHoldRequest, context: Context) -> pb.ExtendHoldResponse:
        command = ExtendHold(
            registration_id=_id(request.registration_id), seconds=request.seconds, traceparent=traceparent_of()
        )
        return pb.ExtendHoldResponse(registration=await self._settled(request.registration_id, command))

    async def ReclaimHold(self, request: pb.ReclaimHoldRequest, context: Context) -> pb.ReclaimHoldResponse:
        command = ReclaimHold(
            registration_id=_id(request.registration_id), seconds=request.seconds, traceparent=traceparent_of()
        )
        return pb.ReclaimHoldResponse(registration=await self._settled(request.registration_id, command))

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        key = await self.access.hold(
            request.registration_id, manage_token=request.manage_token, pay_token=request.pay_token
        )
        event = await self.events.get(key)
        return pb.GetHoldResponse(
            registration=await self._shown(key, request.registration_id),
            event=translate.event(event, key.school.slug),
        )

    async def ListChanges(self, request: pb.ListChangesRequest, context: Context) -> pb.ListChangesResponse:
        await self.access.service()
        changes = await self.changes.after(
            cursor.read_change(request.cursor),
            limit=request.limit or _CHANGES,
            statuses=[status for wanted in request.statuses if (status := translate.wanted_status(wanted))],
        )
        after = cursor.write_change(changes[-1].position) if changes else request.cursor
        return pb.ListChangesResponse(changes=[translate.change(change) for change in changes], cursor=after)

    async def _settled(self, registration: str, command: Command) -> pb.Registration:
        await self.access.service()
        key = await self.directory.registration(registration)
        set_school(key.school.slug, key.school.id)
        await self.lanes.submit(key, command)
        return await self._shown(key, registration)

    # Check-in

    async def CheckIn(self, request: pb.CheckInRequest, context: Context) -> pb.CheckInResponse:
        key = await self.access.event(request.school, request.event, MANAGERS)
        view = await self.registrations.check_in(key, normalized(request.confirmation_code))
        return pb.CheckInResponse(registration=translate.registration(view, key.school.slug))

    async def UndoCheckIn(self, request: pb.UndoCheckInRequest, context: Context) -> pb.UndoCheckInResponse:
        key = await self.access.event(request.school, request.event, MANAGERS)
        view = await self.registrations.undo_check_in(key, _id(request.id))
        return pb.UndoCheckInResponse(registration=translate.registration(view, key.school.slug))

    async def _public(self, school: str, event: str) -> EventKey:
        set_school(school)
        key = await self.directory.event(school, event)
        set_school(key.school.slug, key.school.id)
        return key

    async def _shown(self, key: EventKey, registration: str) -> pb.Registration:
        return self._message(key, await self.registrations.get(key, _id(registration)))

    def _message(self, key: EventKey, view: RegistrationView) -> pb.Registration:
        """Return the message for those who may let somebody pay: the holder, the school, the payment service."""
        return translate.registration(view, key.school.slug, self.pay_tokens.issue(view.registration.id))


def _key(scope: str, key: str, body: Mapping[str, object]) -> Key:
    return Key(scope=scope, key=key or str(uuid7()), fingerprint=fingerprint(scope, body))


def _id(registration: str) -> UUID:
    registration_id = as_uuid(registration)
    if registration_id is None:
        raise RegistrationNotFound(registration)
    return registration_id
