"""Serve the calls of escalations: list, and resolve by a person's finding."""

from typing import Any, Final, get_args

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import NotFound
from ticketcap_chassis.identity.roles import SUPER_ADMINS

from ticketcap_gateway.access.callers import ORGANISER, Access
from ticketcap_gateway.access.paths import id_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import json
from ticketcap_gateway.payments import schemas, translation
from ticketcap_gateway.services.payment import PaymentClient

_KINDS: Final = get_args(schemas.EscalationKind)
_MAX_SHOWN: Final = 100
KIND_PARAMETER: Final[dict[str, Any]] = {
    "description": "The escalation's kind.",
    "schema": {"type": "string", "enum": list(_KINDS)},
}


class Escalations:
    """Serves escalations."""

    topic = "Escalations"

    def __init__(self, payment: PaymentClient, access: Access, bodies: BodyReader) -> None:
        self._payment = payment
        self._access = access
        self._bodies = bodies

    @call(
        "GET",
        "/api/v1/escalations",
        name="listEscalations",
        summary="The cases that only a person can settle, oldest first. SUPER_ADMIN.",
        caller=ORGANISER,
        query=schemas.EscalationQuery,
        responses=[ResponseSpec(200, "The oldest ones.", schemas.EscalationList)],
    )
    async def list(self, request: Request) -> Response:
        """Return the oldest escalations."""
        token = await self._access.organiser(request, SUPER_ADMINS)
        query = read_query(request, schemas.EscalationQuery)
        answer = await self._payment.call(
            self._payment.rpc.ListEscalations, pb.ListEscalationsRequest(limit=query.limit), token
        )
        return json(schemas.EscalationList(items=[translation.escalation(one) for one in answer.escalations]))

    @call(
        "POST",
        "/api/v1/escalations/{kind}/{id}/resolve",
        name="resolveEscalation",
        summary="Record a person's finding, with the caller's name. SUPER_ADMIN.",
        caller=ORGANISER,
        body=schemas.Resolution,
        responses=[ResponseSpec(200, "The escalation is resolved.", schemas.Resolved)],
        problems=[409],
        deadline="payment",
    )
    async def resolve(self, request: Request) -> Response:
        """Record a person's finding."""
        kind = request.path_params["kind"]
        if kind not in _KINDS:
            raise NotFound(f"no escalations of kind {kind[:_MAX_SHOWN]!r}", reason="ESCALATION_NOT_FOUND")
        subject = id_of(request, "escalation")
        token = await self._access.organiser(request, SUPER_ADMINS)
        body = await self._bodies.read(request, schemas.Resolution)
        message = pb.ResolveEscalationRequest(
            kind=kind,
            id=subject,
            moved=body.moved,
            yaadpay_id=None if body.yaadpay_id is MISSING else body.yaadpay_id,
            again=None if body.again is MISSING else body.again,
        )
        answer = await self._payment.call_patiently(self._payment.rpc.ResolveEscalation, message, token)
        if not answer.HasField("payment"):
            return json(schemas.Resolved())
        return json(schemas.Resolved(payment=translation.payment(answer.payment)))
