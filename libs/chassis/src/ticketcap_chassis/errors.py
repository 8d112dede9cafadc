"""What can go wrong between services: one small tree, the same on both sides of the wire.

    ServiceError
     ├─ InvalidInput        a field of the request is wrong
     ├─ Unauthenticated     no token, or one that does not hold
     ├─ PermissionDenied    a token whose role is too low
     ├─ NotFound            no such object for this caller
     ├─ AlreadyExists       a unique thing is there already
     ├─ FailedPrecondition  the object is in the wrong state for this
     ├─ Aborted             lost a race; the same call may succeed later
     ├─ Busy                a limit is reached; wait, then try again
     ├─ DeadlineExceeded    the caller's time is over
     ├─ Unavailable         a part is down or the outcome is not known; try again
     └─ InternalError       a fault of ours

A service raises them from its rules; the gRPC server turns them into rich
statuses and the gRPC channel turns those back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path as the caller spelled it, and what it must be."""

    field: str
    message: str


class ServiceError(Exception):
    """Base of all: a message for people, a reason for programs.

    ``reason`` is UPPER_SNAKE_CASE and stable. ``metadata`` names the ids
    concerned. ``retry_after`` is in seconds, set where waiting helps. None of
    them ever holds personal data.
    """

    reason: str = "INTERNAL"
    default_retry_after: ClassVar[float | None] = None

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        fields: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.reason
        self.metadata = dict(metadata or {})
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        self.fields = tuple(fields)


class InvalidInput(ServiceError):
    """A field of the request is wrong; the same call can't ever succeed."""

    reason = "INVALID_INPUT"

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """Return the error of one field: its path, and what it must be."""
        return cls.of_fields([FieldViolation(field, message)])

    @classmethod
    def of_fields(cls, fields: Sequence[FieldViolation]) -> Self:
        """Return one error of several fields."""
        return cls("; ".join(f"{field.field}: {field.message}" for field in fields), fields=fields)


class Unauthenticated(ServiceError):
    """No token, or one that does not hold."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """The token holds, but its role does not allow this call."""

    reason = "PERMISSION_DENIED"


class NotFound(ServiceError):
    """No such object, as far as this caller may know."""

    reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """Something that must be unique is there already."""

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
    """The caller's time was over before the work began, or while it waited."""

    reason = "DEADLINE_EXCEEDED"


class Unavailable(ServiceError):
    """A part that this needs does not answer; the outcome may not be known."""

    reason = "UNAVAILABLE"
    default_retry_after = 1.0


class InternalError(ServiceError):
    """A fault of ours; the log holds more, under the trace id."""

    reason = "INTERNAL"
