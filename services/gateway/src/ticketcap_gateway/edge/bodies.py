"""Read a request's body as JSON or as a form, strictly.

A body is bounded, of the declared media type, well-formed, and repeats no key. All
invalid fields are named at once.
"""

import email.message
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from ticketcap_chassis.errors import FieldViolation, InvalidInput

from ticketcap_gateway.edge.operation import JSON
from ticketcap_gateway.edge.problems import BodyTooLarge, MalformedRequest, UnsupportedMediaType

FORM: Final = "application/x-www-form-urlencoded"
_UTF8: Final = frozenset({"", "utf-8", "utf8"})
_UNCHANGED: Final = frozenset({"", "identity"})
_MAX_KEY: Final = 64
_MAX_FORM_FIELDS: Final = 16
_Model = TypeVar("_Model", bound=BaseModel)

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
    """Reads bodies of at most ``max_bytes``; the connection itself closes on a client that sends too slowly."""

    max_bytes: int

    async def read(self, request: Request, model: type[_Model]) -> _Model:
        """Return the body as ``model``. Raises a Refusal, or InvalidInput that names every invalid field."""
        body = await _read_bytes(request, self.max_bytes)
        _require_media_type(request, JSON, "body")
        return parse_json(body, model)

    async def read_optional(self, request: Request, model: type[_Model]) -> _Model:
        """Return the body as ``model``; an empty body is an empty object."""
        body = await _read_bytes(request, self.max_bytes)
        if not body:
            return model()
        _require_media_type(request, JSON, "body")
        return parse_json(body, model)

    async def read_form(self, request: Request, model: type[_Model]) -> _Model:
        """Return the form as ``model``. Raises a Refusal, or InvalidInput that names every invalid field."""
        body = await _read_bytes(request, self.max_bytes)
        _require_media_type(request, FORM, "form")
        return parse_form(body, model)


async def _read_bytes(request: Request, max_bytes: int) -> bytes:
    codings = request.headers.getlist("content-encoding")
    if any(coding.strip().lower() not in _UNCHANGED for coding in ",".join(codings).split(",")):
        raise UnsupportedMediaType("send the body without Content-Encoding", headers={"accept-encoding": "identity"})
    # The connection let at most 19 digits through.
    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise _too_large(max_bytes)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(chunks)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body must have at most {max_bytes} bytes")


def _require_media_type(request: Request, media_type: str, noun: str) -> None:
    declared = request.headers.getlist("content-type")
    if len(declared) != 1 or _media_type(declared[0]) != media_type:
        raise UnsupportedMediaType(f"send the {noun} as {media_type} in UTF-8", headers={"accept": media_type})


@lru_cache(maxsize=256)
def _media_type(declared: str) -> str:
    """Return a Content-Type without its parameters, of which unknown ones are ignored (RFC 9110, 8.3.1).

    It is "" for another encoding than UTF-8.
    """
    message = email.message.Message()
    message["content-type"] = declared
    (media_type, _), *parameters = message.get_params(failobj=[("", "")])
    # A value in RFC 2231's spelling is a tuple, and no charset that HTTP knows.
    charsets = {str(value).lower() for name, value in parameters if name.lower() == "charset"}
    return media_type.strip().lower() if charsets <= _UTF8 else ""


def parse_json(body: bytes, model: type[_Model]) -> _Model:
    """Return JSON text as ``model``."""
    _require_well_formed(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if any(detail["type"] == "json_invalid" for detail in error.errors(include_url=False, include_input=False)):
            # Lone surrogates, or nested deeper than the validator goes.
            raise _malformed_json("the body is not valid JSON") from None
        raise invalid_input(error) from None


def _require_well_formed(body: bytes) -> None:
    """Refuse JSON that the validator's own parser would accept: repeated keys, NaN, other encodings."""
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise _malformed_json("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed_json(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _malformed_json("the body is nested too deeply") from None
    except ValueError:  # a number with thousands of digits
        raise _malformed_json("the body holds a number that is too long") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        repeated, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _malformed_json(f"the body repeats the key {_clip(repeated)!r}")
    return members


def _refuse_constant(name: str) -> None:
    raise _malformed_json(f"the body holds {name}, which is not JSON")


def _malformed_json(detail: str) -> MalformedRequest:
    return MalformedRequest(detail, code="MALFORMED_JSON")


def parse_form(body: bytes, model: type[_Model]) -> _Model:
    """Return an encoded form as ``model``."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FORM_FIELDS,
        )
    except ValueError:
        raise MalformedRequest("the body is not a form in UTF-8", code="MALFORMED_FORM") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedRequest("the form repeats a field", code="MALFORMED_FORM")
    return validated(fields, model)


def validated(fields: dict[str, str], model: type[_Model]) -> _Model:
    """Return ``fields`` as ``model``, or raise InvalidInput that names every invalid field."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_input(error) from None


def invalid_input(error: ValidationError) -> InvalidInput:
    """Return one error that names every invalid field."""
    details: Sequence[ErrorDetails] = error.errors(include_url=False, include_input=False)
    fields = [FieldViolation(_path(detail), _message(detail)) for detail in details]
    return InvalidInput("; ".join(f"{field.field}: {field.message}" for field in fields), fields=fields)


def _path(detail: ErrorDetails) -> str:
    return ".".join(_clip(str(part)) for part in detail["loc"]) or "body"


def _clip(key: str) -> str:
    """Shorten a caller's key, and make visible the characters that UTF-8 can't encode."""
    return key[:_MAX_KEY].encode("utf-8", "backslashreplace").decode()


def _message(detail: ErrorDetails) -> str:
    template = _MESSAGES.get(detail["type"])
    return template.format_map(detail.get("ctx", {})) if template else detail["msg"]
