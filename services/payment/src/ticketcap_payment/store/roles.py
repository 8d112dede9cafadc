"""Under which roles the service works, and which tables row-level security binds."""

from typing import Final

APP: Final = "payment_app"
"""Sees and writes one school at a time."""

JOBS: Final = "payment_jobs"
"""Sees ids, states and sums of all schools, never what a customer typed; leases what is due."""

TABLES: Final = ("payments", "transactions", "returns", "refunds", "outbox", "escalations")
"""Where a row belongs to one school."""

APP_NEEDS: Final = {
    "SELECT": TABLES,
    "INSERT": TABLES,
    "UPDATE": ("payments", "returns", "refunds", "outbox", "escalations"),
}
JOBS_NEEDS: Final = {
    "SELECT": (*TABLES, "cursors"),
    "INSERT": ("cursors",),
    "UPDATE": ("outbox", "cursors"),
    "DELETE": ("outbox",),
}
"""The privileges that each role works with; the health check asks for them."""
