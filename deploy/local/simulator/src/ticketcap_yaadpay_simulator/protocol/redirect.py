"""Form the address of a redirect with a payment's result."""

import re
from typing import Final
from urllib.parse import urlsplit

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.magic_amounts import Effects
from ticketcap_yaadpay_simulator.money import plain
from ticketcap_yaadpay_simulator.protocol.encoding import careless, percent_text, to_bytes
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters
from ticketcap_yaadpay_simulator.protocol.replies import meaning
from ticketcap_yaadpay_simulator.protocol.signatures import RETURN_FIELDS, digest, return_string
from ticketcap_yaadpay_simulator.settings import is_web_address
from ticketcap_yaadpay_simulator.simulator import Simulator

SUCCESS_URL_NAMES: Final = ("SuccessUrl", "successUrl", "SuccessURL", "GoodURL")
FAILURE_URL_NAMES: Final = ("ErrorUrl", "errorUrl", "ErrorURL", "FailureUrl")
_STATES_OF_SUCCESS: Final = (0, 600, 700, 800)
_FREE_TEXT: Final = frozenset({"Fild1", "Fild2", "Fild3", "street", "city", "zip", "cell", "Info", "errMsg"})
_NO_ID_NUMBER: Final = 1_000_000_000


def target(sim: Simulator, parameters: Parameters, ccode: int) -> str | None:
    """Return the configured address for a result, None when the page shows it by itself."""
    success = _own_url(sim, parameters, SUCCESS_URL_NAMES) or sim.terminal.success_url
    failure = _own_url(sim, parameters, FAILURE_URL_NAMES) or sim.terminal.failure_url
    if ccode == 0:
        return success
    if ccode not in _STATES_OF_SUCCESS:
        return failure
    return (failure or success) if sim.knobs.nonzero_ok_goes_to == "failure_url" else success


def has_unregistered_url(sim: Simulator, parameters: Parameters) -> bool:
    """Tell whether the parameters name a return address of an origin that the terminal does not know."""
    own_origins = {_origin(url) for url in (sim.terminal.success_url, sim.terminal.failure_url) if url}
    named = (parameters.get(name) for name in (*SUCCESS_URL_NAMES, *FAILURE_URL_NAMES))
    return any(url and _origin(url) not in own_origins for url in named)


def return_url(
    sim: Simulator,
    base: str,
    parameters: Parameters,
    transaction: Transaction,
    *,
    effects: Effects,
    agreement: int | None,
    signed: bool,
) -> str:
    """Return the whole address: ``base``, the fields in the order of the wire, what the effects do to them."""
    utf8 = parameters.utf8_out
    legacy = {"Fild1", "errMsg"} if effects.windows_1255 else set()
    core = _core(sim, transaction, agreement)
    fields = list(core)
    if signed:
        content = return_string([(name, to_bytes(value, utf8=utf8 and name not in legacy)) for name, value in core])
        fields.append(("Sign", digest(sim.terminal.key, content)))
    if parameters.flag("MoreData"):
        message = _message(parameters, transaction.ccode, effects)
        fields += [*_more(sim, parameters, transaction), ("errMsg", message), *_late(sim, transaction)]
    parts = [_part(sim, name, value, utf8=utf8 and name not in legacy) for name, value in _tampered(fields, effects)]
    return f"{base}{'&' if '?' in base else '?'}{'&'.join(parts)}"


def _core(sim: Simulator, transaction: Transaction, agreement: int | None) -> list[tuple[str, str]]:
    order = transaction.order
    if sim.knobs.order_filter == "alnum_only":
        order = re.sub(r"[^A-Za-z0-9]", "", order)
    values = (
        *(str(transaction.id), str(transaction.ccode), transaction.amount_text, transaction.acode, order),
        *(transaction.fild1, transaction.fild2, transaction.fild3),
    )
    first = [("HKId", str(agreement))] if agreement is not None else []
    return [*first, *zip(RETURN_FIELDS, values, strict=True)]


def _more(sim: Simulator, parameters: Parameters, transaction: Transaction) -> list[tuple[str, str]]:
    card = transaction.card
    user_id = transaction.user_id
    if sim.knobs.userid_placeholder:
        user_id = str(_NO_ID_NUMBER + transaction.id)
    return [
        ("Bank", str(card.bank) if card else ""),
        ("Payments", str(transaction.payments)),
        ("UserId", user_id),
        ("Brand", str(card.brand) if card else ""),
        ("Issuer", str(card.issuer) if card else ""),
        ("L4digit", card.last4 if card else ""),
        *((name, parameters.get(name)) for name in ("street", "city", "zip", "cell")),
        ("Coin", str(transaction.coin)),
        ("Tmonth", card.tokef[2:] if card else ""),
        ("Tyear", f"20{card.tokef[:2]}" if card else ""),
        ("Info", transaction.info),
    ]


def _late(sim: Simulator, transaction: Transaction) -> list[tuple[str, str]]:
    card = transaction.card
    special, first_digits = ("SpType", "BinCard") if sim.knobs.late_field_case == "SpType" else ("spType", "bincard")
    return [
        ("Hesh", sim.knobs.hesh_value),
        ("UID", transaction.uid),
        (special, card.sp_type if card else ""),
        (first_digits, card.bin if card else ""),
        *instalments(transaction),
    ]


def instalments(transaction: Transaction) -> list[tuple[str, str]]:
    """Return how the amount is split, nothing when it is paid at once. The first payment takes what is left over."""
    further = transaction.payments - 1
    if further < 1:
        return []
    each = transaction.amount_agorot // transaction.payments
    first = transaction.amount_agorot - each * further
    return [("noKPayments", str(further)), ("nFirstPayment", plain(first)), ("firstPayment", plain(each))]


def _message(parameters: Parameters, ccode: int, effects: Effects) -> str:
    if effects.windows_1255 and ccode in _STATES_OF_SUCCESS:
        return f"תקין ({ccode})"  # with nothing in Hebrew the encoding would not show
    if ccode in _STATES_OF_SUCCESS:
        return f" ({ccode})"
    return meaning(ccode, english=parameters.get("PageLang") == "ENG")


def _tampered(fields: list[tuple[str, str]], effects: Effects) -> list[tuple[str, str]]:
    present = {name for name, _ in fields}
    changed = [(name, effects.tampered.get(name, value)) for name, value in fields]
    added = [(name, value) for name, value in effects.tampered.items() if name not in present]
    return [*changed, *added, *effects.duplicated.items()]


def _part(sim: Simulator, name: str, value: str, *, utf8: bool) -> str:
    raw = sim.knobs.echo_encoding == "raw" and name in _FREE_TEXT
    return f"{percent_text(name, utf8=True)}={(careless if raw else percent_text)(value, utf8=utf8)}"


def _own_url(sim: Simulator, parameters: Parameters, names: tuple[str, ...]) -> str | None:
    if sim.knobs.per_request_urls == "ignore":
        return None
    return next((url for name in names if is_web_address(url := parameters.get(name))), None)


def _origin(url: str) -> tuple[str, str] | None:
    if not is_web_address(url):
        return None
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
