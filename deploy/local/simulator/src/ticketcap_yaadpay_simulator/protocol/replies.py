"""Form replies: flat fields, or an error page in windows-1255."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from ticketcap_yaadpay_simulator.knobs import Knobs
from ticketcap_yaadpay_simulator.protocol.encoding import WINDOWS_1255, percent_text, to_bytes
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters
from ticketcap_yaadpay_simulator.templates import render

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
class Reply:
    """A reply to a request, before faults change it."""

    body: bytes
    status: int = 200
    content_type: str = "text/html"
    location: str | None = None
    """Where a redirect leads."""
    delay_seconds: float = 0.0
    """Delay before it is sent."""
    drop: Literal["", "close", "reset"] = ""
    """The way in which the connection ends without a reply; empty when the reply is sent."""
    refresh: str | None = None
    """The Refresh header: seconds and address to which a browser moves by itself."""

    @property
    def ccode(self) -> str:
        """Its CCode, empty when there is none; for the log."""
        for part in self.body[:4000].decode("latin-1").split("&"):
            if part.startswith("CCode="):
                return part.removeprefix("CCode=").strip()
        return ""


def flat(fields: Fields, parameters: Parameters, knobs: Knobs) -> Reply:
    """Reply with fields, in the encoding that the request asked for."""
    utf8 = parameters.utf8_out
    # errMsg leaves the gateway without percent signs, as its samples show.
    parts = [f"{name}={value if _bare(name, value) else percent_text(value, utf8=utf8)}" for name, value in fields]
    return flat_text("&".join(parts), parameters, knobs)


def flat_text(body: str, parameters: Parameters, knobs: Knobs) -> Reply:
    """Reply with a finished query string."""
    charset = "utf-8" if parameters.utf8_out else "windows-1255"
    ending = "\n" if knobs.trailing_newline else ""
    return Reply(body=to_bytes(body + ending, utf8=parameters.utf8_out), content_type=f"text/html; charset={charset}")


def code(ccode: int, parameters: Parameters, knobs: Knobs, *, text: str = "") -> Reply:
    """Reply with an error code, alone or among empty fields as the knob has it."""
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


def masof_error() -> Reply:
    """Reply to a terminal number that is none."""
    return html_error(_MASOF_ERROR)


def authentication_error() -> Reply:
    """Reply to a page whose signature is wrong."""
    return html_error(_AUTHENTICATION_ERROR)


def unknown_action() -> Reply:
    """Reply to an action that does not exist."""
    return html_error(_UNKNOWN_ACTION)


def failure(*, status: int = 200) -> Reply:
    """Reply as a gateway that is out of order."""
    return html_error(_OUT_OF_ORDER, status=status)


def perimeter(client: str, referer: str) -> Reply:
    """Reply to a caller from an address or a site that is not registered."""
    return _html("Hyp", f"HTTP REFERER: {referer}", f"REMOTE HOST: {client}")


def html_error(message: str, *, status: int = 200) -> Reply:
    """Reply with the page of errors."""
    return _html(message, message, mark=True, status=status)


def _html(title: str, *lines: str, mark: bool = False, status: int = 200) -> Reply:
    body = render("error", title=title, lines=lines, mark=mark).encode(WINDOWS_1255, "replace")
    return Reply(body=body, status=status, content_type="text/html; charset=windows-1255")


def _bare(name: str, value: str) -> bool:
    return name == "errMsg" and not set(value) & set("&=#%+\r\n")
