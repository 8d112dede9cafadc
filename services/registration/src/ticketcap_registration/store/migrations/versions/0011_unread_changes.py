"""Let consumers of the change feed acknowledge changes, instead of reading in the order of transactions.

Online: tables are locked for a moment. The next revision makes the stored changes unread.

The release before this one writes changes as before, and a trigger makes them unread. Its own ListChanges fails until
it is replaced, because it reads the order of transactions; its caller retries. A later release drops the trigger.
"""

from alembic import op
from ticketcap_chassis.database.online import lock_tables
from ticketcap_chassis.database.row_security import protect_table

revision = "0011"
down_revision = "0010"

_TOPICS = "('registration.cancelled', 'registration.confirmed')"
_OWN = "school_id = nullif(current_setting('ticketcap.school_id', true), '')::uuid"

_TABLE = (
    """CREATE TABLE unread_changes (
         school_id uuid NOT NULL,
         consumer text NOT NULL,
         event_id uuid NOT NULL,
         version bigint NOT NULL,
         id bigint NOT NULL,
         CONSTRAINT unread_changes_pkey PRIMARY KEY (school_id, consumer, event_id, version, id)
       )""",
    *protect_table("unread_changes"),
    f"CREATE POLICY one_school ON unread_changes TO registration_app USING ({_OWN}) WITH CHECK ({_OWN})",
    "CREATE POLICY all_schools ON unread_changes TO registration_jobs USING (true) WITH CHECK (true)",
    "GRANT SELECT, INSERT ON unread_changes TO registration_app",
    "GRANT SELECT, DELETE ON unread_changes TO registration_jobs",
)
# Only the release before this one leaves the version out.
_TRIGGER = (
    f"""CREATE FUNCTION note_unread_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO unread_changes SELECT NEW.school_id, 'payment', NEW.event_id, NEW.version, NEW.id
          WHERE NEW.topic IN {_TOPICS};
          RETURN NULL;
        END $$""",
    """CREATE TRIGGER note_unread_change AFTER INSERT ON registration_changes
       FOR EACH ROW WHEN (NEW.version = 0) EXECUTE FUNCTION note_unread_change()""",
)
# The view has the name of the change log in releases long before.
_FORMER_ORDER = (
    "DROP VIEW outbox",
    "DROP INDEX registration_changes_order",
    "ALTER TABLE registration_changes DROP COLUMN transaction",
)


def upgrade() -> None:
    for statement in _TABLE:
        op.execute(statement)
    lock_tables("registration_changes")
    for statement in (*_TRIGGER, *_FORMER_ORDER):
        op.execute(statement)
