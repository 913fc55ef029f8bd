"""Storage commitment, and names of profiles of up to 64 characters.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

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
    if op.get_bind().dialect.name == "postgresql":  # SQLite does not look at the length
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
    on = " ON deliveries" if op.get_bind().dialect.name == "postgresql" else ""
    op.execute(f"DROP TRIGGER deliveries_transition{on}")


def _guard(pairs: tuple[str, ...]) -> None:
    """Trigger: a state moves only as the table above says."""
    listed = ", ".join(f"'{pair}'" for pair in pairs)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER deliveries_transition BEFORE UPDATE OF state ON deliveries FOR EACH ROW "
            f"WHEN (NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({listed})) "
            "EXECUTE FUNCTION hilum_transition()"
        )
        return
    op.execute(
        "CREATE TRIGGER deliveries_transition BEFORE UPDATE OF state ON deliveries "
        f"WHEN NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({listed}) "
        "BEGIN SELECT RAISE(ABORT, 'impossible transition in deliveries'); END"
    )
