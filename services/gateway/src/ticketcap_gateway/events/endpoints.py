"""Serve the calls of events: list, create, get, update and delete."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import ADMINS

from ticketcap_gateway.access.callers import ORGANISER, Access, idempotency_key
from ticketcap_gateway.access.paths import event_of, school_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.fields import Page
from ticketcap_gateway.edge.operation import Operation, ResponseSpec
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import created, json, no_content
from ticketcap_gateway.events import schemas, translation
from ticketcap_gateway.services.registration import RegistrationClient

_TOPIC = "Events"
_EVENTS = "/api/v1/schools/{school}/events"
_EVENT = _EVENTS + "/{event}"


class Events:
    """Serves a school's events."""

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader) -> None:
        self._call, self._rpc = registration.call, registration.rpc
        self._access = access
        self._bodies = bodies

    def operations(self) -> Sequence[Operation]:
        """Return every call of events."""
        one = ResponseSpec(status=200, description="The event and its seats.", body=schemas.Event)
        return (
            Operation(
                method="GET",
                path=_EVENTS,
                name="listEvents",
                summary="The open events of a school, soonest first.",
                topic=_TOPIC,
                handler=self.list,
                query=Page,
                responses=[ResponseSpec(status=200, description="A page of events.", body=schemas.EventPage)],
            ),
            Operation(
                method="POST",
                path=_EVENTS,
                name="createEvent",
                summary="Create an event. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.create,
                caller=ORGANISER,
                body=schemas.EventCreate,
                creates=True,
                responses=[ResponseSpec(status=201, description="The new event.", body=schemas.Event)],
                problems=[409],
            ),
            Operation(
                method="GET",
                path=_EVENT,
                name="getEvent",
                summary="One event, by its id or slug, with its current seats.",
                topic=_TOPIC,
                handler=self.get,
                responses=[one],
            ),
            Operation(
                method="PATCH",
                path=_EVENT,
                name="updateEvent",
                summary="Change some fields of an event; more capacity promotes from the waitlist. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.update,
                caller=ORGANISER,
                body=schemas.EventPatch,
                responses=[one],
                problems=[409],
            ),
            Operation(
                method="DELETE",
                path=_EVENT,
                name="deleteEvent",
                summary="Delete an event without any registration, past ones included. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.delete,
                caller=ORGANISER,
                responses=[ResponseSpec(status=204, description="The event is deleted.")],
                problems=[409],
            ),
        )

    async def list(self, request: Request) -> Response:
        """Return a page of open events."""
        school = school_of(request)
        page = read_query(request, Page)
        message = pb.ListEventsRequest(school=school, limit=page.limit, cursor=page.cursor)
        answer = await self._call(self._rpc.ListEvents, message)
        items = [translation.event(event) for event in answer.events]
        return json(schemas.EventPage(items=items, next_cursor=answer.next_cursor or None))

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

    async def get(self, request: Request) -> Response:
        """Return one event."""
        school, event = event_of(request)
        answer = await self._call(self._rpc.GetEvent, pb.GetEventRequest(school=school, event=event))
        return json(translation.event(answer.event))

    async def update(self, request: Request) -> Response:
        """Change some fields of an event."""
        school, event = event_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        fields = translation.event_fields(await self._bodies.read(request, schemas.EventPatch))
        message = pb.UpdateEventRequest(school=school, event=event, fields=fields)
        answer = await self._call(self._rpc.UpdateEvent, message, token)
        return json(translation.event(answer.event))

    async def delete(self, request: Request) -> Response:
        """Delete an event."""
        school, event = event_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        await self._call(self._rpc.DeleteEvent, pb.DeleteEventRequest(school=school, event=event), token)
        return no_content()
