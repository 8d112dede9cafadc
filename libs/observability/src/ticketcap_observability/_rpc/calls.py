"""Describe one RPC on its span and in its histogram."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import grpc
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from ticketcap_observability._tracing import ERROR_TYPE

# The conventions will rename this attribute to rpc.status_code: one constant, one change.
STATUS_CODE: Final = "rpc.response.status_code"
METHOD: Final = "rpc.method"
SYSTEM: Final = {"rpc.system.name": "grpc"}
OTHER: Final = "_OTHER"

_SERVER_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}
_QUIET: Final = ("/grpc.health.", "/grpc.reflection.")


def is_quiet(method: str) -> bool:
    """Return whether a method (with its leading slash) has no span: health and reflection."""
    return method.startswith(_QUIET)


def as_status_code(code: object) -> grpc.StatusCode:
    """Return a status code from grpc's forms: a StatusCode, its number, or None for OK."""
    if isinstance(code, grpc.StatusCode):
        return code
    return _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else grpc.StatusCode.OK


@dataclass(slots=True)
class Call:
    """One RPC under way. Only the first call of ``end`` counts."""

    span: Span
    method: str
    kind: SpanKind
    duration: Histogram
    server: Mapping[str, str | int] = field(default_factory=dict)
    """The server's address and port, on the client's side."""
    began: float = field(default_factory=time.perf_counter)
    ended: bool = False

    def end(self, code: grpc.StatusCode, error: BaseException | None = None) -> None:
        """Record the ending on the span and in the histogram."""
        if self.ended:
            return
        self.ended = True
        seconds = time.perf_counter() - self.began
        attributes = {**SYSTEM, METHOD: self.method, STATUS_CODE: code.name, **self.server}
        if self._is_fault(code):
            attributes[ERROR_TYPE] = type(error).__name__ if error is not None else code.name
        self.duration.record(seconds, attributes, context=set_span_in_context(self.span, Context()))
        if self.span.is_recording():
            self._close(code, attributes, error)
        self.span.end()

    def _close(self, code: grpc.StatusCode, attributes: Mapping[str, str | int], error: BaseException | None) -> None:
        self.span.set_attribute(STATUS_CODE, code.name)
        if self._is_fault(code):
            self.span.set_attribute(ERROR_TYPE, attributes[ERROR_TYPE])
            self.span.set_status(Status(StatusCode.ERROR))
        if error is not None:
            record_exception(self.span, error)

    def _is_fault(self, code: grpc.StatusCode) -> bool:
        return code in _SERVER_FAULTS if self.kind is SpanKind.SERVER else code is not grpc.StatusCode.OK


def record_exception(span: Span, error: BaseException) -> None:
    """Add an exception to a span: its type and where it was raised, never its message."""
    span.add_event(
        "exception",
        {"exception.type": type(error).__qualname__, "exception.stacktrace": "\n".join(frames(error))},
    )


def frames(error: BaseException) -> list[str]:
    """Return the frames of an exception: file:line function, outermost first."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
