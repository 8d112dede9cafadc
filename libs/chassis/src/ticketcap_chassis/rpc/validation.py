"""Check a request against the rules written in its proto."""

from typing import Final

import protovalidate
from google.protobuf.message import Message
from protovalidate import Violation

from ticketcap_chassis.errors import FieldViolation, InvalidInput

# One validator for the process: it compiles each message's rules once.
_VALIDATOR: Final = protovalidate.Validator()


def validate(message: Message) -> None:
    """Raise InvalidInput that names every invalid field of ``message`` by its path."""
    violations = _VALIDATOR.collect_violations(message)
    if violations:
        raise InvalidInput.of_fields([_field_violation(violation) for violation in violations])


def _field_violation(violation: Violation) -> FieldViolation:
    path = violation.proto.field
    names = [element.field_name for element in path.elements] if path else []
    return FieldViolation(".".join(names), violation.proto.message)
