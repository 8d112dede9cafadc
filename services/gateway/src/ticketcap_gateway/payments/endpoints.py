"""Serve the calls of payments: open, get, refund and export."""

from typing import Final

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.identity.roles import ADMINS

from ticketcap_gateway.access.callers import HOLDER, ORGANISER, PAYER, Access, idempotency_key
from ticketcap_gateway.access.paths import id_of, school_of
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.csv_file import csv_download, csv_response
from ticketcap_gateway.edge.messages import to_model
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.payments import schemas, translation
from ticketcap_gateway.payments.csv_columns import COLUMNS, today
from ticketcap_gateway.payments.opening import PaymentOpener
from ticketcap_gateway.services.payment import PaymentClient

_ONE: Final = "/api/v1/payments/{id}"


class Payments:
    """Serves payments."""

    topic = "Payments"

    def __init__(
        self,
        payment: PaymentClient,
        access: Access,
        bodies: BodyReader,
        opener: PaymentOpener,
    ) -> None:
        self._payment = payment
        self._rpc = payment.rpc
        self._access = access
        self._bodies = bodies
        self._opener = opener

    @call(
        "POST",
        "/api/v1/registrations/{id}/payments",
        name="createPayment",
        summary="Open a payment for a hold; the answer holds the customer's next page. Only for the holder.",
        caller=PAYER,
        body=schemas.PaymentCreate,
        body_required=False,
        creates=True,
        responses=[ResponseSpec(201, "The new payment.", schemas.PaymentCreated)],
        problems=[409, 410, 429],
        deadline="payment",
    )
    async def create(self, request: Request) -> Response:
        """Open a payment."""
        registration = id_of(request, "registration")
        manage_token = await self._access.holder(request)
        key = idempotency_key(request)
        body = await self._bodies.read_optional(request, schemas.PaymentCreate)
        message = pb.CreatePaymentRequest(
            registration_id=registration,
            manage_token=manage_token,
            language=None if body.language is MISSING else translation.language(body.language),
            idempotency_key=key,
        )
        answer = await self._opener.open(request, message)
        location = f"/api/v1/payments/{answer.payment_id}"
        return created(to_model(schemas.PaymentCreated, answer), location=location, replayed=answer.replayed)

    @call(
        "GET",
        _ONE,
        name="getPayment",
        summary="One payment with its refunds. Organisers: OWNER or ADMIN.",
        caller=HOLDER,
        responses=[ResponseSpec(200, "The payment.", schemas.Payment)],
    )
    async def get(self, request: Request) -> Response:
        """Return one payment."""
        payment = id_of(request, "payment")
        credentials = await self._access.credentials(request, ADMINS)
        message = pb.GetPaymentRequest(id=payment, manage_token=credentials.manage_token)
        answer = await self._payment.call(self._rpc.GetPayment, message, credentials.organiser)
        return json(translation.payment(answer.payment))

    @call(
        "POST",
        _ONE + "/refunds",
        name="createRefund",
        summary="Refund a captured payment, in whole or in part. OWNER or ADMIN.",
        caller=ORGANISER,
        body=schemas.RefundCreate,
        body_required=False,
        creates=True,
        responses=[ResponseSpec(201, "The refund.", schemas.RefundCreated)],
        problems=[409],
        deadline="payment",
    )
    async def refund(self, request: Request) -> Response:
        """Refund a payment."""
        payment = id_of(request, "payment")
        token = await self._access.organiser(request, ADMINS)
        key = idempotency_key(request)
        body = await self._bodies.read_optional(request, schemas.RefundCreate)
        message = pb.RefundPaymentRequest(
            payment_id=payment,
            amount_agorot=None if body.amount_agorot is MISSING else body.amount_agorot,
            idempotency_key=key,
        )
        answer = await self._payment.call_patiently(self._rpc.RefundPayment, message, token)
        refund, after = translation.refund(answer.refund), translation.payment(answer.payment)
        # A refund has no address of its own: it is listed with its payment.
        return created(
            schemas.RefundCreated(refund=refund, payment=after),
            location=f"/api/v1/payments/{payment}",
            replayed=answer.replayed,
        )

    @call(
        "GET",
        "/api/v1/schools/{school}/payments.csv",
        name="exportPayments",
        summary="A day's charges and refunds for bookkeeping. OWNER or ADMIN.",
        caller=ORGANISER,
        query=schemas.DayQuery,
        responses=[csv_response(COLUMNS, "Refunds are negative; day is a day in Israel.")],
        deadline="export",
    )
    async def export(self, request: Request) -> Response:
        """Stream a day's charges and refunds as CSV."""
        school = school_of(request)
        token = await self._access.organiser(request, ADMINS, school)
        query = read_query(request, schemas.DayQuery)
        day = today() if query.day is MISSING else query.day
        message = pb.ExportPaymentsRequest(school=school, day=day)
        batches = self._payment.stream(self._rpc.ExportPayments, message, token)
        return await csv_download(f"{school}-payments-{day}", COLUMNS, batches, lambda batch: batch.entries)
