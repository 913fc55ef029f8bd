"""Query as SCU (PS3.4 Annex C): how many instances an archive has of a study."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from node.delivery.destinations import Destination
from node.dicom.uids import STUDY_ROOT_FIND, UNCOMPRESSED
from node.dimse.scu.association import associated, name
from node.errors import PeerUnavailable

_PENDING: Final = (0xFF00, 0xFF01)


def count_instances(
    destination: Destination,
    study_instance_uid: str,
    *,
    calling_ae_title: str,
    timeout_s: float,
) -> int | None:
    """Ask the peer how many instances it has of a study (C-FIND, PS3.4 section C.4.1).

    Returns
    -------
    int or None
        Number of Study Related Instances (0020,1208); None: the peer does not say, 0: it does not know the study.

    Raises
    ------
    PeerUnavailable
        There was no association, or the query failed.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_instance_uid
    query.NumberOfStudyRelatedInstances = None
    found: int | None = 0
    with associated(
        destination,
        [(STUDY_ROOT_FIND, UNCOMPRESSED)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=timeout_s,
        response_timeout_s=timeout_s,
    ) as association:
        if not association.accepted_contexts:
            return None
        for status, answer in association.send_c_find(query, STUDY_ROOT_FIND):
            code = status.get("Status")
            if code in _PENDING and answer is not None:
                found = _number(answer, study_instance_uid, found)
            elif code != 0x0000:
                raise PeerUnavailable(f"{name(destination)} failed the query for a study: status {code}")
    return found


def _number(answer: Dataset, study_instance_uid: str, found: int | None) -> int | None:
    """Read the count of one match; other studies do not count, a missing or odd value is unknown."""
    if answer.get("StudyInstanceUID") != study_instance_uid:
        return found
    try:
        return int(answer.NumberOfStudyRelatedInstances)
    except (AttributeError, TypeError, ValueError):
        return None
