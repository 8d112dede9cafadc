"""Define the field types and base models of requests and responses.

Each type states one rule twice: in Python, and as JSON Schema for the OpenAPI document.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from ticketcap_chassis.text import normalize
from ticketcap_chassis.text.folding import (
    folded,
    folded_ascii,
    has_control,
    has_control_besides_lines,
    has_override,
    is_visible,
)

# Fractions of more than 6 digits are cut off: times have a resolution of microseconds.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_VISIBLE: Final = re.compile(r"[!-~]+")
_YEARS: Final = range(2000, 2101)

# The same rules as regular expressions of ECMA-262, for JSON Schema.
SLUG_PATTERN: Final = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
TITLE_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u202d\u202e]*$"
_LINE_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_TEXT_PATTERN: Final = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
_DAYS_PATTERN: Final = (
    "(20[0-9]{2}|2100)-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))|20([02468][048]|[13579][26])-02-29"
)
_TIME_PATTERN: Final = (
    f"^({_DAYS_PATTERN})[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{{1,9}})?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)


class Input(BaseModel):
    """A request's body: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class Query(BaseModel):
    """A request's query string; unknown parameters are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Output(BaseModel):
    """A response's body; a field that is MISSING is absent."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, slots=True, eq=False)
class Documented:
    """Adds keywords to a field's JSON schema, for a rule that its validator checks in Python."""

    keywords: dict[str, Any]

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core_schema) | self.keywords


def pattern(expression: str) -> Documented:
    """Document a regular expression of ECMA-262."""
    return Documented({"pattern": expression})


def invalid(message: str) -> PydanticCustomError:
    """Return the error of a field that breaks a rule; ``message`` continues "the field …"."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def pasted(fold: Callable[[str], str]) -> BeforeValidator:
    """Fold a text before its rules are checked, its length included. It stands last, so that it runs first."""
    return BeforeValidator(lambda value: fold(value) if isinstance(value, str) else value)


def accepted_by(rule: Callable[[str], str | None], message: str) -> AfterValidator:
    """Replace a text by the result of a shared rule; reject it with ``message`` where the result is None."""

    def apply(value: str) -> str:
        spelling = rule(value)
        if spelling is None:
            raise invalid(message)
        return spelling

    return AfterValidator(apply)


def printable(value: str) -> str:
    """Return ``value``; reject control characters and bidirectional overrides."""
    if has_control(value) or has_override(value):
        raise invalid("must not hold control characters or bidirectional overrides")
    return value


def whole_number(value: object) -> object:
    """Read the digits of a query parameter as an integer."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise invalid("must be a whole number")


def _line(value: str) -> str:
    if has_control(value):
        raise invalid("must not hold control characters")
    return value


def _text(value: str) -> str:
    if has_control_besides_lines(value):
        raise invalid("must not hold control characters other than tabs and line breaks")
    return value


def _title(value: str) -> str:
    if not is_visible(printable(value)):
        raise invalid("must hold a visible character")
    return value


def _time(value: object) -> datetime:
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise invalid("must be an RFC 3339 time with a zone, like 2026-12-01T18:00:00Z")
    try:
        time = datetime.fromisoformat(value.upper())
    except ValueError:
        raise invalid("must be a time that exists") from None
    if time.year not in _YEARS:
        raise invalid(f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return time.astimezone(UTC)


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _day(value: str) -> str:
    try:
        day = date.fromisoformat(value) if _DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise invalid("must be a day that exists, like 2026-12-31")
    return value


def _digits(value: str) -> str:
    if not (value.isascii() and value.isdigit()):
        raise invalid("must be digits")
    return value


def _visible(value: str) -> str:
    if not _VISIBLE.fullmatch(value):
        raise invalid("must be visible ASCII characters")
    return value


Line = Annotated[str, AfterValidator(_line), pattern(_LINE_PATTERN)]
Text = Annotated[str, AfterValidator(_text), pattern(_TEXT_PATTERN)]
Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_title), pattern(TITLE_PATTERN)]
Reason = Annotated[Text, Field(max_length=500), pasted(folded)]
Slug = Annotated[
    str,
    Field(min_length=1, max_length=63),
    accepted_by(normalize.slug, "must be lower-case letters, digits and single hyphens, and begin with a letter"),
    pasted(folded_ascii),
    pattern(SLUG_PATTERN),
]
Digits = Annotated[str, AfterValidator(_digits), Field(min_length=1, max_length=20), pattern("^[0-9]*$")]
Visible = Annotated[str, AfterValidator(_visible), pattern("^[!-~]*$")]
Day = Annotated[str, AfterValidator(_day), Documented({"format": "date", "pattern": f"^({_DAYS_PATTERN})$"})]
# Not pydantic's own parser: it takes numbers of seconds and times without a zone.
TimeIn = Annotated[
    datetime, PlainValidator(_time), WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME_PATTERN})
]
Time = Annotated[datetime, PlainSerializer(_utc), WithJsonSchema({"type": "string", "format": "date-time"})]
# The bounds stand before the validator of the text: behind it they would not reach the document.
Limit = Annotated[int, Field(ge=1, le=200), BeforeValidator(whole_number)]
# In responses, where nothing needs checking.
Count = Annotated[int, Documented({"minimum": 0})]


class Page(Query):
    """The page of a list to return."""

    limit: Limit = 50
    cursor: Annotated[Text, Field(max_length=500)] = ""
