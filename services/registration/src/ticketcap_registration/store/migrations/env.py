"""How Alembic reaches the database: over the connection that ``store.migrate`` hands it."""

from alembic import context
from sqlalchemy import Connection

from ticketcap_registration.store.models import Base

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
