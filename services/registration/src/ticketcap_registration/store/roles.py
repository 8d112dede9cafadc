"""Name the database roles and the tables that row-level security binds."""

from typing import Final

APP: Final = "registration_app"
"""Sees and writes one school at a time."""

JOBS: Final = "registration_jobs"
"""Sees ids and counts of all schools, no personal data; deletes aged rows; stores audits and leases of jobs."""

_APP_TABLES: Final = (
    "schools",
    "events",
    "registrations",
    "idempotency_keys",
    "registration_changes",
    "unread_changes",
)
TABLES: Final = (*_APP_TABLES, "event_audits")
"""Tables whose rows belong to one school each."""

APP_NEEDS: Final = {
    "SELECT": _APP_TABLES,
    "INSERT": _APP_TABLES,
    "UPDATE": ("events", "registrations"),
    "DELETE": ("events",),
}
JOBS_NEEDS: Final = {
    "SELECT": (*TABLES, "job_leases"),
    "INSERT": ("event_audits", "job_leases"),
    "UPDATE": ("event_audits", "job_leases"),
    "DELETE": ("idempotency_keys", "registration_changes", "unread_changes"),
}
"""The privileges that each role needs; the health check looks for them."""

# Every statement finds rows by an index, so one plan serves all values and all sizes of a table. It never scans a table
# that was nearly empty when it was made, and is never compiled.
SESSION: Final = {"enable_seqscan": "off", "jit": "off"}
"""The settings of every session of the service, beside those of its ``DatabaseSettings``."""
