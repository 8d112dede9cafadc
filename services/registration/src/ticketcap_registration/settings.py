"""Read the registration service's settings from the environment."""

from typing import Final

from pydantic import Field
from ticketcap_chassis.database.settings import DatabaseSettings, OptionalDatabaseUrl, database_rules
from ticketcap_chassis.identity.identity_settings import IDENTITY_RULES, IdentitySettings
from ticketcap_chassis.production import differs_from, secret_rules
from ticketcap_chassis.settings import Address, OptionalAddress, Secret, ServedSettings

PRODUCTION_RULES: Final = (
    *IDENTITY_RULES,
    *database_rules("database_url", "database_jobs_url", "database_direct_url"),
    *secret_rules("manage_token_secret"),
    *secret_rules("manage_token_secret_old"),
    differs_from("manage_token_secret", "jwt_secret", "manage_token_secret_old"),
)
"""The rules of production for this service."""


class Settings(IdentitySettings, ServedSettings, DatabaseSettings):
    """A field's name in capitals is its variable. Times are in seconds."""

    production_rules = PRODUCTION_RULES

    listen_address: Address = "127.0.0.1:50051"
    metrics_address: OptionalAddress = "127.0.0.1:9461"
    database_direct_url: OptionalDatabaseUrl = ""
    """Leads to PostgreSQL itself, for LISTEN; needed when ``database_url`` leads through a pooler."""
    manage_token_secret: Secret
    """The key of manage tokens and pay tokens."""
    manage_token_secret_old: Secret | None = None
    """Still accepted after MANAGE_TOKEN_SECRET was replaced."""

    lane_queue: int = Field(default=4096, ge=1, le=100_000)
    """Requests that wait for one event; more are refused with RESOURCE_EXHAUSTED."""
    lane_batch: int = Field(default=256, ge=1, le=1000)
    lane_transactions: int = Field(default=4, ge=1, le=50)
    lane_patient_transactions: int = Field(default=2, ge=1, le=50)
    """Transactions beside those, of events whose rows another transaction holds."""
    waitlist_limit: int = Field(default=20_000, ge=0, le=1_000_000)
    offer_seconds: int = Field(default=7200, ge=1, le=604_800)
    """How long a promoted registration of a paid event has to pay."""

    hold_expiry_seconds: float = Field(default=1.0, gt=0, le=60)
    announcement_check_seconds: float = Field(default=5.0, gt=0, le=15)
    """How often the listener of seat announcements is checked; after three missed checks its health fails."""
    announcement_reread_seconds: float = Field(default=15.0, gt=0, le=300)
    """After this time without an announcement a stream of seats reads its event: an announcement may be lost."""
    audit_seconds: float = Field(default=60.0, gt=0, le=3600)
    housekeeping_seconds: float = Field(default=300.0, gt=0, le=86_400)
    gauges_seconds: float = Field(default=15.0, gt=0, le=3600)
    """How often the gauges of open events are read."""
    idempotency_days: float = Field(default=7.0, gt=0, le=365)
    change_log_days: float = Field(default=7.0, gt=0, le=365)

    @property
    def listen_url(self) -> str:
        """The connection string of the listener of seat announcements."""
        return self.database_direct_url or self.database_url

    @property
    def most_connections(self) -> int:
        """The most database connections of this process: its three pools, and the one that listens."""
        lanes = self.lane_transactions + self.lane_patient_transactions
        return self.database_connections + lanes + self.database_jobs_connections + 1
