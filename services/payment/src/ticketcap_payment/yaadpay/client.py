"""Call YaadPay: one method per action, each call bounded and measured.

Parameters travel in a form, so that no secret stands in an address. No trace header is sent to YaadPay.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from ticketcap_chassis import deadlines
from ticketcap_observability import get_logger

from ticketcap_payment.telemetry import PaymentTelemetry
from ticketcap_payment.yaadpay.amounts import coin, decimal
from ticketcap_payment.yaadpay.ccodes import FORGED_OR_MISSING, NOT_AUTHENTICATED, SUCCEEDED, class_of
from ticketcap_payment.yaadpay.response import Outcome, YaadPayResponse, ccode_of, fields_of, parse_response
from ticketcap_payment.yaadpay.signatures import is_equal, page_signature
from ticketcap_payment.yaadpay.wire import harmless, query

_MAX_BODY: Final = 256 * 1024
_SAFE_TRIES: Final = 2
_INFO_LENGTH: Final = 100
_NAME_LENGTH: Final = 50
_J5_AUTHORIZER: Final = "7"
_CONNECT_SECONDS: Final = 5.0
_SLACK_SECONDS: Final = 1.0
"""The part of the caller's time that is left for storing YaadPay's response and answering the caller."""
_UNREACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UTF8: Final = {"UTF8": "True", "UTF8out": "True"}

_log = get_logger(__name__)


class YaadPayError(Exception):
    """A call that moves no money failed."""


class YaadPayUnavailable(YaadPayError):
    """No response, or an unreadable one; the message says which."""


class YaadPayUnreached(YaadPayUnavailable):
    """Not even connected: YaadPay received nothing."""


class YaadPayRefused(YaadPayError):
    """A response with another CCode than success."""

    def __init__(self, action: str, ccode: int) -> None:
        super().__init__(f"{action}: CCode={ccode} ({class_of(ccode)})")
        self.ccode = ccode


class Verification(StrEnum):
    """VERIFY's result for a return."""

    GENUINE = "genuine"
    FORGED = "forged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """The account at YaadPay. ``key`` and ``password`` are secrets."""

    masof: str
    key: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The payment page to open. ``order`` has letters and digits only."""

    order: str
    amount_agorot: int
    currency: str
    info: str
    client_name: str
    language: str = "HEB"
    postpone: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHold:
    """A J5 hold to be captured, with the fields of its return and of getToken."""

    token: str
    expiry_yymm: str
    approval: str
    uid: str
    amount_agorot: int
    payments: int = 1
    user_id: str = "000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A card's token and its expiry (YYMM)."""

    token: str
    expiry_yymm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentLink:
    """One row of payRequest LIST. ``transaction`` is "" until it is paid."""

    id: str
    status: str
    transaction: str


