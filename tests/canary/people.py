"""Make planted people and secrets from a seed."""

import base64
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus

import jwt

_HEBREW: Final = "אבגדהוזחטיכלמנסעפצקרשת"
_SYLLABLES: Final = ("zor", "vin", "kel", "mat", "pru", "dax", "hib", "wol", "qui", "fen", "jub", "taz")

_SPELLINGS: Final = (
    "0{}{}{}",
    "0{}-{}-{}",
    "0{} {} {}",
    "(0{}) {}-{}",
    "+972{}{}{}",
    "+972-{}-{}-{}",
    "00972 {} {}{}",
    "0{}.{}.{}",
)


@dataclass(frozen=True)
class Planted:
    """One thing that must not leave: what kind it is, and its text."""

    kind: str
    text: str

    def forms(self) -> set[bytes]:
        """Return the bytes that would give it away: as it is, and as JSON or an address would spell it."""
        texts = {self.text, json.dumps(self.text)[1:-1], quote(self.text), quote_plus(self.text)}
        if self.kind in {"phone", "card"}:
            digits = "".join(filter(str.isdigit, self.text))
            texts |= {digits, digits.removeprefix("00").removeprefix("972").removeprefix("0")}
        return {text.encode() for text in texts}


class People:
    """Everything planted. The same seed plants the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.names = [self._hebrew_name(), f"{self._hebrew_word()}-{self._hebrew_word()}", self._name(), self._name()]
        self.phones = [
            spelling.format(f"5{self._digits(1)}", self._digits(3), self._digits(4)) for spelling in _SPELLINGS
        ]
        self.emails = [f"{self._word()}.{self._word()}@{self._word()}.co.il", f"{self._word()}+kids@{self._word()}.org"]
        self.ids = [_with_check_digit(self._digits(8)) for _ in range(3)]
        self.cards = ["5326105300985614", _with_check_digit(f"4{self._digits(14)}")]
        self.key = self._random.randbytes(20).hex()
        self.passp = f"PassP{self._random.randbytes(6).hex()}"
        self.jwt = jwt.encode({"sub": self._word(), "exp": int(time.time()) + 60}, self.key, algorithm="HS256")
        self.tokens = [self._token(), self._token()]
        self.idempotency_keys = [f"Order {self._word()} {self._digits(6)}", self._token()]
        self.issued_secrets: list[Planted] = []
        """Tokens and links that the system returned in answers."""

    def everything(self) -> list[Planted]:
        """Return every planted text and every secret that the system returned in an answer."""
        kinds = {
            "name": [*self.names, *(part for name in self.names for part in name.split() if len(part) > 5)],
            "phone": self.phones,
            "e-mail": self.emails,
            "id": self.ids,
            "card": self.cards,
            "KEY": [self.key],
            "PassP": [self.passp],
            "JWT": [self.jwt, self.jwt.rpartition(".")[2]],
            "token": self.tokens,
            "idempotency key": self.idempotency_keys,
        }
        return [Planted(kind, text) for kind, texts in kinds.items() for text in texts] + self.issued_secrets

    def one_of_each(self) -> Iterator[str]:
        """Yield one text of every kind; which one changes from time to time."""
        for texts in (self.names[:2], self.names[2:], self.phones, self.emails, self.ids, self.cards, self.tokens):
            yield self._random.choice(texts)
        yield from (self.key, self.passp, self.jwt, self._random.choice(self.idempotency_keys))

    def add_issued_secret(self, kind: str, text: str) -> None:
        """Add a secret that the system returned in an answer."""
        self.issued_secrets.append(Planted(kind, text))

    def _digits(self, count: int) -> str:
        return "".join(self._random.choice("123456789") for _ in range(count))

    def _word(self) -> str:
        return "".join(self._random.sample(_SYLLABLES, 3))

    def _name(self) -> str:
        return f"{self._word().title()} {self._word().title()}"

    def _hebrew_word(self) -> str:
        return "".join(self._random.choice(_HEBREW) for _ in range(7))

    def _hebrew_name(self) -> str:
        return f"{self._hebrew_word()} {self._hebrew_word()}"

    def _token(self) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(32)).decode().rstrip("=")


def _with_check_digit(digits: str) -> str:
    """Return ``digits`` with Luhn's check digit, which is also that of Israeli ids."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[::-2]]
    total = sum(doubled) + sum(int(digit) for digit in digits[-2::-2])
    return f"{digits}{-total % 10}"
