"""What an answer looks like: flat fields, or a page of HTML in windows-1255 that tells of an error."""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from ticketcap_yaadpay_simulator.knobs import Knobs
from ticketcap_yaadpay_simulator.protocol.encoding import WINDOWS_1255, percent_text, to_bytes
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters

Fields = Iterable[tuple[str, str]]

_MASOF_ERROR: Final = "שגיאה - תקלה במסוף - Masof Error"
_AUTHENTICATION_ERROR: Final = "שגיאה - שגיאת אימות"
_OUT_OF_ORDER: Final = "שגיאה - תקלה זמנית"
_UNKNOWN_ACTION: Final = "Action is not good"
_MEANINGS: Final = {
    4: "סירוב",
    33: "סכום הזיכוי גדול מהעסקה",
    250: "העסקה לא קיימת",
    901: "למסוף אין הרשאה",
    902: "שגיאת אימות",
    903: "מספר תשלומים גדול מהמותר",
    920: "העסקה שודרה או לא קיימת",
}
_ENGLISH: Final = {4: "declined"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: str = "text/html"
    location: str | None = None
    """Where a redirect leads."""
    delay_seconds: float = 0.0
    """How long it is held back after all was decided."""
    drop: Literal["", "close", "reset"] = ""
    """How the connection ends in its place; empty when it is sent."""
    refresh: str | None = None
    """The Refresh header: where a browser goes by itself after a while."""

    @property
    def ccode(self) -> str:
        """Its CCode, empty when there is none; for the log."""
        for part in self.body[:4000].decode("latin-1").split("&"):
            if part.startswith("CCode="):
                return part.removeprefix("CCode=").strip()
        return ""


def flat(fields: Fields, parameters: Parameters, knobs: Knobs) -> Answer:
    """Answer with fields, in the encoding that the request asked for."""
    utf8 = parameters.utf8_out
    # errMsg leaves the gateway without percent signs, as its samples show.
    parts = [f"{name}={value if _bare(name, value) else percent_text(value, utf8=utf8)}" for name, value in fields]
    return flat_text("&".join(parts), parameters, knobs)


def flat_text(body: str, parameters: Parameters, knobs: Knobs) -> Answer:
    """Answer with a finished query string."""
    charset = "utf-8" if parameters.utf8_out else "windows-1255"
    ending = "\n" if knobs.trailing_newline else ""
    return Answer(body=to_bytes(body + ending, utf8=parameters.utf8_out), content_type=f"text/html; charset={charset}")


def code(ccode: int, parameters: Parameters, knobs: Knobs, *, text: str = "") -> Answer:
    """Answer with an error code, alone or among empty fields as the knob has it."""
    fields = [("CCode", str(ccode))]
    if knobs.api_error_body == "with_fields":
        fields += [("errMsg", text or meaning(ccode)), ("Id", ""), *((f"Fild{n}", "") for n in (1, 2, 3))]
    elif text:
        fields.append(("errMsg", text))
    return flat(fields, parameters, knobs)


def meaning(ccode: int, *, english: bool = False) -> str:
    """Return the text of errMsg: a word and the code in brackets, the code alone when all is well."""
    word = (_ENGLISH.get(ccode, "refused") if english else _MEANINGS.get(ccode, "סירוב")) if ccode else ""
    return f"{word} ({ccode})"


def masof_error() -> Answer:
    """Answer to a terminal number that is none."""
    return html_error(_MASOF_ERROR)


def authentication_error() -> Answer:
    """Answer to a page whose signature is wrong."""
    return html_error(_AUTHENTICATION_ERROR)


def unknown_action() -> Answer:
    """Answer to an action that does not exist."""
    return html_error(_UNKNOWN_ACTION)


def failure(*, status: int = 200) -> Answer:
    """Answer as a gateway that is out of order."""
    return html_error(_OUT_OF_ORDER, status=status)


def perimeter(client: str, referer: str) -> Answer:
    """Answer to a caller from an address or a site that is not registered."""
    lines = (f"HTTP REFERER: {referer}", f"REMOTE HOST: {client}")
    return _html("Hyp", "".join(f"<p>{html.escape(line)}</p>" for line in lines))


def html_error(message: str, *, status: int = 200) -> Answer:
    """Answer with the page of errors."""
    mark = '<img src="/yaadpay/6.0/Images/failMark.png" alt="">'
    return _html(message, f'{mark}<p style="color:gray">{html.escape(message)}</p>', status=status)


def _html(title: str, content: str, *, status: int = 200) -> Answer:
    page = (
        '<!DOCTYPE html><html dir="rtl"><head><meta charset="windows-1255">'
        f"<title>{html.escape(title)}</title></head><body>{content}</body></html>"
    )
    body = page.encode(WINDOWS_1255, "replace")
    return Answer(body=body, status=status, content_type="text/html; charset=windows-1255")


def _bare(name: str, value: str) -> bool:
    return name == "errMsg" and not set(value) & set("&=#%+\r\n")
