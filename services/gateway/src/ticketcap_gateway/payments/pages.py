"""The pages of a payment: the one to pay from, and the one that says how it stands."""

import secrets
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import InvalidInput, NotFound, ServiceError

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, is_uuid
from ticketcap_gateway.edge import form_body
from ticketcap_gateway.edge.form_body import FormReader
from ticketcap_gateway.edge.operation import Answer, Operation
from ticketcap_gateway.edge.problems import headers_of, status_of
from ticketcap_gateway.edge.query import read_query
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.payments import amounts, page_texts
from ticketcap_gateway.payments.notice_page import Page, Refresh, described, other_language, see_other
from ticketcap_gateway.payments.page_texts import Notice, Text
from ticketcap_gateway.registrations.links import result_page
from ticketcap_gateway.schemas import Language, PayForm
from ticketcap_gateway.services.payment import PaymentClient

_TOPIC: Final = "Pages"
_PAY: Final = "/pay/{registration}"
_MAX_FORM: Final = 2048
_KEY_BYTES: Final = 24
_LOOK_SECONDS: Final = 3
_LOOKS: Final = 20
_AWAY_SECONDS: Final = 5
_RUNNING: Final = "PAYMENT_RUNNING"
_NOT_PAYABLE: Final[Mapping[str, Notice]] = {
    "HOLD_EXPIRED": page_texts.HOLD_OVER,
    "REGISTRATION_NOT_FOUND": page_texts.NO_SUCH_REGISTRATION,
    "FREE_EVENT": page_texts.NOTHING_TO_PAY,
    "NOT_A_HOLD": page_texts.NOTHING_TO_PAY,
    "RATE_LIMITED": page_texts.TOO_OFTEN,
    "TOO_MANY_PAYMENTS": page_texts.TOO_OFTEN,
}
_IN_FLIGHT: Final = frozenset({"IDEMPOTENCY_IN_FLIGHT", "PAYMENT_OPENING"})


class PaymentPages:
    """Serves both. ``openings`` limits how often an address opens a payment, which may take ``seconds``."""

    def __init__(self, payment: PaymentClient, access: Access, openings: RateLimiter, *, seconds: float) -> None:
        self._payment = payment
        self._access = access
        self._openings = openings
        self._seconds = seconds
        self._forms = FormReader(_MAX_FORM)

    def operations(self) -> Sequence[Operation]:
        """Return the pages, and what the button does."""
        return (
            Operation(
                method="GET",
                path=_PAY,
                name="getPayPage",
                summary="A page to pay for a registration from; its address is the registration's pay_url.",
                topic=_TOPIC,
                handler=self.pay_page,
                query=schemas.PayPageQuery,
                answers=described({200: "The page.", 404: "The link can't be one."}),
                problems=[422],
            ),
            Operation(
                method="POST",
                path=_PAY,
                name="payFromPage",
                summary="What the page's button does: open the payment and go to YaadPay.",
                topic=_TOPIC,
                handler=self.pay,
                body=schemas.PayForm,
                body_media_type=form_body.MEDIA_TYPE,
                seconds=self._seconds,
                answers=[
                    Answer(
                        status=303,
                        description="To YaadPay's page; to the result page, when it is paid or being charged.",
                        headers={"Location": "Where the browser goes."},
                    ),
                    *described(
                        {
                            404: "The token opens no registration.",
                            409: "There is nothing to pay, or the request before is still under way.",
                            410: "The hold is over.",
                            429: "Too many attempts.",
                            500: "A fault of ours.",
                            503: "YaadPay or a service is away; the page has a button to try again.",
                            504: "YaadPay or a service did not answer in time; the page has a button to try again.",
                        }
                    ),
                ],
            ),
            Operation(
                method="GET",
                path="/payments/{id}",
                name="getResultPage",
                summary="A page that says how a payment stands, and not whose it is.",
                topic=_TOPIC,
                handler=self.result_page,
                query=schemas.ResultPageQuery,
                answers=described(
                    {
                        200: "How it stands; the page looks again by itself for a minute while that is not final.",
                        404: "No such payment.",
                        429: "The payment service is busy; the page looks again by itself.",
                        500: "A fault of ours; the page looks again by itself.",
                        503: "The payment service is away; the page looks again by itself.",
                        504: "The payment service is slow; the page looks again by itself.",
                    }
                ),
                problems=[422],
            ),
        )

    async def pay_page(self, request: Request) -> Response:
        """Show the button; what it costs is shown by YaadPay's page."""
        query = read_query(request, schemas.PayPageQuery)
        language = "he" if query.lang is MISSING else query.lang
        try:
            form = PayForm(token=query.token, key=secrets.token_urlsafe(_KEY_BYTES), lang=language)
        except ValueError:
            form = None
        if form is None or not is_uuid(request.path_params["registration"]):
            return _only(page_texts.NO_SUCH_REGISTRATION, language).response(404)
        switch = f"?token={quote(form.token, safe='')}&lang={other_language(language)}"
        return _with_button(page_texts.PAY, page_texts.GO_AND_PAY, form, switch=switch).response()

    async def pay(self, request: Request) -> Response:
        """Open a payment and send the browser to YaadPay."""
        form = await self._forms.read(request, PayForm)
        try:
            opened = await self._opened(request, form)
        except InvalidInput:
            # No page of ours sends that: whoever did is told in a program's way.
            raise
        except ServiceError as error:
            return _instead(error, form)
        return see_other(opened.redirect_url)

    async def _opened(self, request: Request, form: PayForm) -> pb.CreatePaymentResponse:
        registration = request.path_params["registration"]
        if not is_uuid(registration):
            raise NotFound("no such registration", reason="REGISTRATION_NOT_FOUND")
        message = pb.CreatePaymentRequest(
            registration_id=registration,
            pay_token=form.token,
            language=translate.language(form.lang),
            # The language is part of what was asked for: the same page in the other one asks anew.
            idempotency_key=f"page {form.lang} {form.key}",
        )
        address, digest = self._access.address(request), translate.digest(message)
        with self._openings.one_use(address, registration.lower(), request=digest) as use:
            answer = await self._payment.create_payment(message)
            if answer.replayed:
                use.give_back()
        return answer

    async def result_page(self, request: Request) -> Response:
        """Say how a payment stands."""
        query = read_query(request, schemas.ResultPageQuery)
        try:
            result = await self._result(request.path_params["id"])
        except ServiceError as error:
            return _no_result(error, "he" if query.lang is MISSING else query.lang)
        shown = translate.payment_result(result)
        language = shown.language if query.lang is MISSING else query.lang
        notice = page_texts.result(shown.state, shown.seat, result.failure)
        looks_again = notice.waits and query.looked < _LOOKS
        path = f"{result_page(shown.id)}?lang={language}"
        return Page(
            notice=notice if looks_again or not notice.waits else page_texts.waited_enough(notice),
            languages=(language,),
            body=_figures(result, language) + (_look_again(path, language) if notice.waits else ""),
            switch=f"?lang={other_language(language)}",
            refresh=Refresh(seconds=_LOOK_SECONDS, path=f"{path}&looked={query.looked + 1}") if looks_again else None,
        ).response()

    async def _result(self, payment: str) -> pb.GetPaymentResultResponse:
        if not is_uuid(payment):
            raise NotFound("no such payment", reason="PAYMENT_NOT_FOUND")
        return await self._payment.get_payment_result(pb.GetPaymentResultRequest(id=payment))


