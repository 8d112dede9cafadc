"""Serve the pages of a payment: pay, and the result."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import InvalidInput, NotFound, ServiceError

from ticketcap_gateway.access.paths import is_uuid
from ticketcap_gateway.edge.bodies import FORM, BodyReader
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.problems import Problems
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.responses import see_other
from ticketcap_gateway.payments import amounts, page_texts, schemas, translation
from ticketcap_gateway.payments.notice_page import NoticePage, Refresh, other_language, page_specs, result_path
from ticketcap_gateway.payments.opening import PaymentOpener
from ticketcap_gateway.payments.page_texts import Notice
from ticketcap_gateway.payments.schemas import Language, PayForm
from ticketcap_gateway.services.payment import PaymentClient

_PAY: Final = "/pay/{registration}"
_MAX_FORM_BYTES: Final = 2048
_KEY_BYTES: Final = 24
_REFRESH_SECONDS: Final = 3
_MAX_REFRESHES: Final = 20
_UNAVAILABLE_SECONDS: Final = 5
_RUNNING: Final = "PAYMENT_RUNNING"
_NOT_PAYABLE: Final[Mapping[str, Notice]] = {
    "HOLD_EXPIRED": page_texts.HOLD_EXPIRED,
    "REGISTRATION_NOT_FOUND": page_texts.REGISTRATION_NOT_FOUND,
    "FREE_EVENT": page_texts.NOTHING_TO_PAY,
    "NOT_A_HOLD": page_texts.NOTHING_TO_PAY,
    "RATE_LIMITED": page_texts.TOO_MANY_ATTEMPTS,
    "TOO_MANY_PAYMENTS": page_texts.TOO_MANY_ATTEMPTS,
}
_IN_FLIGHT: Final = frozenset({"IDEMPOTENCY_IN_FLIGHT", "PAYMENT_OPENING"})


class PaymentPages:
    """Serves both pages."""

    topic = "Pages"

    def __init__(self, payment: PaymentClient, opener: PaymentOpener, problems: Problems) -> None:
        self._call, self._rpc = payment.call, payment.rpc
        self._opener = opener
        self._problems = problems
        self._bodies = BodyReader(_MAX_FORM_BYTES)

    @call(
        "GET",
        _PAY,
        name="getPayPage",
        summary="The page to pay for a registration; its address is the registration's pay_url.",
        query=schemas.PayPageQuery,
        responses=page_specs({200: "The page.", 404: "The link is invalid."}),
        problems=[422],
    )
    async def pay_page(self, request: Request) -> Response:
        """Show the button; YaadPay's page shows the amount."""
        query = read_query(request, schemas.PayPageQuery)
        language = "he" if query.lang is MISSING else query.lang
        try:
            form = PayForm(token=query.token, key=secrets.token_urlsafe(_KEY_BYTES), lang=language)
        except ValueError:
            form = None
        if form is None or not is_uuid(request.path_params["registration"]):
            return _notice(page_texts.REGISTRATION_NOT_FOUND, language).response(404)
        return NoticePage(
            notice=page_texts.PAY,
            languages=(language,),
            form=form,
            button=page_texts.GO_AND_PAY,
            switch=f"?token={quote(form.token, safe='')}&lang={other_language(language)}",
        ).response()

    @call(
        "POST",
        _PAY,
        name="payFromPage",
        summary="The action of the page's button: open the payment and go to YaadPay.",
        body=schemas.PayForm,
        body_media_type=FORM,
        responses=[
            ResponseSpec(
                status=303,
                description="To YaadPay's page; to the result page, when it is paid or being charged.",
                headers={"Location": "The browser's next page."},
            ),
            *page_specs(
                {
                    404: "The token opens no registration.",
                    409: "There is nothing to pay, or the previous request is still in progress.",
                    410: "The hold has expired.",
                    429: "Too many attempts.",
                    500: "An internal error.",
                    503: "YaadPay or a service is unavailable; the page has a button to try again.",
                    504: "YaadPay or a service did not answer in time; the page has a button to try again.",
                }
            ),
        ],
        deadline="payment",
    )
    async def pay(self, request: Request) -> Response:
        """Open a payment and send the browser to YaadPay."""
        form = await self._bodies.read_form(request, PayForm)
        try:
            payment = await self._open(request, form)
        except InvalidInput:
            # Our page sends nothing invalid, so this client is a program: it gets a problem.
            raise
        except ServiceError as error:
            return self._not_opened(error, form)
        return see_other(payment.redirect_url)

    async def _open(self, request: Request, form: PayForm) -> pb.CreatePaymentResponse:
        registration = request.path_params["registration"]
        if not is_uuid(registration):
            raise NotFound("no such registration", reason="REGISTRATION_NOT_FOUND")
        message = pb.CreatePaymentRequest(
            registration_id=registration,
            pay_token=form.token,
            language=translation.language(form.lang),
            # The language is part of the request: the same page in the other language is another request.
            idempotency_key=f"page {form.lang} {form.key}",
        )
        return await self._opener.open(request, message)

    def _not_opened(self, error: ServiceError, form: PayForm) -> Response:
        """Return the customer's page instead of YaadPay's."""
        if error.reason == _RUNNING:
            # It can still be paid at redirect_url, or its result page explains it.
            payment = error.metadata.get("payment_id", "")
            return see_other(error.metadata.get("redirect_url") or f"{result_path(payment)}?lang={form.lang}")
        status, headers = self._problems.status_of(error), self._problems.headers_of(error)
        if error.reason in _NOT_PAYABLE:
            cancelled = error.metadata.get("status") == "CANCELLED"
            notice = page_texts.CANCELLED if cancelled else _NOT_PAYABLE[error.reason]
            return NoticePage(notice=notice, languages=(form.lang,)).response(status, headers)
        notice = page_texts.PAYMENT_OPENING if error.reason in _IN_FLIGHT else page_texts.PAYING_UNAVAILABLE
        # The form keeps its key: if the first request did open a payment, the next one gets the same.
        return NoticePage(notice=notice, languages=(form.lang,), form=form).response(status, headers)

    @call(
        "GET",
        "/payments/{id}",
        name="getResultPage",
        summary="The page that shows the state of a payment, without any personal data.",
        query=schemas.ResultPageQuery,
        responses=page_specs(
            {
                200: "The payment's state; the page refreshes itself for a minute while that is not final.",
                404: "The payment is unknown.",
                429: "The payment service is busy; the page refreshes itself.",
                500: "An internal error; the page refreshes itself.",
                503: "The payment service is unavailable; the page refreshes itself.",
                504: "The payment service did not answer in time; the page refreshes itself.",
            }
        ),
        problems=[422],
    )
    async def result_page(self, request: Request) -> Response:
        """Show the state of a payment."""
        query = read_query(request, schemas.ResultPageQuery)
        try:
            message = await self._result(request.path_params["id"])
        except ServiceError as error:
            return self._no_result(error, "he" if query.lang is MISSING else query.lang)
        result = translation.payment_result(message)
        language = result.language if query.lang is MISSING else query.lang
        notice = page_texts.result(result.state, result.seat, message.failure)
        refreshes = notice.waits and query.looked < _MAX_REFRESHES
        path = f"{result_path(result.id)}?lang={language}"
        return NoticePage(
            notice=notice if refreshes or not notice.waits else page_texts.still_checking(notice),
            languages=(language,),
            figures=_figures(message),
            check_again=path if notice.waits else "",
            switch=f"?lang={other_language(language)}",
            refresh=Refresh(seconds=_REFRESH_SECONDS, path=f"{path}&looked={query.looked + 1}") if refreshes else None,
        ).response()

    async def _result(self, payment: str) -> pb.GetPaymentResultResponse:
        if not is_uuid(payment):
            raise NotFound("no such payment", reason="PAYMENT_NOT_FOUND")
        return await self._call(self._rpc.GetPaymentResult, pb.GetPaymentResultRequest(id=payment))

    def _no_result(self, error: ServiceError, language: Language) -> Response:
        if isinstance(error, NotFound):
            return _notice(page_texts.PAYMENT_NOT_FOUND, language).response(404)
        page = NoticePage(
            notice=page_texts.RESULT_UNAVAILABLE,
            languages=(language,),
            refresh=Refresh(seconds=_UNAVAILABLE_SECONDS),
        )
        headers = {"retry-after": str(_UNAVAILABLE_SECONDS)} | self._problems.headers_of(error)
        return page.response(self._problems.status_of(error), headers)


def _notice(notice: Notice, language: Language) -> NoticePage:
    return NoticePage(notice=notice, languages=(language,), switch=f"?lang={other_language(language)}")


def _figures(result: pb.GetPaymentResultResponse) -> Sequence[tuple[page_texts.Phrase, str]]:
    figures = [(page_texts.AMOUNT, amounts.readable(result.amount_agorot, result.currency))]
    if result.refunded_agorot:
        figures.append((page_texts.REFUNDED, amounts.readable(result.refunded_agorot, result.currency)))
    return [*figures, (page_texts.PAYMENT_NUMBER, result.id)]
