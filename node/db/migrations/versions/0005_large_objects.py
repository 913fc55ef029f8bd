"""Sizes of objects and results of 2 GiB and more.

Where every integer has 64 bits there is nothing to do.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

from node.db.dialects import dialect_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("instances", "results")


def upgrade() -> None:
    """Apply."""
    _alter(sa.Integer(), sa.BigInteger())


def downgrade() -> None:
    """Undo; refused where a size of 2 GiB or more was recorded."""
    _alter(sa.BigInteger(), sa.Integer())


def _alter(old: sa.types.TypeEngine[int], new: sa.types.TypeEngine[int]) -> None:
    if dialect_of(op.get_bind().dialect.name).wide_integers:
        return
    for table in _TABLES:
        op.alter_column(table, "size_bytes", existing_type=old, type_=new, existing_nullable=False)
