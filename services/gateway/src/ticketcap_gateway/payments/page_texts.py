"""What the pages say, in Hebrew and in English: in plain words, and never whose payment it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ticketcap_gateway.schemas import Language, PaymentState, SeatState

Tone = Literal["good", "wait", "plain", "bad"]


@dataclass(frozen=True, slots=True)
class Text:
    """One text in both languages."""

    he: str
    en: str

    def spoken(self, language: Language) -> str:
        """Return the text in ``language``."""
        return self.en if language == "en" else self.he


@dataclass(frozen=True, slots=True)
class Notice:
    """What one page has to say. ``waits``: what comes next is known soon, so the page looks again by itself."""

    tone: Tone
    title: Text
    lines: tuple[Text, ...] = ()
    waits: bool = False


# Of the frame
OTHER_LANGUAGE: Final = Text("English", "עברית")
AMOUNT: Final = Text("סכום", "Amount")
GIVEN_BACK: Final = Text("הוחזר", "Given back")
REFERENCE: Final = Text("מספר תשלום", "Payment number")
LOOK_AGAIN: Final = Text("בדיקה נוספת", "Check again")
TRY_AGAIN: Final = Text("ניסיון נוסף", "Try again")
GO_AND_PAY: Final = Text("מעבר לתשלום", "Go and pay")

_NOTHING_CHARGED: Final = Text("לא חויבתם.", "You were not charged.")
_NOT_TWICE: Final = Text("אין לשלם שוב.", "Please do not pay again.")
_PAY_AGAIN: Final = Text(
    "אפשר לנסות שוב, גם בכרטיס אחר, מקישור התשלום שבהרשמה. המקום שמור לכם עד תום הזמן שנקבע לתשלום.",
    "You can try again, with another card too, from the payment link of your registration. "
    "Your place is held until the time to pay is over.",
)
_REGISTER_AGAIN: Final = Text(
    "אפשר להירשם שוב; אם נותרו מקומות, תקבלו מקום חדש.",
    "You can register again; if places are left, you will get a new one.",
)
_BACK_TO_CARD: Final = Text(
    "הזיכוי יופיע באותו כרטיס, בדרך כלל בתוך כמה ימי עסקים. אין צורך לעשות דבר.",
    "The money goes back to the same card, usually within a few business days. You need not do anything.",
)

# Of the payment page
PAY: Final = Notice(
    "plain",
    Text("תשלום עבור ההרשמה", "Pay for your registration"),
    (
        Text(
            "בלחיצה על הכפתור תעברו לדף התשלום המאובטח של YaadPay. הסכום יוצג שם לפני שתשלמו.",
            "The button takes you to YaadPay's secure payment page. It shows the amount before you pay.",
        ),
        Text(
            "המקום מאושר סופית רק לאחר התשלום. פרטי הכרטיס אינם מגיעים אלינו.",
            "The place is finally yours only once it is paid. Your card details never reach us.",
        ),
    ),
)
HOLD_OVER: Final = Notice(
    "bad",
    Text("הזמן לתשלום נגמר", "The time to pay is over"),
    (Text("המקום כבר לא שמור.", "The place is no longer held."), _NOTHING_CHARGED, _REGISTER_AGAIN),
)
CANCELLED: Final = Notice(
    "plain", Text("ההרשמה בוטלה", "The registration was cancelled"), (_NOTHING_CHARGED, _REGISTER_AGAIN)
)
NO_SUCH_REGISTRATION: Final = Notice(
    "bad",
    Text("הקישור אינו תקין", "This link does not work"),
    (
        Text(
            "לא מצאנו הרשמה לתשלום לפי הקישור הזה. נא לפתוח את הקישור המלא כפי שקיבלתם אותו.",
            "We found no registration to pay for under this link. Please open the whole link, just as you got it.",
        ),
    ),
)
NOTHING_TO_PAY: Final = Notice(
    "plain",
    Text("אין מה לשלם כרגע", "There is nothing to pay now"),
    (
        Text(
            "ההרשמה הזו אינה ממתינה לתשלום: היא כבר מאושרת, ללא תשלום, או ברשימת ההמתנה. אם יתפנה מקום, תוכלו לשלם אז.",
            "This registration does not wait for a payment: it is confirmed already, costs nothing, or is on the "
            "waitlist. Should a place come free, you can pay then.",
        ),
    ),
)
BEING_OPENED: Final = Notice(
    "wait",
    Text("דף התשלום נפתח", "The payment page is being opened"),
    (
        Text(
            "הבקשה הקודמת עדיין בטיפול. נא להמתין רגע וללחוץ שוב.",
            "The request before this one is still under way. Please wait a moment, then press again.",
        ),
    ),
)
PAYING_UNAVAILABLE: Final = Notice(
    "bad",
    Text("אי אפשר לשלם כרגע", "Paying is not possible just now"),
    (
        Text(
            "דף התשלום לא נפתח. לא חויבתם. נא לנסות שוב בעוד רגע.",
            "The payment page did not open. You were not charged. Please try again in a moment.",
        ),
    ),
)
TOO_OFTEN: Final = Notice(
    "bad",
    Text("יותר מדי ניסיונות", "Too many attempts"),
    (Text("נא להמתין ולנסות שוב מאוחר יותר.", "Please wait, and try again later."),),
)

# Of the way back from YaadPay
NOT_GENUINE: Final = Notice(
    "bad",
    Text("ההודעה אינה אמיתית", "This message is not genuine"),
    (
        Text(
            "ההודעה שהגיעה עם הדפדפן לא נשלחה מ-YaadPay, או שאינה תואמת לתשלום. דבר לא השתנה.",
            "What your browser brought was not sent by YaadPay, or does not match the payment. Nothing was changed.",
        ),
        Text(
            "אם שילמתם, נא לבדוק את מצב ההרשמה לפני שמשלמים שוב.",
            "If you did pay, please look at your registration before you pay again.",
        ),
    ),
)
TOO_MANY_REFUSED: Final = Notice(
    "bad",
    Text("יותר מדי הודעות שגויות", "Too many wrong messages"),
    (
        Text(
            "מהכתובת הזו הגיעו יותר מדי הודעות שאינן אמיתיות. דבר לא השתנה.",
            "Too many messages that are not genuine came from this address. Nothing was changed.",
        ),
    ),
)
TOO_MANY_RETURNS: Final = Notice(
    "bad",
    Text("יותר מדי הודעות על תשלום אחד", "Too many messages about one payment"),
    (
        Text(
            "ההודעה הזו לא נרשמה. הקודמות לה נרשמו ונבדקות.",
            "This one was not recorded. Those before it were, and are being checked.",
        ),
        _NOT_TWICE,
    ),
)
RETURN_WAITS: Final = Notice(
    "wait",
    Text("עוד רגע: התשלום נרשם", "One moment: your payment is being recorded"),
    (
        Text(
            "נא להשאיר את הדף פתוח. הוא מנסה שוב מעצמו כל כמה שניות. אין לשלם שוב.",
            "Please leave this page open. It tries again by itself every few seconds. Please do not pay again.",
        ),
    ),
)

# Of the result page
NO_SUCH_PAYMENT: Final = Notice(
    "bad",
    Text("לא מצאנו את התשלום", "We do not find this payment"),
    (Text("נא לבדוק את הקישור.", "Please check the link."),),
)
RESULT_UNAVAILABLE: Final = Notice(
    "wait",
    Text("אי אפשר לבדוק את התשלום כרגע", "We can't look at the payment just now"),
    (
        Text("הדף מנסה שוב מעצמו.", "This page tries again by itself."),
        _NOT_TWICE,
    ),
)
_STILL_CHECKING: Final = Text(
    "הבדיקה נמשכת יותר מהרגיל. אם שילמתם, היא תימשך גם אם תסגרו את הדף.",
    "This takes longer than usual. If you paid, checking goes on even when you close this page.",
)
_CHECKING: Final = Notice(
    "wait",
    Text("התשלום בבדיקה", "Your payment is being checked"),
    (Text("הדף מתעדכן מעצמו.", "This page updates by itself."), _NOT_TWICE),
    waits=True,
)
_NOT_HEARD_OF: Final = Notice(
    "wait",
    Text("עדיין לא קיבלנו אישור על התשלום", "We have not heard of a payment yet"),
    (
        Text(
            "אם זה עתה שילמתם, התשלום בבדיקה והדף מתעדכן מעצמו.",
            "If you have just paid, it is being checked; this page updates by itself.",
        ),
        Text(
            "אם עוד לא שילמתם, אפשר להמשיך מקישור התשלום שבהרשמה.",
            "If you have not paid yet, go on from the payment link of your registration.",
        ),
    ),
    waits=True,
)
_NOT_KNOWN: Final = Notice(
    "wait",
    Text("עדיין לא ידוע אם הכרטיס חויב", "It is not known yet whether your card was charged"),
    (
        Text(
            "אנחנו בודקים זאת מול YaadPay. אם חויבתם והמקום כבר לא פנוי, הכסף יוחזר.",
            "We are checking it with YaadPay. If it was, and your place is gone by then, the money comes back.",
        ),
        _NOT_TWICE,
    ),
    waits=True,
)
_CONFIRMED: Final = Notice(
    "good",
    Text("שולם, והמקום שלכם מאושר", "Paid, and your place is confirmed"),
    (Text("נתראה באירוע!", "See you at the event!"),),
)
_BEING_CONFIRMED: Final = Notice(
    "wait",
    Text("התשלום התקבל", "Your payment has arrived"),
    (Text("המקום מאושר ברגעים אלה.", "Your place is being confirmed at this moment."), _NOT_TWICE),
    waits=True,
)
_GONE_AND_CHARGED: Final = Notice(
    "bad",
    Text("המקום כבר נתפס, והכסף יוחזר", "The place had gone, and your money comes back"),
    (
        Text(
            "התשלום הגיע אחרי שהמקום כבר לא היה שמור. הסכום כולו יוחזר.",
            "The payment came when the place was no longer held. All of it will be given back.",
        ),
        _BACK_TO_CARD,
    ),
)
_BEING_REFUNDED: Final = Notice(
    "plain", Text("הכסף בדרך חזרה אליכם", "Your money is on its way back"), (_BACK_TO_CARD,)
)
_REFUNDED: Final = Notice("plain", Text("הכסף הוחזר", "Your money was given back"), (_BACK_TO_CARD,))
_REFUNDED_GONE: Final = Notice(
    "plain",
    Text("המקום כבר נתפס, והכסף הוחזר", "The place had gone, and your money was given back"),
    (_BACK_TO_CARD, _REGISTER_AGAIN),
)
_CARD_REFUSED: Final = Notice("bad", Text("הכרטיס לא אושר", "Your card was refused"), (_NOTHING_CHARGED, _PAY_AGAIN))
_GONE: Final = Notice("bad", Text("המקום כבר נתפס", "The place had gone"), (_NOTHING_CHARGED, _REGISTER_AGAIN))
_NOT_MADE: Final = Notice("bad", Text("התשלום לא בוצע", "The payment was not made"), (_NOTHING_CHARGED, _PAY_AGAIN))
_TIME_OVER: Final = Notice(
    "bad",
    Text("הזמן לתשלום נגמר", "The time to pay is over"),
    (
        _NOTHING_CHARGED,
        Text(
            "אם ההרשמה עדיין ממתינה לתשלום, אפשר לשלם מהקישור שלה; אחרת אפשר להירשם שוב.",
            "If your registration still waits for a payment, pay from its link; else you can register again.",
        ),
    ),
)
_TIME_OVER_MAYBE_CHARGED: Final = Notice(
    "bad",
    Text("הזמן לתשלום נגמר", "The time to pay is over"),
    (
        Text("לא קיבלנו מדף התשלום הודעה שהתשלום בוצע.", "The payment page did not tell us of any payment."),
        Text(
            "אם הכרטיס חויב, אין לשלם שוב: נא לפנות לבית הספר עם מספר התשלום, והכסף יוחזר או ייזקף לטובת ההרשמה.",
            "If your card was charged, please do not pay again: tell the school the payment number, "
            "and the money is given back or counts for your registration.",
        ),
    ),
)
_SUPERSEDED: Final = Notice(
    "plain",
    Text("ההרשמה שולמה בתשלום אחר", "Another payment was made for this registration"),
    (Text("על התשלום הזה לא חויבתם.", "For this one you were not charged."),),
)

_FREE: Final = Notice(
    "good",
    Text("האירוע הפך לחינם, והמקום שלכם מאושר", "The event is free now, and your place is confirmed"),
    (_NOTHING_CHARGED, Text("נתראה באירוע!", "See you at the event!")),
)
_FREE_UNPAID: Final = Notice(
    _FREE.tone,
    _FREE.title,
    (Text("אין מה לשלם. אם שילמתם, הכסף יוחזר.", "There is nothing to pay. If you did pay, the money comes back."),),
)

_STANDS: Final[Mapping[PaymentState, Notice]] = {
    "CREATED": _NOT_HEARD_OF,
    "REDIRECTED": _NOT_HEARD_OF,
    "AUTHORISED": _CHECKING,
    "UNKNOWN": _NOT_KNOWN,
    "CAPTURED": _BEING_CONFIRMED,
    "REFUND_PENDING": _BEING_REFUNDED,
    "REFUNDED": _REFUNDED,
    "FAILED": _NOT_MADE,
    "EXPIRED": _TIME_OVER,
}
_WITH_SEAT: Final[Mapping[tuple[PaymentState, SeatState], Notice]] = {
    ("CAPTURED", "CONFIRMED"): _CONFIRMED,
    ("CAPTURED", "GONE"): _GONE_AND_CHARGED,
    ("REFUND_PENDING", "GONE"): _GONE_AND_CHARGED,
    ("REFUNDED", "GONE"): _REFUNDED_GONE,
    ("FAILED", "GONE"): _GONE,
}
_BECAUSE: Final[Mapping[tuple[PaymentState, str], Notice]] = {
    ("FAILED", "declined"): _CARD_REFUSED,
    ("FAILED", "seat_gone"): _GONE,
    ("FAILED", "free"): _FREE,
    ("EXPIRED", "free"): _FREE_UNPAID,
    ("EXPIRED", "registration_cancelled"): CANCELLED,
    ("EXPIRED", "superseded"): _SUPERSEDED,
    ("EXPIRED", "not_returned"): _TIME_OVER_MAYBE_CHARGED,
}


def result(state: PaymentState, seat: SeatState, failure: str) -> Notice:
    """Return what is said of a payment as it stands: the seat says more than the failure, and that than the state."""
    return _WITH_SEAT.get((state, seat)) or _BECAUSE.get((state, failure)) or _STANDS[state]


def waited_enough(notice: Notice) -> Notice:
    """Return what a page says that has looked as often as it does by itself."""
    return Notice(notice.tone, notice.title, (_STILL_CHECKING, *notice.lines[1:]))
