"""The way back from YaadPay: what the browser brings is passed on byte for byte, and settled.

YaadPay tells the outcome through the customer's browser only, so that nothing may get lost here: while the payment
service is away the page asks again by itself, with the same address.
"""

import re
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import ServiceError

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.operation import Answer, Operation
from ticketcap_gateway.edge.problems import QueryTooLong, headers_of, response_to, status_of
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.edge.responses import json
from ticketcap_gateway.payments import page_texts
from ticketcap_gateway.payments.notice_page import Page, Refresh, described, see_other
from ticketcap_gateway.payments.page_texts import Notice
from ticketcap_gateway.registrations.links import result_page
from ticketcap_gateway.services.payment import PaymentClient

_MAX_QUERY: Final = 8192
_REFUSED: Final = "RETURN_REFUSED"
_AGAIN_SECONDS: Final = 5
_RATE: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
# What asking again does not change. Everything else passes, or is a fault of ours that may pass.
_FINAL: Final[dict[str, Notice]] = {
    _REFUSED: page_texts.NOT_GENUINE,
    "RATE_LIMITED": page_texts.TOO_MANY_REFUSED,
    "TOO_MANY_RETURNS": page_texts.TOO_MANY_RETURNS,
}


class YaadPayReturn:
    """Serves the return. ``refusals`` limits how often an address may bring what YaadPay did not send."""

    def __init__(self, payment: PaymentClient, access: Access, refusals: RateLimiter, *, seconds: float) -> None:
        self._payment = payment
        self._access = access
        self._refusals = refusals
        self._seconds = seconds

    def operations(self) -> Sequence[Operation]:
        """Return the call."""
        return (
            Operation(
                method="GET",
                path="/api/v1/payments/yaadpay/return",
                name="settleReturn",
                summary="Where YaadPay sends the browser back to. The same return twice is settled once.",
                topic="Payments",
                handler=self.settle,
                seconds=self._seconds,
                answers=[
                    Answer(
                        status=200,
                        description="How the payment stands, where Accept asks for JSON.",
                        body=schemas.PaymentResult,
                    ),
                    Answer(
                        status=303,
                        description="Settled.",
                        headers={"Location": "The page that says how the payment stands."},
                    ),
                    *described(
                        {
                            400: "YaadPay did not send this; nothing was changed.",
                            429: "Too much from this address was not genuine.",
                            500: "A fault of ours; the page asks again by itself.",
                            503: "A part is down; the page asks again by itself.",
                            504: "It was not settled in time; the page asks again by itself.",
                        }
                    ),
                ],
                problems=[400, 414],
            ),
        )

    async def settle(self, request: Request) -> Response:
        """Settle a return."""
        # As it came: what is decoded and encoded again is not what YaadPay has signed.
        query: bytes = request.scope["query_string"]
        if len(query) > _MAX_QUERY:
            raise QueryTooLong(f"what stands after the question mark must have at most {_MAX_QUERY} bytes")
        as_json = asks_for_json(",".join(request.headers.getlist("accept")))
        try:
            result = await self._settled(request, query)
        except ServiceError as error:
            return _problem(error) if as_json else _page(error)
        return json(translate.payment_result(result)) if as_json else see_other(result_page(result.id))

    async def _settled(self, request: Request, query: bytes) -> pb.GetPaymentResultResponse:
        try:
            return (await self._payment.settle_return(pb.SettleReturnRequest(query=query))).result
        except ServiceError as error:
            if error.reason == _REFUSED:
                # Only these count: who pays is never kept from it by what others send from the same address.
                self._refusals.use(self._access.address(request))
            raise


def asks_for_json(accept: str) -> bool:
    """Say whether an Accept header names JSON, and HTML not rather."""
    rates = dict(_rated(part) for part in accept.lower().split(","))
    json_rate = max(rates.get("application/json", 0.0), rates.get("application/problem+json", 0.0))
    return json_rate > 0 and json_rate >= rates.get("text/html", 0.0)


def _rated(part: str) -> tuple[str, float]:
    media_type, *parameters = (word.strip() for word in part.split(";"))
    rates = [float(match[1]) for word in parameters if (match := _RATE.fullmatch(word))]
    return media_type, rates[0] if rates else 1.0


def _again(error: ServiceError) -> dict[str, str]:
    """Return the headers of an answer to ``error``; they always say when to ask again, unless that is no use."""
    if error.reason in _FINAL:
        return headers_of(error)
    return {"retry-after": str(_AGAIN_SECONDS)} | headers_of(error)


def _problem(error: ServiceError) -> Response:
    response = response_to(error)
    response.headers.update(_again(error))
    return response


def _page(error: ServiceError) -> Response:
    final = _FINAL.get(error.reason)
    # Both languages: whoever this is has told us none. The address, and with it the query, stays what it is.
    page = Page(
        notice=final or page_texts.RETURN_WAITS,
        languages=("he", "en"),
        refresh=None if final else Refresh(seconds=_AGAIN_SECONDS),
    )
    return page.response(status_of(error), _again(error))
