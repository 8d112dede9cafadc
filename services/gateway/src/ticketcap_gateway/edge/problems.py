"""Turn errors into RFC 9457 problems.

    Refusal                 an error that only HTTP knows
     ├─ MalformedRequest     400  not JSON, or not text
     ├─ UnknownPath          404
     ├─ MethodNotAllowed     405
     ├─ BodyTooLarge         413
     ├─ QueryTooLong         414
     └─ UnsupportedMediaType 415

Every other error is a ServiceError of this process or of a service behind it.
"""

import http
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from pydantic import MISSING
from starlette.responses import Response
from ticketcap_chassis import errors
from ticketcap_chassis.errors import FieldViolation, ServiceError
from ticketcap_observability import current_trace_id

from ticketcap_gateway.edge.fields import Documented, Output

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


class FieldProblem(Output):
    """One invalid field."""

    field: str
    message: str


class ProblemDetails(Output):
    """The reason why a request failed (RFC 9457). code is stable, for programs; detail is for people."""

    type: str
    title: str
    status: Annotated[int, Documented({"minimum": 400, "maximum": 599})]
    detail: str
    code: str
    trace_id: str
    errors: list[FieldProblem] | MISSING = MISSING


class Refusal(Exception):
    """A request that HTTP itself refuses. ``headers`` go into the response."""

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
    """The request can't be read."""


class UnknownPath(Refusal):
    """No call has this path."""

    status = 404
    code = "UNKNOWN_PATH"


class MethodNotAllowed(Refusal):
    """The path exists, but not for this method."""

    status = 405
    code = "METHOD_NOT_ALLOWED"


class BodyTooLarge(Refusal):
    """The body is larger than the limit."""

    status = 413
    code = "BODY_TOO_LARGE"


class QueryTooLong(Refusal):
    """The query string is longer than the limit."""

    status = 414
    code = "QUERY_TOO_LONG"


class UnsupportedMediaType(Refusal):
    """The body's declared media type is not the one that the call takes."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRule:
    """An exception for errors of one reason: another ``status``, or metadata shown as ``members`` of the problem."""

    status: int | None = None
    members: Sequence[str] = ()


_NO_RULE: Final = ReasonRule()


class Problems:
    """Turns errors into responses. ``rules`` are by reason; of an error's metadata nothing else is shown."""

    def __init__(self, *, realm: str, rules: Mapping[str, ReasonRule]) -> None:
        self._realm = realm
        # The request is invalid, not the state of its object.
        self._rules = {"IDEMPOTENCY_KEY_REUSED": ReasonRule(status=422), **rules}

    def response_to(self, error: Refusal | ServiceError) -> Response:
        """Return the problem that describes ``error``."""
        if isinstance(error, Refusal):
            status, headers, detail = error.status, error.headers, error.detail
            content = encode(status, code=error.code, detail=detail, trace_id=current_trace_id() or "")
        else:
            status, headers = self.status_of(error), self.headers_of(error)
            members = {name: error.metadata[name] for name in self._rule(error).members if name in error.metadata}
            content = encode(
                status,
                code=error.reason,
                detail=error.message,
                trace_id=current_trace_id() or "",
                fields=error.fields,
                members=members,
            )
        return Response(content, status, media_type=MEDIA_TYPE, headers=headers)

    def status_of(self, error: ServiceError) -> int:
        """Return the HTTP status of an error: its reason's, or that of its nearest class."""
        status = self._rule(error).status
        return status or next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)

    def headers_of(self, error: ServiceError) -> dict[str, str]:
        """Return the headers that say how to authenticate or when to retry."""
        headers = {}
        if isinstance(error, errors.Unauthenticated):
            headers["www-authenticate"] = f'Bearer realm="{self._realm}"'
        if error.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
        return headers

    def _rule(self, error: ServiceError) -> ReasonRule:
        return self._rules.get(error.reason, _NO_RULE)


def encode(
    status: int,
    *,
    code: str,
    detail: str,
    trace_id: str = "",
    fields: Sequence[FieldViolation] = (),
    members: Mapping[str, str] | None = None,
) -> bytes:
    """Return a problem as JSON; ``members`` are those of this code alone."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail[:_MAX_DETAIL],
        "code": code,
        "trace_id": trace_id,
        **(members or {}),
    }
    if fields:
        body["errors"] = [{"field": field.field, "message": field.message} for field in fields[:_MAX_ERRORS]]
    return json.dumps(body, ensure_ascii=False).encode()


def phrase(status: int) -> str:
    """Return HTTP's reason phrase of a status."""
    return http.HTTPStatus(status).phrase
