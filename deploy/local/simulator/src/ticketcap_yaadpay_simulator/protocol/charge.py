"""Charge a card and record the transaction.

The page and ``soft`` both use it.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.cards import (
    CARD_UNREADABLE,
    EXPIRED,
    EXPIRY_MALFORMED,
    Card,
    Expiry,
    card_from,
    expiry_from,
    ignores_expiry,
    is_card_number,
)
from ticketcap_yaadpay_simulator.money import agorot
from ticketcap_yaadpay_simulator.protocol.fields import coin
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters
from ticketcap_yaadpay_simulator.simulator import Simulator

CHECKED: Final = 600
HELD: Final = 700
POSTPONED: Final = 800
DUPLICATE: Final = 425
_ACODE: Final = "0012345"
_HOLD_ACODE: Final = "0054321"


class CardRefused(Exception):
    """The card can't even be read; ``ccode`` says why."""

    def __init__(self, ccode: int) -> None:
        super().__init__(f"card refused with {ccode}")
        self.ccode = ccode


def success_code(parameters: Parameters) -> int:
    """Return the code of success for what was asked: 0 a charge, 600 a check, 700 a hold, 800 postponed."""
    if parameters.flag("J5"):
        return HELD
    if parameters.get("J5") == "J2":
        return CHECKED
    return POSTPONED if parameters.flag("Postpone") else 0


def read_card(sim: Simulator, number: str, month: str, year: str) -> Card:
    """Return the card of a typed number; raise CardRefused."""
    if not is_card_number(number):
        raise CardRefused(CARD_UNREADABLE)
    expiry = read_expiry(month, year)
    if expiry.is_over(sim.clock.now()) and not ignores_expiry(number):
        raise CardRefused(EXPIRED)
    return card_from(number, expiry, token=sim.book.card_token(number), is_test=sim.terminal.is_test)


def read_expiry(month: str, year: str) -> Expiry:
    """Return a card's expiry; raise CardRefused when it is malformed."""
    expiry = expiry_from(month, year)
    if expiry is None:
        raise CardRefused(EXPIRY_MALFORMED)
    return expiry


def charge_code(sim: Simulator, card: Card, amount: str, success: int) -> int:
    """Return what the card answers: ``success``, or the code of a refusal."""
    if card.charge_ccode:
        return card.charge_ccode
    return DUPLICATE if _is_duplicate(sim, card, amount) else success


def record(sim: Simulator, parameters: Parameters, *, kind: str, ccode: int, amount: str, **more: Any) -> Transaction:
    """Write the row of a charge that was decided. ``more`` are further fields of Transaction."""
    now = sim.clock.now()
    transaction = Transaction(
        kind=kind,
        ccode=ccode,
        amount_agorot=agorot(amount) or 0,
        amount_text=amount,
        coin=coin(parameters),
        order=parameters.get("Order"),
        info=parameters.get("Info"),
        acode=_acode(ccode),
        created_at=now,
        hold_until=now + timedelta(days=sim.knobs.hold_days) if ccode == HELD else None,
    )
    return sim.book.add(replace(transaction, **more))


def _acode(ccode: int) -> str:
    if ccode == HELD:
        return _HOLD_ACODE
    return _ACODE if ccode in {0, POSTPONED} else ""


def _is_duplicate(sim: Simulator, card: Card, amount: str) -> bool:
    minutes = sim.knobs.duplicate_guard
    if not isinstance(minutes, int):
        return False
    since = sim.clock.now() - timedelta(minutes=minutes)
    return sim.book.lately(card.token, agorot(amount) or 0, since) is not None
