"""Name the database roles, their privileges and the tables under row-level security."""

from typing import Final

APP: Final = "payment_app"
"""Sees and writes one school at a time."""

JOBS: Final = "payment_jobs"
"""Sees ids, states and sums of all schools, and nothing that a customer typed; leases due work."""

TABLES: Final = ("payments", "transactions", "returns", "refunds", "outbox", "escalations")
"""The tables whose rows belong to one school."""

APP_NEEDS: Final = {
    "SELECT": (*TABLES, "schools"),
    "INSERT": (*TABLES, "schools"),
    "UPDATE": ("payments", "returns", "refunds", "outbox", "escalations"),
}
JOBS_NEEDS: Final = {
    "SELECT": (*TABLES, "schools", "cursors", "job_leases", "untagged_ids"),
    "INSERT": ("cursors", "job_leases"),
    "UPDATE": ("outbox", "cursors", "job_leases"),
    "DELETE": ("outbox",),
}
"""The privileges that each role needs; the health check verifies them."""

# Every statement finds its rows by an index: one plan serves all values, and compiling it never pays.
SESSION: Final = {"jit": "off"}
"""The settings of every session of the service, beside those of its ``DatabaseSettings``."""
