"""Speaks to YaadPay: one method per action, one span and one point of the histogram per call, everything bounded.

Sent are forms, so that no secret stands in an address. No trace header leaves us, and no span holds a parameter.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from opentelemetry.trace import SpanKind, Status, StatusCode
from ticketcap_chassis import deadlines
from ticketcap_observability import Telemetry, get_logger, schema

from ticketcap_payment.yaadpay.amounts import coin, decimal
from ticketcap_payment.yaadpay.answer import Answer, Outcome, ccode_of, fields_of, money_answer
from ticketcap_payment.yaadpay.ccodes import CHARGED, FORGED_OR_MISSING, NOT_AUTHENTICATED, class_of
from ticketcap_payment.yaadpay.signatures import is_equal, page_signature
from ticketcap_payment.yaadpay.wire import harmless, query

_MAX_ANSWER: Final = 256 * 1024
_SAFE_TRIES: Final = 2
_INFO_LENGTH: Final = 100
_NAME_LENGTH: Final = 50
_J5_AUTHORIZER: Final = "7"
_CONNECT_SECONDS: Final = 5.0
_SLACK_SECONDS: Final = 1.0
"""What the caller's deadline leaves for storing and telling what YaadPay said."""
_UNREACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UTF8: Final = {"UTF8": "True", "UTF8out": "True"}

_log = get_logger(__name__)


class YaadPayError(Exception):
    """A call that moves no money did not do what it should."""


class YaadPayUnavailable(YaadPayError):
    """No answer, or none that can be read; the message says which."""


class YaadPayUnreached(YaadPayUnavailable):
    """Not even connected: nothing was asked."""


class YaadPayRefused(YaadPayError):
    """An answer with another CCode than hoped for."""

    def __init__(self, action: str, ccode: int) -> None:
        super().__init__(f"{action} was answered CCode={ccode} ({class_of(ccode)})")
        self.ccode = ccode