class YaadPayClient:
    """Calls for one terminal. ``seconds`` bounds a call that is safe to repeat, ``money_seconds`` one that moves money.

    Browsers use ``page_url``, which differs from ``base_url`` only inside a network of containers.
    """

    def __init__(
        self,
        base_url: str,
        terminal: Terminal,
        telemetry: PaymentTelemetry,
        *,
        page_url: str,
        seconds: float,
        money_seconds: float,
    ) -> None:
        self._base_url = base_url
        self._page_url = page_url
        self._terminal = terminal
        self._seconds = seconds
        self._money_seconds = money_seconds
        self._telemetry = telemetry
        address = urlsplit(base_url)
        self._server: dict[str, Any] = {"server.address": address.hostname or "", "url.path": address.path}
        self._server["server.port"] = address.port or (443 if address.scheme == "https" else 80)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=20)
        # These bound each wait of a call; ``_send`` bounds the whole call.
        waits = httpx.Timeout(money_seconds, connect=_CONNECT_SECONDS, pool=_CONNECT_SECONDS)
        self._http = httpx.AsyncClient(timeout=waits, limits=limits, trust_env=False)

    @property
    def masof(self) -> str:
        """The terminal's number."""
        return self._terminal.masof

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # The page

    async def sign(self, page: Page) -> str:
        """Return the address of a signed page. Raises YaadPayError."""
        parameters = self._page(page)
        secret = {"KEY": self._terminal.key, "PassP": self._terminal.password, "What": "SIGN"}
        body = await self._safely("SIGN", [*parameters.items(), *secret.items(), ("action", "APISign")])
        signed = body.strip().decode("ascii", errors="replace")
        if signed.startswith("<") or "signature=" not in signed:
            raise self._refusal("SIGN", body)
        if not is_equal(signed.rpartition("signature=")[2], page_signature(parameters, self._terminal.key)):
            # YaadPay's signature counts. A different formula here is worth an operator's look.
            _log.warning("yaadpay.signature_differs", order=page.order)
        return f"{self._page_url}?{signed}"

    def _page(self, page: Page) -> dict[str, str]:
        return {
            "Masof": self._terminal.masof,
            "Order": page.order,
            "Info": harmless(page.info, _INFO_LENGTH),
            "Amount": decimal(page.amount_agorot),
            "Coin": coin(page.currency),
            "ClientName": harmless(page.client_name, _NAME_LENGTH),
            "UserId": "000000000",
            "PageLang": page.language,
            "Postpone": str(page.postpone),
            "MoreData": "True",
            "Sign": "True",
            "pageTimeOut": "True",
            **_UTF8,
        }

    async def verify(self, pairs: Iterable[tuple[str, bytes]]) -> Verification:
        """Verify that YaadPay sent ``pairs``, which must hold no name of our own request."""
        ours = [("action", "APISign"), ("What", "VERIFY"), ("Masof", self._terminal.masof)]
        secret = [("KEY", self._terminal.key), ("PassP", self._terminal.password)]
        try:
            body = await self._safely("VERIFY", [*ours, *secret, *pairs])
        except YaadPayUnavailable:
            return Verification.UNKNOWN
        ccode = ccode_of(fields_of(body) or {})
        if ccode == SUCCEEDED:
            return Verification.GENUINE
        return Verification.FORGED if ccode in {FORGED_OR_MISSING, NOT_AUTHENTICATED} else Verification.UNKNOWN

    # Money

    async def commit(self, transaction: str) -> YaadPayResponse:
        """Charge a postponed transaction. Safe to repeat after an unknown outcome: a second one gets 250."""
        return await self._money("commitTrans", {"TransId": transaction, **_UTF8})

    async def cancel(self, transaction: str) -> YaadPayResponse:
        """Undo a whole charge of today, before it is transmitted. Safe to repeat."""
        return await self._money("CancelTrans", {"TransId": transaction})

    async def refund(self, transaction: str, amount_agorot: int) -> YaadPayResponse:
        """Refund a part or all of a charge. Sent twice, it refunds twice."""
        return await self._money(
            "zikoyAPI", {"TransId": transaction, "Amount": decimal(amount_agorot), "Tash": "1", **_UTF8}
        )

    async def capture(
        self, hold: CardHold, amount_agorot: int, *, currency: str, name: str, info: str
    ) -> YaadPayResponse:
        """Charge at most the amount of a J5 hold (``soft`` with its token). Sent twice, it may charge twice."""
        return await self._money(
            "soft",
            {
                "Amount": decimal(amount_agorot),
                "Coin": coin(currency),
                "CC": hold.token,
                "Token": "True",
                "Tmonth": hold.expiry_yymm[2:],
                "Tyear": hold.expiry_yymm[:2],
                "Tash": str(hold.payments),
                "UserId": hold.user_id,
                "ClientName": harmless(name, _NAME_LENGTH),
                "Info": harmless(info, _INFO_LENGTH),
                "AuthNum": hold.approval,
                "inputObj.originalUid": hold.uid,
                "inputObj.originalAmount": str(hold.amount_agorot),
                "inputObj.authorizationCodeManpik": _J5_AUTHORIZER,
                "MoreData": "True",
                **_UTF8,
            },
        )

    # Calls that move no money

    async def get_token(self, transaction: str) -> Token:
        """Return the token of a transaction's card. Raises YaadPayError."""
        parameters = {"TransId": transaction, "allowFalse": "True"}
        body = await self._safely("getToken", self._authenticated("getToken", parameters))
        fields = fields_of(body) or {}
        if ccode_of(fields) != SUCCEEDED or not fields.get("Token"):
            raise self._refusal("getToken", body)
        return Token(token=fields["Token"], expiry_yymm=fields.get("Tokef", ""))

    async def payment_links(self) -> Sequence[PaymentLink]:
        """Return the newest payment links, at most 500. Raises YaadPayError."""
        body = await self._safely("payRequest", self._authenticated("payRequest", {"iCommand": "LIST"}))
        try:
            rows = json.loads(body)
        except ValueError:
            raise self._refusal("payRequest", body) from None
        if not isinstance(rows, list):
            raise YaadPayUnavailable("payRequest: the JSON is no list")
        return [
            PaymentLink(
                id=str(row.get("payRequestId", "")),
                status=str(row.get("status", "")),
                transaction=str(row.get("transId") or ""),
            )
            for row in rows
            if isinstance(row, Mapping)
        ]

    # Transport

    async def _money(self, action: str, parameters: Mapping[str, str]) -> YaadPayResponse:
        """Send once. Every unclear response is UNKNOWN."""
        try:
            body = await self._send(action, self._authenticated(action, parameters), self._money_seconds)
        except YaadPayUnreached as error:
            return YaadPayResponse(outcome=Outcome.NOT_SENT, problem=str(error))
        except YaadPayUnavailable as error:
            return YaadPayResponse(outcome=Outcome.UNKNOWN, problem=str(error))
        return parse_response(body)

    async def _safely(self, action: str, parameters: Sequence[tuple[str, str | bytes]]) -> bytes:
        """Send a call that moves no money within the caller's time; repeat it once after an unreadable response."""
        for tries_left in reversed(range(_SAFE_TRIES)):
            try:
                body = await self._send(action, parameters, self._time_left())
            except YaadPayUnavailable:
                if not tries_left or not self._time_left():
                    raise
                continue
            if not tries_left or _is_readable(body):
                return body
        raise AssertionError("the last try returns or raises")

    def _time_left(self) -> float:
        """Return the seconds that a call may take; 0 when its caller has no time left for the response."""
        return max(0.0, deadlines.bounded(self._seconds + _SLACK_SECONDS) - _SLACK_SECONDS)

    def _authenticated(self, action: str, parameters: Mapping[str, str]) -> list[tuple[str, str | bytes]]:
        ours = {"action": action, "Masof": self._terminal.masof, "PassP": self._terminal.password}
        return [*ours.items(), *parameters.items()]

    async def _send(self, action: str, parameters: Iterable[tuple[str, str | bytes]], seconds: float) -> bytes:
        with self._telemetry.yaadpay_call(action, self._server) as call:
            try:
                async with asyncio.timeout(seconds):
                    status, body = await self._exchange(query(parameters))
            except (TimeoutError, httpx.HTTPError) as error:
                # After a connection YaadPay may have done the work: only an unmade connection proves that it did not.
                call.failed(type(error).__name__)
                kind = YaadPayUnreached if isinstance(error, _UNREACHED) else YaadPayUnavailable
                raise kind(f"{action}: {type(error).__name__} within {seconds} s") from error
            call.answered(status, _outcome(action, body))
        if status != httpx.codes.OK:
            raise YaadPayUnavailable(f"{action}: HTTP {status}")
        return body

    async def _exchange(self, form: str) -> tuple[int, bytes]:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        async with self._http.stream("POST", self._base_url, content=form.encode("ascii"), headers=headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BODY:
                    raise httpx.DecodingError(f"a body of more than {_MAX_BODY} bytes")
        return response.status_code, bytes(body)

    def _refusal(self, action: str, body: bytes) -> YaadPayError:
        ccode = ccode_of(fields_of(body) or {})
        if ccode is None:
            return YaadPayUnavailable(f"{action}: HTML, an empty body, or unreadable bytes")
        return YaadPayRefused(action, ccode)


def _is_readable(body: bytes) -> bool:
    trimmed = body.strip()
    return bool(trimmed) and not trimmed.startswith(b"<")


def _outcome(action: str, body: bytes) -> str:
    """Return the class of the CCode, which SIGN and LIST lack when they succeed."""
    ccode = ccode_of(fields_of(body) or {})
    if ccode is not None:
        return class_of(ccode).value
    succeeded = b"signature=" in body if action == "SIGN" else body.lstrip().startswith(b"[")
    return "success" if succeeded else "unknown"
