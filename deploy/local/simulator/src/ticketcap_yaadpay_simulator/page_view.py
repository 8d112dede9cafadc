"""Show the hosted page, and the pages after its buttons."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from ticketcap_yaadpay_simulator.cards import APPROVED
from ticketcap_yaadpay_simulator.page_texts import CURRENCY_NAMES, CURRENCY_SIGNS, ENGLISH, HEBREW
from ticketcap_yaadpay_simulator.protocol.charge import success_code
from ticketcap_yaadpay_simulator.protocol.fields import coin, payments
from ticketcap_yaadpay_simulator.protocol.page import OpenPage, Outcome, Typed
from ticketcap_yaadpay_simulator.protocol.parameters import OWN_PREFIX, Call, Parameters
from ticketcap_yaadpay_simulator.protocol.replies import Reply
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.templates import render

_TWICE_SECONDS: Final = 2
_LANGUAGE: Final = f"{OWN_PREFIX}lang"
_YEARS: Final = 12


def is_english(page: OpenPage, call: Call) -> bool:
    """Return whether the page is in English: by its own link, or else by the merchant's request."""
    return (call.in_url.get(_LANGUAGE) or page.parameters.get("PageLang")) == "ENG"


def form(sim: Simulator, page: OpenPage, *, english: bool, declined: int | None = None) -> Reply:
    """Show the page with its fields; ``declined`` is the code of the attempt before."""
    texts, parameters, now = _texts(english=english), page.parameters, sim.clock.now()
    years, typed = range(now.year, now.year + _YEARS), Typed()
    amount = parameters.get("Amount")
    return _html(
        "pay",
        texts,
        title=texts["title"],
        parameters=parameters,
        address=_own_address(page, _language(english=english)),
        other_address=_own_address(page, texts["other_lang_code"]),
        opened=int(now.timestamp()),
        declined=declined,
        sum=f"{CURRENCY_SIGNS[coin(parameters)]}{amount}" if amount else "",
        currency=CURRENCY_NAMES[coin(parameters)],
        purpose=texts[f"wanted_{success_code(parameters)}"],
        card=APPROVED,
        card_year=int(typed.year) if int(typed.year) in years else now.year + 3,
        years=years,
        user_id=typed.user_id,
        payment_counts=_payment_counts(parameters),
    )


def result(sim: Simulator, page: OpenPage, outcome: Outcome, *, english: bool) -> Reply:
    """Show the outcome of a button: usually a redirect to the merchant."""
    texts = _texts(english=english)
    if outcome.error:
        return outcome.error
    if outcome.status == "abandoned":
        link = _own_address(page, _language(english=english))
        return _message(texts, "abandoned", link=link, label=texts["back"])
    if not outcome.redirects:
        return form(sim, page, english=english, declined=outcome.transaction.ccode if outcome.transaction else None)
    address = outcome.redirects[0]
    if outcome.effects.lost:
        return _message(texts, "lost", link=address, label=texts["deliver"])
    if outcome.effects.twice:
        # A browser fetches the picture's address without a script: the first of the two visits.
        refresh = f"{_TWICE_SECONDS}; url={address}"
        return _message(texts, "twice", link=address, label=texts["go_on"], image=address, refresh=refresh)
    return Reply(body=b"", status=302, location=address)


def _texts(*, english: bool) -> Mapping[str, str]:
    return ENGLISH if english else HEBREW


def _language(*, english: bool) -> str:
    return "ENG" if english else "HEB"


def _own_address(page: OpenPage, language: str) -> str:
    address = quote(page.address.encode("latin-1", "replace"), safe="%&=+~/:;,!$'()*@[]")
    return f"?{address}&{_LANGUAGE}={language}"


def _payment_counts(parameters: Parameters) -> Sequence[int]:
    """Return the numbers of payments among which the customer may choose; empty without a choice."""
    most = payments(parameters) or 1
    if most == 1 or parameters.flag("HK"):
        return ()
    return [most] if parameters.flag("FixTash") else range(1, most + 1)


def _message(
    texts: Mapping[str, str], name: str, *, link: str, label: str, image: str = "", refresh: str | None = None
) -> Reply:
    title, message = texts[f"{name}_title"], texts[name]
    return _html("message", texts, refresh, title=title, message=message, link=link, label=label, image=image)


def _html(template: str, texts: Mapping[str, str], refresh: str | None = None, **values: Any) -> Reply:
    body = render(template, texts=texts, **values).encode()
    return Reply(body=body, content_type="text/html; charset=utf-8", refresh=refresh)
