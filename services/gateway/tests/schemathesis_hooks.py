"""Configure the schemathesis run, which loads this file by its path."""

from typing import Any

import schemathesis
from ticketcap_chassis.text import normalize
from ticketcap_chassis.text.folding import folded_line

_RULES = {
    "phone": normalize.phone,
    "email": normalize.email,
    "slug": normalize.slug,
    "confirmation_code": normalize.confirmation_code,
    "reason": normalize.reason,
}


@schemathesis.hook
def filter_body(context: object, body: Any) -> bool:
    """Leave out texts that folding changes: their own tests have them, and no pattern of a schema can say it."""
    return not isinstance(body, dict) or all(_is_plain(name, value) for name, value in body.items())


@schemathesis.hook
def filter_path_parameters(context: object, path_parameters: Any) -> bool:
    """Leave out slugs that folding changes."""
    return all(
        normalize.slug(str(value)) in {None, value}
        for name, value in (path_parameters or {}).items()
        if name in {"school", "event"}
    )


@schemathesis.hook
def filter_query(context: object, query: Any) -> bool:
    """Leave out cursors: only a page's own is valid."""
    return not (query or {}).get("cursor")


def _is_plain(name: str, value: Any) -> bool:
    if not isinstance(value, str):
        return True
    if name in {"name", "title"}:
        return folded_line(value) == value and any(map(str.isalpha, value))
    stored_value = _RULES[name](value) if name in _RULES else None
    return stored_value is None or stored_value in {value, value.upper()}


@schemathesis.hook
def map_body(context: object, body: Any) -> Any:
    """Write whole numbers as such: JSON Schema calls 3.0 an integer, the strict reader refuses it on purpose."""
    return {name: _whole(value) for name, value in body.items()} if isinstance(body, dict) else body


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: Any) -> None:
    """Give names of digits a letter, also those that no hook of generation sees."""
    if isinstance(case.body, dict):
        lettered = {name: _named(name, value) for name, value in case.body.items()}
        if lettered != case.body:
            case.body = lettered


def _named(name: str, value: Any) -> Any:
    """Give a name of digits a letter: that a name holds one, of any alphabet, no pattern of ECMA-262 can say."""
    return f"a{value[1:]}" if name in {"name", "title"} and isinstance(value, str) and value.isdigit() else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
