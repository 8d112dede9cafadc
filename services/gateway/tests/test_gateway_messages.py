"""Check the translation of messages by the fields of a model."""

import pytest
from pydantic import MISSING
from ticketcap.payment.v1 import payment_pb2
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_gateway.edge.fields import Count, Output, Time
from ticketcap_gateway.edge.messages import digest, enum_name, to_model


class EveryKind(Output):
    """Fields of each kind: text, enum, time, optional in the proto, and empty or not."""

    id: str
    status: str
    created_at: Time
    waitlist_position: Count | MISSING = MISSING
    cancelled_at: Time | MISSING = MISSING


class WithoutPresence(Output):
    """A field that the proto can't leave unset."""

    failure: str | MISSING = MISSING


class WithMisspelling(Output):
    """A field that no message has."""

    confirmation_cod: str | MISSING = MISSING


def test_each_field_is_read_by_its_kind() -> None:
    """Enum values lose their prefix; unset optional fields are absent, and 0 is a value."""
    message = pb.Registration(id="1", status=pb.REGISTRATION_STATUS_WAITLISTED, waitlist_position=0)
    message.created_at.FromSeconds(0)
    assert to_model(EveryKind, message).model_dump(mode="json") == {
        "id": "1",
        "status": "WAITLISTED",
        "created_at": "1970-01-01T00:00:00Z",
        "waitlist_position": 0,
    }


def test_a_field_without_presence_is_absent_when_empty() -> None:
    """proto3 can't tell an unset string from an empty one."""
    assert to_model(WithoutPresence, payment_pb2.Payment()).model_dump() == {}
    assert to_model(WithoutPresence, payment_pb2.Payment(failure="declined")).model_dump() == {"failure": "declined"}


def test_a_field_of_no_message_is_an_error() -> None:
    """A misspelt optional field must not stay absent unseen; a computed one needs no message."""
    with pytest.raises(KeyError, match="confirmation_cod"):
        to_model(WithMisspelling, pb.Registration())
    assert to_model(WithMisspelling, pb.Registration(), confirmation_cod="x").confirmation_cod == "x"


def test_an_unknown_enum_value_is_an_error() -> None:
    """A newer service may send one: no client gets a number instead of a name."""
    assert enum_name(pb.EventStatus.DESCRIPTOR, pb.EVENT_STATUS_OPEN) == "OPEN"
    with pytest.raises(KeyError):
        enum_name(pb.EventStatus.DESCRIPTOR, 99)


def test_digests_are_of_the_whole_message() -> None:
    """Equal for equal messages; another field, another digest."""
    one, same, other = pb.RegisterRequest(spots=1), pb.RegisterRequest(spots=1), pb.RegisterRequest(spots=2)
    assert digest(one) == digest(same)
    assert digest(one) != digest(other)
