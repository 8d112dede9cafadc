"""Reads a form that a page of ours sent: bounded, well-formed, each field once, nothing else in it."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from ticketcap_gateway.edge.body import media_type_of, read_bytes
from ticketcap_gateway.edge.json_body import invalid_input
from ticketcap_gateway.edge.problems import MalformedRequest, UnsupportedMediaType

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
_CODE: Final = "MALFORMED_FORM"
_MAX_FIELDS: Final = 16
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FormReader:
    """Reads forms of at most ``max_bytes``."""

    max_bytes: int

    async def read(self, request: Request, model: type[_Model]) -> _Model:
        """Return the form as ``model``. Raises a Refusal, or InvalidInput that names every wrong field."""
        body = await read_bytes(request, self.max_bytes)
        if media_type_of(request) != MEDIA_TYPE:
            raise UnsupportedMediaType(f"send the form as {MEDIA_TYPE} in UTF-8", headers={"accept": MEDIA_TYPE})
        return parse(body, model)


def parse(body: bytes, model: type[_Model]) -> _Model:
    """Return an encoded form as ``model``."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise MalformedRequest("the body is no form in UTF-8", code=_CODE) from None
    if any(count > 1 for count in Counter(name for name, _ in pairs).values()):
        raise MalformedRequest("the form repeats a field", code=_CODE)
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        raise invalid_input(error.errors(include_url=False, include_input=False)) from None
