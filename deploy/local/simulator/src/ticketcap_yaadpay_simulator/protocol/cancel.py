"""Cancel a whole charge of today before its transmission (CancelTrans)."""

from typing import Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.clock import cut_off_after
from ticketcap_yaadpay_simulator.protocol.charge import HELD
from ticketcap_yaadpay_simulator.protocol.documents import mark_for
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, flat
from ticketcap_yaadpay_simulator.simulator import Simulator

_TOO_LATE: Final = "920"
_DONE: Final = "777"
_NOTHING_TO_REVERSE: Final = "404"


def answer(sim: Simulator, call: Call) -> Reply:
    """Cancel, or answer 920 for what is unknown, transmitted, cancelled or partly refunded."""
    trans_id = call.parameters.get("TransId")
    transaction = sim.book.get(trans_id)
    reversal = _reversal(sim, transaction)
    if transaction is None or reversal != _DONE:
        more = [("ReversalStatus", reversal)] if reversal else []
        return flat([("TransId", trans_id), ("CCode", _TOO_LATE), *more], call.parameters, sim.knobs)
    sim.book.change(transaction, cancelled=True)
    fields = [("TransId", trans_id), ("CCode", "0"), ("Hesh", mark_for(sim)), ("ReversalStatus", _DONE)]
    return flat(fields, call.parameters, sim.knobs)


def is_transmitted(sim: Simulator, transaction: Transaction) -> bool:
    """Tell whether the nightly batch that takes a charge has left."""
    return sim.clock.now() >= cut_off_after(transaction.created_at, sim.knobs.cancel_cutoff)


def _reversal(sim: Simulator, transaction: Transaction | None) -> str:
    """Return the ReversalStatus, empty where the answer names none."""
    if transaction is None or transaction.cancelled or is_transmitted(sim, transaction):
        return ""
    if transaction.ccode == HELD:
        single = sim.knobs.cancel_j5 == "single_payment_same_day" and transaction.payments == 1
        return _DONE if single and not transaction.captured else _NOTHING_TO_REVERSE
    if not transaction.is_charge:
        return _NOTHING_TO_REVERSE
    return "" if transaction.refunded_agorot else _DONE
