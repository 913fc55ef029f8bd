"""Newer copies of images may take the place of those that came first.

Revision: 0008, after 0007.
"""

from alembic import op

from node.db.dialects import dialect_of

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# As node.db.states said when this migration was written.
FORMER_TRANSITIONS = ("accepted>quarantined",)
TRANSITIONS = (
    "accepted>conflict",
    "accepted>quarantined",
    "conflict>accepted",
    "declined>conflict",
    "quarantined>conflict",
)


def upgrade() -> None:
    """Apply."""
    _guard(TRANSITIONS)


def downgrade() -> None:
    """Undo."""
    _guard(FORMER_TRANSITIONS)


def _guard(pairs: tuple[str, ...]) -> None:
    """Trigger: a state moves only as the table above says."""
    dialect = dialect_of(op.get_bind().dialect.name)
    listed = ", ".join(f"'{pair}'" for pair in pairs)
    op.execute(dialect.drop_guard_states.format(table="instances"))
    op.execute(dialect.guard_states.format(table="instances", pairs=listed))