def _instead(error: ServiceError, form: PayForm) -> Response:
    """Return what a customer gets to see instead of YaadPay's page."""
    if error.reason == _RUNNING:
        # Either it can still be paid, or there is something to be told about it.
        payment = error.metadata.get("payment_id", "")
        return see_other(error.metadata.get("redirect_url") or f"{result_page(payment)}?lang={form.lang}")
    status, headers = status_of(error), headers_of(error)
    if error.reason in _NOT_PAYABLE:
        cancelled = error.metadata.get("status") == "CANCELLED"
        notice = page_texts.CANCELLED if cancelled else _NOT_PAYABLE[error.reason]
        return _only(notice, form.lang, switch=False).response(status, headers)
    notice = page_texts.BEING_OPENED if error.reason in _IN_FLIGHT else page_texts.PAYING_UNAVAILABLE
    # The same key: whatever came of the first request, this is no second one.
    return _with_button(notice, page_texts.TRY_AGAIN, form).response(status, headers)


def _no_result(error: ServiceError, language: Language) -> Response:
    if isinstance(error, NotFound):
        return _only(page_texts.NO_SUCH_PAYMENT, language).response(404)
    page = Page(notice=page_texts.RESULT_UNAVAILABLE, languages=(language,), refresh=Refresh(seconds=_AWAY_SECONDS))
    return page.response(status_of(error), {"retry-after": str(_AWAY_SECONDS)} | headers_of(error))


def _only(notice: Notice, language: Language, *, switch: bool = True) -> Page:
    return Page(notice=notice, languages=(language,), switch=f"?lang={other_language(language)}" if switch else "")


def _with_button(notice: Notice, button: Text, form: PayForm, *, switch: str = "") -> Page:
    fields = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in form.model_dump().items()
    )
    body = f'<form method="post" action="?">{fields}<button>{escape(button.spoken(form.lang))}</button></form>'
    return Page(notice=notice, languages=(form.lang,), body=body, switch=switch)


def _figures(result: pb.GetPaymentResultResponse, language: Language) -> str:
    rows = [(page_texts.AMOUNT, amounts.readable(result.amount_agorot, result.currency))]
    if result.refunded_agorot:
        rows.append((page_texts.GIVEN_BACK, amounts.readable(result.refunded_agorot, result.currency)))
    rows.append((page_texts.REFERENCE, result.id))
    # Figures run from left to right in Hebrew too.
    cells = "".join(
        f'<div><dt>{escape(name.spoken(language))}</dt><dd dir="ltr">{escape(value)}</dd></div>' for name, value in rows
    )
    return f"<dl>{cells}</dl>"


def _look_again(path: str, language: Language) -> str:
    return f'<a class="button" href="{escape(path)}">{escape(page_texts.LOOK_AGAIN.spoken(language))}</a>'
