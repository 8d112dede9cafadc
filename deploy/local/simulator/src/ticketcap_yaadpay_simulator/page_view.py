"""What the hosted page looks like, and what stands in its place after a button."""

import html
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ticketcap_yaadpay_simulator.cards import APPROVED
from ticketcap_yaadpay_simulator.page_texts import CURRENCY_NAMES, CURRENCY_SIGNS, ENGLISH, HEBREW
from ticketcap_yaadpay_simulator.protocol.answers import Answer
from ticketcap_yaadpay_simulator.protocol.charge import wanted
from ticketcap_yaadpay_simulator.protocol.fields import coin, payments
from ticketcap_yaadpay_simulator.protocol.page import OpenPage, Outcome
from ticketcap_yaadpay_simulator.protocol.parameters import OWN_PREFIX, Call, Parameters
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.templates import rendered

_HTML: Final = "text/html; charset=utf-8"
_TWICE_SECONDS: Final = 2
_LANGUAGE: Final = f"{OWN_PREFIX}lang"


def is_english(page: OpenPage, call: Call) -> bool:
    """Tell which language the page speaks: what its link chose, or else what the merchant asked for."""
    return (call.in_url.get(_LANGUAGE) or page.parameters.get("PageLang")) == "ENG"


def form(sim: Simulator, page: OpenPage, *, english: bool, refused: int | None = None) -> Answer:
    """Show the page with its fields; ``refused`` is the code of an attempt that was just declined."""
    texts, parameters = _texts(english=english), page.parameters
    body = rendered(
        "pay",
        **texts,
        address=_own_address(page, _language(english=english)),
        other_address=_own_address(page, texts["other_lang_code"]),
        opened=str(int(sim.clock.now().timestamp())),
        sum=_amount(parameters),
        currency=CURRENCY_NAMES[coin(parameters)],
        info_value=parameters.get("Info"),
        order_value=parameters.get("Order"),
        wanted_text=texts[f"wanted_{wanted(parameters)}"],
        card_value=APPROVED,
        name_value=parameters.get("ClientName"),
        last_name_value=parameters.get("ClientLName"),
        email_value=parameters.get("email"),
        user_id_value=parameters.get("UserId") or "890108558",
        phone_value=parameters.get("phone"),
        markup={
            "alert": _alert(texts, refused),
            "amount_field": _amount_field(texts, parameters),
            "payments_field": _payments_field(texts, parameters),
            "years": _years(sim),
        },
    )
    return Answer(body=body.encode(), content_type=_HTML)


def result(sim: Simulator, page: OpenPage, outcome: Outcome, *, english: bool) -> Answer:
    """Show what came of a button: usually the way back to the merchant."""
    texts = _texts(english=english)
    again = _own_address(page, _language(english=english))
    if outcome.error:
        return outcome.error
    if outcome.status == "abandoned":
        return _message(texts, "abandoned", link=again, label=texts["back"])
    if not outcome.redirects:
        return form(sim, page, english=english, refused=outcome.transaction.ccode if outcome.transaction else None)
    address = outcome.redirects[0]
    if outcome.effects.lost:
        return _message(texts, "lost", link=address, label=texts["deliver"])
    if outcome.effects.twice:
        return _twice(texts, address)
    return Answer(body=b"", status=302, location=address)


def _texts(*, english: bool) -> Mapping[str, str]:
    return ENGLISH if english else HEBREW


def _language(*, english: bool) -> str:
    return "ENG" if english else "HEB"


def _own_address(page: OpenPage, language: str) -> str:
    address = quote(page.address.encode("latin-1", "replace"), safe="%&=+~/:;,!$'()*@[]")
    return f"?{address}&{_LANGUAGE}={language}"


def _amount(parameters: Parameters) -> str:
    amount = parameters.get("Amount")
    return f"{CURRENCY_SIGNS[coin(parameters)]}{amount}" if amount else ""


def _amount_field(texts: Mapping[str, str], parameters: Parameters) -> str:
    if parameters.get("Amount"):
        return ""
    label = html.escape(texts["amount"])
    return f'<label>{label}<input name="Amount" inputmode="decimal" required value="10"></label>'


def _payments_field(texts: Mapping[str, str], parameters: Parameters) -> str:
    most = payments(parameters) or 1
    if most == 1 or parameters.flag("HK"):
        return ""
    counts = [most] if parameters.flag("FixTash") else range(1, most + 1)
    options = "".join(f"<option>{count}</option>" for count in counts)
    return f'<label>{html.escape(texts["payments"])}<select name="Payments">{options}</select></label>'


def _years(sim: Simulator) -> str:
    first = sim.clock.now().year
    years = range(first, first + 12)
    chosen = 2029 if 2029 in years else first + 3  # noqa: PLR2004 - what the test card's issuer printed
    return "".join(f"<option{' selected' if year == chosen else ''}>{year}</option>" for year in years)


def _alert(texts: Mapping[str, str], refused: int | None) -> str:
    if refused is None:
        return ""
    return (
        f'<p class="alert" role="alert">{html.escape(texts["declined"])} ({html.escape(texts["code"])} {refused})</p>'
    )


def _message(texts: Mapping[str, str], name: str, *, link: str, label: str, image: str = "") -> Answer:
    words = {"title": texts[f"{name}_title"], "message": texts[name], "link": link, "label": label}
    common = {key: texts[key] for key in ("lang", "dir")}
    body = rendered("message", **words, **common, markup={"image": image})
    return Answer(body=body.encode(), content_type=_HTML)


def _twice(texts: Mapping[str, str], address: str) -> Answer:
    # A picture's address is fetched by every browser, without a script: the first of the two visits.
    image = f'<img src="{html.escape(address)}" alt="" width="1" height="1">'
    shown = _message(texts, "twice", link=address, label=texts["go_on"], image=image)
    return Answer(body=shown.body, content_type=_HTML, refresh=f"{_TWICE_SECONDS}; url={address}")
