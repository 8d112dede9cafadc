"""Open the hosted page and apply its customer's button."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ticketcap_yaadpay_simulator.book import Link, Transaction
from ticketcap_yaadpay_simulator.cards import APPROVED, DECLINE, Card
from ticketcap_yaadpay_simulator.faults import Fault
from ticketcap_yaadpay_simulator.magic_amounts import Effects, both, effects_of
from ticketcap_yaadpay_simulator.protocol import links
from ticketcap_yaadpay_simulator.protocol.charge import CardRefused, charge_code, read_card, record, success_code
from ticketcap_yaadpay_simulator.protocol.fields import INVALID, TOO_MANY_PAYMENTS, payments, problem
from ticketcap_yaadpay_simulator.protocol.parameters import OWN_PREFIX, Call, Parameters
from ticketcap_yaadpay_simulator.protocol.redirect import return_url, target
from ticketcap_yaadpay_simulator.protocol.replies import Reply, authentication_error, html_error
from ticketcap_yaadpay_simulator.protocol.signatures import digest, page_string, same
from ticketcap_yaadpay_simulator.simulator import Simulator

BUTTONS: Final = ("pay", "approve", "decline", "abandon", "lose_redirect", "redirect_twice", "windows_1255")
PAGE_LIFETIME_SECONDS: Final = 20 * 60.0
_SUCCESSES: Final = (0, 600, 700, 800)
_NO_INFO: Final = 402
_EXPIRED_PAGE: Final = "תוקף הדף פג"
_WITHDRAWN: Final = "הקישור לתשלום בוטל או שולם"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """A page whose address was accepted."""

    parameters: Parameters
    address: str
    """The query string that opens it again, exactly as it came."""
    signature: str
    link: Link | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """The customer's input on the page."""

    button: str = "pay"
    card: str = APPROVED
    month: str = "12"
    year: str = "2029"
    user_id: str = "890108558"
    name: str = ""
    last_name: str = ""
    email: str = ""
    phone: str = ""
    payments: int = 1
    amount: str = ""
    """Counts only where the merchant left the amount open."""
    decline_ccode: int = DECLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a button."""

    status: str
    """approved, declined, abandoned, or error."""
    transaction: Transaction | None = None
    redirects: tuple[str, ...] = ()
    """Whole return addresses; two of them when the browser comes twice."""
    effects: Effects = field(default_factory=Effects)
    error: Reply | None = None


def open_page(sim: Simulator, call: Call) -> OpenPage | Reply:
    """Return the page, or the HTML that tells why it does not open."""
    sent = call.in_url if call.in_body.has(f"{OWN_PREFIX}button") else call.parameters
    address = _address(call)
    if _is_unsigned_or_forged(sim, sent, address):
        return authentication_error()
    signature = sent.get("signature")
    if signature and _is_over(sim, signature):
        return html_error(_EXPIRED_PAGE)
    if signature and sim.knobs.signed_link_single_use and sim.book.was_paid(signature):
        return authentication_error()
    link = sim.book.link(sent.get("PayRequest")) if sent.has("PayRequest") else None
    if link and link.status != links.OPEN:
        return html_error(_WITHDRAWN)
    parameters = Parameters.of(link.parameters) if link else sent
    page = OpenPage(parameters=parameters, address=address, signature=signature, link=link)
    ccode = problem(parameters, sim.terminal, amount=parameters.get("Amount") or "1", name="typed on the page")
    return html_error(f"שגיאה ({ccode})") if ccode and not (link and ccode == _NO_INFO) else page


def is_stale(page: OpenPage, shown_at: str, now: datetime) -> bool:
    """Tell whether a page with ``pageTimeOut`` was left open too long. ``shown_at``: seconds since 1970."""
    if not page.parameters.flag("pageTimeOut") or not re.fullmatch(r"\d{1,12}", shown_at, re.ASCII):
        return False
    return now.timestamp() - int(shown_at) > PAGE_LIFETIME_SECONDS


def expired_page() -> Reply:
    """Reply to a button on a page that was left open too long."""
    return html_error(_EXPIRED_PAGE)


def press(sim: Simulator, page: OpenPage, typed: Typed, fault: Fault | None = None) -> Outcome:
    """Do what the button says; ``fault`` adds to what happens to the redirect, or chooses the card's code."""
    if typed.button == "abandon":
        return Outcome(status="abandoned")
    parameters = page.parameters
    amount = parameters.get("Amount") or typed.amount
    ccode = problem(parameters, sim.terminal, amount=amount, name="typed") if not page.link else 0
    ccode = ccode or _count_problem(parameters, typed.payments)
    if ccode:
        return Outcome(status="declined" if ccode == INVALID else "error", error=html_error(f"שגיאה ({ccode})"))
    forced = fault.ccode if fault and fault.kind == "ccode" else None
    ccode, card = _answer_of_card(sim, parameters, typed, amount, forced)
    transaction = _write(sim, page, typed, amount, ccode, card)
    return _outcome(sim, page, typed, transaction, fault)


