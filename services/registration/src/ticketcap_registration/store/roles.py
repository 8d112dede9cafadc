"""Under which roles the service works, and which tables are bound by row-level security."""

from typing import Final

APP: Final = "registration_app"
"""Sees and writes one school at a time."""

JOBS: Final = "registration_jobs"
"""Sees ids and counts of all schools, never a person; deletes what has aged."""

TABLES: Final = ("schools", "events", "registrations", "idempotency_keys", "registration_changes")
"""Where a row belongs to one school."""

APP_NEEDS: Final = {
    "SELECT": TABLES,
    "INSERT": TABLES,
    "UPDATE": ("events", "registrations"),
    "DELETE": ("events",),
}
JOBS_NEEDS: Final = {"SELECT": TABLES, "DELETE": ("idempotency_keys", "registration_changes")}
"""The privileges that each role works with; the health check asks for them."""
