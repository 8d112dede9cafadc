"""Holds a request against the rules written in its proto."""

from typing import Final

import protovalidate
from google.protobuf.message import Message
from protovalidate import Violation

from ticketcap_chassis.errors import FieldViolation, InvalidInput

# One validator for the process: it compiles each message's rules once.
_VALIDATOR: Final = protovalidate.Validator()


def validate(message: Message) -> None:
    """Raise InvalidInput that names every wrong field of ``message`` by its path."""
    violations = _VALIDATOR.collect_violations(message)
    if violations:
        raise invalid([_field_violation(violation) for violation in violations])


def invalid(fields: list[FieldViolation]) -> InvalidInput:
    """Make one error of several wrong fields."""
    return InvalidInput("; ".join(f"{field.field}: {field.message}" for field in fields), fields=fields)


def _field_violation(violation: Violation) -> FieldViolation:
    path = violation.proto.field
    names = [element.field_name for element in path.elements] if path else []
    return FieldViolation(".".join(names), violation.proto.message)
