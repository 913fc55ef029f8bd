"""Storage commitment as SCP of N-EVENT-REPORT (PS3.4 section J.3.3): what an archive reports to the receiver.

The archive opens the association and proposes the role of SCP.
"""

from __future__ import annotations

from ipaddress import ip_network

import structlog

from node.dicom.status import Status
from node.dicom.uids import STORAGE_COMMITMENT
from node.dimse.reports import INSTANCE, MAXIMUM_REPORT_BYTES, take_report
from node.dimse.scp.admission import is_allowed
from node.dimse.scp.commands import Command
from node.dimse.scp.negotiation import Context
from node.spool.commitments import CommitmentStore, CommitmentTransaction
from node.spool.incoming import AssociationInfo

log = structlog.get_logger(__name__)


class ReportReception:
    """One N-EVENT-REPORT request to the receiver; its failure is a status, never an exception.

    Parameters
    ----------
    info
        Who reports.
    """

    def __init__(self, store: CommitmentStore, info: AssociationInfo, command: Command, context: Context) -> None:
        self._store, self._info, self._command, self._context = store, info, command, context
        self._content = bytearray()
        self._too_long = False

    def write(self, content: memoryview) -> None:
        """Take the next bytes of the event information; of one that is too long they are dropped."""
        self._too_long = self._too_long or len(self._content) + len(content) > MAXIMUM_REPORT_BYTES
        if self._too_long:
            self._content.clear()
        else:
            self._content += content

    def end(self) -> tuple[Status, str]:
        """Keep the report, and say what became of it."""
        status, why = self._take()
        if status is Status.SUCCESS:
            log.info("commitment.report_received", association=self._info.association_id)
        else:
            log.warning(
                "commitment.report_refused",
                association=self._info.association_id,
                peer=self._info.peer_address,
                calling_ae_title=self._info.calling_ae_title,
                status=f"{status:#06x}",
                why=why,
            )
        return status, why

    def discard(self) -> None:
        """Forget what has come so far."""
        self._content.clear()

    def _take(self) -> tuple[Status, str]:
        if self._command.sop_class_uid != STORAGE_COMMITMENT:
            return Status.SOP_CLASS_NOT_SUPPORTED, "SOP class differs from the presentation context"
        if self._command.sop_instance_uid != INSTANCE:
            return Status.NO_SUCH_INSTANCE, "not the well-known instance of storage commitment"
        if self._too_long:
            return Status.RESOURCE_LIMITATION, f"a report of more than {MAXIMUM_REPORT_BYTES} bytes"
        return take_report(
            self._store,
            bytes(self._content),
            event_type=self._command.event_type,
            transfer_syntax=self._context.transfer_syntax,
            is_authorised=self._is_authorised,
        )

    def _is_authorised(self, transaction: CommitmentTransaction) -> bool:
        if transaction.ae_title != self._info.calling_ae_title:
            return False
        networks = [ip_network(text) for text in transaction.networks]
        return not networks or is_allowed(self._info.peer_address, networks)
