"""What the machine did to a job apart from its attempts, and answers of a destination that may be a refusal for good.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("faults", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Undo."""
    op.drop_column("deliveries", "refusals")
    op.drop_column("jobs", "faults")
