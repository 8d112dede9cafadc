"""Define the errors that cross the wire between services.

    ServiceError
     ├─ InvalidInput        a field of the request is wrong
     ├─ Unauthenticated     no token, or an invalid one
     ├─ PermissionDenied    a token whose role is too low
     ├─ NotFound            not found, or not visible to this caller
     ├─ AlreadyExists       a unique value is taken
     ├─ FailedPrecondition  the object is in the wrong state for this
     ├─ Aborted             lost a race; the same call may succeed later
     ├─ Busy                a limit is reached; wait, then try again
     ├─ DeadlineExceeded    the caller's deadline has passed
     ├─ Unavailable         a dependency is down, or the outcome is unknown; try again
     └─ InternalError       a fault of the service

A service raises them from its rules. The gRPC server turns them into rich statuses, and the client turns those back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One invalid field: its path as the caller spelled it, and the rule that it breaks."""

    field: str
    message: str


class ServiceError(Exception):
    """Base of all errors: a message for people, a reason for programs.

    ``reason`` is UPPER_SNAKE_CASE and stable. ``metadata`` holds the ids concerned. ``retry_after`` is in seconds, set
    where waiting helps. No part ever holds personal data.
    """

    reason: str = "INTERNAL"
    default_message: ClassVar[str] = ""
    expected: ClassVar[bool] = True
    """Whether a caller or a limit caused it. Telemetry reports unexpected errors only."""
    default_retry_after: ClassVar[float | None] = None

    def __init__(
        self,
        message: str = "",
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        fields: Sequence[FieldViolation] = (),
    ) -> None:
        self.message = message or self.default_message
        super().__init__(self.message)
        self.reason = reason or self.reason
        self.metadata = dict(metadata or {})
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        self.fields = tuple(fields)


class InvalidInput(ServiceError):
    """A field of the request is invalid; the same call can never succeed."""

    reason = "INVALID_INPUT"

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """Return the error of one field; ``message`` is the rule that it breaks."""
        return cls.of_fields([FieldViolation(field, message)])

    @classmethod
    def of_fields(cls, fields: Sequence[FieldViolation]) -> Self:
        """Return one error of several fields."""
        return cls("; ".join(f"{field.field}: {field.message}" for field in fields), fields=fields)


class Unauthenticated(ServiceError):
    """Authentication required: the call has no token, or an invalid one."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """The token is valid, but its role may not make this call."""

    reason = "PERMISSION_DENIED"


class NotFound(ServiceError):
    """Not found, or not visible to this caller."""

    reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """A value that must be unique is taken."""

    reason = "ALREADY_EXISTS"


class FailedPrecondition(ServiceError):
    """The object is in the wrong state; trying again does not help."""

    reason = "FAILED_PRECONDITION"


class Aborted(ServiceError):
    """Lost a race with another call; the same call may succeed later."""

    reason = "ABORTED"
    default_retry_after = 1.0


class Busy(ServiceError):
    """A queue or a limit is full."""

    reason = "BUSY"
    default_retry_after = 1.0


class DeadlineExceeded(ServiceError):
    """The caller's deadline passed before the work began, or while it waited."""

    reason = "DEADLINE_EXCEEDED"


class Unavailable(ServiceError):
    """A dependency does not answer; the outcome may be unknown."""

    reason = "UNAVAILABLE"
    default_retry_after = 1.0


class InternalError(ServiceError):
    """A fault of the service; the log explains it under the trace id."""

    reason = "INTERNAL"
    expected = False
