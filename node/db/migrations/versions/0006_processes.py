"""Processes with their signs of life, in place of analysis workers alone; those that run write theirs anew.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

from node.db.tables import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.drop_table("workers")
    op.create_table(
        "processes",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("component", sa.String(16), nullable=False),
        sa.Column("device", sa.String(16)),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.Column("doing", sa.String(64)),
        sa.Column("doing_since", UTCDateTime()),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("processes")
    op.create_table(
        "workers",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("device", sa.String(16), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
