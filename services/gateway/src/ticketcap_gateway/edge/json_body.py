"""Reads a request's JSON strictly: bounded, well-formed, each key once, every wrong field named at once."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from ticketcap_chassis.errors import FieldViolation, InvalidInput

from ticketcap_gateway.edge.body import media_type_of, read_bytes
from ticketcap_gateway.edge.problems import MalformedRequest, UnsupportedMediaType

_Model = TypeVar("_Model", bound=BaseModel)
_MAX_KEY: Final = 64

_MESSAGES: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "model_type": "must be a JSON object",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads bodies of at most ``max_bytes``. A client that sends too slowly is parted with by its connection."""

    max_bytes: int

    async def read(self, request: Request, model: type[_Model]) -> _Model:
        """Return the body as ``model``. Raises a Refusal, or InvalidInput that names every wrong field."""
        body = await read_bytes(request, self.max_bytes)
        _require_json(request)
        return parse(body, model)

    async def read_optional(self, request: Request, model: type[_Model]) -> _Model:
        """Return the body as ``model``; an empty body is an empty object."""
        body = await read_bytes(request, self.max_bytes)
        if not body:
            return model()
        _require_json(request)
        return parse(body, model)


def _require_json(request: Request) -> None:
    if media_type_of(request) != "application/json":
        raise UnsupportedMediaType("send the body as application/json in UTF-8", headers={"accept": "application/json"})


def parse(body: bytes, model: type[_Model]) -> _Model:
    """Return JSON text as ``model``."""
    _require_well_formed(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def _require_well_formed(body: bytes) -> None:
    """Refuse what the validator's own parser would let pass: repeated keys, NaN, other encodings."""
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise MalformedRequest("the body is not UTF-8", code="MALFORMED_JSON") from None
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="MALFORMED_JSON"
        ) from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply", code="MALFORMED_JSON") from None
    except ValueError:  # a number with thousands of digits
        raise MalformedRequest("the body holds a number that is too long", code="MALFORMED_JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) != len(pairs):
        repeated, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise MalformedRequest(f"the body repeats the key {_clip(repeated)!r}", code="MALFORMED_JSON")
    return known


def _refuse_constant(name: str) -> None:
    raise MalformedRequest(f"the body holds {name}, which is not JSON", code="MALFORMED_JSON")


def _refusal(error: ValidationError) -> InvalidInput | MalformedRequest:
    details = error.errors(include_url=False, include_input=False)
    if any(detail["type"] == "json_invalid" for detail in details):
        # Lone surrogates, or nested deeper than the validator goes.
        return MalformedRequest("the body is not valid JSON", code="MALFORMED_JSON")
    return invalid_input(details)


def invalid_input(details: Sequence[ErrorDetails]) -> InvalidInput:
    """Return one error that names every wrong field."""
    fields = [FieldViolation(_path(detail), _message(detail)) for detail in details]
    return InvalidInput("; ".join(f"{field.field}: {field.message}" for field in fields), fields=fields)


def _path(detail: ErrorDetails) -> str:
    return ".".join(_clip(str(part)) for part in detail["loc"]) or "body"


def _clip(key: str) -> str:
    """Shorten a caller's key, and make what can't be written as UTF-8 visible."""
    return key[:_MAX_KEY].encode("utf-8", "backslashreplace").decode()


def _message(detail: ErrorDetails) -> str:
    ours = _MESSAGES.get(detail["type"])
    return ours.format_map(detail.get("ctx", {})) if ours else detail["msg"]
