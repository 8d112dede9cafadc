"""Serve the calls of registrations: claim, list, export, get and cancel."""

from typing import Final

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import MANAGERS, VIEWERS

from ticketcap_gateway.access.callers import HOLDER, ORGANISER, Access, idempotency_key
from ticketcap_gateway.access.paths import event_of, id_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.csv_file import csv_download, csv_response
from ticketcap_gateway.edge.messages import digest
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.registrations import schemas, translation
from ticketcap_gateway.registrations.claims import ClaimCoalescer
from ticketcap_gateway.registrations.csv_columns import COLUMNS
from ticketcap_gateway.registrations.translation import PayLinks
from ticketcap_gateway.services.registration import RegistrationClient

_OF_EVENT = "/api/v1/schools/{school}/events/{event}/registrations"
_ONE = "/api/v1/registrations/{id}"
# Organisers are identified by their tokens.
_UNLIMITED: Final = RateLimiter(None)
_ONE_RESPONSE: Final = ResponseSpec(200, "The registration.", schemas.Registration)


class Registrations:
    """Serves registrations. Public writes are limited by client address, separately for each kind and event."""

    topic = "Registrations"

    def __init__(
        self,
        registration: RegistrationClient,
        claims: ClaimCoalescer,
        access: Access,
        bodies: BodyReader,
        links: PayLinks,
        *,
        writes_per_hour: int | None,
    ) -> None:
        self._registration = registration
        self._call, self._rpc = registration.call, registration.rpc
        self._claims = claims
        self._access = access
        self._bodies = bodies
        self._links = links
        self._creations = RateLimiter(writes_per_hour)
        self._cancellations = RateLimiter(writes_per_hour)

    @call(
        "POST",
        _OF_EVENT,
        name="createRegistration",
        summary="Claim spots: confirmed, held for payment, or on the waitlist, at once and finally.",
        body=schemas.RegistrationCreate,
        creates=True,
        responses=[ResponseSpec(201, "The final answer.", schemas.RegistrationCreated)],
        problems=[409, 429],
    )
    async def create(self, request: Request) -> Response:
        """Claim spots."""
        school, event = event_of(request)
        key = idempotency_key(request)
        body = await self._bodies.read(request, schemas.RegistrationCreate)
        claim = translation.claim(body, school=school, event=event, idempotency_key=key)
        address = self._access.address(request)
        with self._creations.one_use(address, f"{school}/{event.lower()}", request=digest(claim)) as use:
            answer = await self._claims.register(claim)
            if answer.replayed:
                use.cancel()
        location = f"/api/v1/registrations/{answer.id}"
        return created(
            translation.registration_created(answer, self._links), location=location, replayed=answer.replayed
        )

    @call(
        "GET",
        _OF_EVENT,
        name="listRegistrations",
        summary="A page of an event's registrations, oldest first. VIEWER and up.",
        caller=ORGANISER,
        query=schemas.RegistrationPageQuery,
        responses=[ResponseSpec(200, "A page.", schemas.RegistrationPage)],
    )
    async def list(self, request: Request) -> Response:
        """Return a page of an event's registrations."""
        school, event = event_of(request)
        token = await self._access.organiser(request, VIEWERS, school)
        page = read_query(request, schemas.RegistrationPageQuery)
        message = pb.ListRegistrationsRequest(
            school=school,
            event=event,
            cursor=page.cursor,
            limit=page.limit,
            status=None if page.status is MISSING else translation.registration_status(page.status),
        )
        answer = await self._call(self._rpc.ListRegistrations, message, token)
        items = [translation.registration(item, self._links) for item in answer.items]
        return json(schemas.RegistrationPage(items=items, next_cursor=answer.next_cursor or None))

    @call(
        "GET",
        _OF_EVENT + ".csv",
        name="exportRegistrations",
        summary="Every registration of an event, oldest first, for a spreadsheet. VIEWER and up.",
        caller=ORGANISER,
        responses=[csv_response(COLUMNS, "Israeli phones are in local spelling.")],
        deadline="export",
    )
    async def export(self, request: Request) -> Response:
        """Stream an event's registrations as CSV."""
        school, event = event_of(request)
        token = await self._access.organiser(request, VIEWERS, school)
        message = pb.ExportRegistrationsRequest(school=school, event=event)
        batches = self._registration.stream(self._rpc.ExportRegistrations, message, token)
        return await csv_download(f"{school}-{event}-registrations", COLUMNS, batches, lambda batch: batch.items)

    @call(
        "GET",
        _ONE,
        name="getRegistration",
        summary="One registration: its status, and its position on the waitlist.",
        caller=HOLDER,
        responses=[_ONE_RESPONSE],
    )
    async def get(self, request: Request) -> Response:
        """Return one registration."""
        registration = id_of(request, "registration")
        credentials = await self._access.credentials(request, VIEWERS)
        message = pb.GetRegistrationRequest(id=registration, manage_token=credentials.manage_token)
        answer = await self._call(self._rpc.GetRegistration, message, credentials.organiser)
        return json(translation.registration(answer.registration, self._links))

    @call(
        "POST",
        _ONE + "/cancel",
        name="cancelRegistration",
        summary="Cancel a registration: its spots go to the waitlist at once, and its payment is refunded. "
        "Organisers: MANAGER and up, at any time, with refund_agorot for a refund in part.",
        caller=HOLDER,
        body=schemas.Cancellation,
        body_required=False,
        responses=[_ONE_RESPONSE],
        problems=[409, 429],
    )
    async def cancel(self, request: Request) -> Response:
        """Cancel a registration."""
        registration = id_of(request, "registration")
        credentials = await self._access.credentials(request, MANAGERS)
        body = await self._bodies.read_optional(request, schemas.Cancellation)
        message = pb.CancelRegistrationRequest(
            id=registration,
            manage_token=credentials.manage_token,
            reason=body.reason,
            refund_agorot=None if body.refund_agorot is MISSING else body.refund_agorot,
        )
        limited = self._cancellations if credentials.manage_token else _UNLIMITED
        with limited.one_use(self._access.address(request), registration.lower()):
            answer = await self._call(self._rpc.CancelRegistration, message, credentials.organiser)
        return json(translation.registration(answer.registration, self._links))
