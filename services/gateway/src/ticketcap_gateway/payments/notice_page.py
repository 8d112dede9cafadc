"""The pages for people: one notice on a page, in Hebrew or English, without scripts, and nothing loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from starlette.responses import Response
from ticketcap_chassis.errors import InternalError

from ticketcap_gateway.edge.html_page import load_style
from ticketcap_gateway.edge.operation import Answer
from ticketcap_gateway.payments import page_texts
from ticketcap_gateway.payments.page_texts import Notice, Tone
from ticketcap_gateway.schemas import Language

MEDIA_TYPE: Final = "text/html"
_STYLE: Final = load_style("ticketcap_gateway.payments", "notice_page.css")
_DIRECTIONS: Final[Mapping[Language, str]] = {"he": "rtl", "en": "ltr"}
_MARKS: Final[Mapping[Tone, str]] = {"good": "✓", "wait": "…", "plain": "", "bad": "!"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """The page is asked for again after ``seconds``: at ``path``, or at the very address that it has."""

    seconds: int
    path: str = ""

    @property
    def html(self) -> str:
        """The element that tells the browser."""
        where = f";url={self.path}" if self.path else ""
        return f'<meta http-equiv="refresh" content="{escape(f"{self.seconds}{where}")}">'


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A notice in ``languages``. ``body`` is HTML below it, ``switch`` where the page is in the other language."""

    notice: Notice
    languages: Sequence[Language]
    body: str = ""
    switch: str = ""
    refresh: Refresh | None = None

    def response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return the page."""
        headers = {"content-security-policy": _STYLE.policy, **(headers or {})}
        return Response(self._html().encode(), status, media_type=MEDIA_TYPE, headers=headers)

    def _html(self) -> str:
        first = self.languages[0]
        sections = "".join(self._section(language) for language in self.languages)
        return (
            f'<!doctype html><html lang="{first}" dir="{_DIRECTIONS[first]}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
            f"{self.refresh.html if self.refresh else ''}"
            f"<title>{escape(self.notice.title.spoken(first))} · TicketCap</title><style>{_STYLE.text}</style></head>"
            f"<body><header><b>TicketCap</b>{self._switch(first)}</header>"
            f'<main class="{self.notice.tone}">{self._mark()}{sections}{self.body}</main></body></html>'
        )

    def _switch(self, language: Language) -> str:
        if not self.switch:
            return ""
        other = other_language(language)
        name = page_texts.OTHER_LANGUAGE.spoken(language)
        return f'<a href="{escape(self.switch)}" lang="{other}" hreflang="{other}">{escape(name)}</a>'

    def _mark(self) -> str:
        mark = _MARKS[self.notice.tone]
        return f'<p class="mark" aria-hidden="true">{mark}</p>' if mark else ""

    def _section(self, language: Language) -> str:
        lines = "".join(f"<p>{escape(line.spoken(language))}</p>" for line in self.notice.lines)
        return (
            f'<section lang="{language}" dir="{_DIRECTIONS[language]}">'
            f"<h1>{escape(self.notice.title.spoken(language))}</h1>{lines}</section>"
        )


def other_language(language: Language) -> Language:
    """Return the language that a page is not in."""
    return "he" if language == "en" else "en"


def described(pages: Mapping[int, str]) -> Sequence[Answer]:
    """Return pages, by status, for the document."""
    return [
        Answer(status=status, description=text, body="<!doctype html>", media_type=MEDIA_TYPE)
        for status, text in pages.items()
    ]


def see_other(location: str) -> Response:
    """Send the browser to ``location`` with a GET, exactly as it is written."""
    if not (location.isascii() and location.isprintable()):
        raise InternalError("the address to go on to holds what no address may hold")
    return Response(status_code=303, headers={"location": location})
