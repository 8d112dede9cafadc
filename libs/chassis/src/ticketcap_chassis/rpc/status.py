"""Convert errors to rich gRPC statuses (google.rpc.Status) and back."""

from typing import Final

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from ticketcap_chassis import errors

DOMAIN: Final = "ticketcap"

_CODES: Final[dict[type[errors.ServiceError], int]] = {
    errors.InvalidInput: code_pb2.INVALID_ARGUMENT,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.Aborted: code_pb2.ABORTED,
    errors.Busy: code_pb2.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.InternalError: code_pb2.INTERNAL,
}
_ERRORS: Final = {code: error for error, code in _CODES.items()}
# Codes that a peer may answer but TicketCap never raises.
_FOREIGN: Final = {
    code_pb2.OUT_OF_RANGE: errors.InvalidInput,
    code_pb2.CANCELLED: errors.Unavailable,
}


def code_of(error: errors.ServiceError) -> int:
    """Return the google.rpc.Code of an error, by its nearest class with one."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def to_status(error: errors.ServiceError) -> status_pb2.Status:
    """Pack an error with ErrorInfo, and BadRequest and RetryInfo where they apply."""
    status = status_pb2.Status(code=code_of(error), message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if error.fields:
        status.details.add().Pack(_bad_request(error))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
        status.details.add().Pack(retry)
    return status


def _bad_request(error: errors.ServiceError) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for violation in error.fields:
        request.field_violations.add(field=violation.field, description=violation.message)
    return request


def from_status(status: status_pb2.Status) -> errors.ServiceError:
    """Return the error from which ``to_status`` made the status."""
    kind = _ERRORS.get(status.code) or _FOREIGN.get(status.code, errors.InternalError)
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.BadRequest()
    has_retry = False
    for detail in status.details:
        has_retry |= _unpack(detail, retry)
        _unpack(detail, info)
        _unpack(detail, request)
    return kind(
        status.message,
        reason=info.reason or None,
        metadata=info.metadata,
        retry_after=retry.retry_delay.ToMilliseconds() / 1000 if has_retry else None,
        fields=[errors.FieldViolation(v.field, v.description) for v in request.field_violations],
    )


def _unpack(
    detail: any_pb2.Any,
    into: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest,
) -> bool:
    try:
        return bool(detail.Unpack(into))
    except DecodeError:
        return False


def from_rpc_error(failure: grpc.aio.AioRpcError) -> errors.ServiceError:
    """Convert a failed call into a ServiceError; a plain status keeps its code and text."""
    try:
        status = rpc_status.from_call(failure)  # type: ignore[arg-type]  # works for AioRpcError too
    except ValueError:  # the details contradict the status line: trust the line
        status = None
    if status is None:
        code: int = failure.code().value[0]
        status = status_pb2.Status(code=code, message=failure.details() or "")
    return from_status(status)
