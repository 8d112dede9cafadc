"""Parse a request's parameters: ordered bytes, decoded on access."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import unquote_to_bytes

from ticketcap_yaadpay_simulator.protocol.encoding import to_text

MAX_PARAMETERS: Final = 300
OWN_PREFIX: Final = "simulator_"
"""Parameters of the page's own buttons; they are no part of the protocol and never signed."""

Pair = tuple[str, bytes]


class TooManyParameters(ValueError):
    """A request holds more than MAX_PARAMETERS."""


@dataclass(frozen=True)
class Parameters:
    """Names and values in the order they came; of a name given twice the first counts."""

    pairs: Sequence[Pair]

    @classmethod
    def parse(cls, encoded: str) -> "Parameters":
        """Read a query string or a form; raise TooManyParameters."""
        parts = [part for part in encoded.split("&") if part]
        if len(parts) > MAX_PARAMETERS:
            raise TooManyParameters(f"at most {MAX_PARAMETERS} parameters")
        halves = (part.partition("=") for part in parts)
        return cls([(_unquoted(name).decode("utf-8", "replace"), _unquoted(value)) for name, _, value in halves])

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Parameters":
        """Make them of text."""
        return cls([("UTF8", b"True"), *((name, value.encode()) for name, value in values.items() if name != "UTF8")])

    def get(self, name: str, default: str = "") -> str:
        """Return the text of ``name``."""
        value = self._first.get(name)
        return default if value is None else to_text(value, utf8=self.utf8)

    def raw(self, name: str) -> bytes | None:
        """Return the bytes of ``name``."""
        return self._first.get(name)

    def flag(self, name: str) -> bool:
        """Tell whether ``name`` is the literal word True."""
        return self._first.get(name) == b"True"

    @property
    def utf8(self) -> bool:
        """Whether its text was declared to be UTF-8."""
        return self._first.get("UTF8") == b"True"

    @property
    def utf8_out(self) -> bool:
        """Whether UTF-8 is asked for in return."""
        return self._first.get("UTF8out") == b"True"

    @property
    def names(self) -> list[str]:
        """All names, as they came."""
        return [name for name, _ in self.pairs]

    def has(self, name: str) -> bool:
        """Tell whether ``name`` is there, empty or not."""
        return name in self._first

    def joined(self, other: "Parameters") -> "Parameters":
        """Return these, then ``other``."""
        return Parameters([*self.pairs, *other.pairs])

    def signed_part(self) -> list[Pair]:
        """Return what a page signature is about: all but the signature, ``action`` and the buttons' own."""
        unsigned = {"signature", "action"}
        return [pair for pair in self.pairs if pair[0] not in unsigned and not pair[0].startswith(OWN_PREFIX)]

    @cached_property
    def _first(self) -> dict[str, bytes]:
        return dict(reversed(self.pairs))


@dataclass(frozen=True)
class Call:
    """One request of the protocol."""

    method: str
    path: str
    query: str
    """The query string as it came, Latin letters and percent signs."""
    body: str
    headers: Mapping[str, str] = field(repr=False)
    client: str
    """The caller's address."""

    @cached_property
    def in_url(self) -> Parameters:
        """The parameters of the query string."""
        return Parameters.parse(self.query)

    @cached_property
    def in_body(self) -> Parameters:
        """The parameters of the form."""
        return Parameters.parse(self.body)

    @cached_property
    def parameters(self) -> Parameters:
        """All of them, the query string's first."""
        return self.in_url.joined(self.in_body)

    @property
    def action(self) -> str:
        """The value of ``action``."""
        return self.parameters.get("action")

    @property
    def name(self) -> str:
        """Its name in lists and faults: ``SIGN`` and ``VERIFY``, or the action."""
        what = self.parameters.get("What")
        return what if self.action == "APISign" and what in {"SIGN", "VERIFY"} else self.action


def _unquoted(value: str) -> bytes:
    return unquote_to_bytes(value.replace("+", " ").encode("latin-1", "replace"))
