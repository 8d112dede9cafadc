"""Check values from outside with small composable checkers.

A checker returns the value, or raises WrongInput with the rule that it breaks.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ticketcap_yaadpay_simulator.settings import is_web_address

Check = Callable[[Any], Any]
"""Takes a value of JSON and returns its stored form; raises ValueError with the rule that it breaks."""

_CLOCK_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class WrongInput(ValueError):
    """Input of the control plane is wrong; the message names the field and says what it must be."""


def checked(values: Mapping[str, Any], checks: Mapping[str, Check], what: str) -> dict[str, Any]:
    """Return ``values`` checked; raise WrongInput for an unknown name or a wrong value."""
    result = {}
    for name, value in values.items():
        if name not in checks:
            raise WrongInput(f"{name[:60]}: no such {what}")
        try:
            result[name] = checks[name](value)
        except ValueError as error:
            raise WrongInput(f"{name}: {error}") from None
    return result


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - becomes a 422
    return value


def one_of(*allowed: str | int | bool) -> Check:
    """One of a few values."""

    def check(value: Any) -> Any:
        for choice in allowed:
            if type(choice) is type(value) and choice == value:
                return choice
        raise ValueError(f"must be one of {', '.join(map(str, allowed))}")

    return check


def integer(least: int, most: int) -> Check:
    """A whole number in a range."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return check


def seconds(most: float) -> Check:
    """A duration."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise ValueError(f"must be seconds from 0 to {most:g}")
        return float(value)

    return check


def text(most: int, pattern: str = r"[^\x00-\x1f\x7f]*") -> Check:
    """A text of at most ``most`` characters that matches ``pattern`` as a whole."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most or not re.fullmatch(pattern, value):
            raise ValueError(f"must be a text of at most {most} characters of the form {pattern}")
        return value

    return check


def texts(most: int) -> Check:
    """A list of at most ``most`` short texts."""
    item = text(200)

    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list of at most {most} texts")
        return tuple(item(element) for element in value)

    return check


def mapping(most: int) -> Check:
    """An object of at most ``most`` texts."""
    item = text(500)

    def check(value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or len(value) > most:
            raise ValueError(f"must be an object of at most {most} texts")
        return {item(name): item(content) for name, content in value.items()}

    return check


def web_address(value: Any) -> str:
    """An absolute address of the web."""
    if not isinstance(value, str) or not is_web_address(value):
        raise ValueError("must be an http or https address")
    return value


def clock_time(value: Any) -> str:
    """HH:MM."""
    if not isinstance(value, str) or not _CLOCK_TIME.fullmatch(value):
        raise ValueError("must be HH:MM")
    return value


def optional(check: Check) -> Check:
    """Null, or what ``check`` takes."""
    return lambda value: None if value is None else check(value)


def either(first: Check, second: Check) -> Check:
    """Return a check that accepts the values of either of two."""

    def check(value: Any) -> Any:
        try:
            return first(value)
        except ValueError as refused:
            try:
                return second(value)
            except ValueError as error:
                raise ValueError(f"{refused}, or {error}") from None

    return check