class Verification(StrEnum):
    """What VERIFY says of a return."""

    GENUINE = "genuine"
    FORGED = "forged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Whose account it is. ``key`` and ``password`` are secrets."""

    masof: str
    key: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The payment page to open. ``order`` is ours, letters and digits only."""

    order: str
    amount_agorot: int
    currency: str
    info: str
    client_name: str
    language: str = "HEB"
    postpone: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A J5 hold that is to be captured: what its return and getToken told of it."""

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
    """Calls for one terminal. ``seconds`` bounds what may be tried again, ``money_seconds`` what may not.

    ``page_url`` is where browsers go: the same address as ours, except inside a network of containers.
    """

    def __init__(
        self,
        base_url: str,
        terminal: Terminal,
        telemetry: Telemetry,
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
        self._tracer = telemetry.tracer
        self._duration = telemetry.histogram(schema.YAADPAY_DURATION)
        address = urlsplit(base_url)
        self._server: dict[str, Any] = {"server.address": address.hostname or "", "url.path": address.path}
        self._server["server.port"] = address.port or (443 if address.scheme == "https" else 80)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=20)
        # Each wait of a call is bounded by this, and the whole call by its own time.
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
            # The gateway's word counts; that its formula is not ours is worth knowing.
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

    async def verify(self, returned: Iterable[tuple[str, bytes]]) -> Verification:
        """Ask whether YaadPay really sent ``returned``, whose names must be cleared of ours."""
        ours = [("action", "APISign"), ("What", "VERIFY"), ("Masof", self._terminal.masof)]
        secret = [("KEY", self._terminal.key), ("PassP", self._terminal.password)]
        try:
            body = await self._safely("VERIFY", [*ours, *secret, *returned])
        except YaadPayUnavailable:
            return Verification.UNKNOWN
        ccode = ccode_of(fields_of(body) or {})
        if ccode == CHARGED:
            return Verification.GENUINE
        return Verification.FORGED if ccode in {FORGED_OR_MISSING, NOT_AUTHENTICATED} else Verification.UNKNOWN

    # Money

    async def commit(self, transaction: str) -> Answer:
        """Charge a postponed transaction. Sent again after an unknown outcome, it can't charge twice (250)."""
        return await self._money("commitTrans", {"TransId": transaction, **_UTF8})

    async def cancel(self, transaction: str) -> Answer:
        """Undo a charge of today, whole, before it is transmitted."""
        return await self._money("CancelTrans", {"TransId": transaction})

    async def refund(self, transaction: str, amount_agorot: int) -> Answer:
        """Give money of a charge back. Sent twice it gives twice."""
        return await self._money(
            "zikoyAPI", {"TransId": transaction, "Amount": decimal(amount_agorot), "Tash": "1", **_UTF8}
        )

    async def capture(self, hold: Hold, amount_agorot: int, *, currency: str, name: str, info: str) -> Answer:
        """Charge a J5 hold, at most what it holds (``soft`` with its token). Sent twice it may charge twice."""
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

    # Questions

    async def get_token(self, transaction: str) -> Token:
        """Return the token of a transaction's card. Raises YaadPayError."""
        asked = {"TransId": transaction, "allowFalse": "True"}
        body = await self._safely("getToken", self._authenticated("getToken", asked))
        fields = fields_of(body) or {}
        if ccode_of(fields) != CHARGED or not fields.get("Token"):
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
            raise YaadPayUnavailable("payRequest was answered with JSON that is no list")
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

    async def _money(self, action: str, parameters: Mapping[str, str]) -> Answer:
        """Send once. Whatever is not a clear answer is UNKNOWN."""
        try:
            body = await self._send(action, self._authenticated(action, parameters), self._money_seconds)
        except YaadPayUnreached as error:
            return Answer(outcome=Outcome.NOT_SENT, reason=str(error))
        except YaadPayUnavailable as error:
            return Answer(outcome=Outcome.UNKNOWN, reason=str(error))
        return money_answer(body)

    async def _safely(self, action: str, parameters: Sequence[tuple[str, str | bytes]]) -> bytes:
        """Send what moves no money, within the caller's time, and once more when nothing readable came."""
        for tries_left in reversed(range(_SAFE_TRIES)):
            try:
                body = await self._send(action, parameters, self._time_to_ask())
            except YaadPayUnavailable:
                if not tries_left or not self._time_to_ask():
                    raise
                continue
            if not tries_left or _is_readable(body):
                return body
        raise AssertionError("the last try returns or raises")

    def _time_to_ask(self) -> float:
        """Return the seconds that a question may take; 0 when its caller has no time left for the answer."""
        return max(0.0, deadlines.bounded(self._seconds + _SLACK_SECONDS) - _SLACK_SECONDS)

    def _authenticated(self, action: str, parameters: Mapping[str, str]) -> list[tuple[str, str | bytes]]:
        ours = {"action": action, "Masof": self._terminal.masof, "PassP": self._terminal.password}
        return [*ours.items(), *parameters.items()]

    async def _send(self, action: str, parameters: Iterable[tuple[str, str | bytes]], seconds: float) -> bytes:
        attributes = {"http.request.method": "POST", **self._server}
        with self._tracer.start_as_current_span(
            schema.yaadpay_call(action), kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ) as span:
            began, outcome = time.perf_counter(), "unknown"
            try:
                async with asyncio.timeout(seconds):
                    status, body = await self._exchange(query(parameters))
                span.set_attribute("http.response.status_code", status)
                if httpx.codes.is_error(status):
                    span.set_attribute("error.type", str(status))
                    span.set_status(Status(StatusCode.ERROR))
                outcome = _outcome(action, body)
            except (TimeoutError, httpx.HTTPError) as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                kind = YaadPayUnreached if isinstance(error, _UNREACHED) else YaadPayUnavailable
                raise kind(f"{action}: {type(error).__name__} within {seconds} s") from error
            finally:
                self._duration.record(time.perf_counter() - began, action=action, outcome=outcome)
        if status != httpx.codes.OK:
            raise YaadPayUnavailable(f"{action} was answered HTTP {status}")
        return body

    async def _exchange(self, form: str) -> tuple[int, bytes]:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        async with self._http.stream("POST", self._base_url, content=form.encode("ascii"), headers=headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER:
                    raise httpx.DecodingError(f"an answer of more than {_MAX_ANSWER} bytes")
        return response.status_code, bytes(body)

    def _refusal(self, action: str, body: bytes) -> YaadPayError:
        ccode = ccode_of(fields_of(body) or {})
        if ccode is None:
            return YaadPayUnavailable(f"{action} was answered with HTML, nothing, or unreadable bytes")
        return YaadPayRefused(action, ccode)


def _is_readable(body: bytes) -> bool:
    trimmed = body.strip()
    return bool(trimmed) and not trimmed.startswith(b"<")


def _outcome(action: str, body: bytes) -> str:
    """Return the label of the histogram: the class of the CCode; SIGN and LIST tell none when they succeed."""
    ccode = ccode_of(fields_of(body) or {})
    if ccode is not None:
        return class_of(ccode).value
    succeeded = b"signature=" in body if action == "SIGN" else body.lstrip().startswith(b"[")
    return "success" if succeeded else "unknown"
