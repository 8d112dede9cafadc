"""Serve each method: check the caller, call the room that decides, translate."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc.aio
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc
from ticketcap_chassis.identity.roles import ADMINS, MANAGERS, VIEWERS
from ticketcap_chassis.tagged_ids import tagged_uuid7
from ticketcap_observability import set_school, traceparent_of
from uuid_utils.compat import uuid7

from ticketcap_registration.announcements.watchers import Watchers
from ticketcap_registration.domain import cursor
from ticketcap_registration.domain.change_feed import must_be_consumer, read_change_id, read_cursor
from ticketcap_registration.domain.check_in import check_in, undo_check_in
from ticketcap_registration.domain.commands import (
    Cancel,
    ChangeEvent,
    ConfirmHold,
    ExtendHold,
    HoldCommand,
    ReclaimHold,
    ReleaseHold,
)
from ticketcap_registration.domain.confirmation_code import new_code, normalized
from ticketcap_registration.domain.errors import EventNotFound
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.holder_token import HolderTokens
from ticketcap_registration.domain.idempotency import IdempotencyKey, fingerprint, id_of_new_school
from ticketcap_registration.domain.keys import EventKey, parse_registration_id
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.rpc import translate
from ticketcap_registration.rpc.access import Access
from ticketcap_registration.rpc.claims import Claims
from ticketcap_registration.store.changes import ChangeFeed
from ticketcap_registration.store.directory import Directory
from ticketcap_registration.store.events import Events
from ticketcap_registration.store.registrations import Registrations, RegistrationView
from ticketcap_registration.store.schools import School, Schools
from ticketcap_registration.telemetry.claims import ClaimTelemetry

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RegistrationService"].full_name
_PAGE: Final = 50
_EXPORTED_AT_ONCE: Final = 500
_CHANGES: Final = 200

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class RegistrationService(pb_grpc.RegistrationServiceServicer):
    """``ticketcap.registration.v1.RegistrationService``; the proto describes each method."""

    access: Access
    directory: Directory
    schools: Schools
    events: Events
    registrations: Registrations
    feed: ChangeFeed
    lanes: Lanes
    claims: Claims
    watchers: Watchers
    announce: Callable[[SeatAnnouncement], None]
    reread_seconds: float
    """After this time without an announcement a stream reads its event: one may have been lost."""
    pay_tokens: HolderTokens
    telemetry: ClaimTelemetry

    # Schools

    async def CreateSchool(self, request: pb.CreateSchoolRequest, context: Context) -> pb.CreateSchoolResponse:
        await self.access.super_admin()
        slug = translate.slug(request.slug, "slug")
        body: dict[str, object] = {"slug": slug, "name": request.name}
        if request.synthetic:  # Else the fingerprint is that of a request before the field existed.
            body["synthetic"] = True
        key = _key("schools", request.idempotency_key, body)
        school = School(
            id=id_of_new_school(key.key),
            slug=slug,
            name=request.name,
            created_at=datetime.now(UTC),
            synthetic=request.synthetic,
        )
        school, replayed = await self.schools.create(school, key)
        return pb.CreateSchoolResponse(school=translate.school(school), replayed=replayed)

    async def GetSchoolStats(self, request: pb.GetSchoolStatsRequest, context: Context) -> pb.GetSchoolStatsResponse:
        school = await self.access.school(request.school, VIEWERS)
        return translate.stats(await self.schools.stats(school.id))

    # Events

    async def CreateEvent(self, request: pb.CreateEventRequest, context: Context) -> pb.CreateEventResponse:
        school = await self.access.school(request.school, ADMINS)
        fields = translate.event_fields(request.fields)
        event = Event.create(
            event_id=tagged_uuid7(school.id),
            school_id=school.id,
            spare_slug=f"event-{new_code().lower()}",
            now=datetime.now(UTC),
            fields=fields,
        )
        event, replayed = await self.events.create(event, _key(f"events:{school.id}", request.idempotency_key, fields))
        return pb.CreateEventResponse(event=translate.event(event, school.slug), replayed=replayed)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        key = await self._public_event(request.school, request.event)
        return pb.GetEventResponse(event=translate.event(await self.events.get(key), key.school.slug))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        set_school(request.school)
        school = await self.directory.school(request.school)
        set_school(school.slug, school.id, school.synthetic)
        limit = request.limit or _PAGE
        page = await self.events.open_page(school.id, cursor.read_page(request.cursor), limit + 1)
        more = cursor.write_page((page[limit - 1].starts_at, page[limit - 1].id)) if len(page) > limit else ""
        events = [translate.event(event, school.slug) for event in page[:limit]]
        return pb.ListEventsResponse(events=events, next_cursor=more)

    async def UpdateEvent(self, request: pb.UpdateEventRequest, context: Context) -> pb.UpdateEventResponse:
        key = await self.access.event(request.school, request.event, ADMINS)
        change = ChangeEvent(fields=translate.event_fields(request.fields), traceparent=traceparent_of())
        event = (await self.lanes.submit(key, change)).outcome
        assert isinstance(event, Event)  # noqa: S101 - the outcome of a ChangeEvent
        return pb.UpdateEventResponse(event=translate.event(event, key.school.slug))

    async def DeleteEvent(self, request: pb.DeleteEventRequest, context: Context) -> pb.DeleteEventResponse:
        key = await self.access.event(request.school, request.event, ADMINS)
        await self.events.delete(key)
        self.announce(SeatAnnouncement.of_deleted(key.id))
        return pb.DeleteEventResponse()

    async def WatchEvent(self, request: pb.WatchEventRequest, context: Context) -> AsyncIterator[pb.WatchEventResponse]:
        key = await self._public_event(request.school, request.event)
        # The watch begins before the read: a change in between is announced, and its version is higher.
        with self.watchers.watch(key.id) as watcher:
            event = await self.events.get(key)
            version = event.version
            yield pb.WatchEventResponse(seats=translate.seats(SeatAnnouncement.of(event)))
            while True:
                announcement, promoted = None, 0
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.reread_seconds):
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
        return pb.GetRegistrationResponse(registration=await self._registration(key, request.id))

    async def ListRegistrations(
        self, request: pb.ListRegistrationsRequest, context: Context
    ) -> pb.ListRegistrationsResponse:
        key = await self.access.event(request.school, request.event, VIEWERS)
        limit = request.limit or _PAGE
        page = await self.registrations.page(
            key,
            after=cursor.read_page(request.cursor),
            limit=limit + 1,
            status=translate.status_filter(request.status),
        )
        last = page[min(limit, len(page)) - 1].registration if page else None
        more = cursor.write_page((last.created_at, last.id)) if last and len(page) > limit else ""
        items = [self._message(key, view) for view in page[:limit]]
        return pb.ListRegistrationsResponse(items=items, next_cursor=more)

    async def ExportRegistrations(
        self, request: pb.ExportRegistrationsRequest, context: Context
    ) -> AsyncIterator[pb.ExportRegistrationsResponse]:
        key = await self.access.event(request.school, request.event, VIEWERS)
        after: cursor.PagePosition | None = None
        while page := await self.registrations.page(key, after=after, limit=_EXPORTED_AT_ONCE):
            items = [translate.registration(view, key.school) for view in page]
            yield pb.ExportRegistrationsResponse(items=items)
            after = page[-1].registration.created_at, page[-1].registration.id

    async def CancelRegistration(
        self, request: pb.CancelRegistrationRequest, context: Context
    ) -> pb.CancelRegistrationResponse:
        key, by_holder = await self.access.registration(request.id, request.manage_token, MANAGERS)
        cancel = Cancel(
            registration_id=parse_registration_id(request.id),
            by_holder=by_holder,
            reason=translate.reason(request.reason, "reason") if request.HasField("reason") else None,
            refund_agorot=request.refund_agorot if request.HasField("refund_agorot") else None,
            traceparent=traceparent_of(),
        )
        with self.telemetry.cancellation(key):
            await self.lanes.submit(key, cancel)
        return pb.CancelRegistrationResponse(registration=await self._registration(key, request.id))

    # Holds

    async def ConfirmHold(self, request: pb.ConfirmHoldRequest, context: Context) -> pb.ConfirmHoldResponse:
        return pb.ConfirmHoldResponse(registration=await self._apply(request, ConfirmHold))

    async def ReleaseHold(self, request: pb.ReleaseHoldRequest, context: Context) -> pb.ReleaseHoldResponse:
        return pb.ReleaseHoldResponse(
            registration=await self._apply(request, ReleaseHold, reason=request.reason or None)
        )

    async def ExtendHold(self, request: pb.ExtendHoldRequest, context: Context) -> pb.ExtendHoldResponse:
        return pb.ExtendHoldResponse(registration=await self._apply(request, ExtendHold, seconds=request.seconds))

    async def ReclaimHold(self, request: pb.ReclaimHoldRequest, context: Context) -> pb.ReclaimHoldResponse:
        return pb.ReclaimHoldResponse(registration=await self._apply(request, ReclaimHold, seconds=request.seconds))

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        key = await self.access.hold(
            request.registration_id, manage_token=request.manage_token, pay_token=request.pay_token
        )
        event = await self.events.get(key)
        return pb.GetHoldResponse(
            registration=await self._registration(key, request.registration_id),
            event=translate.event(event, key.school.slug),
        )

    async def ListChanges(self, request: pb.ListChangesRequest, context: Context) -> pb.ListChangesResponse:
        await self.access.service()
        must_be_consumer(request.consumer)
        limit = request.limit or _CHANGES
        changes = await self.feed.unread(request.consumer, read_cursor(request.cursor), limit=limit)
        after = str(changes[-1].id) if len(changes) == limit else ""
        return pb.ListChangesResponse(changes=[translate.change(change) for change in changes], cursor=after)

    async def AcknowledgeChanges(
        self, request: pb.AcknowledgeChangesRequest, context: Context
    ) -> pb.AcknowledgeChangesResponse:
        await self.access.service()
        must_be_consumer(request.consumer)
        await self.feed.acknowledge(request.consumer, [read_change_id(text, field="ids") for text in request.ids])
        return pb.AcknowledgeChangesResponse()

    async def _apply(
        self,
        request: pb.ConfirmHoldRequest | pb.ReleaseHoldRequest | pb.ExtendHoldRequest | pb.ReclaimHoldRequest,
        command: Callable[..., HoldCommand],
        **fields: Any,
    ) -> pb.Registration:
        registration_id = parse_registration_id(request.registration_id)
        await self.access.service()
        key = await self.directory.registration(registration_id)
        set_school(key.school.slug, key.school.id, key.school.synthetic)
        await self.lanes.submit(key, command(registration_id=registration_id, traceparent=traceparent_of(), **fields))
        return await self._registration(key, request.registration_id)

    # Check-in

    async def CheckIn(self, request: pb.CheckInRequest, context: Context) -> pb.CheckInResponse:
        key = await self.access.event(request.school, request.event, MANAGERS)
        view = await self.registrations.update_check_in(key, check_in, code=normalized(request.confirmation_code))
        return pb.CheckInResponse(registration=translate.registration(view, key.school))

    async def UndoCheckIn(self, request: pb.UndoCheckInRequest, context: Context) -> pb.UndoCheckInResponse:
        key = await self.access.event(request.school, request.event, MANAGERS)
        view = await self.registrations.update_check_in(
            key, lambda row, _: undo_check_in(row), registration_id=parse_registration_id(request.id)
        )
        return pb.UndoCheckInResponse(registration=translate.registration(view, key.school))

    async def _public_event(self, school: str, event: str) -> EventKey:
        set_school(school)
        key = await self.directory.event(school, event)
        set_school(key.school.slug, key.school.id, key.school.synthetic)
        return key

    async def _registration(self, key: EventKey, registration: str) -> pb.Registration:
        return self._message(key, await self.registrations.get(key, parse_registration_id(registration)))

    def _message(self, key: EventKey, view: RegistrationView) -> pb.Registration:
        """Return the message for callers who may see the pay token: the holder, the school, the payment service."""
        return translate.registration(view, key.school, self.pay_tokens.issue(view.registration.id))


def _key(scope: str, key: str, body: Mapping[str, object]) -> IdempotencyKey:
    return IdempotencyKey(scope=scope, key=key or str(uuid7()), fingerprint=fingerprint(scope, body))
