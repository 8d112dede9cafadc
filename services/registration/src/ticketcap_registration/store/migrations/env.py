"""How Alembic reaches the database and the schema."""

from ticketcap_chassis.database.migration import run

from ticketcap_registration.store.models import Base

run(Base.metadata)
