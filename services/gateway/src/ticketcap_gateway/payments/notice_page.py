"""Build the pages for people: one notice, in Hebrew or English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from ticketcap_gateway.edge import html_page
from ticketcap_gateway.edge.html_page import PageTemplate
from ticketcap_gateway.edge.operation import ResponseSpec
from ticketcap_gateway.payments import page_texts
from ticketcap_gateway.payments.page_texts import Notice, Phrase, Tone
from ticketcap_gateway.payments.schemas import Language, PayForm

_TEMPLATE: Final = PageTemplate("ticketcap_gateway.payments", "notice")
_DIRECTIONS: Final[Mapping[Language, str]] = {"he": "rtl", "en": "ltr"}
_MARKS: Final[Mapping[Tone, str]] = {"good": "✓", "wait": "…", "plain": "", "bad": "!"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """The browser loads the page again after ``seconds``: at ``path``, or at its present address."""

    seconds: int
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePage:
    """A notice in ``languages``.

    Below it stand ``figures``, a ``form`` with its ``button``, and a link to
    ``check_again``; ``switch`` is the page's address in the other language.
    """

    notice: Notice
    languages: Sequence[Language]
    figures: Sequence[tuple[Phrase, str]] = ()
    form: PayForm | None = None
    button: Phrase = page_texts.TRY_AGAIN
    check_again: str = ""
    switch: str = ""
    refresh: Refresh | None = None

    def response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return the page."""
        values = {
            "page": self,
            "language": self.languages[0],
            "other": other_language(self.languages[0]),
            "directions": _DIRECTIONS,
            "mark": _MARKS[self.notice.tone],
            "texts": page_texts,
        }
        return _TEMPLATE.response(_TEMPLATE.render(values), status, headers)


def other_language(language: Language) -> Language:
    """Return the language that a page is not in."""
    return "he" if language == "en" else "en"


def result_path(payment: str) -> str:
    """Return the path of the page that shows the state of a payment."""
    return f"/payments/{quote(payment, safe='')}"


def page_specs(pages: Mapping[int, str]) -> Sequence[ResponseSpec]:
    """Return the document's entries of pages; ``pages`` are descriptions by status."""
    return [
        ResponseSpec(status=status, description=text, body="<!doctype html>", media_type=html_page.MEDIA_TYPE)
        for status, text in pages.items()
    ]
