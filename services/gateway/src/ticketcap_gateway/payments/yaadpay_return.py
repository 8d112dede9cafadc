"""Pass a return from YaadPay to the payment service, byte for byte.

YaadPay reports an outcome through the customer's browser only, so no return may get lost here: while the payment
service is unavailable, the page retries by itself at the same address.
"""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import ServiceError

from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.problems import Problems, QueryTooLong
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.edge.responses import json, see_other
from ticketcap_gateway.payments import page_texts, schemas, translation
from ticketcap_gateway.payments.notice_page import NoticePage, Refresh, page_specs, result_path
from ticketcap_gateway.payments.page_texts import Notice
from ticketcap_gateway.services.payment import PaymentClient

_MAX_QUERY_BYTES: Final = 8192
_REFUSED: Final = "RETURN_REFUSED"
_RETRY_SECONDS: Final = 5
_RATE: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
# A retry can't change these. Every other error may pass.
_FINAL: Final[dict[str, Notice]] = {
    _REFUSED: page_texts.NOT_GENUINE,
    "RATE_LIMITED": page_texts.TOO_MANY_REFUSED,
    "TOO_MANY_RETURNS": page_texts.TOO_MANY_RETURNS,
}


class YaadPayReturn:
    """Serves the return. ``refusals`` limits how many returns from one address may be refused as not genuine."""

    topic = "Payments"

    def __init__(self, payment: PaymentClient, access: Access, refusals: RateLimiter, problems: Problems) -> None:
        self._payment = payment
        self._access = access
        self._refusals = refusals
        self._problems = problems

    @call(
        "GET",
        "/api/v1/payments/yaadpay/return",
        name="settleReturn",
        summary="The address that YaadPay sends the browser back to. A repeated return settles once.",
        responses=[
            ResponseSpec(200, "The payment's state, where Accept prefers JSON.", schemas.PaymentResult),
            ResponseSpec(
                status=303,
                description="Settled.",
                headers={"Location": "The page that shows the payment's state."},
            ),
            *page_specs(
                {
                    400: "YaadPay did not send this; nothing was changed.",
                    429: "Too many returns from this address were not genuine.",
                    500: "An internal error; the page retries by itself.",
                    503: "A service is unavailable; the page retries by itself.",
                    504: "It was not settled in time; the page retries by itself.",
                }
            ),
        ],
        problems=[400, 414],
        deadline="return",
    )
    async def settle(self, request: Request) -> Response:
        """Settle a return."""
        # The raw bytes: decoding and encoding again could change the signed text.
        query: bytes = request.scope["query_string"]
        if len(query) > _MAX_QUERY_BYTES:
            raise QueryTooLong(f"the query string must have at most {_MAX_QUERY_BYTES} bytes")
        as_json = prefers_json(",".join(request.headers.getlist("accept")))
        try:
            result = await self._settled(request, query)
        except ServiceError as error:
            return self._problem(error) if as_json else self._page(error)
        return json(translation.payment_result(result)) if as_json else see_other(result_path(result.id))

    async def _settled(self, request: Request, query: bytes) -> pb.GetPaymentResultResponse:
        message = pb.SettleReturnRequest(query=query)
        try:
            return (await self._payment.call_patiently(self._payment.rpc.SettleReturn, message)).result
        except ServiceError as error:
            if error.reason == _REFUSED:
                # Only refusals count: forged returns from a shared address must not stop its genuine customers.
                self._refusals.use(self._access.address(request))
            raise

    def _problem(self, error: ServiceError) -> Response:
        response = self._problems.response_to(error)
        response.headers.update(self._retry_headers(error))
        return response

    def _page(self, error: ServiceError) -> Response:
        final = _FINAL.get(error.reason)
        # In both languages, since the customer's is unknown. The refresh keeps the address, and with it the query.
        page = NoticePage(
            notice=final or page_texts.RETURN_WAITS,
            languages=("he", "en"),
            refresh=None if final else Refresh(seconds=_RETRY_SECONDS),
        )
        return page.response(self._problems.status_of(error), self._retry_headers(error))

    def _retry_headers(self, error: ServiceError) -> dict[str, str]:
        """Return the headers of ``error``, with a Retry-After unless a retry is of no use."""
        headers = self._problems.headers_of(error)
        return headers if error.reason in _FINAL else {"retry-after": str(_RETRY_SECONDS)} | headers


def prefers_json(accept: str) -> bool:
    """Say whether an Accept header names JSON, and HTML not with a higher rate."""
    rates = dict(_media_rate(part) for part in accept.lower().split(","))
    json_rate = max(rates.get("application/json", 0.0), rates.get("application/problem+json", 0.0))
    return json_rate > 0 and json_rate >= rates.get("text/html", 0.0)


def _media_rate(part: str) -> tuple[str, float]:
    media_type, *parameters = (word.strip() for word in part.split(";"))
    rates = [float(match[1]) for word in parameters if (match := _RATE.fullmatch(word))]
    return media_type, rates[0] if rates else 1.0
