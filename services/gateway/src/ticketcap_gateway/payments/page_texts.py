"""State the texts of the pages, in Hebrew and in English.

They use plain words, and never name a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ticketcap_gateway.payments.schemas import Language, PaymentState, SeatState

Tone = Literal["good", "wait", "plain", "bad"]


@dataclass(frozen=True, slots=True)
class Phrase:
    """One text in both languages."""

    he: str
    en: str

    def __getitem__(self, language: Language) -> str:
        return self.en if language == "en" else self.he


@dataclass(frozen=True, slots=True)
class Notice:
    """The message of one page. ``waits``: its outcome is due soon, so the page refreshes itself."""

    tone: Tone
    title: Phrase
    lines: tuple[Phrase, ...] = ()
    waits: bool = False


def _notice(tone: Tone, title: Phrase, *lines: Phrase, waits: bool = False) -> Notice:
    return Notice(tone, title, lines, waits)


# Of the frame
OTHER_LANGUAGE: Final = Phrase("English", "עברית")
AMOUNT: Final = Phrase("סכום", "Amount")
REFUNDED: Final = Phrase("הוחזר", "Refunded")
PAYMENT_NUMBER: Final = Phrase("מספר תשלום", "Payment number")
CHECK_AGAIN: Final = Phrase("בדיקה נוספת", "Check again")
TRY_AGAIN: Final = Phrase("ניסיון נוסף", "Try again")
GO_AND_PAY: Final = Phrase("מעבר לתשלום", "Go and pay")

_NOTHING_CHARGED: Final = Phrase("לא חויבתם.", "You were not charged.")
_NOT_TWICE: Final = Phrase("אין לשלם שוב.", "Please do not pay again.")
_PAY_AGAIN: Final = Phrase(
    "אפשר לנסות שוב, גם בכרטיס אחר, מקישור התשלום שבהרשמה. המקום שמור לכם עד תום הזמן שנקבע לתשלום.",
    "You can try again, with another card too, from the payment link of your registration. "
    "Your seat is held until the time to pay is over.",
)
_REGISTER_AGAIN: Final = Phrase(
    "אפשר להירשם שוב; אם נותרו מקומות, תקבלו מקום חדש.",
    "You can register again; if spots are left, you will get a new seat.",
)
_BACK_TO_CARD: Final = Phrase(
    "הזיכוי יופיע באותו כרטיס, בדרך כלל בתוך כמה ימי עסקים. אין צורך לעשות דבר.",
    "The money goes back to the same card, usually within a few business days. You need not do anything.",
)

# Of the payment page
PAY: Final = _notice(
    "plain",
    Phrase("תשלום עבור ההרשמה", "Pay for your registration"),
    Phrase(
        "בלחיצה על הכפתור תעברו לדף התשלום המאובטח של YaadPay. הסכום יוצג שם לפני שתשלמו.",
        "The button takes you to YaadPay's secure payment page. It shows the amount before you pay.",
    ),
    Phrase(
        "המקום מאושר סופית רק לאחר התשלום. פרטי הכרטיס אינם מגיעים אלינו.",
        "Your seat is confirmed only after the payment. Your card details never reach us.",
    ),
)
HOLD_EXPIRED: Final = _notice(
    "bad",
    Phrase("הזמן לתשלום נגמר", "The time to pay is over"),
    Phrase("המקום כבר לא שמור.", "The seat is no longer held."),
    _NOTHING_CHARGED,
    _REGISTER_AGAIN,
)
CANCELLED: Final = _notice(
    "plain", Phrase("ההרשמה בוטלה", "The registration was cancelled"), _NOTHING_CHARGED, _REGISTER_AGAIN
)
REGISTRATION_NOT_FOUND: Final = _notice(
    "bad",
    Phrase("הקישור אינו תקין", "This link does not work"),
    Phrase(
        "לא מצאנו הרשמה לתשלום לפי הקישור הזה. נא לפתוח את הקישור המלא כפי שקיבלתם אותו.",
        "We found no registration to pay for under this link. Please open the whole link, as you received it.",
    ),
)
NOTHING_TO_PAY: Final = _notice(
    "plain",
    Phrase("אין מה לשלם כרגע", "There is nothing to pay now"),
    Phrase(
        "ההרשמה הזו אינה ממתינה לתשלום: היא כבר מאושרת, ללא תשלום, או ברשימת ההמתנה. אם יתפנה מקום, תוכלו לשלם אז.",
        "This registration does not wait for a payment: it is confirmed already, costs nothing, or is on the "
        "waitlist. Should a seat come free, you can pay then.",
    ),
)
PAYMENT_OPENING: Final = _notice(
    "wait",
    Phrase("דף התשלום נפתח", "The payment page is being opened"),
    Phrase(
        "הבקשה הקודמת עדיין בטיפול. נא להמתין רגע וללחוץ שוב.",
        "The request before this one is still under way. Please wait a moment, then press again.",
    ),
)
PAYING_UNAVAILABLE: Final = _notice(
    "bad",
    Phrase("אי אפשר לשלם כרגע", "Paying is not possible just now"),
    Phrase(
        "דף התשלום לא נפתח. לא חויבתם. נא לנסות שוב בעוד רגע.",
        "The payment page did not open. You were not charged. Please try again in a moment.",
    ),
)
TOO_MANY_ATTEMPTS: Final = _notice(
    "bad",
    Phrase("יותר מדי ניסיונות", "Too many attempts"),
    Phrase("נא להמתין ולנסות שוב מאוחר יותר.", "Please wait, and try again later."),
)

# Of the way back from YaadPay
NOT_GENUINE: Final = _notice(
    "bad",
    Phrase("ההודעה אינה אמיתית", "This message is not genuine"),
    Phrase(
        "ההודעה שהגיעה עם הדפדפן לא נשלחה מ-YaadPay, או שאינה תואמת לתשלום. דבר לא השתנה.",
        "Your browser's message was not sent by YaadPay, or does not match the payment. Nothing was changed.",
    ),
    Phrase(
        "אם שילמתם, נא לבדוק את מצב ההרשמה לפני שמשלמים שוב.",
        "If you did pay, please look at your registration before you pay again.",
    ),
)
TOO_MANY_REFUSED: Final = _notice(
    "bad",
    Phrase("יותר מדי הודעות שגויות", "Too many wrong messages"),
    Phrase(
        "מהכתובת הזו הגיעו יותר מדי הודעות שאינן אמיתיות. דבר לא השתנה.",
        "Too many messages that are not genuine came from this address. Nothing was changed.",
    ),
)
TOO_MANY_RETURNS: Final = _notice(
    "bad",
    Phrase("יותר מדי הודעות על תשלום אחד", "Too many messages about one payment"),
    Phrase(
        "ההודעה הזו לא נרשמה. הקודמות לה נרשמו ונבדקות.",
        "This one was not recorded. Those before it were, and are being checked.",
    ),
    _NOT_TWICE,
)
RETURN_WAITS: Final = _notice(
    "wait",
    Phrase("עוד רגע: התשלום נרשם", "One moment: your payment is being recorded"),
    Phrase(
        "נא להשאיר את הדף פתוח. הוא מנסה שוב מעצמו כל כמה שניות. אין לשלם שוב.",
        "Please leave this page open. It tries again by itself every few seconds. Please do not pay again.",
    ),
)

# Of the result page
PAYMENT_NOT_FOUND: Final = _notice(
    "bad",
    Phrase("לא מצאנו את התשלום", "We can't find this payment"),
    Phrase("נא לבדוק את הקישור.", "Please check the link."),
)
RESULT_UNAVAILABLE: Final = _notice(
    "wait",
    Phrase("אי אפשר לבדוק את התשלום כרגע", "We can't look at the payment just now"),
    Phrase("הדף מנסה שוב מעצמו.", "This page tries again by itself."),
    _NOT_TWICE,
)
_STILL_CHECKING: Final = Phrase(
    "הבדיקה נמשכת יותר מהרגיל. אם שילמתם, היא תימשך גם אם תסגרו את הדף.",
    "This takes longer than usual. If you paid, we keep checking even when you close this page.",
)
_CHECKING: Final = _notice(
    "wait",
    Phrase("התשלום בבדיקה", "Your payment is being checked"),
    Phrase("הדף מתעדכן מעצמו.", "This page updates by itself."),
    _NOT_TWICE,
    waits=True,
)
_NO_RETURN_YET: Final = _notice(
    "wait",
    Phrase("עדיין לא קיבלנו אישור על התשלום", "We have no word of a payment yet"),
    Phrase(
        "אם זה עתה שילמתם, התשלום בבדיקה והדף מתעדכן מעצמו.",
        "If you have just paid, it is being checked; this page updates by itself.",
    ),
    Phrase(
        "אם עוד לא שילמתם, אפשר להמשיך מקישור התשלום שבהרשמה.",
        "If you have not paid yet, continue from the payment link of your registration.",
    ),
    waits=True,
)
_CHARGE_UNKNOWN: Final = _notice(
    "wait",
    Phrase("עדיין לא ידוע אם הכרטיס חויב", "It is not known yet whether your card was charged"),
    Phrase(
        "אנחנו בודקים זאת מול YaadPay. אם חויבתם והמקום כבר לא פנוי, הכסף יוחזר.",
        "We are checking it with YaadPay. If it was charged and your seat is gone by then, you get a full refund.",
    ),
    _NOT_TWICE,
    waits=True,
)
_CONFIRMED: Final = _notice(
    "good",
    Phrase("שולם, והמקום שלכם מאושר", "Paid, and your seat is confirmed"),
    Phrase("נתראה באירוע!", "See you at the event!"),
)
_CONFIRMING: Final = _notice(
    "wait",
    Phrase("התשלום התקבל", "Your payment has arrived"),
    Phrase("המקום מאושר ברגעים אלה.", "Your seat is being confirmed at this moment."),
    _NOT_TWICE,
    waits=True,
)
_SEAT_GONE_REFUND_DUE: Final = _notice(
    "bad",
    Phrase("המקום כבר נתפס, והכסף יוחזר", "The seat was gone, and your money comes back"),
    Phrase(
        "התשלום הגיע אחרי שהמקום כבר לא היה שמור. הסכום כולו יוחזר.",
        "The payment came when the seat was no longer held. All of it will be refunded.",
    ),
    _BACK_TO_CARD,
)
_REFUND_PENDING: Final = _notice(
    "plain",
    Phrase("הכסף בדרך חזרה אליכם", "Your money is on its way back"),
    _BACK_TO_CARD,
)
_REFUND_DONE: Final = _notice(
    "plain",
    Phrase("הכסף הוחזר", "Your money was refunded"),
    _BACK_TO_CARD,
)
_REFUND_DONE_SEAT_GONE: Final = _notice(
    "plain",
    Phrase("המקום כבר נתפס, והכסף הוחזר", "The seat was gone, and your money was refunded"),
    _BACK_TO_CARD,
    _REGISTER_AGAIN,
)
_CARD_DECLINED: Final = _notice("bad", Phrase("הכרטיס לא אושר", "Your card was refused"), _NOTHING_CHARGED, _PAY_AGAIN)
_SEAT_GONE: Final = _notice("bad", Phrase("המקום כבר נתפס", "The seat was gone"), _NOTHING_CHARGED, _REGISTER_AGAIN)
_NOT_PAID: Final = _notice("bad", Phrase("התשלום לא בוצע", "The payment was not made"), _NOTHING_CHARGED, _PAY_AGAIN)
_EXPIRED: Final = _notice(
    "bad",
    Phrase("הזמן לתשלום נגמר", "The time to pay is over"),
    _NOTHING_CHARGED,
    Phrase(
        "אם ההרשמה עדיין ממתינה לתשלום, אפשר לשלם מהקישור שלה; אחרת אפשר להירשם שוב.",
        "If your registration still waits for a payment, pay from its link; else you can register again.",
    ),
)
_EXPIRED_MAYBE_CHARGED: Final = _notice(
    "bad",
    Phrase("הזמן לתשלום נגמר", "The time to pay is over"),
    Phrase("לא קיבלנו מדף התשלום הודעה שהתשלום בוצע.", "The payment page did not tell us of any payment."),
    Phrase(
        "אם הכרטיס חויב, אין לשלם שוב: נא לפנות לבית הספר עם מספר התשלום, והכסף יוחזר או ייזקף לטובת ההרשמה.",
        "If your card was charged, please do not pay again: tell the school the payment number, "
        "and the money is refunded or counts for your registration.",
    ),
)
_SUPERSEDED: Final = _notice(
    "plain",
    Phrase("ההרשמה שולמה בתשלום אחר", "Another payment was made for this registration"),
    Phrase("על התשלום הזה לא חויבתם.", "For this one you were not charged."),
)

_FREE: Final = _notice(
    "good",
    Phrase("האירוע הפך לחינם, והמקום שלכם מאושר", "The event is free now, and your seat is confirmed"),
    _NOTHING_CHARGED,
    Phrase("נתראה באירוע!", "See you at the event!"),
)
_FREE_UNPAID: Final = _notice(
    _FREE.tone,
    _FREE.title,
    Phrase("אין מה לשלם. אם שילמתם, הכסף יוחזר.", "There is nothing to pay. If you did pay, the money comes back."),
)

_BY_STATE: Final[Mapping[PaymentState, Notice]] = {
    "CREATED": _NO_RETURN_YET,
    "REDIRECTED": _NO_RETURN_YET,
    "AUTHORISED": _CHECKING,
    "UNKNOWN": _CHARGE_UNKNOWN,
    "CAPTURED": _CONFIRMING,
    "REFUND_PENDING": _REFUND_PENDING,
    "REFUNDED": _REFUND_DONE,
    "FAILED": _NOT_PAID,
    "EXPIRED": _EXPIRED,
}
_BY_SEAT: Final[Mapping[tuple[PaymentState, SeatState], Notice]] = {
    ("CAPTURED", "CONFIRMED"): _CONFIRMED,
    ("CAPTURED", "GONE"): _SEAT_GONE_REFUND_DUE,
    ("REFUND_PENDING", "GONE"): _SEAT_GONE_REFUND_DUE,
    ("REFUNDED", "GONE"): _REFUND_DONE_SEAT_GONE,
    ("FAILED", "GONE"): _SEAT_GONE,
}
_BY_FAILURE: Final[Mapping[tuple[PaymentState, str], Notice]] = {
    ("FAILED", "declined"): _CARD_DECLINED,
    ("FAILED", "seat_gone"): _SEAT_GONE,
    ("FAILED", "free"): _FREE,
    ("EXPIRED", "free"): _FREE_UNPAID,
    ("EXPIRED", "registration_cancelled"): CANCELLED,
    ("EXPIRED", "superseded"): _SUPERSEDED,
    ("EXPIRED", "not_returned"): _EXPIRED_MAYBE_CHARGED,
}


def result(state: PaymentState, seat: SeatState, failure: str) -> Notice:
    """Return the notice of a payment: the seat decides before the failure, and the failure before the state."""
    return _BY_SEAT.get((state, seat)) or _BY_FAILURE.get((state, failure)) or _BY_STATE[state]


def still_checking(notice: Notice) -> Notice:
    """Return the notice of a page that no longer refreshes itself."""
    return _notice(notice.tone, notice.title, _STILL_CHECKING, *notice.lines[1:])
