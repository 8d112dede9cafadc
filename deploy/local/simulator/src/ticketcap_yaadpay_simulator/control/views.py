"""Show transactions as JSON, as the portal's CSV and as a page."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.clock import ISRAEL
from ticketcap_yaadpay_simulator.money import plain
from ticketcap_yaadpay_simulator.page_texts import CURRENCY_NAMES, ENGLISH
from ticketcap_yaadpay_simulator.protocol.cancel import is_transmitted
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.templates import render

_NEWEST: Final = 50
_STATES: Final = {600: "checked", 700: "held", 800: "postponed"}


def as_json(sim: Simulator, transaction: Transaction) -> dict[str, Any]:
    """Return a transaction with all that is known of it; money in agorot, times in UTC."""
    card = transaction.card
    return {
        "id": transaction.id,
        "kind": transaction.kind,
        "ccode": transaction.ccode,
        "status": transaction.status,
        "state": state_of(transaction),
        "amount_agorot": transaction.amount_agorot,
        "amount_text": transaction.amount_text,
        "currency": CURRENCY_NAMES.get(transaction.coin, ""),
        "order": transaction.order,
        "info": transaction.info,
        "acode": transaction.acode,
        "uid": transaction.uid,
        "parent_id": transaction.parent_id,
        "committed": transaction.committed,
        "captured": transaction.captured,
        "cancelled": transaction.cancelled,
        "refunded_agorot": transaction.refunded_agorot,
        "payments": transaction.payments,
        "created_at": transaction.created_at.isoformat(),
        "hold_until": transaction.hold_until.isoformat() if transaction.hold_until else None,
        "transmitted": was_transmitted(sim, transaction),
        "card_last4": card.last4 if card else None,
        "card_expiry_yymm": card.tokef if card else None,
    }


def was_transmitted(sim: Simulator, transaction: Transaction) -> bool:
    """Return whether it moved money finally: it was in a nightly batch."""
    moves = transaction.is_charge or transaction.kind in {"refund", "payout"}
    return moves and not transaction.cancelled and is_transmitted(sim, transaction)


def state_of(transaction: Transaction) -> str:
    """Return its state in one word."""
    if transaction.cancelled:
        return "cancelled"
    if transaction.ccode in _STATES:
        return (
            "committed" if transaction.committed else "captured" if transaction.captured else _STATES[transaction.ccode]
        )
    if transaction.ccode:
        return "declined"
    return {"refund": "refund", "payout": "payout"}.get(transaction.kind, "charged")


def report(transactions: Iterable[Transaction]) -> str:
    """Return the list that a merchant exports from the portal, as CSV."""
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(["Id", "date", "order", "info", "amount", "state"])
    for one in transactions:
        moment = one.created_at.astimezone(ISRAEL).strftime("%Y-%m-%d %H:%M:%S")
        row = [one.order, one.info, plain(one.amount_agorot), state_of(one)]
        writer.writerow([one.id, moment, *map(_no_formula, row)])
    return output.getvalue()


def overview(sim: Simulator) -> str:
    """Return the page for people."""
    settings = {**sim.knobs.as_json(), **sim.terminal.as_json()}
    return render(
        "overview",
        texts=ENGLISH,
        title="YaadPay simulator",
        masof=sim.terminal.masof,
        now=sim.clock.now().astimezone(ISRAEL).strftime("%Y-%m-%d %H:%M:%S %Z"),
        transactions=[_cells(transaction) for transaction in sim.book.newest(_NEWEST)],
        faults=[
            (fault.action, fault.kind, fault.times, fault.order or "any") for fault in sim.faults.queued()[:_NEWEST]
        ],
        knobs=[(name, value) for name, value in settings.items() if name not in _SECRETS],
    )


_SECRETS: Final = frozenset({"key", "passp", "zpass"})


def _cells(one: Transaction) -> tuple[object, ...]:
    return (
        one.id,
        one.created_at.astimezone(ISRAEL).strftime("%d.%m. %H:%M:%S"),
        one.kind,
        one.status,
        f"{plain(one.amount_agorot)} {CURRENCY_NAMES.get(one.coin, '')}",
        one.order,
        f"…{one.card.last4}" if one.card else "",
        state_of(one),
        one.parent_id or "",
    )


def _no_formula(text: str) -> str:
    # A text that begins so would be run as a formula by the program that opens the list.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
