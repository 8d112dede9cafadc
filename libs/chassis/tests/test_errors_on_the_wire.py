"""Check that an error crosses the wire and stays the same."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from ticketcap_chassis import errors
from ticketcap_chassis.rpc.status import code_of, from_status, to_status

KINDS = [
    errors.InvalidInput,
    errors.Unauthenticated,
    errors.PermissionDenied,
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.Aborted,
    errors.Busy,
    errors.DeadlineExceeded,
    errors.Unavailable,
    errors.InternalError,
]


@given(
    kind=st.sampled_from(KINDS),
    message=st.text(max_size=50),
    reason=st.from_regex(r"[A-Z][A-Z_]{1,20}", fullmatch=True),
    metadata=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=3),
    retry_after=st.none() | st.integers(0, 10_000_000).map(lambda ms: ms / 1000),
    fields=st.lists(st.builds(errors.FieldViolation, st.text(max_size=8), st.text(max_size=8)), max_size=3),
)
def test_an_error_survives_the_wire(
    kind: Any, message: str, reason: str, metadata: Any, retry_after: float | None, fields: Any
) -> None:
    """Kind, text, reason, ids, waiting time and fields are the same on the other side."""
    sent = kind(message, reason=reason, metadata=metadata, retry_after=retry_after, fields=fields)
    packed = status_pb2.Status.FromString(to_status(sent).SerializeToString())
    got = from_status(packed)
    assert type(got) is kind
    assert (got.message, got.reason, got.metadata, got.fields) == (message, reason, metadata, tuple(fields))
    if retry_after is not None:
        assert got.retry_after == retry_after


def test_a_subclass_has_the_code_of_its_kind() -> None:
    """Errors named for a fact travel as their kind."""

    class EventFull(errors.FailedPrecondition):
        pass

    assert code_of(EventFull("full")) == grpc.StatusCode.FAILED_PRECONDITION.value[0]


@pytest.mark.parametrize("code", [1, 11, 15, 2, 12])
def test_a_foreign_status_becomes_an_error_too(code: int) -> None:
    """Codes that our services never send."""
    assert isinstance(from_status(status_pb2.Status(code=code, message="x")), errors.ServiceError)


def test_details_that_do_not_parse_are_passed_over() -> None:
    """A peer's broken detail never hides its status."""
    status = status_pb2.Status(code=5, message="gone")
    status.details.add(
        type_url=f"type.googleapis.com/{error_details_pb2.ErrorInfo.DESCRIPTOR.full_name}", value=b"\xff"
    )
    assert isinstance(from_status(status), errors.NotFound)
