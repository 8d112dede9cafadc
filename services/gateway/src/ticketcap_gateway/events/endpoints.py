"""Serve the calls of events: list, create, get, update and delete."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import ADMINS

from ticketcap_gateway.access.callers import ORGANISER, Access, idempotency_key
from ticketcap_gateway.access.paths import event_of, school_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.fields import Page
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import created, json, no_content
from ticketcap_gateway.events import schemas, translation
from ticketcap_gateway.services.registration import RegistrationClient

_EVENTS: Final = "/api/v1/schools/{school}/events"
_EVENT: Final = _EVENTS + "/{event}"
_ONE_RESPONSE: Final = ResponseSpec(200, "The event and its seats.", schemas.Event)


class Events:
    """Serves a school's events."""

    topic = "Events"

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader) -> None:
        self._call, self._rpc = registration.call, registration.rpc
        self._access = access
        self._bodies = bodies

    @call(
        "GET",
        _EVENTS,
        name="listEvents",
        summary="The open events of a school, soonest first.",
        query=Page,
        responses=[ResponseSpec(200, "A page of events.", schemas.EventPage)],
    )
    async def list(self, request: Request) -> Response:
        """Return a page of open events."""
        school = school_of(request)
        page = read_query(request, Page)
        message = pb.ListEventsRequest(school=school, limit=page.limit, cursor=page.cursor)
        answer = await self._call(self._rpc.ListEvents, message)
        items = [translation.event(event) for event in answer.events]
        return json(schemas.EventPage(items=items, next_cursor=answer.next_cursor or None))

    @call(
        "POST",
        _EVENTS,
        name="createEvent",
        summary="Create an event. OWNER or ADMIN.",
        caller=ORGANISER,
        body=schemas.EventCreate,
        creates=True,
        responses=[ResponseSpec(201, "The new event.", schemas.Event)],
        problems=[409],
    )
    async def create(self, request: Request) -> Response:
        """Create an event."""
        school = school_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        key = idempotency_key(request)
        fields = translation.event_fields(await self._bodies.read(request, schemas.EventCreate))
        message = pb.CreateEventRequest(school=school, fields=fields, idempotency_key=key)
        answer = await self._call(self._rpc.CreateEvent, message, token)
        location = f"/api/v1/schools/{answer.event.school}/events/{answer.event.id}"
        return created(translation.event(answer.event), location=location, replayed=answer.replayed)

    @call(
        "GET",
        _EVENT,
        name="getEvent",
        summary="One event, by its id or slug, with its current seats.",
        responses=[_ONE_RESPONSE],
    )
    async def get(self, request: Request) -> Response:
        """Return one event."""
        school, event = event_of(request)
        answer = await self._call(self._rpc.GetEvent, pb.GetEventRequest(school=school, event=event))
        return json(translation.event(answer.event))

    @call(
        "PATCH",
        _EVENT,
        name="updateEvent",
        summary="Change some fields of an event; more capacity promotes from the waitlist. OWNER or ADMIN.",
        caller=ORGANISER,
        body=schemas.EventPatch,
        responses=[_ONE_RESPONSE],
        problems=[409],
    )
    async def update(self, request: Request) -> Response:
        """Change some fields of an event."""
        school, event = event_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        fields = translation.event_fields(await self._bodies.read(request, schemas.EventPatch))
        message = pb.UpdateEventRequest(school=school, event=event, fields=fields)
        answer = await self._call(self._rpc.UpdateEvent, message, token)
        return json(translation.event(answer.event))

    @call(
        "DELETE",
        _EVENT,
        name="deleteEvent",
        summary="Delete an event without any registration, past ones included. OWNER or ADMIN.",
        caller=ORGANISER,
        responses=[ResponseSpec(204, "The event is deleted.")],
        problems=[409],
    )
    async def delete(self, request: Request) -> Response:
        """Delete an event."""
        school, event = event_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        await self._call(self._rpc.DeleteEvent, pb.DeleteEventRequest(school=school, event=event), token)
        return no_content()
