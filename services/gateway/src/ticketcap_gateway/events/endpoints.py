"""Calls about events: what anyone sees of them, and how organisers open, change and remove them."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import ADMINS

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, event_of, idempotency_key, school_of
from ticketcap_gateway.edge.json_body import BodyReader
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import created, json, no_content
from ticketcap_gateway.services.registration import RegistrationClient

_TOPIC = "Events"
_EVENTS = "/api/v1/schools/{school}/events"
_EVENT = _EVENTS + "/{event}"


class Events:
    """Serves a school's events."""

    def __init__(self, registration: RegistrationClient, access: Access, bodies: BodyReader) -> None:
        self._registration = registration
        self._access = access
        self._bodies = bodies

    def operations(self) -> Sequence[Operation]:
        """Return every call about events."""
        one = Answer(status=200, description="The event and its seats.", body=schemas.Event)
        return (
            Operation(
                method="GET",
                path=_EVENTS,
                name="listEvents",
                summary="The open events of a school, soonest first.",
                topic=_TOPIC,
                handler=self.list,
                query=schemas.Page,
                answers=[Answer(status=200, description="A page of events.", body=schemas.EventPage)],
            ),
            Operation(
                method="POST",
                path=_EVENTS,
                name="createEvent",
                summary="Open an event. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.create,
                caller=Caller.ORGANISER,
                body=schemas.EventCreate,
                creates=True,
                answers=[Answer(status=201, description="The new event.", body=schemas.Event)],
                problems=[409],
            ),
            Operation(
                method="GET",
                path=_EVENT,
                name="getEvent",
                summary="One event, by its id or slug, with its seats as of now.",
                topic=_TOPIC,
                handler=self.get,
                answers=[one],
            ),
            Operation(
                method="PATCH",
                path=_EVENT,
                name="updateEvent",
                summary="Change some fields of an event; more capacity promotes from the waitlist. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.update,
                caller=Caller.ORGANISER,
                body=schemas.EventPatch,
                answers=[one],
                problems=[409],
            ),
            Operation(
                method="DELETE",
                path=_EVENT,
                name="deleteEvent",
                summary="Remove an event that nobody ever registered for. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.delete,
                caller=Caller.ORGANISER,
                answers=[Answer(status=204, description="The event is gone.")],
                problems=[409],
            ),
        )

    async def list(self, request: Request) -> Response:
        """Return a page of open events."""
        school = school_of(request)
        page = read_query(request, schemas.Page)
        message = pb.ListEventsRequest(school=school, limit=page.limit, cursor=page.cursor)
        answer = await self._registration.list_events(message)
        items = [translate.event(event) for event in answer.events]
        return json(schemas.EventPage(items=items, next_cursor=answer.next_cursor or None))

    async def create(self, request: Request) -> Response:
        """Open an event."""
        school = school_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        key = idempotency_key(request)
        fields = translate.event_fields(await self._bodies.read(request, schemas.EventCreate))
        message = pb.CreateEventRequest(school=school, fields=fields, idempotency_key=key)
        answer = await self._registration.create_event(message, token)
        location = f"/api/v1/schools/{answer.event.school}/events/{answer.event.id}"
        return created(translate.event(answer.event), location=location, replayed=answer.replayed)

    async def get(self, request: Request) -> Response:
        """Return one event."""
        school, event = event_of(request)
        answer = await self._registration.get_event(pb.GetEventRequest(school=school, event=event))
        return json(translate.event(answer.event))

    async def update(self, request: Request) -> Response:
        """Change some fields of an event."""
        school, event = event_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        fields = translate.event_fields(await self._bodies.read(request, schemas.EventPatch))
        message = pb.UpdateEventRequest(school=school, event=event, fields=fields)
        answer = await self._registration.update_event(message, token)
        return json(translate.event(answer.event))

    async def delete(self, request: Request) -> Response:
        """Remove an event."""
        school, event = event_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        await self._registration.delete_event(pb.DeleteEventRequest(school=school, event=event), token)
        return no_content()
