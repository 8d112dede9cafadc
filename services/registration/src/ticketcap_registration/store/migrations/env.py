"""Lead Alembic to the database and the schema."""

from ticketcap_chassis.database.upgrade import run

from ticketcap_registration.store.models import Base

run(Base.metadata)
