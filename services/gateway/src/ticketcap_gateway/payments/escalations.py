"""Calls about what only a person can settle: seeing what waits, and saying what YaadPay's portal shows."""

from collections.abc import Sequence
from typing import Final

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.identity.roles import SUPER_ADMINS

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, escalation_of
from ticketcap_gateway.edge.json_body import BodyReader
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import json
from ticketcap_gateway.services.payment import PaymentClient

_TOPIC: Final = "Escalations"


class Escalations:
    """Serves /escalations. ``seconds`` is for what YaadPay is asked."""

    def __init__(self, payment: PaymentClient, access: Access, bodies: BodyReader, *, seconds: float) -> None:
        self._payment = payment
        self._access = access
        self._bodies = bodies
        self._seconds = seconds

    def operations(self) -> Sequence[Operation]:
        """Return both calls."""
        return (
            Operation(
                method="GET",
                path="/api/v1/escalations",
                name="listEscalations",
                summary="What waits for a person, oldest first. SUPER_ADMIN.",
                topic=_TOPIC,
                handler=self.list,
                caller=Caller.ORGANISER,
                query=schemas.EscalationQuery,
                answers=[Answer(status=200, description="The oldest.", body=schemas.EscalationList)],
            ),
            Operation(
                method="POST",
                path="/api/v1/escalations/{kind}/{id}/resolve",
                name="resolveEscalation",
                summary="Record what a person found; it is kept with who said it. SUPER_ADMIN.",
                topic=_TOPIC,
                handler=self.resolve,
                caller=Caller.ORGANISER,
                body=schemas.Resolution,
                seconds=self._seconds,
                answers=[Answer(status=200, description="It is settled.", body=schemas.Resolved)],
                problems=[409],
            ),
        )

    async def list(self, request: Request) -> Response:
        """Return what waits for a person."""
        token = await self._access.organiser(request, SUPER_ADMINS)
        query = read_query(request, schemas.EscalationQuery)
        answer = await self._payment.list_escalations(pb.ListEscalationsRequest(limit=query.limit), token)
        return json(schemas.EscalationList(items=[translate.escalation(one) for one in answer.escalations]))

    async def resolve(self, request: Request) -> Response:
        """Record what a person found."""
        kind, subject = escalation_of(request)
        token = await self._access.organiser(request, SUPER_ADMINS)
        body = await self._bodies.read(request, schemas.Resolution)
        message = pb.ResolveEscalationRequest(
            kind=kind,
            id=subject,
            moved=body.moved,
            yaadpay_id=None if body.yaadpay_id is MISSING else body.yaadpay_id,
            again=None if body.again is MISSING else body.again,
        )
        answer = await self._payment.resolve_escalation(message, token)
        if not answer.HasField("payment"):
            return json(schemas.Resolved())
        return json(schemas.Resolved(payment=translate.payment(answer.payment)))
