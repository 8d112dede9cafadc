"""Capture a hold with ``soft``, if its parameters fit the hold."""

from typing import Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.cards import DECLINE, Card
from ticketcap_yaadpay_simulator.money import agorot
from ticketcap_yaadpay_simulator.protocol.fields import INVALID
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters
from ticketcap_yaadpay_simulator.simulator import Simulator

_UID: Final = "inputObj.originalUid"
_ORIGINAL_AMOUNT: Final = "inputObj.originalAmount"
_APPROVER: Final = "inputObj.authorizationCodeManpik"
_MISSING: Final = 418
_ABOVE_APPROVED: Final = 507


def is_asked(parameters: Parameters) -> bool:
    """Tell whether anything of a capture stands there."""
    return any(name.startswith("inputObj.") for name in parameters.names)


def hold_for(sim: Simulator, parameters: Parameters, card: Card) -> Transaction | int:
    """Return the hold to capture, or the code of the mismatch."""
    if not all(parameters.get(name) for name in ("AuthNum", _UID, _ORIGINAL_AMOUNT, _APPROVER)):
        return _MISSING
    hold = sim.book.hold(parameters.get(_UID))
    if hold is None or parameters.get(_APPROVER) != "7":
        return INVALID
    amount = agorot(parameters.get("Amount")) or 0
    if amount > hold.amount_agorot:
        return _ABOVE_APPROVED
    # Some merchants send the hold's amount here, others the captured one; both are agorot.
    if not amount <= _whole_number(parameters.get(_ORIGINAL_AMOUNT)) <= hold.amount_agorot:
        return INVALID
    return hold if _is_open(sim, parameters, hold, card) else DECLINE


def _is_open(sim: Simulator, parameters: Parameters, hold: Transaction, card: Card) -> bool:
    is_its_own = hold.card is not None and hold.card.token == card.token and parameters.get("AuthNum") == hold.acode
    is_alive = not hold.cancelled and hold.hold_until is not None and sim.clock.now() < hold.hold_until
    is_free = not hold.captured or sim.knobs.double_capture == "allow"
    return is_its_own and is_alive and is_free


def _whole_number(value: str) -> int:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 12 else -1  # noqa: PLR2004 - sane
