"""Run a service whose handlers raise errors that hold personal data.

Run it by ``python -m tests.canary.launcher MODULE [bare]``. With ``bare`` nothing is redacted, so that the same search
must find the planted data.
"""

import logging
import runpy
import sys
from typing import Any, NoReturn

BANG = "Bangbang"
"""Whose name begins so makes the handlers fail."""


def main(module: str, *, bare: bool) -> None:
    if bare:
        _without_redaction()
    match module:
        case "ticketcap_gateway":
            _break_gateway()
        case "ticketcap_registration":
            _break_registration()
        case "ticketcap_payment":
            _break_payment()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _without_redaction() -> None:
    from ticketcap_observability import redaction

    def as_it_is(text: str) -> str:
        return text

    for name in ("_redacted", "_redacted_again"):
        setattr(redaction, name, as_it_is)
    redaction.is_hidden = lambda _key: False  # type: ignore[assignment]  # what is under test is taken away
    redaction._is_personal_number = lambda number: False


def _fail(*values: object) -> NoReturn:
    """Fail as code does that quotes its arguments, and log them as libraries do."""
    said = " ".join(map(str, values))
    # A name has no shape: in a text of others it is known by its key only.
    logging.getLogger("a.library").warning("can't take %s", values[1:], extra={"client_name": values[0]})
    try:
        raise KeyError(said)
    except KeyError as error:
        raise RuntimeError(f"unexpected: {said}") from error


def _break_gateway() -> None:
    from ticketcap_gateway.registrations import translation

    inner = translation.claim

    def claim(body: Any, **more: Any) -> Any:
        if body.name.startswith(f"{BANG} gateway"):
            _fail(body.name, body.phone, body.email)
        return inner(body, **more)

    translation.claim = claim


def _break_registration() -> None:
    from sqlalchemy.exc import DataError
    from ticketcap_registration.domain.person import Person

    inner = Person.parse

    def parse(*, name: str, phone: str, email: str | None) -> Person:
        if name.startswith(f"{BANG} sql"):
            raise DataError("INSERT INTO registrations", {"name": name, "phone": phone}, ValueError(name, phone, email))
        if name.startswith(f"{BANG} registration"):
            _fail(name, phone, email)
        return inner(name=name, phone=phone, email=email)

    Person.parse = parse  # type: ignore[method-assign]  # it fails for some on purpose


def _break_payment() -> None:
    from ticketcap_payment.saga import creation

    inner = creation._page

    def page(payment: Any, hold: Any, **more: Any) -> Any:
        if hold.name.startswith(f"{BANG} payment"):
            _fail(hold.name)
        return inner(payment, hold, **more)

    creation._page = page


if __name__ == "__main__":
    main(sys.argv[1], bare="bare" in sys.argv[2:])
