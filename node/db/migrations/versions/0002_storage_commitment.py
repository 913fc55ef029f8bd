"""Storage commitment, and names of profiles of up to 64 characters.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

from node.db.dialects import DatabaseDialect, dialect_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATES = ("pending", "sending", "stored", "accepted", "dead")
FORMER_STATES = ("pending", "sending", "accepted", "dead")

# As node.db.states said when this migration was written.
TRANSITIONS = (
    "dead>pending",
    "pending>dead",
    "pending>sending",
    "sending>accepted",
    "sending>dead",
    "sending>pending",
    "sending>stored",
    "stored>accepted",
    "stored>dead",
    "stored>pending",
)
FORMER_TRANSITIONS = tuple(pair for pair in TRANSITIONS if "stored" not in pair)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("instances", sa.JSON(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_commitments_job_id_jobs")),
        sa.PrimaryKeyConstraint("transaction_uid", name=op.f("pk_commitments")),
    )
    op.create_index(op.f("ix_commitments_job_id"), "commitments", ["job_id"], unique=False)
    _drop_guard()
    with op.batch_alter_table("deliveries") as batch:
        batch.add_column(sa.Column("transaction_uid", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("requests", sa.Integer(), nullable=False, server_default="0"))
        batch.create_foreign_key(
            op.f("fk_deliveries_transaction_uid_commitments"), "commitments", ["transaction_uid"], ["transaction_uid"]
        )
        _allow(batch, STATES)
    _guard(TRANSITIONS)
    if _dialect().checks_lengths:
        op.alter_column("results", "profile", type_=sa.String(length=64))


def downgrade() -> None:
    """Undo; a delivery that waits for its commitment is sent again."""
    _drop_guard()
    op.execute("UPDATE deliveries SET state = 'pending', transaction_uid = NULL WHERE state = 'stored'")
    with op.batch_alter_table("deliveries") as batch:
        batch.drop_constraint(op.f("fk_deliveries_transaction_uid_commitments"), type_="foreignkey")
        batch.drop_column("transaction_uid")
        batch.drop_column("requests")
        _allow(batch, FORMER_STATES)
    _guard(FORMER_TRANSITIONS)
    op.drop_table("commitments")


def _allow(batch: BatchOperations, states: tuple[str, ...]) -> None:
    """Replace the list of states in the table's CHECK constraint."""
    name = op.f("ck_deliveries_deliverystate")
    batch.drop_constraint(name, type_="check")
    batch.create_check_constraint(name, sa.column("state").in_(states))


def _drop_guard() -> None:
    op.execute(_dialect().drop_guard_states.format(table="deliveries"))


def _guard(pairs: tuple[str, ...]) -> None:
    """Trigger: a state moves only as the table above says."""
    listed = ", ".join(f"'{pair}'" for pair in pairs)
    op.execute(_dialect().guard_states.format(table="deliveries", pairs=listed))


def _dialect() -> DatabaseDialect:
    return dialect_of(op.get_bind().dialect.name)
