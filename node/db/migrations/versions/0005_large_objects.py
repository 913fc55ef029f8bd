"""Sizes of objects and results of 2 GiB and more.

SQLite's integers have 64 bits as they are.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("instances", "results")


def upgrade() -> None:
    """Apply."""
    _alter(sa.Integer(), sa.BigInteger())


def downgrade() -> None:
    """Undo; PostgreSQL refuses where a size of 2 GiB or more was recorded."""
    _alter(sa.BigInteger(), sa.Integer())


def _alter(old: sa.types.TypeEngine[int], new: sa.types.TypeEngine[int]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    for table in _TABLES:
        op.alter_column(table, "size_bytes", existing_type=old, type_=new, existing_nullable=False)
