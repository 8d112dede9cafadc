"""Refund part or all of a charge as its own transaction (zikoyAPI)."""

from typing import Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.money import agorot
from ticketcap_yaadpay_simulator.protocol.charge import record
from ticketcap_yaadpay_simulator.protocol.documents import number_for
from ticketcap_yaadpay_simulator.protocol.fields import INVALID
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, flat
from ticketcap_yaadpay_simulator.simulator import Simulator

_NOT_FOUND: Final = 250
_TOO_MUCH: Final = 33
_NOT_ALLOWED: Final = 901


def answer(sim: Simulator, call: Call) -> Reply:
    """Refund ``Amount`` of a charge; every call that goes well gives money back once more."""
    original = sim.book.get(call.parameters.get("TransId"))
    ccode = _problem(sim, original, agorot(call.parameters.get("Amount")))
    if ccode or original is None:
        return code(ccode, call.parameters, sim.knobs)
    refund = _refund(sim, call, original)
    fields = [("Id", str(refund.id)), ("CCode", "0"), ("ACode", refund.acode), ("HeshASM", number_for(sim, refund))]
    return flat(fields, call.parameters, sim.knobs)


def _problem(sim: Simulator, original: Transaction | None, amount_agorot: int | None) -> int:
    if not sim.terminal.allow_refund:
        return _NOT_ALLOWED
    if original is None:
        return _NOT_FOUND
    if not amount_agorot:
        return INVALID
    return _TOO_MUCH if amount_agorot > _refundable(sim, original) else 0


def _refundable(sim: Simulator, original: Transaction) -> int:
    if original.cancelled or not original.is_charge:
        return 0
    previous = original.refunded_agorot if sim.knobs.refund_33_counts_previous else 0
    return original.amount_agorot - previous


def _refund(sim: Simulator, call: Call, original: Transaction) -> Transaction:
    refund = record(
        sim,
        call.parameters,
        kind="refund",
        ccode=0,
        amount=call.parameters.get("Amount"),
        coin=original.coin,
        order=original.order,
        info=original.info,
        fild1=original.fild1,
        fild2=original.fild2,
        user_id=original.user_id,
        card=original.card,
        parent_id=original.id,
    )
    sim.book.change(original, refunded_agorot=original.refunded_agorot + refund.amount_agorot)
    return refund
