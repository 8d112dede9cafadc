"""Charge a postponed payment once (commitTrans)."""

from typing import Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.protocol.charge import POSTPONED, record
from ticketcap_yaadpay_simulator.protocol.documents import number_for
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, flat
from ticketcap_yaadpay_simulator.protocol.tokens import echoed
from ticketcap_yaadpay_simulator.simulator import Simulator

_NOTHING_TO_COMMIT: Final = 250


def answer(sim: Simulator, call: Call) -> Reply:
    """Charge it under a new Id; 250 when there is nothing to charge; the card's own code when it refuses."""
    postponed = sim.book.get(call.parameters.get("TransId"))
    if postponed is None or postponed.status != POSTPONED or postponed.committed:
        return code(_NOTHING_TO_COMMIT, call.parameters, sim.knobs)
    charge = _charge(sim, call, postponed)
    if charge.ccode:
        return code(charge.ccode, call.parameters, sim.knobs)
    sim.book.change(postponed, committed=True)
    fields = [("Id", str(charge.id)), ("CCode", "0"), *echoed(call), ("HeshASM", number_for(sim, charge))]
    return flat(fields, call.parameters, sim.knobs)


def _charge(sim: Simulator, call: Call, postponed: Transaction) -> Transaction:
    return record(
        sim,
        call.parameters,
        kind="commit",
        ccode=postponed.card.commit_ccode if postponed.card else 0,
        amount=postponed.amount_text,
        coin=postponed.coin,
        order=postponed.order,
        info=postponed.info,
        fild1=postponed.fild1,
        fild2=postponed.fild2,
        fild3=postponed.fild3,
        user_id=postponed.user_id,
        payments=postponed.payments,
        card=postponed.card,
        parent_id=postponed.id,
    )
