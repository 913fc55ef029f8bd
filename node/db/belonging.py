"""Which spool a database belongs to: its rows name files, and only the processes that have these may work on it.

The spool has an identity (`node.spool.identity`), and the database notes whose it is when the two first meet. Several
machines that share one spool share its identity.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from node.db.audit import Action
from node.db.engine import Database, Transaction
from node.db.tables import AssociationRow, NodeRow
from node.errors import BelongsElsewhere, Misconfigured
from node.spool import identity
from node.spool.store import Spool

_ROW_ID = 1


def spool_of(database: Database, root: Path) -> Spool:
    """Open the spool that a database belongs to; a database that belongs to none yet is given this one.

    Raises
    ------
    BelongsElsewhere
        The folder is empty and the database knows files, or it is another spool.
    """
    with database.read() as tx:
        _require_not_lost(tx, root)
    spool = Spool.create(root)
    found = spool.identity()
    with database.read() as tx:
        is_known = _owner(tx) is not None
    if not is_known:
        with database.write() as tx:
            _adopt(tx, found)
    with database.read() as tx:
        require(tx, found)
    return spool


def spool_without(open_database: Callable[[], Database], root: Path) -> Spool:
    """Open the spool of a process that works without the database, which is only asked where the folder is empty.

    Raises
    ------
    BelongsElsewhere
        The folder is empty, and the database knows files, or cannot say that it knows none.
    """
    if not _is_made(root):
        try:
            with open_database() as database:
                if database.schema_revision()[0] is not None:
                    database.require_current_schema()
                    with database.read() as tx:
                        _require_not_lost(tx, root)
        except Misconfigured as error:
            raise BelongsElsewhere(
                f"the spool {root} is empty: mount it, or start `hilum dispatch`, which makes it for a new node "
                f"(the database does not say that this is one: {error})"
            ) from error
    return Spool.create(root)


def require(tx: Transaction, spool_id: str) -> None:
    """Check that the database belongs to the spool with an identity (`Spool.identity`, read before): one row is read.

    Raises
    ------
    BelongsElsewhere
        It belongs to another one.
    """
    owner = _owner(tx)
    if owner not in (None, spool_id):
        raise BelongsElsewhere(
            f"the database belongs to spool {owner}, and the one in `home` is spool {spool_id}: mount that one "
            "there or set `home`, or give this node a `database_url` of its own; if that spool is lost, "
            "`hilum migrate --new-spool`"
        )


def move(database: Database, root: Path) -> str:
    """Let a database belong to the spool in a folder from now on, which is made where there is none; its identity."""
    found = Spool.create(root).identity()
    with database.write() as tx:
        row = tx.get(NodeRow, _ROW_ID, with_for_update=True)
        before = row.spool_id if row is not None else None
        if row is None:
            tx.add(NodeRow(id=_ROW_ID, spool_id=found, since=tx.now))
        else:
            row.spool_id, row.since = found, tx.now
        tx.note(Action.SPOOL_ADOPTED, spool_id=found, before=before)
    return found


def _owner(tx: Transaction) -> str | None:
    return tx.scalar(select(NodeRow.spool_id).where(NodeRow.id == _ROW_ID))


def _adopt(tx: Transaction, spool_id: str) -> None:
    """Note whose the database is, where another process has not been quicker."""
    with suppress(IntegrityError), tx.begin_nested():
        tx.add(NodeRow(id=_ROW_ID, spool_id=spool_id, since=tx.now))
        tx.flush()
        tx.note(Action.SPOOL_ADOPTED, spool_id=spool_id)


def _require_not_lost(tx: Transaction, root: Path) -> None:
    """Refuse an empty folder where there should be a spool: one that is not mounted, or that of another machine."""
    if _is_made(root):
        return
    owner = _owner(tx)
    if owner is not None or tx.scalar(select(AssociationRow.id).limit(1)) is not None:
        raise BelongsElsewhere(
            f"the spool {root} is empty, and the database belongs to spool {owner or 'of an earlier version'}: mount "
            "that one there or set `home`, or give this node a `database_url` of its own; if that spool is lost, "
            "`hilum migrate --new-spool`"
        )


def _is_made(root: Path) -> bool:
    """Tell whether a folder is a spool, one of an earlier version too, which has no identity."""
    return identity.read(root) is not None or (root / "objects").is_dir()
