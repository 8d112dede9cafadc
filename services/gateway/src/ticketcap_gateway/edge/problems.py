"""What a caller is told when a request can't be served: RFC 9457 problems, made of errors.

    Refusal                 what only HTTP knows
     ├─ MalformedRequest     400  not JSON, or not text
     ├─ UnknownPath          404
     ├─ MethodNotAllowed     405
     ├─ BodyTooLarge         413
     ├─ QueryTooLong         414
     └─ UnsupportedMediaType 415

Everything else is a ServiceError, whichever service it came from.
"""

import http
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from starlette.responses import Response
from ticketcap_chassis import errors
from ticketcap_chassis.errors import FieldViolation, ServiceError
from ticketcap_observability import current_trace_id

MEDIA_TYPE: Final = "application/problem+json"
_MAX_ERRORS: Final = 50
_MAX_DETAIL: Final = 1_000

_STATUSES: Final[Mapping[type[ServiceError], int]] = {
    errors.InvalidInput: 422,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.FailedPrecondition: 409,
    errors.Aborted: 409,
    errors.Busy: 429,
    errors.DeadlineExceeded: 504,
    errors.Unavailable: 503,
    errors.InternalError: 500,
}
# Where a reason says more than the code that the service gave it.
_STATUSES_BY_REASON: Final[Mapping[str, int]] = {
    # Not the state of the event but the request is wrong.
    "IDEMPOTENCY_KEY_REUSED": 422,
    # Nobody sent this from YaadPay: it is no request at all.
    "RETURN_REFUSED": 400,
    # It was there, and never comes back.
    "HOLD_EXPIRED": 410,
}
# What of an error's metadata its problem shows besides: nothing but what is listed here.
_SHOWN_METADATA: Final[Mapping[str, Sequence[str]]] = {
    "PAYMENT_RUNNING": ("payment_id", "state", "redirect_url"),
}


class Refusal(Exception):
    """A request that HTTP itself refuses. ``headers`` go into the answer."""

    status: ClassVar[int] = 400
    expected: ClassVar[bool] = True
    """A client caused it: telemetry reports unexpected errors only."""
    code: str = "MALFORMED_REQUEST"

    def __init__(self, detail: str, *, code: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.headers = dict(headers or {})


class MalformedRequest(Refusal):
    """What was sent can't be read."""


class UnknownPath(Refusal):
    """Nothing is served under this path."""

    status = 404
    code = "UNKNOWN_PATH"


class MethodNotAllowed(Refusal):
    """The path is there, but not for this method."""

    status = 405
    code = "METHOD_NOT_ALLOWED"


class BodyTooLarge(Refusal):
    """The body is larger than the limit."""

    status = 413
    code = "BODY_TOO_LARGE"


class QueryTooLong(Refusal):
    """What stands after the question mark is longer than the limit."""

    status = 414
    code = "QUERY_TOO_LONG"


class UnsupportedMediaType(Refusal):
    """The body is not declared as what the call takes."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


def response_to(error: Refusal | ServiceError) -> Response:
    """Return the problem that ``error`` stands for."""
    if isinstance(error, Refusal):
        return problem(error.status, code=error.code, detail=error.detail, headers=error.headers)
    return problem(
        status_of(error),
        code=error.reason,
        detail=error.message,
        fields=error.fields,
        headers=headers_of(error),
        members=_members(error),
    )


def status_of(error: ServiceError) -> int:
    """Return the HTTP status of an error, by the nearest class that has one."""
    if error.reason in _STATUSES_BY_REASON:
        return _STATUSES_BY_REASON[error.reason]
    return next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)


def headers_of(error: ServiceError) -> dict[str, str]:
    """Return what an answer's headers say of an error: how to authenticate, when to try again."""
    headers = {}
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="ticketcap"'
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    return headers


def _members(error: ServiceError) -> dict[str, str]:
    shown = _SHOWN_METADATA.get(error.reason, ())
    return {name: error.metadata[name] for name in shown if name in error.metadata}


def problem(
    status: int,
    *,
    code: str,
    detail: str,
    fields: tuple[FieldViolation, ...] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, str] | None = None,
) -> Response:
    """Return an answer of type application/problem+json. ``members`` are those of this code alone."""
    return Response(
        encode(status, code=code, detail=detail, fields=fields, trace_id=current_trace_id() or "", members=members),
        status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def encode(
    status: int,
    *,
    code: str,
    detail: str,
    fields: tuple[FieldViolation, ...] = (),
    trace_id: str = "",
    members: Mapping[str, str] | None = None,
) -> bytes:
    """Return a problem as JSON. ``code`` is stable, for programs; ``detail`` is for people."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail[:_MAX_DETAIL],
        "code": code,
        "trace_id": trace_id,
    }
    body.update(members or {})
    if fields:
        body["errors"] = [{"field": field.field, "message": field.message} for field in fields[:_MAX_ERRORS]]
    return json.dumps(body, ensure_ascii=False).encode()


def phrase(status: int) -> str:
    """Return the words that HTTP has for a status."""
    return http.HTTPStatus(status).phrase
