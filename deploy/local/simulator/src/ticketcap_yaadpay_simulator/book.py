"""Store transactions, tokens, links and agreements before every reply."""

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ticketcap_yaadpay_simulator.cards import Card

CHARGES: Final = ("pay", "soft", "capture", "commit")
"""The kinds that take money when their CCode is 0."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    ccode INTEGER NOT NULL,
    amount_agorot INTEGER NOT NULL,
    amount_text TEXT NOT NULL,
    coin INTEGER NOT NULL,
    "order" TEXT NOT NULL,
    acode TEXT NOT NULL,
    fild1 TEXT NOT NULL,
    fild2 TEXT NOT NULL,
    fild3 TEXT NOT NULL,
    uid TEXT NOT NULL,
    user_id TEXT NOT NULL,
    payments INTEGER NOT NULL,
    info TEXT NOT NULL,
    card TEXT,
    created_at TEXT NOT NULL,
    parent_id INTEGER REFERENCES transactions (id),
    committed INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    refunded_agorot INTEGER NOT NULL,
    hold_until TEXT
);
CREATE INDEX IF NOT EXISTS transactions_by_order ON transactions ("order");
CREATE INDEX IF NOT EXISTS transactions_by_uid ON transactions (uid);
-- A second guard beside the flag `committed`: one postponed payment is charged once.
CREATE UNIQUE INDEX IF NOT EXISTS one_commit ON transactions (parent_id) WHERE kind = 'commit' AND ccode = 0;
CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, card TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS links (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parameters TEXT NOT NULL,
    status INTEGER NOT NULL,
    transaction_id INTEGER
);
CREATE TABLE IF NOT EXISTS agreements (id INTEGER PRIMARY KEY AUTOINCREMENT, status INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS signed_pages (signature TEXT PRIMARY KEY, first_seen REAL NOT NULL, paid INTEGER NOT NULL);
"""
_FIRST_ID: Final = 10_000_000
_ID_RANGE: Final = 80_000_000


class BookInUse(OSError):
    """Another process has the book's file open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One row of the book. Money is whole agorot (or cents), time is UTC."""

    id: int = 0
    """Given by the book; it only grows."""
    kind: str
    """pay, soft, capture, commit, refund, or payout."""
    ccode: int
    amount_agorot: int
    amount_text: str
    """As the merchant wrote it; it is echoed like that."""
    coin: int = 1
    order: str = ""
    acode: str = ""
    fild1: str = ""
    fild2: str = ""
    fild3: str = ""
    uid: str = ""
    user_id: str = ""
    payments: int = 1
    info: str = ""
    card: Card | None = None
    created_at: datetime
    parent_id: int | None = None
    committed: bool = False
    captured: bool = False
    cancelled: bool = False
    refunded_agorot: int = 0
    """How much of it was given back by refunds of it."""
    hold_until: datetime | None = None

    @property
    def is_charge(self) -> bool:
        """Whether it took money from the card's holder."""
        return self.kind in CHARGES and self.ccode == 0

    @property
    def status(self) -> int:
        """The code that the portal shows: 998 once it was cancelled."""
        return 998 if self.cancelled else self.ccode


