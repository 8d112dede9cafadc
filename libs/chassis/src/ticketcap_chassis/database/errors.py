"""Map each failure of PostgreSQL to its meaning, in one table.

ServiceError
├─ StoreUnavailable     the database does not answer, or ended the session; nothing was done
│  ├─ StoreReadOnly     it takes no writes: a standby, or a primary that an operator made read-only
│  └─ StoreChanged      the session's prepared statements are gone
├─ StoreExhausted       it is out of disk, memory or another resource: nothing was done
├─ StoreUnfit           a privilege, role, table or column that the service needs is missing: nothing was done
├─ OutcomeUnknown       the connection was lost during the commit
├─ Contended            a lock or a statement took too long, or an operator cancelled it: nothing was done
├─ NoFreeConnection     every connection of the pool is busy
└─ ConstraintViolated   the database refused a row; ``constraint`` names the rule
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg

from ticketcap_chassis.errors import Aborted, Busy, InternalError, ServiceError, Unavailable


class StoreUnavailable(Unavailable):
    """The database does not answer; nothing was done."""

    reason = "STORE_UNAVAILABLE"
    default_message = "the database does not answer; nothing was done, try again"


class StoreReadOnly(StoreUnavailable):
    """The database takes no writes; nothing was done."""

    reason = "STORE_READ_ONLY"
    default_message = "the database takes no writes at present; nothing was done, try again"


class StoreChanged(StoreUnavailable):
    """The schema has changed under the session; nothing was done, and a new connection sees the change."""

    reason = "STORE_CHANGED"
    default_message = "the database has changed under its session; nothing was done, try again"


class StoreExhausted(Unavailable):
    """The database is out of disk, memory or another resource; nothing was done."""

    reason = "STORE_EXHAUSTED"
    default_message = "the database is out of disk, memory or another resource; nothing was done, try again later"


class StoreUnfit(Unavailable):
    """A privilege, role, table or column that the service needs is missing; nothing was done."""

    reason = "STORE_UNFIT"
    default_message = "the database lacks a table, role or privilege; nothing was done, try again later"


class OutcomeUnknown(Unavailable):
    """The connection was lost during the commit; the outcome is unknown."""

    reason = "OUTCOME_UNKNOWN"
    default_message = "the connection was lost during the commit; read the object again to learn the outcome"


class Contended(Aborted):
    """A lock or a statement took too long, or an operator cancelled it; nothing was done."""

    reason = "CONTENDED"
    default_message = "the rows are busy; nothing was done, try again"


class NoFreeConnection(Busy):
    """Every connection of the pool is busy."""

    reason = "NO_FREE_CONNECTION"
    default_message = "every database connection is busy; nothing was done, try again"


class ConstraintViolated(InternalError):
    """A constraint of the database rejected a row that the rules accepted; ``constraint`` is its name."""

    reason = "CONSTRAINT_VIOLATED"

    def __init__(self, constraint: str) -> None:
        super().__init__(f"the constraint {constraint} rejected a row", metadata={"constraint": constraint})
        self.constraint = constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The meaning of a failure; ``error`` is the class that the caller receives."""

    error: type[StoreUnavailable | StoreExhausted | StoreUnfit | Contended]
    retry: bool
    """True when the same transaction may succeed at once, over a new connection if this one is dropped."""
    failing: bool
    """Whether health is NOT_SERVING while it lasts."""
    drop: bool
    """Whether its connection is closed, and idle connections of its pool are replaced before they are lent."""


LOST: Final = State(error=StoreUnavailable, retry=True, failing=True, drop=True)
READ_ONLY: Final = State(error=StoreReadOnly, retry=True, failing=True, drop=True)
CHANGED: Final = State(error=StoreChanged, retry=True, failing=False, drop=True)
EXHAUSTED: Final = State(error=StoreExhausted, retry=False, failing=True, drop=False)
# Dropped: a role that is created again has a new number, which existing sessions never learn.
UNFIT: Final = State(error=StoreUnfit, retry=False, failing=True, drop=True)
CONTENDED: Final = State(error=Contended, retry=True, failing=False, drop=False)

STATES: Final[Mapping[str, State]] = {
    "08": LOST,  # connection exceptions
    "57P": LOST,  # shut down, crashed, starting up, database dropped, idle session ended
    "25P03": LOST,  # idle in a transaction for too long: this process was paused
    "25P04": LOST,  # the transaction took too long
    "53300": LOST,  # too many connections: this one was never made
    "25006": READ_ONLY,  # a write on a standby, or on a primary made read-only
    "26000": CHANGED,  # a prepared statement is gone
    "0A000": CHANGED,  # a prepared statement's result has another type since a migration
    "53": EXHAUSTED,  # disk full, out of memory, a configured limit
    "58": EXHAUSTED,  # the server's own disk fails
    "42501": UNFIT,  # a privilege was revoked
    "42P01": UNFIT,  # no such table
    "42703": UNFIT,  # no such column
    "42704": UNFIT,  # no such role, type or other object
    "42883": UNFIT,  # no such function
    "3D000": UNFIT,  # no such database
    "3F000": UNFIT,  # no such schema
    "28": UNFIT,  # the login is refused
    "40001": CONTENDED,  # serialization failure
    "40P01": CONTENDED,  # deadlock
    "55P03": CONTENDED,  # a lock was not available in time
    "57014": CONTENDED,  # a statement was cancelled: by its limit, or by an operator
}
"""By SQLSTATE or its prefix; the longest match counts.

https://www.postgresql.org/docs/current/errcodes-appendix.html. Every other state blames the statement or its values,
and stays the driver's error.
"""

# A row that row-level security rejects has the SQLSTATE of a missing privilege, but is this service's fault. The
# server's message may be in any language; the name of its function never changes.
_ROW_SECURITY: Final = "ExecWithCheckOptions"
# A node of a distributed database tells a violation in its message only, and names the shard's constraint.
_CONSTRAINT: Final = re.compile(r'constraint "([^"]+)"')
_SHARD: Final = re.compile(r"_[0-9]{6,}$")
_LENGTHS: Final = tuple(sorted({len(prefix) for prefix in STATES}, reverse=True))


def state_of(error: BaseException | None) -> State | None:
    """Return the state that a driver's error means; None if it blames the statement or its values."""
    if isinstance(error, psycopg.errors.PipelineAborted):
        return CHANGED
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None:
        # Not from the server: the connection was not made, broke, or was silent for too long.
        return LOST if isinstance(error, psycopg.OperationalError) else None
    if error.diag.source_function == _ROW_SECURITY:
        return None
    return next((STATES[error.sqlstate[:length]] for length in _LENGTHS if error.sqlstate[:length] in STATES), None)


def meaning_of(error: BaseException | None) -> ServiceError | None:
    """Return the ServiceError that a driver's error means; None if it means none."""
    if state := state_of(error):
        return state.error()
    if constraint := constraint_of(error):
        return ConstraintViolated(constraint)
    return None


def constraint_of(error: BaseException | None) -> str | None:
    """Return the name of the constraint that an error of class 23 tells, as the schema spells it; else None.

    On a shard, a constraint's name ends with the shard's number, which has six digits or more.
    """
    if not isinstance(error, psycopg.errors.IntegrityError):
        return None
    name = error.diag.constraint_name
    if name is None and (quote := _CONSTRAINT.search(error.diag.message_primary or "")):
        name = quote[1]
    return name and _SHARD.sub("", name)
