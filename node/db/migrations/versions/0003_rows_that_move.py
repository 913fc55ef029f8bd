"""No absolute path in a row, the pipeline of a job, and the certificate of a sender.

Each change is one that SQLite makes in place, not by copying a table: the triggers stay where they are.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; where a file lies follows from its digest (`node.spool.store`)."""
    op.drop_column("instances", "path")
    op.drop_column("results", "path")
    op.add_column("associations", sa.Column("tls_subject", sa.Text(), nullable=True))
    # Before this there was one pipeline.
    op.add_column("jobs", sa.Column("pipeline", sa.String(length=32), nullable=False, server_default="chest"))
    op.alter_column("jobs", "answer_only", new_column_name="report_only")


def downgrade() -> None:
    """Undo nothing: the paths of the former home are gone. Restore the copy that was made before the upgrade."""
    raise NotImplementedError("revision 0003 cannot be undone: restore the copy of the database made before it")
