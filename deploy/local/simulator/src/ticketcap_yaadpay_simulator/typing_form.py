"""Read a customer's input from the page's form or from a test.

A missing value is that of the good test card.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from ticketcap_yaadpay_simulator.checks import Check, WrongInput, checked, integer, one_of, text
from ticketcap_yaadpay_simulator.protocol.page import BUTTONS, Typed
from ticketcap_yaadpay_simulator.protocol.parameters import OWN_PREFIX

_FORM_NAMES: Final = {
    "card": "CC",
    "month": "Tmonth",
    "year": "Tyear",
    "user_id": "UserId",
    "name": "ClientName",
    "last_name": "ClientLName",
    "email": "email",
    "phone": "phone",
    "amount": "Amount",
}
_MOST_LETTERS: Final = 200
DECLINES: Final = integer(1, 999)
TYPED_CHECKS: Final[Mapping[str, Check]] = {
    **{name: text(_MOST_LETTERS) for name in _FORM_NAMES},
    "button": one_of(*BUTTONS),
    "payments": integer(1, 999),
    "decline_ccode": DECLINES,
}


def typed_from(form: Mapping[str, str]) -> Typed:
    """Read the page's form; what it leaves out or gets wrong becomes what a card machine would refuse."""
    texts = {field: form[name].strip()[:_MOST_LETTERS] for field, name in _FORM_NAMES.items() if name in form}
    texts["card"] = re.sub(r"[\s-]", "", texts.get("card", ""))
    button = form.get(f"{OWN_PREFIX}button", "pay")
    return replace(
        Typed(),
        **texts,
        button=button if button in BUTTONS else "pay",
        payments=_number(form.get("Payments", "1"), 1),
        decline_ccode=_refusal(form.get(f"{OWN_PREFIX}ccode", "")),
    )


def typed_by_test(values: Mapping[str, Any]) -> Typed:
    """Read what the control plane's customer types; raise WrongInput."""
    fitting = checked(values, TYPED_CHECKS, "field of a customer")
    if fitting.get("decline_ccode") in {600, 700, 800}:
        raise WrongInput("decline_ccode: 600, 700 and 800 are no refusals")
    assert set(fitting) <= {field.name for field in fields(Typed)}  # noqa: S101 - the checks name its fields
    return replace(Typed(), **fitting)


def _number(value: str, default: int) -> int:
    return int(value) if re.fullmatch(r"\d{1,3}", value, re.ASCII) else default


def _refusal(value: str) -> int:
    number = _number(value, Typed().decline_ccode)
    return Typed().decline_ccode if number in {0, 600, 700, 800} else number