_COLUMNS: Final = tuple(field.name for field in fields(Transaction))
_FLAGS: Final = frozenset({"committed", "captured", "cancelled"})
_MOMENTS: Final = frozenset({"created_at", "hold_until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One payment link. Status: 0 cancelled, 1 open, 3 paid."""

    id: int
    parameters: dict[str, str]
    status: int
    transaction_id: int | None


class Book:
    """The tables. One process, one thread; what stands inside ``atomic`` is on disk when it ends."""

    def __init__(self, file: Path | None) -> None:
        self._connection = sqlite3.connect(
            str(file) if file else ":memory:", isolation_level=None, check_same_thread=False, timeout=1.0
        )
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise BookInUse(str(error)) from error
        self._salt = bytes.fromhex(self._meta("salt", secrets.token_hex(16)))

    def _prepare(self) -> None:
        # Exclusive: two simulators on one file would each believe that they serve every commit in turn.
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.executescript(_SCHEMA)
        with self.atomic():
            fresh = self._one("SELECT 1 FROM sqlite_sequence WHERE name = 'transactions'") is None
            if fresh:
                # Ids of a new book continue those of an older, forgotten one: a merchant's database may remember them.
                first = _FIRST_ID + int(time.time()) % _ID_RANGE
                self._connection.execute("INSERT INTO sqlite_sequence VALUES ('transactions', ?)", (first,))
                self._connection.execute("INSERT INTO sqlite_sequence VALUES ('links', 900000)")
                self._connection.execute("INSERT INTO sqlite_sequence VALUES ('agreements', 64000)")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Do all inside or nothing, durably."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def forget(self) -> None:
        """Forget everything but which ids were given."""
        with self.atomic():
            for table in ("transactions", "tokens", "links", "agreements", "signed_pages"):
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - this module's names

    def add(self, transaction: Transaction) -> Transaction:
        """Write a new transaction and return it with its id and its unique number."""
        values = {name: value for name, value in _row(transaction).items() if name != "id"}
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        cursor = self._connection.execute(
            f"INSERT INTO transactions ({names}) VALUES ({marks})",  # noqa: S608 - this module's names
            tuple(values.values()),
        )
        written = replace(transaction, id=cursor.lastrowid or 0)
        return self.change(written, uid=written.uid or _uid(written))

    def change(self, transaction: Transaction, **changes: Any) -> Transaction:
        """Write ``changes`` to a transaction and return it changed."""
        changed = replace(transaction, **changes)
        row = _row(changed)
        assignments = ", ".join(f'"{name}" = ?' for name in changes)
        self._connection.execute(
            f"UPDATE transactions SET {assignments} WHERE id = ?",  # noqa: S608 - this module's names
            (*(row[name] for name in changes), transaction.id),
        )
        return changed

    def get(self, transaction_id: str | int) -> Transaction | None:
        """Return a transaction by its id, as text or number."""
        text = str(transaction_id)
        if not (text.isascii() and text.isdecimal() and len(text) < 18):  # noqa: PLR2004 - what an integer there holds
            return None
        return self._first("id = ?", int(text))

    def hold(self, uid: str) -> Transaction | None:
        """Return the hold with this unique number."""
        return self._first("uid = ? AND ccode = 700", uid)

    def lately(self, card_token: str, amount_agorot: int, since: datetime) -> Transaction | None:
        """Return a payment that went well, with this card and amount, made after ``since``."""
        found = self._select(
            "amount_agorot = ? AND ccode IN (0, 700, 800) AND created_at > ?", amount_agorot, _iso(since)
        )
        return next((one for one in found if one.card and one.card.token == card_token and not one.cancelled), None)

    def transactions(self, *, order: str | None = None, after: int = 0, limit: int = 1000) -> list[Transaction]:
        """Return transactions, oldest first, from the one behind ``after``."""
        if order is None:
            return self._select("id > ?", after, limit=limit)
        return self._select('id > ? AND "order" = ?', after, order, limit=limit)

    def newest(self, limit: int) -> list[Transaction]:
        """Return the newest transactions, newest first."""
        return [_transaction(row) for row in self._all("SELECT * FROM transactions ORDER BY id DESC LIMIT ?", limit)]

    def card_token(self, number: str) -> str:
        """Return the 19 digits that stand for a card number in this book."""
        fingerprint = hmac.new(self._salt, number.encode(), hashlib.sha256).digest()
        return str(10**18 + int.from_bytes(fingerprint, "big") % (9 * 10**18))

    def add_token(self, token: str, card: Card) -> None:
        """Remember which card a token stands for."""
        self._connection.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", (token, json.dumps(card.as_json())))

    def card_of(self, token: str) -> Card | None:
        """Return the card of a token."""
        row = self._one("SELECT card FROM tokens WHERE token = ?", token)
        return Card(**json.loads(row["card"])) if row else None

    def add_link(self, parameters: dict[str, str]) -> int:
        """Open a payment link and return its id."""
        cursor = self._connection.execute(
            "INSERT INTO links (parameters, status) VALUES (?, 1)", (json.dumps(parameters),)
        )
        return cursor.lastrowid or 0

    def link(self, link_id: str) -> Link | None:
        """Return a payment link."""
        row = self._one("SELECT * FROM links WHERE id = ?", link_id)
        return _link(row) if row else None

    def links(self, limit: int) -> list[Link]:
        """Return the newest payment links, newest first."""
        return [_link(row) for row in self._all("SELECT * FROM links ORDER BY id DESC LIMIT ?", limit)]

    def change_link(self, link_id: int, status: int, transaction_id: int | None = None) -> None:
        """Note that a payment link was paid or withdrawn."""
        self._connection.execute(
            "UPDATE links SET status = ?, transaction_id = ? WHERE id = ?", (status, transaction_id, link_id)
        )

    def add_agreement(self) -> int:
        """Open a recurring agreement and return its number."""
        return self._connection.execute("INSERT INTO agreements (status) VALUES (2)").lastrowid or 0

    def change_agreement(self, agreement_id: str, status: int) -> bool:
        """Stop (1) or resume (2) an agreement; False when there is none."""
        cursor = self._connection.execute("UPDATE agreements SET status = ? WHERE id = ?", (status, agreement_id))
        return cursor.rowcount == 1

    def note_signed(self, signature: str, now: datetime) -> float:
        """Remember when a page signature was first seen, and return that moment (seconds since 1970)."""
        self._connection.execute("INSERT OR IGNORE INTO signed_pages VALUES (?, ?, 0)", (signature, now.timestamp()))
        row = self._one("SELECT first_seen FROM signed_pages WHERE signature = ?", signature)
        return float(row["first_seen"]) if row else now.timestamp()

    def note_paid(self, signature: str) -> None:
        """Remember that a signed page was paid."""
        self._connection.execute("UPDATE signed_pages SET paid = 1 WHERE signature = ?", (signature,))

    def was_paid(self, signature: str) -> bool:
        """Tell whether a signed page was paid."""
        return self._one("SELECT 1 FROM signed_pages WHERE signature = ? AND paid", signature) is not None

    def totals(self, order: str | None = None) -> list[dict[str, Any]]:
        """Return what every order, or one, took from its card holders and gave back."""
        query = _TOTALS.format(where='WHERE "order" = ?' if order is not None else "")
        rows = self._all(query, *([order] if order is not None else []))
        return [dict(row) for row in rows]

    def _meta(self, name: str, default: str) -> str:
        self._connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, default))
        row = self._one("SELECT value FROM meta WHERE name = ?", name)
        return str(row["value"]) if row else default

    def _first(self, condition: str, *values: Any) -> Transaction | None:
        found = self._select(condition, *values, limit=1)
        return found[0] if found else None

    def _select(self, condition: str, *values: Any, limit: int = -1) -> list[Transaction]:
        query = f"SELECT * FROM transactions WHERE {condition} ORDER BY id LIMIT ?"  # noqa: S608 - this module's conditions
        return [_transaction(row) for row in self._all(query, *values, limit)]

    def _one(self, query: str, *values: Any) -> dict[str, Any] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: Any) -> list[dict[str, Any]]:
        cursor = self._connection.execute(query, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


_TOTALS: Final = """
SELECT "order", charged_agorot, refunded_agorot, cancelled_agorot,
       charged_agorot - refunded_agorot - cancelled_agorot AS net_agorot, charges
  FROM (SELECT "order",
               SUM(CASE WHEN is_charge THEN amount_agorot ELSE 0 END) AS charged_agorot,
               SUM(CASE WHEN is_return THEN amount_agorot ELSE 0 END) AS refunded_agorot,
               SUM(CASE WHEN is_charge AND cancelled THEN amount_agorot ELSE 0 END) AS cancelled_agorot,
               SUM(is_charge) AS charges,
               MIN(id) AS first_id
          FROM (SELECT *, ccode = 0 AND kind IN ('pay', 'soft', 'capture', 'commit') AS is_charge,
                       ccode = 0 AND kind IN ('refund', 'payout') AS is_return
                  FROM transactions {where})
         GROUP BY "order")
 ORDER BY first_id
"""


def _uid(transaction: Transaction) -> str:
    """Return 23 digits: the moment as YYMMDDHHMMSS, then the id."""
    return f"{transaction.created_at:%y%m%d%H%M%S}{transaction.id:011d}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _row(transaction: Transaction) -> dict[str, Any]:
    row = {name: getattr(transaction, name) for name in _COLUMNS}
    row["card"] = json.dumps(transaction.card.as_json()) if transaction.card else None
    return {name: _iso(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _transaction(row: dict[str, Any]) -> Transaction:
    values = dict(row)
    values["card"] = Card(**json.loads(row["card"])) if row["card"] else None
    values.update({name: bool(row[name]) for name in _FLAGS})
    values.update({name: datetime.fromisoformat(row[name]) for name in _MOMENTS if row[name]})
    return Transaction(**values)


def _link(row: dict[str, Any]) -> Link:
    return Link(**{**row, "parameters": json.loads(row["parameters"])})
