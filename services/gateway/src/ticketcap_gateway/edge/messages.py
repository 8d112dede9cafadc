"""Translate protobuf messages into response models."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import MISSING, BaseModel
from ticketcap_chassis.rpc.timestamps import moment

_Model = TypeVar("_Model", bound=BaseModel)
_Reader = Callable[[Message], Any]
_TIMESTAMP: Final = "google.protobuf.Timestamp"


def to_model(model: type[_Model], message: Message, **computed: Any) -> _Model:
    """Return ``message`` as ``model``, field by field of the same name; ``computed`` are the fields of another shape.

    Timestamps become times, and enum values their names without the prefix. A
    field whose default is MISSING is absent when the message does not set it;
    without presence in the proto, when it is empty or 0.
    """
    readers = _readers(model, message.DESCRIPTOR, tuple(computed))
    return model(**{name: read(message) for name, read in readers}, **computed)


def enum_name(values: EnumDescriptor, number: int) -> str:
    """Return an enum value's name without the prefix that all values of its enum share."""
    return _names(values)[number]


def digest(request: Message) -> bytes:
    """Return 32 bytes that are equal for equal messages of one kind and reveal nothing of the message."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


@lru_cache
def _readers(
    model: type[BaseModel], descriptor: Descriptor, computed: tuple[str, ...]
) -> Sequence[tuple[str, _Reader]]:
    """Return a reader for each field of ``model``; KeyError where the message has no field of that name."""
    return [
        (name, _reader(descriptor.fields_by_name[name], optional=field.default is MISSING))
        for name, field in model.model_fields.items()
        if name not in computed
    ]


def _reader(field: FieldDescriptor, *, optional: bool) -> _Reader:
    name = field.name
    value = _value_reader(field)
    if not optional:
        return value
    if field.has_presence:
        return lambda message: value(message) if message.HasField(name) else MISSING
    return lambda message: value(message) or MISSING


def _value_reader(field: FieldDescriptor) -> _Reader:
    name = field.name
    if field.message_type is not None and field.message_type.full_name == _TIMESTAMP:
        return lambda message: moment(getattr(message, name))
    if field.enum_type is not None:
        names = _names(field.enum_type)
        return lambda message: names[getattr(message, name)]
    return lambda message: getattr(message, name)


@lru_cache
def _names(values: EnumDescriptor) -> Mapping[int, str]:
    # buf's lint rule: values begin with the enum's name in upper snake case, and the first one ends in _UNSPECIFIED.
    prefix = values.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix) for value in values.values}
