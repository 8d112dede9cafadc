"""Check that every request field has a rule in its proto."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from ticketcap.registration.v1 import registration_pb2
from ticketcap_chassis.errors import InvalidInput
from ticketcap_chassis.rpc.validation import validate

STUBS = Path(registration_pb2.__file__).parents[2]
# A length says nothing about what a text holds.
LENGTHS = {"len", "min_len", "max_len", "len_bytes", "min_bytes", "max_bytes"}
CONTROLS = ["a\x00b", "a\x1fb", "a\x7fb", "a\x80b", "a\x9fb"]


def files() -> Iterator[Any]:
    """Yield the descriptor of every TicketCap proto."""
    for path in sorted(STUBS.rglob("*_pb2.py")):
        name = ".".join(path.relative_to(STUBS.parent).with_suffix("").parts)
        yield importlib.import_module(name).DESCRIPTOR


def messages(of: Any) -> Iterator[Descriptor]:
    for message in of:
        yield message
        yield from messages(message.nested_types)


MESSAGES = [message for file in files() for message in messages(file.message_types_by_name.values())]
REQUESTS = [
    method.input_type
    for file in files()
    for service in file.services_by_name.values()
    for method in service.methods_by_name.values()
]


def rules(field: FieldDescriptor) -> Any:
    extension: Any = validate_pb2.field
    return field.GetOptions().Extensions[extension]


def text_rules(field: FieldDescriptor) -> Any:
    """Return the rules of a text, or of each text of a list."""
    return rules(field).repeated.items.string if field.is_repeated else rules(field).string


def texts(of: Descriptor) -> Iterator[FieldDescriptor]:
    return (field for field in of.fields if field.type == FieldDescriptor.TYPE_STRING)


def named(of: Descriptor) -> str:
    return of.name


def test_the_protos_are_found() -> None:
    """Both services, with the messages that they accept."""
    assert {message.full_name.split(".")[1] for message in MESSAGES} == {"registration", "payment"}
    assert len(REQUESTS) >= 30


@pytest.mark.parametrize("message", MESSAGES, ids=named)
def test_every_text_field_has_a_rule(message: Descriptor) -> None:
    """A pattern, a list of values, or one of the rules of ticketcap.rules.v1; a length alone is none."""
    without = [
        field.full_name
        for field in texts(message)
        if not rules(field).cel and {rule.name for rule, _ in text_rules(field).ListFields()} <= LENGTHS
    ]
    assert without == []


def inside(of: Descriptor, seen: tuple[Descriptor, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Yield the way to every field of a request and of the messages that are validated with it."""
    for field in of.fields:
        yield (field,)
        nested = field.message_type
        if nested is None or nested.file.package.startswith("google") or nested in seen:
            continue
        if rules(field).ignore != validate_pb2.IGNORE_ALWAYS:
            yield from ((field, *rest) for rest in inside(nested, (*seen, of)))


def owner(field: FieldDescriptor) -> Descriptor:
    assert field.containing_type is not None
    return field.containing_type


def holding(way: tuple[FieldDescriptor, ...], value: Any) -> Message:
    """Return a request whose field at the end of ``way`` is ``value``."""
    whole = GetMessageClass(owner(way[0]))()
    message: Any = whole
    for field in way[:-1]:
        found = getattr(message, field.name)
        message = found.add() if field.is_repeated else found
    if way[-1].is_repeated:
        getattr(message, way[-1].name).append(value)
    else:
        setattr(message, way[-1].name, value)
    return whole


TEXTS = [way for request in REQUESTS for way in inside(request) if way[-1].type == FieldDescriptor.TYPE_STRING]


def spelled(way: tuple[FieldDescriptor, ...]) -> str:
    return ".".join([owner(way[0]).name, *(field.name for field in way)])


@pytest.mark.parametrize("way", TEXTS, ids=spelled)
def test_no_text_takes_a_control_character(way: tuple[FieldDescriptor, ...]) -> None:
    """NUL, C0, DEL and C1 are the caller's fault before they are the database's."""
    for value in CONTROLS:
        with pytest.raises(InvalidInput) as caught:
            validate(holding(way, value))
        assert ".".join(field.name for field in way) in [field.field for field in caught.value.fields], repr(value)


def test_times_and_bytes_of_requests_are_bounded() -> None:
    """A time can be written to a table and shown; bytes have a length."""
    unbounded = []
    for way in (way for request in REQUESTS for way in inside(request)):
        field, rule = way[-1], rules(way[-1])
        nested = field.message_type
        if nested is not None and nested.full_name == "google.protobuf.Timestamp":
            bounded = rule.timestamp.HasField("gte") and rule.timestamp.HasField("lt")
        else:
            bounded = field.type != FieldDescriptor.TYPE_BYTES or rule.bytes.HasField("max_len")
        if not bounded:
            unbounded.append(spelled(way))
    assert unbounded == []
