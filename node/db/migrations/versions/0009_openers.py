"""Several senders may open a study under one Study Instance UID.

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

from node.db.dialects import dialect_of

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# As node.db.states said when this migration was written.
TRANSITIONS = ("complete>open", "open>complete")
FORMER_UNIQUE = "uq_studies_study_instance_uid"
UNIQUE = "uq_studies_study_instance_uid_opened_by"


def upgrade() -> None:
    """Apply; a study belongs to whoever sent its first image."""
    _unguard()
    with op.batch_alter_table("studies") as batch:
        batch.add_column(sa.Column("opened_by", sa.String(length=16), nullable=False, server_default=""))
        batch.drop_constraint(op.f(FORMER_UNIQUE), type_="unique")
        batch.create_unique_constraint(op.f(UNIQUE), ["study_instance_uid", "opened_by"])
    op.execute(
        "UPDATE studies SET opened_by = COALESCE((SELECT associations.calling_ae_title FROM instances "
        "JOIN associations ON associations.id = instances.association_id "
        "WHERE instances.study_id = studies.id ORDER BY instances.id LIMIT 1), '')"
    )
    _guard()


def downgrade() -> None:
    """Undo; refused where two senders have opened one study."""
    _unguard()
    with op.batch_alter_table("studies") as batch:
        batch.drop_constraint(op.f(UNIQUE), type_="unique")
        batch.create_unique_constraint(op.f(FORMER_UNIQUE), ["study_instance_uid"])
        batch.drop_column("opened_by")
    _guard()


def _unguard() -> None:
    op.execute(dialect_of(op.get_bind().dialect.name).drop_guard_states.format(table="studies"))


def _guard() -> None:
    """Trigger: a state moves only as the table above says."""
    pairs = ", ".join(f"'{pair}'" for pair in TRANSITIONS)
    op.execute(dialect_of(op.get_bind().dialect.name).guard_states.format(table="studies", pairs=pairs))
