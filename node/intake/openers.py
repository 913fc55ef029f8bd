"""Whose study an object belongs to, where several senders use one Study Instance UID.

Who sends an image first under a study's UID does not decide whose report it becomes. The images of the sender who
opened a study are in it. Those of another sender join it where they name the same patient; otherwise that sender opens
a study of its own beside it, with its own revisions, jobs and reports, and nothing of one touches the other.

Patient IDs are compared as digests, in memory: none is written anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Final

import structlog

from node.db import studies
from node.db.engine import Database
from node.db.states import InstanceState
from node.db.studies import Opener
from node.db.studies.received import ReceivedInstance
from node.dicom.contexts import BY_UID
from node.dicom.deflated import data_set
from node.dicom.elements import Walker
from node.errors import BytesLost, Quarantined
from node.spool.store import Spool

log = structlog.get_logger()

_PATIENT_ID: Final = 0x00100020


def with_openers(
    database: Database, spool: Spool, received: Sequence[ReceivedInstance], *, calling_ae_title: str
) -> list[ReceivedInstance]:
    """Return objects of one association, each with whoever opened the study that it belongs to.

    Raises
    ------
    SpoolUnavailable
        The images of another sender cannot be read now.
    """
    uids = {one.study_instance_uid for one in received if one.study_instance_uid is not None}
    with database.read() as tx:
        openers = {uid: studies.openers(tx, uid) for uid in sorted(uids)}
    keys: dict[str, str | None] = {}

    def key_of(digest: str) -> str | None:
        if digest not in keys:
            keys[digest] = _patient_key(spool, digest)
        return keys[digest]

    return [
        one
        if one.study_instance_uid is None or one.state is InstanceState.IGNORED
        else replace(one, opener=choose(one.digest, calling_ae_title, openers[one.study_instance_uid], key_of))
        for one in received
    ]


def choose(digest: str, calling_ae_title: str, openers: Sequence[Opener], key_of: Callable[[str], str | None]) -> str:
    """Return who opened the study that an object belongs to: another sender, or its own.

    Parameters
    ----------
    key_of
        Gives what two objects of one patient have in common, by their digests; None: it cannot be read.
    """
    if not openers or any(opener.calling_ae_title == calling_ae_title for opener in openers):
        return calling_ae_title
    key = key_of(digest)
    for opener in openers:
        if key is not None and key_of(opener.digest) == key:
            return opener.calling_ae_title
    others = [opener.calling_ae_title for opener in openers]
    log.warning("study.opened_beside", calling_ae_title=calling_ae_title, others=others, why="another patient")
    return calling_ae_title


def _patient_key(spool: Spool, digest: str) -> str | None:
    """Return a digest of the Patient ID (0010,0020) of an object; of none, where it names no patient."""
    try:
        with data_set(BytesIO(spool.read_received(digest))) as (data, meta):
            walker = Walker(data, explicit=BY_UID[meta.transfer_syntax_uid].explicit_vr)
            value = b""
            for element in walker.elements(meta.dataset_offset, len(data)):
                if element.tag == _PATIENT_ID:
                    value = bytes(walker.value(element)).strip(b"\0 ")
                if element.tag >= _PATIENT_ID:
                    break
    except (Quarantined, BytesLost, KeyError):
        return None
    return hashlib.sha256(value).hexdigest()
