"""Charge from server to server with a token or card (soft).

Captures of holds and pay-outs come here too.
"""

from dataclasses import replace
from typing import Final

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.cards import CARD_UNREADABLE, EXPIRED, Card
from ticketcap_yaadpay_simulator.magic_amounts import effects_of
from ticketcap_yaadpay_simulator.protocol import capture
from ticketcap_yaadpay_simulator.protocol.charge import (
    CardRefused,
    charge_code,
    read_card,
    read_expiry,
    record,
    success_code,
)
from ticketcap_yaadpay_simulator.protocol.fields import payments, problem
from ticketcap_yaadpay_simulator.protocol.parameters import Call, Parameters
from ticketcap_yaadpay_simulator.protocol.redirect import instalments
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, failure, flat, meaning
from ticketcap_yaadpay_simulator.protocol.signatures import same
from ticketcap_yaadpay_simulator.protocol.tokens import echoed
from ticketcap_yaadpay_simulator.simulator import Simulator

_NOT_ALLOWED: Final = 901
_NO_TOKENS: Final = 996
_WRONG_TOKEN: Final = 997
_NO_VOICE_APPROVAL: Final = 512
_IMMEDIATE: Final = "01"


def answer(sim: Simulator, call: Call) -> Reply:
    """Charge, hold, capture or pay out; what goes wrong before the card is asked leaves no row."""
    parameters = call.parameters
    if ccode := _refusal(sim, parameters):
        return code(ccode, parameters, sim.knobs)
    try:
        card = _card(sim, parameters)
    except CardRefused as refused:
        return code(refused.ccode, parameters, sim.knobs)
    return _charged(sim, call, card)


def _refusal(sim: Simulator, parameters: Parameters) -> int:
    if parameters.has("WalletToken") or parameters.get("TransType"):
        return _NOT_ALLOWED  # wallets and offline documents are not imitated
    name, amount = parameters.get("ClientName"), parameters.get("Amount")
    if ccode := problem(parameters, sim.terminal, amount=amount, name=name):
        return ccode
    has_wrong_password = parameters.has("zPass") and not same(parameters.get("zPass"), sim.terminal.zpass)
    return _NOT_ALLOWED if has_wrong_password else 0


def _charged(sim: Simulator, call: Call, card: Card) -> Reply:
    parameters = call.parameters
    if parameters.has("zPass"):
        return _reply(sim, call, _write(sim, call, card, kind="payout", ccode=0))
    if parameters.get("AuthNum") and card.sp_type == _IMMEDIATE:
        return code(_NO_VOICE_APPROVAL, parameters, sim.knobs)
    if capture.is_asked(parameters):
        return _captured(sim, call, card)
    ccode = charge_code(sim, card, parameters.get("Amount"), success_code(parameters))
    transaction = _write(sim, call, card, kind="soft", ccode=ccode)
    return _misbehaving(sim, transaction, _reply(sim, call, transaction))


def _card(sim: Simulator, parameters: Parameters) -> Card:
    number, month, year = (parameters.get(name) for name in ("CC", "Tmonth", "Tyear"))
    if not parameters.flag("Token"):
        return read_card(sim, number, month, year)  # a token without its flag is no card number: 447
    if not sim.terminal.allow_tokens:
        raise CardRefused(_NO_TOKENS)
    expiry = read_expiry(month, year)
    card = sim.book.card_of(number)
    if card is None:
        raise CardRefused(_WRONG_TOKEN if number else CARD_UNREADABLE)
    if expiry.is_over(sim.clock.now()):
        raise CardRefused(EXPIRED)
    return card


def _captured(sim: Simulator, call: Call, card: Card) -> Reply:
    found = capture.hold_for(sim, call.parameters, card)
    if isinstance(found, int):
        return code(found, call.parameters, sim.knobs)
    charge = _write(sim, call, card, kind="capture", ccode=0, parent_id=found.id, acode=found.acode)
    sim.book.change(found, captured=True)
    return _misbehaving(sim, charge, _reply(sim, call, charge))


def _write(
    sim: Simulator, call: Call, card: Card, *, kind: str, ccode: int, parent_id: int | None = None, acode: str = ""
) -> Transaction:
    parameters = call.parameters
    approval = {"acode": acode or parameters.get("AuthNum")} if acode or parameters.get("AuthNum") else {}
    fild1, fild2, fild3 = (value for _, value in echoed(call))
    return record(
        sim,
        parameters,
        kind=kind,
        ccode=ccode,
        amount=parameters.get("Amount"),
        card=card,
        fild1=fild1,
        fild2=fild2,
        fild3=fild3,
        user_id=parameters.get("UserId"),
        payments=payments(parameters) or 1,
        parent_id=parent_id,
        **(approval if ccode == 0 else {}),
    )


def _reply(sim: Simulator, call: Call, transaction: Transaction) -> Reply:
    if transaction.ccode not in {0, 600, 700, 800}:
        return code(transaction.ccode, call.parameters, sim.knobs)
    more = _more(sim, call.parameters, transaction) if call.parameters.flag("MoreData") else []
    fields = [
        ("Id", str(transaction.id)),
        ("CCode", str(transaction.ccode)),
        ("Amount", transaction.amount_text),
        ("ACode", transaction.acode),
        *echoed(call),
        *more,
    ]
    return flat(fields, call.parameters, sim.knobs)


def _more(sim: Simulator, parameters: Parameters, transaction: Transaction) -> list[tuple[str, str]]:
    card = transaction.card
    if card is None:
        return []
    special, first_digits = ("SpType", "BinCard") if sim.knobs.late_field_case == "SpType" else ("spType", "bincard")
    return [
        ("Hesh", sim.knobs.hesh_value),
        ("Bank", str(card.bank)),
        ("tashType", parameters.get("tashType")),
        ("Payments", str(transaction.payments)),
        *instalments(transaction),
        ("TashFirstPayment", parameters.get("TashFirstPayment")),
        ("UserId", transaction.user_id),
        ("Brand", str(card.brand)),
        ("Issuer", str(card.issuer)),
        ("L4digit", card.last4),
        ("firstname", parameters.get("ClientName")),
        ("lastname", parameters.get("ClientLName")),
        ("info", transaction.info),
        *((name, parameters.get(name)) for name in ("street", "city", "zip", "cell", "email")),
        ("Coin", str(transaction.coin)),
        ("Tmonth", parameters.get("Tmonth")),
        ("Tyear", parameters.get("Tyear")),
        ("CardName", "(????) Cal"),
        ("errMsg", meaning(0)),
        ("UID", transaction.uid),
        (special, card.sp_type),
        (first_digits, card.bin),
    ]


def _misbehaving(sim: Simulator, transaction: Transaction, usual: Reply) -> Reply:
    """Return the answer that a magic amount gets; the charge stands."""
    effects = effects_of(transaction.amount_agorot, slow_seconds=sim.knobs.slow_amount_seconds)
    if transaction.ccode not in {0, 600, 700, 800}:
        return usual
    if effects.broken:
        return failure(status=500)
    return replace(usual, delay_seconds=effects.delay_seconds, drop="close" if effects.lost else "")