def _address(call: Call) -> str:
    parts = [*call.query.split("&"), *(call.body.split("&") if not call.in_body.has(f"{OWN_PREFIX}button") else [])]
    return "&".join(part for part in parts if part and not part.startswith(OWN_PREFIX))


def _is_unsigned_or_forged(sim: Simulator, sent: Parameters, address: str) -> bool:
    if not sim.terminal.verify_by_signature:
        return False
    content = page_string(sent.signed_part())
    if sim.knobs.page_signature_check == "verbatim":
        content = _verbatim(address)
    return not (content.isascii() and same(sent.get("signature"), digest(sim.terminal.key, content)))


def _verbatim(address: str) -> str:
    content, _, _ = address.partition("&signature=")
    prefix = "action=pay&"
    return content.removeprefix(prefix) if "&action=" in content else content


def _is_over(sim: Simulator, signature: str) -> bool:
    first_seen = sim.book.note_signed(signature, sim.clock.now())
    lifetime = sim.knobs.link_expiry_seconds
    return lifetime is not None and sim.clock.now().timestamp() - first_seen > lifetime


def _count_problem(parameters: Parameters, count: int) -> int:
    allowed = payments(parameters) or 1
    if parameters.flag("HK"):
        return 0
    if parameters.flag("FixTash"):
        return 0 if count in {1, allowed} else TOO_MANY_PAYMENTS
    return 0 if 1 <= count <= allowed else TOO_MANY_PAYMENTS


def _answer_of_card(
    sim: Simulator, parameters: Parameters, typed: Typed, amount: str, forced: int | None
) -> tuple[int, Card | None]:
    try:
        card = read_card(sim, typed.card, typed.month, typed.year)
    except CardRefused as refused:
        if typed.button != "approve":
            return forced or refused.ccode, None
        card = read_card(sim, APPROVED, "12", str(sim.clock.now().year + 3))
    if forced is not None:
        return forced, card
    if typed.button == "decline":
        return typed.decline_ccode, card
    success = success_code(parameters)
    return (success if typed.button == "approve" else charge_code(sim, card, amount, success)), card


def _write(sim: Simulator, page: OpenPage, typed: Typed, amount: str, ccode: int, card: Card | None) -> Transaction:
    parameters = page.parameters
    full_name = f"{typed.name or parameters.get('ClientName')} {typed.last_name or parameters.get('ClientLName')}"
    fixed = parameters.flag("FixTash") and not parameters.flag("HK")
    return record(
        sim,
        parameters,
        kind="pay",
        ccode=ccode,
        amount=amount,
        card=card,
        fild1=full_name.strip(),
        fild2=typed.email or parameters.get("email"),
        fild3=typed.phone or parameters.get("phone"),
        user_id=typed.user_id or parameters.get("UserId"),
        payments=(payments(parameters) or 1) if fixed else typed.payments,
    )


def _outcome(sim: Simulator, page: OpenPage, typed: Typed, transaction: Transaction, fault: Fault | None) -> Outcome:
    approved = transaction.ccode in _SUCCESSES
    if approved:
        _note_paid(sim, page, transaction)
    effects = fault.effects if fault else Effects()
    if approved:
        effects = both(effects, _effects_of_success(sim, page, typed, transaction))
    redirects = _redirects(sim, page, transaction, effects)
    status = "approved" if approved else "declined"
    return Outcome(status=status, transaction=transaction, redirects=redirects, effects=effects)


def _note_paid(sim: Simulator, page: OpenPage, transaction: Transaction) -> None:
    if page.signature:
        sim.book.note_paid(page.signature)
    if page.link:
        sim.book.change_link(page.link.id, links.PAID, transaction.id)


def _effects_of_success(sim: Simulator, page: OpenPage, typed: Typed, transaction: Transaction) -> Effects:
    pressed = Effects(
        lost=typed.button == "lose_redirect",
        twice=typed.button == "redirect_twice",
        windows_1255=typed.button == "windows_1255",
        # Seen once on the real gateway: it charged, and then showed a server error.
        broken=page.parameters.flag("HK") and page.parameters.has("TashFirstPayment"),
    )
    return both(pressed, effects_of(transaction.amount_agorot, slow_seconds=sim.knobs.slow_amount_seconds))


def _redirects(sim: Simulator, page: OpenPage, transaction: Transaction, effects: Effects) -> tuple[str, ...]:
    base = target(sim, page.parameters, transaction.ccode)
    if base is None:
        return ()
    is_agreement = page.parameters.flag("HK") and sim.terminal.allow_hk and transaction.ccode == 0
    url = return_url(
        sim,
        base,
        page.parameters,
        transaction,
        effects=effects,
        agreement=sim.book.add_agreement() if is_agreement else None,
        signed=sim.knobs.payrequest_return_has_sign if page.link else page.parameters.flag("Sign"),
    )
    return (url, url) if effects.twice else (url,)
