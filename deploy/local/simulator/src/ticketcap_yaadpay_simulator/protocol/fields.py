"""Check a payment's parameters before its card, in the gateway's order."""

import re
from typing import Final

from ticketcap_yaadpay_simulator.money import agorot
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters
from ticketcap_yaadpay_simulator.terminal import Terminal

NO_INFO: Final = 402
NO_NAME: Final = 401
TOO_MANY_PAYMENTS: Final = 903
ITEMS_DIFFER: Final = 400
WRONG_CURRENCY: Final = 301
INVALID: Final = 415
_ITEM: Final = re.compile(r"\[([^\[\]~]*)~([^\[\]~]*)~(\d+)~(-?)([\d.]+)\]", re.ASCII)


def problem(parameters: Parameters, terminal: Terminal, *, amount: str, name: str) -> int:
    """Return the code of the first thing wrong, 0 when there is none. ``amount`` and ``name`` may have been typed."""
    if not parameters.get("Info").strip():
        return NO_INFO
    if not name.strip():
        return NO_NAME
    if too_many_payments(parameters, terminal):
        return TOO_MANY_PAYMENTS
    if not _items_agree(parameters, amount):
        return ITEMS_DIFFER
    if coin(parameters) not in terminal.currencies:
        return WRONG_CURRENCY
    return 0 if agorot(amount) else INVALID


def too_many_payments(parameters: Parameters, terminal: Terminal) -> bool:
    """Tell whether more payments are asked for than the terminal allows; an agreement's Tash counts charges."""
    if parameters.flag("HK"):
        return False
    count = payments(parameters)
    return count is None or count > terminal.max_payments


def payments(parameters: Parameters) -> int | None:
    """Return Tash, 1 when it is not there, None when it is no number."""
    value = parameters.get("Tash") or "1"
    return int(value) if re.fullmatch(r"\d{1,3}", value, re.ASCII) and int(value) else None


def coin(parameters: Parameters) -> int:
    """Return the currency: 1 ILS, 2 USD, 3 EUR, 4 GBP; 0 for what is none of them."""
    value = parameters.get("Coin") or "1"
    return int(value) if value in {"1", "2", "3", "4"} else 0


def _items_agree(parameters: Parameters, amount: str) -> bool:
    if not (parameters.flag("Pritim") and parameters.flag("blockItemValidation")):
        return True
    description = parameters.get("heshDesc")
    items = _ITEM.findall(description)
    if not items or _ITEM.sub("", description):
        return False
    return sum(int(count) * _price(minus, price) for _, _, count, minus, price in items) == agorot(amount)


def _price(minus: str, price: str) -> int:
    return (agorot(price) or 0) * (-1 if minus else 1)
